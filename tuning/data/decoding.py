"""One picture file to pixels, whatever its format and mode, or a reason why not."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


class UnreadablePicture(Exception):
    """A file that is no picture, or a broken one; the reason in a few words."""


def decode(path: Path | BinaryIO, size: int) -> np.ndarray:
    """Reads a picture as the article's networks take it.

    EXIF orientation is honoured, transparency shown on white, 16 bit scaled to 8, of animations
    the first frame taken. The picture is squashed to a square, as the article does, with
    antialiased bilinear interpolation.

    Args:
        path: A file, or an open one, of any format that Pillow reads.
        size: Side in pixels.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        UnreadablePicture: If the file cannot be read as a picture.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns at half of the size that it refuses; large photos are no attack.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # odd EXIF, palette transparency
            with Image.open(path) as image:
                # Lets JPEG decode at a fraction of its size, still twice as large as needed.
                image.draft(None, (2 * size, 2 * size))
                upright = ImageOps.exif_transpose(image)
                small = _rgb(upright).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(small)
    except UnidentifiedImageError:
        raise UnreadablePicture("it is no picture that can be read") from None
    except Image.DecompressionBombError:
        raise UnreadablePicture(
            f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, a decompression bomb"
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, MemoryError) as error:
        # What Pillow's readers raise on broken files.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadablePicture(f"it is broken: {reason}") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # 16 bit grey; Pillow's own conversion would clip at 255.
        levels = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode.startswith("I") else max(float(levels.max()), 1.0)
        grey = np.clip(np.rint(levels * (255 / top)), 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return image.convert("RGB")
