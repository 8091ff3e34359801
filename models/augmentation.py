"""Augmentation policies: an affine transform, a colour change and a hole for each picture.

What a picture looks like under a policy's view depends on (policy, view, picture) alone: not on the
batch it is in, the order, the process or the machine. So a view can be computed once and cached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops


@dataclass(frozen=True)
class Policy:
    """Ranges that a picture's transform is drawn from, uniformly and independently.

    A policy is known by its name, also in the keys of cached features: other ranges need another
    name.

    Attributes:
        rotation: Degrees to either side.
        shear: Degrees to either side.
        zoom: Each axis is scaled by its own factor in [1 - zoom, 1 + zoom].
        shift: Share of the side, to either side, on both axes.
        flip: Whether half of the pictures are mirrored left to right.
        alternate: Whether all are in every other view, so that each picture is shown as often this
            way as that; after Jordan, "94% on CIFAR-10 in 3.29 seconds" (arXiv 2404.00498), who
            found it better than a coin where each picture begins on a side of its own.
        crop: The least share of the picture's area that is shown, of a rectangle whose sides are
            as 3 to 4 at most, stretched to the whole; 0: all of it.
        brightness: Grey levels to either side, as a share of 255.
        contrast: Factor about mid-grey in [1 - contrast, 1 + contrast].
        saturation: Factor of the distance from grey in [1 - saturation, 1 + saturation].
        erasing: The most of a picture's area that is made grey, half of them: a rectangle whose
            sides are as 3 to 4 at most. Zhong et al., "Random Erasing" (arXiv 1708.04896).
    """

    rotation: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False
    alternate: bool = False
    crop: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    erasing: float = 0.0


POLICIES: Mapping[str, Policy] = {
    "none": Policy(),
    "flip": Policy(flip=True),
    # ImageDataGenerator(shear_range=0.2, zoom_range=0.2, horizontal_flip=True): its shear is in
    # degrees, so next to nothing.
    "article": Policy(shear=0.2, zoom=0.2, flip=True),
    # What hand-held photos vary by, and the object stays in the frame.
    "medium": Policy(
        rotation=15, shear=5, zoom=0.2, shift=0.1, flip=True, brightness=0.1, contrast=0.1
    ),
    # As far as a person still recognises the object at once.
    "strong": Policy(
        rotation=30,
        shear=10,
        zoom=0.3,
        shift=0.15,
        flip=True,
        brightness=0.2,
        contrast=0.25,
        saturation=0.3,
    ),
    # View 0 is the pictures as they are, view 1 mirrored: there are no others.
    "mirror": Policy(alternate=True),
    # As for ImageNet, but less of the picture is cut off: Szegedy et al., arXiv 1409.4842.
    "crop": Policy(crop=0.35, alternate=True, brightness=0.2, contrast=0.2, saturation=0.2),
    # That, and no part of the object is always in sight.
    "erase": Policy(
        crop=0.35, alternate=True, brightness=0.2, contrast=0.2, saturation=0.2, erasing=0.25
    ),
}

DRAWS = 15  # uniform numbers a picture's transform is made of
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
GREY = 127.5


class Transforms(NamedTuple):
    """What is done to each of N pictures.

    Attributes:
        affine: float32 (N, 8), from output to input pixels (x = column, y = row), as
            `keras.ops.image.affine_transform` takes it.
        colour: float32 (N, 3): grey levels added, contrast factor, saturation factor.
        hole: float32 (N, 4): left, top, right, bottom in pixels of what is made grey; from the
            first, which is inside, to the last, which is not.
    """

    affine: np.ndarray
    colour: np.ndarray
    hole: np.ndarray


TRANSFORMS = {"affine": 8, "colour": 3, "hole": 4}  # numbers a picture


def draw(policy: str, view: int, digests: np.ndarray, size: int) -> Transforms:
    """The transforms of pictures under one view of a policy.

    The order of the geometric steps is that of Keras' `ImageDataGenerator`: rotation, shift, shear,
    zoom, about the centre, then the flip.

    Args:
        policy: A name of `POLICIES`.
        view: Number of the view, from 0.
        digests: uint8 (N, 16), the identity of each picture.
        size: Side of the pictures in pixels.
    """
    ranges = POLICIES[policy]
    u = _uniform(policy, view, digests)  # (N, DRAWS)
    sides = 2 * u - 1  # in [-1, 1)
    theta = np.deg2rad(ranges.rotation * sides[:, 0])
    shear = np.deg2rad(ranges.shear * sides[:, 1])
    zoom_x, zoom_y = 1 + ranges.zoom * sides[:, 2], 1 + ranges.zoom * sides[:, 3]
    shift_x, shift_y = ranges.shift * size * sides[:, 4], ranges.shift * size * sides[:, 5]
    if ranges.crop:
        zoom_x, zoom_y = _sides(ranges.crop + (1 - ranges.crop) * u[:, 2], sides[:, 3])
        # Anywhere in the picture.
        shift_x, shift_y = (
            (1 - z) / 2 * size * s for z, s in ((zoom_x, sides[:, 4]), (zoom_y, sides[:, 5]))
        )
    mirrored = np.full(len(u), view % 2 == 1) if ranges.alternate else u[:, 6] < 0.5
    mirror = np.where((ranges.flip or ranges.alternate) & mirrored, -1.0, 1.0)

    zero, one = np.zeros(len(u)), np.ones(len(u))
    rotation = _matrix(np.cos(theta), -np.sin(theta), zero, np.sin(theta), np.cos(theta), zero)
    shift = _matrix(one, zero, shift_x, zero, one, shift_y)
    shearing = _matrix(one, -np.sin(shear), zero, zero, np.cos(shear), zero)
    zoom = _matrix(zoom_x, zero, zero, zero, zoom_y, zero)
    flip = _matrix(mirror, zero, zero, zero, one, zero)
    centre = (size - 1) / 2 * one
    there = _matrix(one, zero, centre, zero, one, centre)
    back = _matrix(one, zero, -centre, zero, one, -centre)
    whole = there @ rotation @ shift @ shearing @ zoom @ flip @ back  # (N, 3, 3)
    affine = whole.reshape(-1, 9)[:, :8].astype(np.float32)
    colour = np.stack(
        [
            255 * ranges.brightness * sides[:, 7],
            1 + ranges.contrast * sides[:, 8],
            1 + ranges.saturation * sides[:, 9],
        ],
        axis=1,
    ).astype(np.float32)
    return Transforms(affine, colour, _hole(ranges.erasing, u[:, 10:], size))


def _hole(most: float, u: np.ndarray, size: int) -> np.ndarray:
    """Left, top, right, bottom of rectangles, float32 (N, 4), of up to `most` of the area.

    Args:
        most: Share of the picture's area; the least is a twelfth of it, as in the paper.
        u: (N, 5) in [0, 1).
        size: Side of the pictures in pixels.
    """
    width, height = _sides(most / 12 + most * 11 / 12 * u[:, 1], 2 * u[:, 2] - 1)
    left, top = (1 - width) * u[:, 3], (1 - height) * u[:, 4]
    hole = size * np.stack([left, top, left + width, top + height], axis=1)
    return np.where((u[:, :1] < 0.5) & (most > 0), hole.round(), 0.0).astype(np.float32)


def _sides(area: np.ndarray, aspect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width and height, as shares of the picture's, of rectangles of these shares of its area.

    Args:
        area: (N,) in (0, 1].
        aspect: (N,) in [-1, 1): 3 to 4 to 4 to 3, on a logarithmic scale.
    """
    ratio = np.exp(aspect * np.log(4 / 3))
    return np.minimum(np.sqrt(area * ratio), 1.0), np.minimum(np.sqrt(area / ratio), 1.0)


def _uniform(policy: str, view: int, digests: np.ndarray) -> np.ndarray:
    # A hash of the counter is a counter-based generator whose numbers no library version changes.
    seed = f"{policy}/{view}".encode()
    blocks = []
    for digest in np.ascontiguousarray(digests):
        raw = digest.tobytes()
        blocks.append(hashlib.blake2b(raw, person=b"view/1", key=seed).digest())
        blocks.append(hashlib.blake2b(raw, person=b"view/2", key=seed).digest())
    words = np.frombuffer(b"".join(blocks), dtype="<u8").reshape(len(digests), 16)
    return np.asarray((words[:, :DRAWS] >> np.uint64(11)) * 2.0**-53)


def _matrix(*entries: np.ndarray) -> np.ndarray:
    """(N, 3, 3) from the six varying entries of N affine matrices, each (N,)."""
    matrix = np.tile(np.eye(3), (len(entries[0]), 1, 1))
    matrix[:, :2, :] = np.stack(entries, axis=1).reshape(-1, 2, 3)
    return matrix


@keras.saving.register_keras_serializable(package="little_data_tuner")
class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Applies transforms to pictures: bilinear, the edge repeated outside, colour change, hole.

    Call it with [pictures, affine, colour, hole]: pictures (B, S, S, 3) in 0..255, `Transforms` of
    equal length. Returns float32 (B, S, S, 3), clipped to 0..255, not rounded.
    """

    def call(self, inputs: Any) -> Any:
        """See the class."""
        pictures, affine, colour, hole = inputs
        x = ops.image.affine_transform(
            ops.cast(pictures, "float32"), affine, interpolation="bilinear", fill_mode="nearest"
        )
        colour = ops.reshape(colour, (-1, 1, 1, 3))
        brightness, contrast, saturation = colour[..., 0:1], colour[..., 1:2], colour[..., 2:3]
        grey = ops.sum(x * ops.convert_to_tensor(LUMA, "float32"), axis=-1, keepdims=True)
        # Written as x plus changes, so that factors of one leave x exactly as it is.
        x = x + (saturation - 1) * (x - grey)
        x = x + (contrast - 1) * (x - GREY) + brightness
        left, top, right, bottom = ops.split(hole, 4, axis=1)  # (B, 1) each
        line = ops.expand_dims(ops.arange(x.shape[1], dtype="float32"), 0)
        across, down = (line >= left) & (line < right), (line >= top) & (line < bottom)  # (B, S)
        inside = ops.expand_dims(down, 2) & ops.expand_dims(across, 1)
        return ops.where(ops.expand_dims(inside, -1), GREY, ops.clip(x, 0, 255))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the pictures."""
        return input_shape[0]


def augment(pictures: np.ndarray, policy: str, view: int, digests: np.ndarray) -> np.ndarray:
    """One view of some pictures.

    Args:
        pictures: (N, S, S, 3) in 0..255.
        policy: A name of `POLICIES`.
        view: Number of the view, from 0.
        digests: uint8 (N, 16), the identity of each picture.

    Returns:
        float32 (N, S, S, 3) in 0..255.
    """
    transforms = draw(policy, view, digests, pictures.shape[1])
    views: np.ndarray = ops.convert_to_numpy(_layer()([pictures, *transforms]))
    return views


@lru_cache(maxsize=1)
def _layer() -> Augment:
    return Augment()
