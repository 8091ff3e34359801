"""Pictures of every kind are read, and what is none is refused with a reason."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tuning.data.decoding import UnreadablePicture, decode

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


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.jpg"):
        with pytest.raises(UnreadablePicture):
            decode(path, SIZE)
