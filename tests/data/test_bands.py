"""Colours of more than 8 bits and pictures of many bands: nothing of them is cut away."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tuning.data import dataset, levels
from tuning.data.decoding import DecodeSettings, Levels, UnreadablePicture, decode

SIZE = 24
SCALE = Levels(0.0, 4095.0)
DEEP = DecodeSettings(SCALE)


def picture(bands, most=4095, kind=np.uint16):
    """Smooth, each band another."""
    rows, columns = np.mgrid[0:1:40j, 0:1:60j]
    each = [rows * (band + 1) / bands * most * (1 - 0.3 * columns) for band in range(bands)]
    return np.stack(each, axis=-1).astype(kind)


def wanted(values, scale=SCALE):
    low, high = scale.low, scale.high
    scaled = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255
    bands = [Image.fromarray(scaled[..., b].astype(np.float32)) for b in range(values.shape[-1])]
    small = [np.asarray(b.resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for b in bands]
    return np.rint(np.stack(small, axis=-1)).astype(np.uint8)


def png(file, values, orientation=1):
    file.write_bytes(imagecodecs.png_encode(values))
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        body = b"eXIf" + exif.tobytes()[6:]
        content = file.read_bytes()
        chunk = (len(body) - 4).to_bytes(4, "big") + body
        chunk += imagecodecs.zlib_crc32(body).to_bytes(4, "big")
        file.write_bytes(content[:33] + chunk + content[33:])
    return file


def tiff(file, values, **more):
    tifffile.imwrite(file, values, **{"photometric": "minisblack", "planarconfig": "contig"} | more)
    return file


def test_colours_of_12_bits_are_not_black(tmp_path):
    values = picture(3)
    found = decode(png(tmp_path / "a.png", values), SIZE, DEEP)
    np.testing.assert_array_equal(found, wanted(values))
    assert found.max() > 240
    np.testing.assert_array_equal(decode(tiff(tmp_path / "a.tif", values), SIZE, DEEP), found)
    rgb = tiff(tmp_path / "rgb.tif", values, photometric="rgb", compression="lzw")
    np.testing.assert_array_equal(decode(rgb, SIZE, DEEP), found)
    with rgb.open("rb") as file:
        np.testing.assert_array_equal(decode(file, SIZE, DEEP), found)
    whole = decode(png(tmp_path / "whole.png", picture(3, 65535)), SIZE)
    assert whole.max() > 240  # of an unknown scale 16 bits are taken to be used in full


def test_transparency_is_shown_on_white(tmp_path):
    values = np.concatenate([picture(3), np.zeros((40, 60, 1), np.uint16)], axis=-1)
    values[:, :30, 3] = 65535
    for file in (
        png(tmp_path / "a.png", values),
        tiff(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"]),
    ):
        found = decode(file, SIZE, DEEP)
        np.testing.assert_array_equal(found[:, :11], wanted(values[..., :3])[:, :11])
        assert (found[:, 13:] == 255).all()
    gray = np.stack([values[..., 0], values[..., 3]], axis=-1)
    found = decode(png(tmp_path / "gray.png", gray), SIZE, DEEP)
    assert (found[:, 13:] == 255).all()
    assert (found[..., 0] == found[..., 2]).all()


@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
@pytest.mark.parametrize("plan", ["contig", "separate"])
@pytest.mark.parametrize("bands", [2, 4, 9])
def test_of_many_bands_the_first_three_are_seen(tmp_path, bands, plan, compression):
    values = picture(bands)
    stored = values if plan == "contig" else np.ascontiguousarray(np.moveaxis(values, -1, 0))
    file = tiff(tmp_path / "a.tif", stored, planarconfig=plan, compression=compression)
    shown = values[..., :3] if bands > 2 else values[..., [0, 0, 0]]
    np.testing.assert_array_equal(decode(file, SIZE, DEEP), wanted(shown))


def test_many_bands_of_8_bits_are_as_they_are(tmp_path):
    values = picture(7, 255, np.uint8)
    file = tiff(tmp_path / "a.tif", values)
    assert not levels.deep(file)
    found = decode(file, SIZE, DEEP)
    np.testing.assert_array_equal(found, wanted(values[..., :3], Levels(0, 255)))


def test_bands_of_floating_point_have_a_scale_or_are_refused(tmp_path):
    values = picture(5, 1.0, np.float32)
    values[0, 0] = np.nan
    values[1, 1] = np.inf
    file = tiff(tmp_path / "a.tif", values)
    with pytest.raises(UnreadablePicture, match="floating-point values of an unknown range"):
        decode(file, SIZE)
    found = decode(file, SIZE, DecodeSettings(Levels(0.0, 1.0)))
    calm = np.where(np.isfinite(values), values, 0)[..., :3]
    calm[1, 1] = 1
    np.testing.assert_array_equal(found, wanted(calm, Levels(0.0, 1.0)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_they_are_upright(tmp_path, orientation):
    values = picture(3)
    turned = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.transpose(1, 0, 2),
        6: np.rot90(values, -1),
        7: np.rot90(values.transpose(1, 0, 2), 2),
        8: np.rot90(values),
    }[orientation]
    files = [
        png(tmp_path / "a.png", values, orientation),
        tiff(tmp_path / "a.tif", values, extratags=[(274, "H", 1, orientation, True)]),
    ]
    for file in files:
        np.testing.assert_array_equal(decode(file, SIZE, DEEP), wanted(turned))


def test_broken_ones_are_named(tmp_path):
    whole = tiff(tmp_path / "a.tif", picture(9), compression="deflate").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[:-300])
    with pytest.raises(UnreadablePicture, match="it is a TIFF of 9 bands of 16-bit values that"):
        decode(tmp_path / "cut.tif", SIZE, DEEP)
    content = png(tmp_path / "a.png", picture(3)).read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadablePicture, match="it is broken"):
        decode(tmp_path / "cut.png", SIZE, DEEP)


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    files = [tiff(tmp_path / "a.tif", picture(9)), png(tmp_path / "a.png", picture(3))]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for file in files:
        with pytest.raises(UnreadablePicture, match="more than 2,000 pixels"):
            decode(file, SIZE, DEEP)


def test_a_data_set_of_them_has_one_scale(tmp_path, cache):
    for split, count in (("train", 4), ("validation", 2)):
        for name in ("a", "b"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                values = picture(3, 2000 + 500 * number)
                png(folder / f"{number}.png", values if name == "a" else values[..., ::-1].copy())
    data = dataset.load(tmp_path / "data", cache=cache, image_size=SIZE)
    assert data.settings.levels is not None
    assert 3000 <= data.settings.levels.high <= 3600
    assert "All training pictures have more than 8 bits" in "\n".join(data.warnings)
    assert data.train.pictures.max() == 255
