"""VGG16's structure, counted by hand: what `models.graph` is checked by.

The layer table is that of Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale
Image Recognition" (https://arxiv.org/abs/1409.1556), configuration D, with the layer names of
`keras.applications.VGG16`. `python -m models.vgg16` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.tables import in_columns
from models.units import PICTURE

TOP = "block5_pool"  # the frontier behind the last layer: everything is frozen


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
        prog="python -m models.vgg16",
        description="VGG16's structure, as a table.",
        allow_abbrev=False,
    )
    parser.add_argument("--image-size", type=int, default=150, metavar="PIXELS")
    size = parser.parse_args().image_size
    if size < 32:
        parser.error(f"argument --image-size: {size} is too small, VGG16 needs at least 32")
    print(table(size))


if __name__ == "__main__":
    main()
