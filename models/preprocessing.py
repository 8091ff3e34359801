"""What pixels go through before a network's first layer.

Only layers and operations of Keras itself: an exported model loads without this project.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

PREPROCESSINGS = ("rescale", "imagenet")
Preprocessing = Callable[[Any], Any]  # of pixels (B, H, W, 3) in 0..255


def of_application(builder: Any, name: str) -> Preprocessing | None:
    """What a network of `keras.applications` takes.

    Args:
        builder: The function that builds it.
        name: `rescale` (pixels / 255, as the article) or `imagenet` (what its ImageNet weights were
            trained with: Keras' `preprocess_input` of it).

    Returns:
        None where the network does it itself.

    Raises:
        ValueError: If the name is neither.
    """
    if name == "rescale":
        return _rescaled([1 / 255] * 3, [0.0] * 3)
    if name == "imagenet":
        return _as_layers(sys.modules[builder.__module__].preprocess_input)
    raise ValueError(f"The value of `preprocessing` is {name!r}, but must be {PREPROCESSINGS}.")


def _as_layers(preprocess: Callable[[np.ndarray], np.ndarray]) -> Preprocessing | None:
    """One of Keras' functions, found out by trial, as layers.

    All of them scale and shift each channel, and some turn RGB to BGR.
    """

    def of(*pixel: float) -> np.ndarray:
        found: np.ndarray = preprocess(np.array(pixel, np.float64).reshape(1, 1, 1, 3))[0, 0, 0]
        return found

    offset = of(0, 0, 0)
    red_moves = np.flatnonzero(of(255, 0, 0) != offset)
    scale = (of(255, 255, 255) - offset) / 255
    scales, offsets = ([round(float(each), 12) for each in array] for array in (scale, offset))
    flip = red_moves.tolist() == [2]
    if not flip and scales == [1.0] * 3 and offsets == [0.0] * 3:
        return None
    return _rescaled(scales, offsets, flip)


def _rescaled(scale: list[float], offset: list[float], flip: bool = False) -> Preprocessing:
    def apply(pixels: Any) -> Any:
        import keras

        x = keras.ops.flip(pixels, axis=-1) if flip else pixels
        one = scale[0] if len(set(scale)) == 1 else scale
        return keras.layers.Rescaling(one, offset, name="preprocessing")(x)

    return apply
