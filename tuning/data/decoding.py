"""One picture file to pixels, whatever its format and mode, or a reason why not."""

from __future__ import annotations

import errno
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from tuning.data import containers
from tuning.data.bands import Bands, orientation, read

MAX_REASON = 200  # characters
TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # that set a picture upright, by its EXIF orientation


class UnreadablePicture(Exception):
    """A file that is no picture, or a broken one; the reason in a few words.

    Attributes:
        lacks: The package that would read it, as `pip install` knows it; None for none.
    """

    def __init__(self, reason: str, lacks: str | None = None) -> None:
        super().__init__(reason)
        self.lacks = lacks


@dataclass(frozen=True)
class Levels:
    """How values of more than 8 bits become such of 8.

    Attributes:
        low: The value that is black; smaller ones and NaN are as well.
        high: The value that is white; larger ones are as well.
    """

    low: float
    high: float


@dataclass(frozen=True)
class DecodeSettings:
    """How pictures become squares of 8 bits, all of a data set alike.

    Attributes:
        levels: The scale of pictures of more than 8 bits. None: 16 bits are taken to be used in
            full, and floating-point pictures refused, since nobody knows what is white.
        keep_aspect: `crop` or `pad`, see `models.network.resized`; None squashes them, as the
            article does.
    """

    levels: Levels | None = None
    keep_aspect: str | None = None


AS_IN_THE_ARTICLE = DecodeSettings()
FULL_RANGE = Levels(0.0, 65535.0)  # of 16 bits, for whole numbers of unknown range


def decode(
    path: Path | BinaryIO, size: int, settings: DecodeSettings = AS_IN_THE_ARTICLE
) -> np.ndarray:
    """Reads a picture as the article's networks take it.

    EXIF orientation is honoured, transparency shown on white, more than 8 bits scaled to 8, of
    animations the first frame taken. The picture is made a square, see `models.network.resized`,
    with antialiased bilinear interpolation, and rounded once: what an exported model, which resizes
    inside, makes of the whole picture.

    Args:
        path: A file, or an open one, of any format that Pillow reads, or HEIC where its package
            is installed. Of a TIFF with many bands the first three are red, green and blue.
        size: Side in pixels.
        settings: How it becomes a square of 8 bits.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        UnreadablePicture: If the file cannot be read as a picture.
    """
    with opened(path) as picture:
        if isinstance(picture, Bands):
            shown = _shown(picture, settings.levels)
        else:
            picture.load()
            turned = _turned(picture, orientation(picture))
            shown = list(_rgb(turned, settings.levels).split())
        return _resized([_square(band, settings.keep_aspect) for band in shown], size)


@contextmanager
def opened(path: Path | BinaryIO) -> Iterator[Image.Image | Bands]:
    """Opens a picture, as Pillow has it or as numbers.

    Whatever fails until the context ends is the picture's fault.

    Raises:
        UnreadablePicture: If anything fails.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns at half of the size that it refuses; large photos are no attack.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # odd EXIF, palette transparency
            if (bands := read(path)) is not None:
                yield bands
                return
            with _open(path) as image:
                yield image
    except Exception as error:
        # Pillow's readers raise what they like on broken files.
        raise _unreadable(path, error) from None


def _open(path: Path | BinaryIO) -> Image.Image:
    content = containers.without_large_text(path)
    kind = containers.kind(path)
    if kind == "HEIC" and containers.can_read(kind):
        from pillow_heif import HeifImageFile

        # Not registered with Pillow: that would change it for the whole process.
        heic: Image.Image = HeifImageFile(path)  # type: ignore[no-untyped-call]
        return heic
    return Image.open(path if content is None else io.BytesIO(content))


def _unreadable(path: Path | BinaryIO, error: Exception) -> UnreadablePicture:
    if isinstance(error, UnreadablePicture):
        return error
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return UnreadablePicture(f"it has more than {most:,} pixels, a decompression bomb")
    if isinstance(error, OSError) and error.errno is not None and isinstance(path, Path):
        reason = "no permission" if error.errno == errno.EACCES else os.strerror(error.errno)
        return UnreadablePicture(f"it cannot be read: {reason}")
    kind = containers.kind(path)
    reason = " ".join(str(error).split())[:MAX_REASON] or type(error).__name__
    if kind in containers.PACKAGES and not containers.can_read(kind):
        package, extra = containers.PACKAGES[kind]
        return UnreadablePicture(f"it is {kind}, which needs a package: {extra}", package)
    if kind == "HEIC":
        return UnreadablePicture(f"it is a broken HEIC, as pillow-heif says: {reason}")
    layout = containers.tiff_layout(path) if kind == "TIFF" else None
    if layout and layout.bands > 1:
        return UnreadablePicture(f"it is a TIFF of {layout} that cannot be read: {reason}")
    if isinstance(error, UnidentifiedImageError):
        return UnreadablePicture("it is no picture that can be read")
    return UnreadablePicture(f"it is broken: {reason}")


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = TRANSPOSITIONS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _square(band: Image.Image, keep_aspect: str | None) -> Image.Image:
    """The square in the middle, or the whole on a black one.

    As Keras does in an exported model: margins of a whole number of pixels, alike on both sides.
    """
    if keep_aspect is None:
        return band
    width, height = band.size
    side = (min if keep_aspect == "crop" else max)(width, height)
    left, top = int((width - side) / 2), int((height - side) / 2)  # less than 0 where it grows
    if keep_aspect == "crop":
        return band.crop((left, top, left + side, top + side))
    return band.crop((left, top, width - left, height - top))


def _resized(bands: Sequence[Image.Image], size: int) -> np.ndarray:
    # Of whole numbers Pillow would round twice, of JPEG's draft mode it would see others: up to
    # 0.01 and 0.06 of a probability.
    small = [
        np.asarray(band.convert("F").resize((size, size), Image.Resampling.BILINEAR))
        for band in bands
    ]
    return np.repeat(np.rint(np.stack(small, axis=-1)).astype(np.uint8), 3 // len(small), axis=-1)


def is_deep(image: Image.Image | Bands) -> bool:
    """Whether a picture has more than 8 bits: whole numbers or floating point."""
    if isinstance(image, Bands):
        return image.values.dtype != np.uint8
    return image.mode.startswith("I") or image.mode == "F"


def _shown(picture: Bands, levels: Levels | None) -> list[Image.Image]:
    """The bands that are seen, upright, each of floating point."""
    values = picture.values.astype(np.float64)
    if is_deep(picture):
        values = _scaled(values, _levels(levels, picture.values.dtype.kind == "f"))
    if picture.opacity is not None:
        values = 255 + picture.opacity[..., None] * (values - 255)
    bands = np.moveaxis(values.astype(np.float32), -1, 0)
    return [_turned(Image.fromarray(band.copy()), picture.orientation) for band in bands]


def _levels(levels: Levels | None, floating: bool) -> Levels:
    if levels is None and floating:
        raise UnreadablePicture("it has floating-point values of an unknown range")
    return levels or FULL_RANGE


def _rgb(image: Image.Image, levels: Levels | None) -> Image.Image:
    """The picture in RGB, or in one band that stands for all three."""
    if is_deep(image):
        # Pillow's own conversion would clip at 255.
        scale = _levels(levels, image.mode == "F")
        return Image.fromarray(_scaled(np.asarray(image, np.float64), scale))
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return image if image.mode == "L" else image.convert("RGB")


def _scaled(values: np.ndarray, levels: Levels) -> np.ndarray:
    low, high = levels.low, levels.high
    finite = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    scaled: np.ndarray = np.clip((finite - low) / (high - low), 0, 1) * 255
    return scaled.astype(np.float32)
