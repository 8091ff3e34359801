"""One scale for all pictures of a data set that have more than 8 bits: which value is white."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tuning.data.bands import GDAL_NODATA, Bands, missing
from tuning.data.decoding import Levels, UnreadablePicture, is_deep, opened

PICTURES = 256  # that are looked at
VALUES = 10_000  # of each
SHARE = 0.1  # per cent at either end that may lie outside: dead pixels, reflections
LARGEST = 1e30  # what is larger stands for "no value"


def deep(path: Path) -> bool:
    """Whether a file is a picture of more than 8 bits; its pixels are not read."""
    try:
        with opened(path) as image:
            return is_deep(image)
    except UnreadablePicture:
        return False


def find(paths: Sequence[Path]) -> Levels | None:
    """The scale of pictures of more than 8 bits, by the range of nearly all their values.

    It is widened to round numbers, so that few pictures more or less leave it as it is.

    Args:
        paths: The files.

    Returns:
        None where they hold no value at all.
    """
    chosen = np.unique(np.linspace(0, len(paths) - 1, PICTURES).round().astype(int))
    found = [_values(paths[index]) for index in chosen] if len(paths) else []
    values = np.concatenate(found) if found else np.empty(0)
    if not len(values):
        return None
    low, high = np.percentile(values, (SHARE, 100 - SHARE))
    if not high > low:
        return Levels(float(low), float(low) + (abs(float(low)) or 1.0))
    step = 2.0 ** (math.floor(math.log2(high - low)) - 4)
    return Levels(math.floor(low / step) * step, math.ceil(high / step) * step)


def _values(path: Path) -> np.ndarray:
    """Some finite values of a picture; none of one that cannot be read."""
    try:
        with opened(path) as image:
            if isinstance(image, Bands):
                pixels, none = image.values, image.missing
            else:
                tags = getattr(image, "tag_v2", {})
                pixels, none = np.asarray(image), missing(tags.get(GDAL_NODATA))
    except UnreadablePicture:
        return np.empty(0)
    values: np.ndarray = pixels.astype(np.float64).ravel()
    values = values[:: max(1, len(values) // VALUES) | 1]  # an odd step meets all columns
    is_value: np.ndarray = (np.abs(values) < LARGEST) & (values != none)  # NaN is less than none
    found: np.ndarray = values[is_value]
    return found
