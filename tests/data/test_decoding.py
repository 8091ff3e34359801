"""Pictures of every kind are read, and what is none is refused with a reason."""

import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image, PngImagePlugin, features

from tuning.data import containers
from tuning.data.decoding import DecodeSettings, Levels, UnreadablePicture, decode

SIZE = 40


def scene() -> Image.Image:
    """Red left, blue right, a green bar at the top: any turn or flip shows."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[:, : SIZE // 2] = (200, 30, 30)
    pixels[:, SIZE // 2 :] = (30, 30, 200)
    pixels[: SIZE // 5] = (30, 180, 30)
    return Image.fromarray(pixels)


def close(found, wanted, tolerance=3.0):
    difference = np.abs(found.astype(float) - np.asarray(wanted, float))
    return difference.mean() < tolerance


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("jpg", {"quality": 95, "subsampling": 0}),
        ("png", {}),
        ("webp", {"lossless": True}),
        ("bmp", {}),
        ("gif", {}),
        ("tiff", {}),
    ],
)
def test_formats(tmp_path, ending, options):
    file = tmp_path / f"picture.{ending}"
    scene().save(file, **options)
    found = decode(file, SIZE)
    assert found.dtype == np.uint8
    assert found.shape == (SIZE, SIZE, 3)
    assert close(found, scene())


def test_of_an_animation_the_first_frame(tmp_path):
    file = tmp_path / "moving.gif"
    scene().save(file, save_all=True, append_images=[Image.new("RGB", (SIZE, SIZE))])
    assert close(decode(file, SIZE), scene())


@pytest.mark.parametrize("ending", ["png", "tiff"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_modes(tmp_path, ending, mode):
    if (ending, mode) == ("png", "CMYK"):
        ending = "jpg"  # PNG knows no CMYK
    file = tmp_path / f"picture.{ending}"
    scene().convert(mode).save(file)
    wanted = scene().convert(mode).convert("RGB")
    assert close(decode(file, SIZE), wanted, tolerance=4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_clear_is_white(tmp_path, mode):
    picture = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, SIZE // 2, SIZE))
    file = tmp_path / "clear.png"
    if mode == "P":
        palette = Image.new("P", (SIZE, SIZE), 1)
        palette.putpalette([0, 0, 0, 9, 9, 9])
        palette.paste(0, (0, 0, SIZE // 2, SIZE))
        palette.save(file, transparency=1)
    else:
        picture.convert(mode).save(file)
    found = decode(file, SIZE)
    assert found[:, -5:].min() == 255
    assert found[:, :5].max() == 0


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
    levels = np.linspace(0, 65535, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint16)
    for ending in ("png", "tiff"):
        file = tmp_path / f"deep.{ending}"
        Image.fromarray(levels).save(file)
        found = decode(file, SIZE)
        np.testing.assert_allclose(found[..., 0], levels / 257, atol=1)
        assert (found[..., 0] == found[..., 2]).all()


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(100, 900, SIZE * SIZE).astype(np.uint16),
        np.linspace(-1000, 3000, SIZE * SIZE).astype(np.int32),
        np.linspace(0, 0.6, SIZE * SIZE).astype(np.float32),
    ],
)
def test_more_than_8_bits_are_scaled_as_told(tmp_path, values):
    low, high = float(values[200]), float(values[-200])
    file = tmp_path / "deep.tif"
    Image.fromarray(values.reshape(SIZE, SIZE)).save(file)
    found = decode(file, SIZE, DecodeSettings(Levels(low, high)))[..., 0].ravel()
    wanted = np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(found, wanted, atol=0.51)
    assert (found[:200] == 0).all()
    assert (found[-200:] == 255).all()


def test_what_is_no_number_is_black_and_floats_of_unknown_range_are_refused(tmp_path):
    values = np.full((SIZE, SIZE), 0.5, np.float32)
    values[:10], values[10:20], values[20:30] = np.nan, np.inf, -np.inf
    file = tmp_path / "odd.tif"
    Image.fromarray(values).save(file)
    found = decode(file, SIZE, DecodeSettings(Levels(0.0, 1.0)))[..., 1]
    assert found[[5, 15, 25, 35], 3].tolist() == [0, 255, 0, 128]
    with pytest.raises(UnreadablePicture, match="floating-point values of an unknown range"):
        decode(file, SIZE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = scene()
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "turned.jpg"
    stored.save(file, exif=exif, quality=95, subsampling=0)
    assert close(decode(file, SIZE), scene())


def test_pictures_are_squashed_to_a_square(tmp_path):
    file = tmp_path / "wide.png"
    scene().resize((900, 300)).save(file)
    assert close(decode(file, SIZE), scene(), tolerance=6)
    large = tmp_path / "large.jpg"
    scene().resize((2000, 1500)).save(large, quality=95)
    assert close(decode(large, SIZE), scene(), tolerance=6)


def _png_of(width, height):
    def chunk(kind, body):
        raw = kind + body
        return struct.pack(">I", len(body)) + raw + struct.pack(">I", zlib.crc32(raw))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.jpg", b"", "no picture"),
        ("text.jpg", b"I am no picture", "no picture"),
        ("half.png", "half", "broken"),
        ("half.jpg", "half", "broken"),
        ("bomb.png", _png_of(50_000, 50_000), "decompression bomb"),
        ("lying.png", _png_of(300, 300), "broken"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(tmp_path, name, content, told):
    file = tmp_path / name
    if content == "half":
        noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
        content = file.read_bytes()
        content = content[: len(content) // 2]
    file.write_bytes(content)
    with pytest.raises(UnreadablePicture, match=told) as caught:
        decode(file, SIZE)
    assert len(str(caught.value).splitlines()) == 1


def _packed_text(name, body):
    chunk = {b"zTXt": b"XML\0\0", b"iTXt": b"XML\0\1\0en\0\0", b"iCCP": b"ICC\0\0"}[name]
    chunk = name + chunk + zlib.compress(body)
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
@pytest.mark.parametrize("at", ["first", "last"])
def test_a_png_with_much_text_is_read(tmp_path, name, at):
    file = tmp_path / "noted.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    scene().transpose(Image.Transpose.ROTATE_180).save(file, exif=exif)
    content, before = file.read_bytes(), PngImagePlugin.MAX_TEXT_CHUNK
    place = 33 if at == "first" else len(content) - 12
    for body in (b"x" * 1_500_000, b"short"):
        file.write_bytes(content[:place] + _packed_text(name, body) + content[place:])
        np.testing.assert_array_equal(decode(file, SIZE), np.asarray(scene()))
        with file.open("rb") as stream:
            np.testing.assert_array_equal(decode(stream, SIZE), np.asarray(scene()))
    assert before == PngImagePlugin.MAX_TEXT_CHUNK


def _exif(orientation, gps):
    """EXIF of an orientation, and of one GPS entry (tag, type, count, bytes) after it."""
    tag, kind, count, value = gps
    first = struct.pack("<HHHIHH", 2, 274, 3, 1, orientation, 0)
    first += struct.pack("<HHII", 34853, 4, 1, 38) + bytes(4)
    place = value if len(value) == 4 else struct.pack("<I", 56)
    second = struct.pack("<HHHI", 1, tag, kind, count) + place + bytes(4)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + value


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    "gps",
    [
        (5, 2, 2, b"0\0\0\0"),
        (5, 5, 1, struct.pack("<2I", 0, 0)),
        (6, 10, 1, struct.pack("<2i", -1, 0)),
        (29, 99, 7, b"????"),
    ],
)
def test_of_exif_the_orientation_alone_is_looked_at(tmp_path, gps, ending):
    file = tmp_path / f"phone.{ending}"
    stored = scene().transpose(Image.Transpose.ROTATE_90)
    stored.save(file, exif=_exif(6, gps), quality=95)
    assert close(decode(file, SIZE), scene(), tolerance=6)


def test_exif_that_is_none_leaves_the_picture_as_it_is(tmp_path):
    file = tmp_path / "noise.jpg"
    scene().save(file, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(9), quality=95)
    assert close(decode(file, SIZE), scene(), tolerance=6)


def test_heic_and_avif_are_read_upright(tmp_path, monkeypatch):
    # Another test's library (imageio) may have taught Pillow itself to read HEIC.
    monkeypatch.setattr(Image, "ID", [each for each in Image.ID if each != "HEIF"])
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    for ending, writer in (("heic", pillow_heif), ("avif", None)):
        if writer is None and not features.check("avif"):
            continue
        file = tmp_path / f"phone.{ending}"
        stored = scene().resize((160, 160)).transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        if writer:
            writer.from_pillow(stored).save(file, quality=95, exif=exif.tobytes())
        else:
            stored.save(file, quality=95, exif=exif)
        assert close(decode(file, SIZE), scene(), tolerance=10)
    assert "HEIF" not in Image.OPEN, "Pillow itself has changed"


@pytest.mark.parametrize(
    ("brands", "installed", "told"),
    [
        (b"heic\0\0\0\0mif1heic", False, r"it is HEIC, .* pip install pillow-heif"),
        (b"heic\0\0\0\0mif1heic", True, "it is a broken HEIC, as pillow-heif says: "),
        (b"avif\0\0\0\0mif1avif", False, "it is AVIF, .* Pillow"),
    ],
)
def test_the_package_that_would_read_a_picture_is_named(
    tmp_path, monkeypatch, brands, installed, told
):
    file = tmp_path / "IMG_1.HEIC"
    file.write_bytes(b"\0\0\0\x18ftyp" + brands + b"\0\0\0\x10mdat" + bytes(200))
    if not installed:
        monkeypatch.setattr(containers, "can_read", lambda kind: False)
    with pytest.raises(UnreadablePicture, match=told) as caught:
        decode(file, SIZE)
    assert (caught.value.lacks is None) == installed
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, RecursionError, AssertionError, KeyError])
def test_whatever_a_decoder_raises_is_the_pictures_fault(tmp_path, monkeypatch, error):
    def fail(*args, **options):
        raise error("first\nsecond")

    scene().save(tmp_path / "a.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(UnreadablePicture, match=r"it is broken: .*first.*second") as caught:
        decode(tmp_path / "a.png", SIZE)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.jpg"):
        with pytest.raises(UnreadablePicture):
            decode(path, SIZE)


@pytest.mark.parametrize("turned", [False, True])
def test_keeps_the_aspect_where_it_shall(turned, tmp_path):
    # A red, a green and a blue third: the middle one alone is seen, or all on black.
    pixels = np.zeros((30, 90, 3), np.uint8)
    for third in range(3):
        pixels[:, 30 * third : 30 * (third + 1), third] = 200
    pixels = pixels.transpose(1, 0, 2) if turned else pixels
    Image.fromarray(pixels).save(file := tmp_path / "wide.png")
    cut = decode(file, 30, DecodeSettings(keep_aspect="crop"))
    np.testing.assert_array_equal(cut, np.full((30, 30, 3), (0, 200, 0)))
    padded = decode(file, 90, DecodeSettings(keep_aspect="pad"))
    padded = padded.transpose(1, 0, 2) if turned else padded
    upright = pixels.transpose(1, 0, 2) if turned else pixels
    np.testing.assert_array_equal(padded[30:60], upright)
    assert not padded[:30].any()
    assert not padded[60:].any()


def test_a_square_is_the_same_however_aspects_are_kept(tmp_path):
    scene().resize((64, 64)).save(file := tmp_path / "square.png")
    for keep_aspect in ("crop", "pad"):
        found = decode(file, 40, DecodeSettings(keep_aspect=keep_aspect))
        np.testing.assert_array_equal(found, decode(file, 40))
