"""VGG16 without its top, cut at any layer into a frozen prefix and a trainable suffix.

The layer table is that of Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale
Image Recognition" (https://arxiv.org/abs/1409.1556), configuration D, with the layer names of
`keras.applications.VGG16`. `python -m models.vgg16` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.tables import in_columns

if TYPE_CHECKING:
    import keras

PICTURE = "picture"  # the frontier before the first layer: nothing is frozen
TOP = "block5_pool"  # the frontier behind the last layer: everything is frozen

PREPROCESSING = ("rescale", "imagenet")
# Means of ImageNet's blue, green and red, as in keras.applications.imagenet_utils ("caffe").
IMAGENET_MEANS_BGR = (103.939, 116.779, 123.68)


@dataclass(frozen=True)
class Layer:
    """One layer of VGG16: a 3x3 convolution with ReLU, or a 2x2 max pooling."""

    name: str
    kind: str  # "conv" or "pool"
    channels: int


def _layers() -> tuple[Layer, ...]:
    table = []
    for block, (convs, channels) in enumerate(
        [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], start=1
    ):
        for conv in range(1, convs + 1):
            table.append(Layer(f"block{block}_conv{conv}", "conv", channels))
        table.append(Layer(f"block{block}_pool", "pool", channels))
    return tuple(table)


LAYERS = _layers()
CONVS = tuple(layer.name for layer in LAYERS if layer.kind == "conv")
FRONTIERS = (PICTURE, *(layer.name for layer in LAYERS))


def frontier(unfrozen: int) -> str:
    """Where the network is cut when its last `unfrozen` conv layers are trained.

    Args:
        unfrozen: Number of trainable conv layers, 0 to 13.

    Returns:
        The name of the layer whose output feeds the first trainable conv layer: `block5_pool` for
        0 (only the head is trained), `block4_pool` for 3 (the article's fine-tuning), `picture`
        for 13.

    Raises:
        ValueError: If `unfrozen` is outside 0 to 13.
    """
    if not 0 <= unfrozen <= len(CONVS):
        raise ValueError(f"The value of `unfrozen` is {unfrozen}, but must be 0 to {len(CONVS)}.")
    if unfrozen == 0:
        return TOP
    first = CONVS[-unfrozen]
    return FRONTIERS[FRONTIERS.index(first) - 1]


def unfrozen_at(frontier_name: str) -> int | None:
    """The number of unfrozen conv layers that cuts at this frontier, None where none does."""
    for count in range(len(CONVS) + 1):
        if frontier(count) == frontier_name:
            return count
    return None


def output_shape(frontier_name: str, image_size: int) -> tuple[int, int, int]:
    """Shape (height, width, channels) of one picture at a frontier."""
    side, channels = image_size, 3
    for layer in _between(PICTURE, frontier_name):
        channels = layer.channels
        if layer.kind == "pool":
            side //= 2
    return side, side, channels


def flops(start: str, end: str, image_size: int) -> int:
    """Floating point operations of one picture between two frontiers.

    A multiplication and an addition count as two; pooling, bias and ReLU are left out.
    """
    total = 0
    for layer in _between(start, end):
        if layer.kind == "conv":
            below = FRONTIERS[FRONTIERS.index(layer.name) - 1]
            height, width, channels = output_shape(below, image_size)
            total += 2 * 3 * 3 * channels * layer.channels * height * width
    return total


def section(
    start: str,
    end: str,
    image_size: int,
    weights: Mapping[str, np.ndarray],
    *,
    preprocessing: str = "rescale",
    trainable: bool = False,
) -> keras.Model:
    """The layers of VGG16 behind frontier `start`, up to and with frontier `end`.

    A section with the first layer takes pixels in 0..255 and preprocesses them itself, so
    `section(PICTURE, f)` is the prefix of a cut at f and `section(f, TOP)` its suffix: one after
    the other they are `keras.applications.VGG16(include_top=False)` for every f.

    Args:
        start: Frontier whose output, (B, H, W, C), goes in.
        end: Frontier whose output comes out.
        image_size: Side of the square pictures in pixels, at least 32.
        weights: Arrays by name, `block1_conv1/kernel` (3, 3, in, out) and so on.
        preprocessing: `rescale` (pixels / 255, as the article) or `imagenet` (RGB to BGR minus the
            channel means, what the ImageNet weights were trained with).
        trainable: Whether the layers learn.

    Raises:
        ValueError: If `start` lies behind `end`, or a name is unknown.
    """
    import keras

    inputs = keras.Input(output_shape(start, image_size), name=start)
    x = preprocess(inputs, preprocessing) if start == PICTURE != end else inputs
    if start == end:  # Keras before 3.13 refuses a model without a layer
        x = keras.layers.Identity(name="identity")(x)
    model = keras.Model(inputs, _apply(x, start, end), name=f"{start}_to_{end}")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]])
    model.trainable = trainable
    return model


def preprocess(pixels: Any, preprocessing: str) -> Any:
    """Pixels (B, H, W, 3) in 0..255 to what the first layer takes.

    Only layers and operations of Keras itself: an exported model loads without this project.
    """
    import keras

    if preprocessing == "rescale":
        return keras.layers.Rescaling(1 / 255, name="rescale")(pixels)
    if preprocessing == "imagenet":
        bgr = keras.ops.flip(pixels, axis=-1)
        means = [-mean for mean in IMAGENET_MEANS_BGR]
        return keras.layers.Rescaling(1.0, offset=means, name="minus_means")(bgr)
    raise ValueError(
        f"The value of `preprocessing` is {preprocessing!r}, but must be {PREPROCESSING}."
    )


def _apply(x: Any, start: str, end: str) -> Any:
    import keras

    for layer in _between(start, end):
        if layer.kind == "conv":
            conv = keras.layers.Conv2D(
                layer.channels, 3, padding="same", activation="relu", name=layer.name
            )
            x = conv(x)
        else:
            x = keras.layers.MaxPooling2D(2, strides=2, name=layer.name)(x)
    return x


def _between(start: str, end: str) -> tuple[Layer, ...]:
    for name in (start, end):
        if name not in FRONTIERS:
            raise ValueError(f"The frontier is {name!r}, but must be one of {FRONTIERS}.")
    low, high = FRONTIERS.index(start), FRONTIERS.index(end)
    if low > high:
        raise ValueError(f"The frontier {start!r} lies behind {end!r}.")
    return LAYERS[low:high]


def table(image_size: int) -> str:
    """VGG16's structure as text: a row a frontier, for pictures of `image_size` pixels a side."""
    head = (
        "layer",
        "output shape",
        "parameters",
        "MFLOP",
        "cached, KiB/picture",
        "unfrozen cut here",
    )
    rows: list[tuple[str, ...]] = [head]
    parameters = 0
    for index, name in enumerate(FRONTIERS):
        shape = output_shape(name, image_size)
        below = FRONTIERS[max(index - 1, 0)]
        here = _parameters(name)
        parameters += here
        # Pictures are kept as uint8, features as float16.
        kib = np.prod(shape) * (1 if name == PICTURE else 2) / 1024
        cut = unfrozen_at(name)
        rows.append(
            (
                name,
                " x ".join(map(str, shape)),
                f"{here:,}",
                f"{flops(below, name, image_size) / 1e6:,.1f}",
                f"{kib:,.1f}",
                "" if cut is None else str(cut),
            )
        )
    total = flops(PICTURE, TOP, image_size) / 1e6
    rows.append(("total", "", f"{parameters:,}", f"{total:,.1f}", "", ""))
    return in_columns(rows)


def _parameters(name: str) -> int:
    index = FRONTIERS.index(name)
    if name == PICTURE or LAYERS[index - 1].kind == "pool":
        return 0
    channels_in = output_shape(FRONTIERS[index - 1], 32)[2]
    channels_out = LAYERS[index - 1].channels
    return 3 * 3 * channels_in * channels_out + channels_out


def main() -> None:
    """Print the layer table."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m models.vgg16", description="VGG16's structure, as a table."
    )
    parser.add_argument("--image-size", type=int, default=150, metavar="PIXELS")
    size = parser.parse_args().image_size
    if size < 32:
        parser.error(f"argument --image-size: {size} is too small, VGG16 needs at least 32")
    print(table(size))


if __name__ == "__main__":
    main()
