"""The frozen network: which one, its weights, what its pictures are, and where it is cut.

`python -m models.backbones NAME` prints where a network of `keras.applications` can be cut.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from models import weights as weight_files
from models.preprocessing import Preprocessing, of_application
from models.tables import in_columns
from models.units import PICTURE, Unit
from models.weights import Network, Weights

if TYPE_CHECKING:
    import keras

    from models.graph import Graph

SIZE = 224  # pixels a side, of most; of others, as Keras' documentation has them:
SIZES = {
    "VGG16": 150,  # of the article; 224 of Keras
    **dict(zip((f"EfficientNetB{n}" for n in range(8)),
               (224, 240, 260, 300, 380, 456, 528, 600), strict=True)),
    **{"EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300},
    **{"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
    **{"InceptionResNetV2": 299, "InceptionV3": 299, "Xception": 299, "NASNetLarge": 331},
}  # fmt: skip


@dataclass(frozen=True)
class Backbone:
    """A network of known weights, with the pictures that it takes.

    `load` and `of_model` make one.

    Attributes:
        name: The name that hyperparameters have for it: `vgg16`.
        title: The name as people read it: `VGG16`.
        weights: Its weights.
        preprocessing: What pixels go through before it: `rescale` or `imagenet`, see
            `models.preprocessing`, or `own`.
        image_size: Side of the pictures in pixels.
        architecture: Digest of what it computes; None for a network that its name tells.
        graph: Its layers, preprocessing included, with any weights.
    """

    name: str
    title: str
    weights: Weights
    preprocessing: str
    image_size: int
    architecture: str | None
    graph: Graph = field(compare=False, repr=False)

    @property
    def identity(self) -> str:
        """What it computes, weights included; the same in every process."""
        return f"{self.weights.checksum}{self.architecture or ''}"

    @property
    def units(self) -> tuple[Unit, ...]:
        """What may be frozen or trained, from the picture on."""
        return self.graph.units

    @property
    def frontiers(self) -> tuple[str, ...]:
        """Where it can be cut, from the picture to the top."""
        return self.graph.frontiers

    @property
    def top(self) -> str:
        """The frontier behind the last layer: everything is frozen."""
        return self.frontiers[-1]

    def frontier(self, unfrozen: int) -> str:
        """Where the network is cut when its last `unfrozen` units are trained.

        Raises:
            ValueError: If it has not so many.
        """
        most = len(self.units)
        if not 0 <= unfrozen <= most:
            raise ValueError(f"The value of `unfrozen` is {unfrozen}, but must be 0 to {most}.")
        return self.frontiers[most - unfrozen]

    def order(self, frontier: str) -> int:
        """The place of a frontier among all, from 0 for the picture."""
        return self.frontiers.index(frontier)

    def shape(self, frontier: str) -> tuple[int, ...]:
        """The shape of one picture's features, (H, W, C) as a rule."""
        return self.graph.shape(frontier)

    def flops(self, start: str, end: str) -> int:
        """Floating point operations of one picture between two frontiers, see `models.graph`."""
        return self.graph.flops(start, end)

    def parameters(self) -> int:
        """The number of its weights."""
        return sum(unit.parameters for unit in self.units)

    def section(
        self, start: str, end: str, trainable: bool = False, precision: str = "float32"
    ) -> keras.Model:
        """The layers behind one frontier up to another; see `Graph.section`."""
        model = self.graph.section(start, end, trainable, precision)
        self.restore(model)
        return model

    def restore(self, section: keras.Model) -> None:
        """Gives a section the network's own weights again."""
        for layer in section.layers:
            names = weight_files.names(layer.name, layer)
            for name, variable in zip(names, layer.weights, strict=True):
                # A depthwise kernel is kept as (H, W, 1, C) or as (H, W, C, 1).
                variable.assign(np.reshape(self.weights.arrays[name], variable.shape))

    def at(self, image_size: int, weights: str = "own") -> Backbone:
        """The same network for pictures of another size, or with other weights.

        Args:
            image_size: Side of the pictures in pixels.
            weights: See `models.weights.load`; `own` are those that it has.
        """
        from models.graph import Graph

        graph = Graph(*self.graph.models, image_size=image_size)
        found = self.weights
        if weights != "own":
            model = self.graph.models[-1]
            network = Network(self.name, self.title, model, graph.layers)
            found = weight_files.load(weights, network)
        return replace(self, weights=found, image_size=image_size, graph=graph)

    def depths(self) -> dict[str, int]:
        """Units above that of each layer, by the layer's name."""
        return {name: len(self.units) - 1 - unit for name, unit in self.graph.unit_of.items()}


class UnknownNetwork(ValueError):
    """No network has this name; the nearest is named."""


def find(name: str) -> str:
    """The name that a network has in Keras; case, `-` and `_` do not matter.

    Raises:
        UnknownNetwork: If none has it.
    """
    import keras

    there = {plain(each): each for each in dir(keras.applications) if each[0].isupper()}
    if found := there.get(plain(name)):
        return found
    near = difflib.get_close_matches(plain(name), there, 1, 0.0)
    raise UnknownNetwork(
        f"keras.applications has no network {name!r}; the nearest is {there[near[0]]}."
    )


def plain(name: str) -> str:
    """A name without what does not matter in it: case, `-` and `_`."""
    return name.lower().replace("-", "").replace("_", "")


def usual_size(name: str) -> int:
    """Side of the pictures, in pixels, that a network of `keras.applications` is made for."""
    return SIZES.get(find(name), SIZE)


def build(name: str, image_size: int, weights: str | None = None) -> keras.Model:
    """A network of Keras without its top, for square pictures.

    Args:
        name: See `find`.
        image_size: Side in pixels.
        weights: `imagenet`, or None for zeros, see `models.weights.load`.

    Raises:
        UnknownNetwork: If there is no such network.
        ValueError: If it takes no pictures of this size; Keras says which.
        WeightsError: If its weights cannot be had.
    """
    import keras

    from models.undrawn import undrawn

    builder = getattr(keras.applications, find(name))
    shape = (image_size, image_size, 3)
    # Apart from its weights, since Keras raises ValueError for a wrong size and a wrong file alike.
    with undrawn():
        model = builder(weights=None, include_top=False, input_shape=shape)
        if weights is None:
            return model
        try:
            return builder(weights=weights, include_top=False, input_shape=shape)
        except Exception as error:  # see `unavailable`
            raise weight_files.unavailable(plain(name), find(name), error) from error


@functools.lru_cache(maxsize=4)
def load(name: str, image_size: int, weights: str, preprocessing: str = "imagenet") -> Backbone:
    """A network of `keras.applications`.

    Args:
        name: See `find`.
        image_size: Side of the pictures in pixels.
        weights: See `models.weights.load`.
        preprocessing: What pixels go through, see `models.preprocessing.of_application`.

    Raises:
        UnknownNetwork: If there is no such network.
        ValueError: If it takes no pictures of this size.
        WeightsError: If its weights cannot be had.
    """
    import keras

    title = find(name)
    with keras.device("cpu"):  # trials may fill the GPU
        model, found = _loaded(title, image_size, weights)
        before = of_application(getattr(keras.applications, title), preprocessing)
        graph = _graph(model, before, image_size)
    return Backbone(plain(title), title, found, preprocessing, image_size, None, graph)


@functools.lru_cache(maxsize=4)  # with whatever preprocessing
def _loaded(title: str, image_size: int, source: str) -> tuple[keras.Model, Weights]:
    from models.graph import Graph

    model = build(title, image_size, "imagenet" if source == "imagenet" else None)
    network = Network(plain(title), title, model, Graph(model).layers)
    return model, weight_files.load(source, network)


def of_model(
    model: keras.Model,
    name: str,
    *,
    preprocessing: Preprocessing | None = None,
    image_size: int | None = None,
    weights: str = "own",
) -> Backbone:
    """A network that somebody brings along.

    Args:
        model: A functional model from pictures (B, H, W, 3) to features, without its top.
        name: The name that hyperparameters, reports and `--weights` have for it.
        preprocessing: What pixels in 0..255 go through before it, of Keras' layers and operations;
            None: the attribute `preprocessing` of the model, or nothing.
        image_size: Side of the pictures in pixels; None: see `size_of`.
        weights: See `models.weights.load`; `own` are those that it has.

    Raises:
        GraphError: If it cannot be cut, or takes no pictures of this size.
        WeightsError: If its weights cannot be had.
    """
    import keras

    before = preprocessing or getattr(model, "preprocessing", None)
    size = image_size or size_of(model)
    with keras.device("cpu"):
        graph = _graph(model, before, size)
    found = weight_files.load(weights, Network(name, name, model, graph.layers))
    return Backbone(name, name, found, "own", size, graph.digest, graph)


def size_of(model: keras.Model) -> int:
    """Side of the pictures, in pixels, that a network is made for.

    Its attribute `image_size`, else that of its input, else the usual 224.
    """
    inputs = getattr(model, "input_shape", None) or (None, None)
    size: int | None = getattr(model, "image_size", None) or inputs[1]
    return size or SIZE


def _graph(model: keras.Model, before: Callable[[Any], Any] | None, image_size: int) -> Graph:
    import keras

    from models.graph import Graph

    if before is None:
        return Graph(model, image_size=image_size)
    pixels = keras.Input((image_size, image_size, 3), name=PICTURE)
    return Graph(keras.Model(pixels, before(pixels)), model, image_size=image_size)


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
        (PICTURE, f"{image_size} x {image_size} x 3", "0", "0.0", f"{size:,.1f}", f"{left}")
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
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="vgg16, efficientnetv2-b0, …")
    parser.add_argument("--image-size", type=int, metavar="PIXELS")
    options = parser.parse_args()
    try:
        print(table(options.name, options.image_size or usual_size(options.name)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
