"""The frozen network: which one, its weights, and what its pictures are.

`python -m models.backbones NAME` prints where a network of `keras.applications` can be cut.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.tables import in_columns
from models.weights import Weights

SIZE = 224  # pixels a side, of most


@dataclass(frozen=True)
class Backbone:
    """A network of known weights, with the pictures that it takes.

    Attributes:
        name: `vgg16`.
        weights: Its weights.
        preprocessing: What pixels go through before it, see `models.vgg16.preprocess`.
        image_size: Side of the pictures in pixels.
    """

    name: str
    weights: Weights
    preprocessing: str
    image_size: int


class UnknownNetwork(ValueError):
    """No network has this name; the nearest is named."""


def find(name: str) -> str:
    """The name that a network has in Keras; case, `-` and `_` do not matter.

    Raises:
        UnknownNetwork: If none has it.
    """
    import keras

    there = {_plain(each): each for each in dir(keras.applications) if each[0].isupper()}
    if found := there.get(_plain(name)):
        return found
    near = difflib.get_close_matches(_plain(name), there, 1, 0.0)
    raise UnknownNetwork(
        f"keras.applications has no network {name!r}; the nearest is {there[near[0]]}."
    )


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def build(name: str, image_size: int) -> Any:
    """A network without its top and with random weights, for square pictures.

    Args:
        name: See `find`.
        image_size: Side in pixels.

    Raises:
        UnknownNetwork: If there is no such network.
        ValueError: If it takes no pictures of this size; Keras says which.
    """
    import keras

    builder = getattr(keras.applications, find(name))
    shape = (image_size, image_size, 3)
    return builder(weights=None, include_top=False, input_shape=shape)


def table(name: str, image_size: int) -> str:
    """A row a unit, for pictures of `image_size` pixels a side."""
    from models.graph import Graph

    graph = Graph(build(name, image_size))
    rows = [
        ("up to", "output shape", "parameters", "MFLOP", "cached, KiB/picture", "unfrozen cut here")
    ]
    size = image_size * image_size * 3 / 1024  # as uint8; features as float16
    left = len(graph.units)
    rows.append(
        ("picture", f"{image_size} x {image_size} x 3", "0", "0.0", f"{size:,.1f}", f"{left}")
    )
    for unit in graph.units:
        left -= 1
        rows.append(
            (
                unit.end,
                " x ".join(map(str, unit.shape)),
                f"{unit.parameters:,}",
                f"{unit.flops / 1e6:,.1f}",
                f"{2 * float(np.prod(unit.shape)) / 1024:,.1f}",
                str(left),
            )
        )
    parameters, flops = (sum(getattr(unit, each) for unit in graph.units)
                         for each in ("parameters", "flops"))  # fmt: skip
    rows.append(("total", "", f"{parameters:,}", f"{flops / 1e6:,.1f}", "", ""))
    return in_columns(rows)


def main() -> None:
    """Print the table."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m models.backbones",
        description="Where a network of keras.applications can be cut, as a table.",
    )
    parser.add_argument("name", metavar="NAME", help="vgg16, efficientnetv2-b0, …")
    parser.add_argument("--image-size", type=int, default=SIZE, metavar="PIXELS")
    options = parser.parse_args()
    try:
        print(table(options.name, options.image_size))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
