"""From a trial's hyperparameters to what it trains, and to the whole network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from models.adjustable import AdjustableDropout
from models.backbones import Backbone
from models.convnet import convnet, convolutions_and_head
from models.head import STANDARDISE, head
from models.units import FEATURES, PICTURE


def frontier(hyperparameters: Mapping[str, Any], backbone: Backbone | None) -> str:
    """Where the frozen prefix of this network ends: at the picture for the small convnet."""
    return backbone.frontier(hyperparameters["unfrozen"]) if backbone else PICTURE


def trainable(
    hyperparameters: Mapping[str, Any],
    *,
    image_size: int,
    classes: int,
    backbone: Backbone | None = None,
    seed: int = 0,
    start: str | None = None,
    adjustable: bool = False,
    precision: str = "float32",
) -> keras.Model:
    """The part of the network that learns: from the frontier to probabilities.

    Args:
        hyperparameters: One trial's, as `search_spaces.levers.declare` returns them.
        image_size: Side of the square pictures in pixels.
        classes: Number of classes.
        backbone: The network whose last units are trained; None for the small convnet.
        seed: The seed of initial weights and dropout.
        start: A frontier below the network's own: the frozen layers between come in front.
        adjustable: Whether dropout and penalties are variables that `restart` sets.
        precision: What the backbone's layers compute in, see `Graph.section`; the head always does
            in float32, since 1 - 1e-7, which its losses stop at, is 1 in bfloat16.

    Returns:
        A model from features (B, H, W, C) at the frontier, or pixels (B, S, S, 3) in 0..255 where
        that is the picture, to probabilities, (B, 1) for two classes, else (B, classes).
    """
    levers: dict[str, Any] = {"seed": seed, "adjustable": adjustable, **strengths(hyperparameters)}
    if "width" in hyperparameters:
        levers["width"] = hyperparameters["width"]
    if backbone is None:
        return convnet(image_size, classes, **levers)
    pooling = hyperparameters.get("pooling", "flatten")
    top = head(backbone.shape(backbone.top), classes, pooling=pooling, **levers)
    cut = frontier(hyperparameters, backbone)
    parts = [top]
    for low, high, learns in ((cut, backbone.top, True), (start or cut, cut, False)):
        if low != high:
            parts.insert(0, backbone.section(low, high, learns, precision))
    return keras.Sequential(parts, name="suffix_and_head") if len(parts) > 1 else top


def strengths(hyperparameters: Mapping[str, Any]) -> dict[str, float]:
    """The levers that change what a network computes, not its shape: `dropout`, `l1`, `l2`."""
    return {
        "dropout": hyperparameters["dropout"],
        "l1": hyperparameters.get("l1", 0.0),
        "l2": hyperparameters.get("l2", 0.0),
    }


def restart(
    model: keras.Model,
    hyperparameters: Mapping[str, Any],
    backbone: Backbone | None,
    seed: int,
    class_weights: np.ndarray | None = None,
) -> None:
    """Makes a network what `trainable` would have built for other strengths and another seed.

    Args:
        model: What `trainable` built with seed 0 and `adjustable`.
        hyperparameters: A trial's whose network has the same shape.
        backbone: The network whose last units are trained.
        seed: The seed of initial weights and dropout.
        class_weights: What a picture of each class counts in the loss, (classes,); None: the same.
    """
    *sections, top = _parts(model)
    for section in sections:
        if section.trainable:
            assert backbone is not None
            backbone.restore(section)
        for number, state in enumerate(_seeds(section)):
            draw = keras.ops.convert_to_tensor([seed, number << 16], dtype=state.dtype)
            state.assign(draw)
    for layer in top.layers:
        if isinstance(layer, AdjustableDropout):
            layer.restart(
                seed,
                **strengths(hyperparameters),
                smoothing=hyperparameters.get("label_smoothing", 0.0),
                class_weights=class_weights,
            )
        elif layer.trainable_weights:
            # Built with seed 0, a layer has its offset from the network's seed for a seed.
            drawn = keras.initializers.GlorotUniform(seed=layer.kernel_initializer.seed + seed)
            layer.kernel.assign(drawn(layer.kernel.shape))
            layer.bias.assign(keras.ops.zeros(layer.bias.shape))


def random_states(model: keras.Model) -> list[Any]:
    """The states of all random numbers that a network draws in training."""
    return [state for part in _parts(model) for state in _seeds(part)]


def _seeds(model: keras.Model) -> list[Any]:
    weights = {id(each) for each in model.weights}
    return [each for each in model.variables if id(each) not in weights]


def _parts(model: keras.Model) -> list[keras.Model]:
    """What `trainable` put together: sections of the backbone, if any, and the head."""
    return list(model.layers) if isinstance(model, keras.Sequential) else [model]


def kept(model: keras.Model) -> list[keras.Variable]:
    """All that a trial's network has of its own: what is trained, and what its head goes by.

    The head's come last, alike for any number of unfrozen layers.
    """
    fixed = [
        each.non_trainable_variables
        for each in _parts(model)[-1].layers
        if each.name == STANDARDISE
    ]
    return [*model.trainable_variables, *itertools.chain.from_iterable(fixed)]


def standardise(model: keras.Model, mean: np.ndarray, variance: np.ndarray) -> None:
    """Sets what a head with `standardised` pooling goes by, (C,) each."""
    layer = next(each for each in _parts(model)[-1].layers if each.name == STANDARDISE)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)


def factors(model: keras.Model, backbone: Backbone | None, layer_decay: float) -> list[float]:
    """What the learning rate of each trained variable is multiplied by.

    Args:
        model: What `trainable` built.
        backbone: The network whose last units are trained.
        layer_decay: The factor from one unit to the one below; the top one's is 1, as the head's.
    """
    *sections, _ = _parts(model)
    depths = backbone.depths() if backbone and sections else {}
    of = {
        id(variable): float(layer_decay ** depths[layer.name])
        for section in sections
        for layer in section.layers
        for variable in layer.trainable_weights
    }
    return [of.get(id(each), 1.0) for each in model.trainable_variables]


def levers(model: keras.Model) -> AdjustableDropout:
    """What holds the strengths in a model that `trainable` built with `adjustable`."""
    return next(each for each in _parts(model)[-1].layers if isinstance(each, AdjustableDropout))


class Member(NamedTuple):
    """One trial's network, for a whole one.

    Attributes:
        hyperparameters: The hyperparameters of the trial that trained it.
        trained: What `trainable` returned for them, with the weights to keep.
        backbone: The network that is frozen up to the frontier; None for the small convnet.
    """

    hyperparameters: Mapping[str, Any]
    trained: keras.Model
    backbone: Backbone | None = None


def whole(
    hyperparameters: Mapping[str, Any],
    trained: keras.Model,
    *,
    image_size: int,
    backbone: Backbone | None = None,
    keep_aspect: str | None = None,
) -> keras.Model:
    """Resizing, preprocessing, frozen prefix and trained part as one network.

    Built of Keras' own layers alone, so that it loads in safe mode without this project.

    Args:
        hyperparameters: See `Member`.
        trained: See `Member`.
        image_size: Side of the square pictures the trial saw, in pixels.
        backbone: See `Member`.
        keep_aspect: See `resized`.

    Returns:
        A model from pictures (B, height, width, 3) of any size, uint8 or float in 0..255, to the
        probabilities of `trained`.
    """
    member = Member(hyperparameters, trained, backbone)
    return side_by_side([member], image_size=image_size, keep_aspect=keep_aspect)


def side_by_side(
    members: Sequence[Member], *, image_size: int, keep_aspect: str | None = None
) -> keras.Model:
    """Networks of several trials as one, in which what they have frozen is computed once.

    Args:
        members: The networks; the first one's head takes the layer `FEATURES`.
        image_size: Side of the square pictures the trials saw, in pixels.
        keep_aspect: See `resized`.

    Returns:
        As `whole`, with an output for each member.
    """
    inputs = keras.Input((None, None, 3), name="pictures")
    prefixes = _Prefixes(resized(inputs, image_size, keep_aspect), members)
    outputs = []
    for number, (hyperparameters, trained, backbone) in enumerate(members):
        x = prefixes.at(backbone, frontier(hyperparameters, backbone))
        *sections, top = _parts(trained)
        if backbone is None:
            *sections, top = convolutions_and_head(trained)
        for section in (*sections, top):
            section.name += f"_{number}" if number else ""
        for section in sections:
            x = section(x)
        if number == 0:
            x = keras.layers.Identity(name=FEATURES)(x)
        outputs.append(top(x))
    return keras.Model(inputs, outputs, name="little_data_classifier")


def averaged(model: keras.Model) -> keras.Model:
    """What `side_by_side` returned, with the mean of all outputs for its output."""
    mean = keras.layers.Average(name="mean")(model.outputs)
    return keras.Model(model.inputs, mean, name=model.name)


class _Prefixes:
    """What frozen layers make of pictures; each is computed once, whoever goes on from there."""

    def __init__(self, pictures: Any, members: Sequence[Member]) -> None:
        self.pictures = pictures
        self.cuts = [
            (each.backbone, frontier(each.hyperparameters, each.backbone)) for each in members
        ]
        self.known: dict[tuple[int, str], Any] = {}

    def at(self, backbone: Backbone | None, cut: str) -> Any:
        """The output of a network's frozen layers up to a frontier."""
        if backbone is None or cut == PICTURE:
            return self.pictures
        if (id(backbone), cut) not in self.known:
            order = backbone.frontiers
            below = [
                other
                for network, other in self.cuts
                if network is backbone and order.index(other) < order.index(cut)
            ]
            start = max(below, key=order.index, default=PICTURE)
            section = backbone.section(start, cut)
            if self.known:
                section.name += f"_frozen_{len(self.known)}"
            self.known[id(backbone), cut] = section(self.at(backbone, start))
        return self.known[id(backbone), cut]


def temper(model: keras.Model, temperature: float) -> bool:
    """Divides the logits of a model's probabilities by a temperature, in its last layer's weights.

    Returns:
        Whether it could: the last layer is a dense one with sigmoid or softmax.
    """
    layer = last_layer(model)
    for variable in layer.weights if layer else ():
        variable.assign(variable / temperature)
    return layer is not None


def last_layer(model: keras.Model) -> keras.layers.Dense | None:
    """The dense layer with sigmoid or softmax in which a model ends; None where it does not."""
    layer = model
    while isinstance(layer, keras.Model):
        layer = layer.layers[-1]
    ends = (keras.activations.sigmoid, keras.activations.softmax)
    return layer if isinstance(layer, keras.layers.Dense) and layer.activation in ends else None


def resized(pictures: Any, image_size: int, keep_aspect: str | None = None) -> Any:
    """Pictures of any size as a trial sees them: squares of whole numbers.

    Args:
        pictures: (B, height, width, 3), uint8 or float in 0..255.
        image_size: Side of the squares in pixels.
        keep_aspect: `crop` takes the square in the middle, `pad` puts the whole in the middle of a
            black one, None squashes it, as the article does.

    Returns:
        (B, image_size, image_size, 3), floating point.
    """
    # The layer Resizing would do the same, but a model with it drops out when it is called (not in
    # `predict`): its `training` is True unless told otherwise, and the layers behind it follow.
    x = keras.ops.image.resize(
        pictures,
        (image_size, image_size),
        antialias=True,
        crop_to_aspect_ratio=keep_aspect == "crop",
        pad_to_aspect_ratio=keep_aspect == "pad",
    )
    # Decoded pictures are kept as uint8. Unrounded, probabilities would differ by up to 0.01.
    return keras.ops.round(x)
