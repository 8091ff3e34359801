"""Experiment 1 of the article: a small convnet trained from scratch."""

from __future__ import annotations

import keras

from models.head import classifier

CHANNELS = (32, 32, 64)


def convnet(
    image_size: int,
    classes: int,
    *,
    width: int = 64,
    dropout: float = 0.5,
    l1: float = 0.0,
    l2: float = 0.0,
    seed: int = 0,
    adjustable: bool = False,
) -> keras.Model:
    """Three 3x3 convolutions (32, 32, 64), each with ReLU and 2x2 max pooling; 64 dense units.

    The defaults are the article's ("Building powerful image classification models using very
    little data", first experiment).

    Args:
        image_size: Side of the square pictures in pixels.
        classes: Number of classes; two give one sigmoid unit, more a softmax.
        width: Units of the dense layer.
        dropout: Share of the dense layer's outputs dropped in training.
        l1: Strength of the L1 penalty on the dense kernels.
        l2: Strength of the L2 penalty on the same.
        seed: The seed of initial weights and dropout.
        adjustable: Whether dropout and penalties are variables, see `models.adjustable`.

    Returns:
        A model from pixels (B, S, S, 3) in 0..255 to probabilities, (B, 1) for two classes, else
        (B, classes).
    """
    inputs = keras.Input((image_size, image_size, 3), name="picture")
    x = keras.layers.Rescaling(1 / 255, name="rescale")(inputs)
    for index, channels in enumerate(CHANNELS, start=1):
        x = keras.layers.Conv2D(
            channels,
            3,
            activation="relu",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed + 10 * index),
            name=f"conv{index}",
        )(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    outputs = classifier(
        x,
        classes,
        width=width,
        dropout=dropout,
        l1=l1,
        l2=l2,
        seed=seed,
        adjustable=adjustable,
    )
    return keras.Model(inputs, outputs, name="convnet")


def convolutions_and_head(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The two halves of a `convnet`: from pixels to what is flattened, and from there on."""
    features = model.get_layer("flatten").input
    return (
        keras.Model(model.inputs, features, name="convolutions"),
        keras.Model(features, model.outputs[0], name="head"),
    )


def flops(image_size: int) -> int:
    """Floating point operations of the convolutions on one picture; see `vgg16.flops`."""
    total, side, below = 0, image_size, 3
    for channels in CHANNELS:
        side -= 2
        total += 2 * 3 * 3 * below * channels * side * side
        side, below = side // 2, channels
    return total
