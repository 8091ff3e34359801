"""Colours of more than 8 bits and pictures of many bands, which Pillow cuts to 8 or refuses."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from tuning.data import containers

GRAY_OR_RGB = (0, 1, 2)  # photometric interpretations of TIFF that stand for themselves
INVERTED = 0
ALPHA = (1, 2)  # kinds of an extra sample
GDAL_NODATA = 42113  # a TIFF tag
PNG_ALPHA = (4, 6)  # colour types
ORIENTATION = 0x0112  # of EXIF, and a TIFF tag


@dataclass(frozen=True)
class Bands:
    """A picture as numbers.

    Attributes:
        values: (H, W, B), B being 1 or, of three bands and more, the first three: red, green, blue.
        opacity: (H, W) in 0..1, None where all is opaque.
        orientation: EXIF's, 1 to 8.
        missing: The value that stands for none; NaN where there is none.
    """

    values: np.ndarray
    opacity: np.ndarray | None
    orientation: int
    missing: float = math.nan


def missing(tag: Any) -> float:
    """The value that a TIFF of the earth's surface has where there is none; NaN for none.

    Args:
        tag: What stands under `GDAL_NODATA`.
    """
    try:
        return float(str(tag).strip("\0 "))
    except ValueError:
        return math.nan


def read(path: Path | BinaryIO) -> Bands | None:
    """A picture that Pillow would cut to 8 bits, or does not read; None of all others.

    Raises:
        Exception: What the packages that read it raise on broken files.
    """
    kind = containers.kind(path)
    if kind == "PNG":
        return _png(path)
    if kind == "TIFF":
        return _tiff(path)
    return None


def _png(path: Path | BinaryIO) -> Bands | None:
    with containers.stream(path) as file:
        head = file.read(26)
        bits, colours = head[24:26] if len(head) == 26 else (8, 2)
        if bits != 16 or colours not in (2, *PNG_ALPHA):
            return None
        file.seek(0)
        content = containers.without_large_text(path) or file.read()
    import imagecodecs

    # Pillow looks at size and EXIF, and reads no pixel.
    with Image.open(io.BytesIO(content)) as image:
        turn = orientation(image)
    values = imagecodecs.png_decode(content)
    opacity = values[..., -1] / 65535.0 if colours in PNG_ALPHA else None
    return Bands(values[..., :-1] if colours in PNG_ALPHA else values, opacity, turn)


def orientation(image: Image.Image) -> int:
    """EXIF's, 1 to 8; other EXIF, odd perhaps, is not looked at."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1  # EXIF that cannot be read; the pixels can


def _tiff(path: Path | BinaryIO) -> Bands | None:
    layout = containers.tiff_layout(path)
    if layout is None or (layout.bits <= 8 and layout.bands <= 4) or layout.bands == 1:
        return None
    import tifffile

    with containers.stream(path) as file, tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[0]
        if int(page.photometric) not in GRAY_OR_RGB:
            return None
        if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError
        values = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            values = np.moveaxis(values, 0, -1)
        extra = [int(each) for each in page.extrasamples]
        turn = page.tags.get(ORIENTATION)
        none = missing(page.tags[GDAL_NODATA].value) if GDAL_NODATA in page.tags else math.nan
    opacity = None
    if extra and extra[0] in ALPHA and np.issubdtype(values.dtype, np.integer):
        opacity = values[..., -len(extra)] / np.iinfo(values.dtype).max
    shown = values.shape[-1] - len(extra) if opacity is not None else values.shape[-1]
    values = values[..., : 3 if shown >= 3 else 1]
    if int(page.photometric) == INVERTED and np.issubdtype(values.dtype, np.unsignedinteger):
        values = np.iinfo(values.dtype).max - values
    return Bands(values, opacity, int(turn.value) if turn else 1, none)
