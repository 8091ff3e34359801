"""The classifier on top: pooling, one dense layer, dropout, L1/L2."""

from __future__ import annotations

import keras

from models.adjustable import AdjustableDropout

POOLINGS = ("flatten", "average", "standardised")
STANDARDISE = "standardise"  # the layer


def head(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    pooling: str = "flatten",
    width: int = 256,
    dropout: float = 0.5,
    l1: float = 0.0,
    l2: float = 0.0,
    seed: int = 0,
    adjustable: bool = False,
) -> keras.Model:
    """The article's top model: flatten, dense ReLU, dropout, output.

    Args:
        input_shape: The features' shape: height, width and channels (H, W, C); also (T, C) or (C,).
        classes: Number of classes; two give one sigmoid unit, more a softmax.
        pooling: `flatten` (the article), `average` over height and width, or `standardised`: the
            average, less the mean and by the deviation of each channel, which `network.standardise`
            sets.
        width: Units of the dense layer, 256 in the article.
        dropout: Share of the dense layer's outputs dropped in training.
        l1: Strength of the L1 penalty on the kernels of both dense layers.
        l2: Strength of the L2 penalty on the same.
        seed: The seed of initial weights and dropout.
        adjustable: Whether dropout and penalties are variables, see `models.adjustable`.

    Returns:
        A model from features (B, H, W, C) to probabilities, (B, 1) for two classes, else
        (B, classes).

    Raises:
        ValueError: If `pooling` is unknown.
    """
    inputs = keras.Input(input_shape, name="features")
    if pooling == "flatten":
        x = keras.layers.Flatten(name="flatten")(inputs)
    elif pooling in POOLINGS:
        x = _averaged(inputs)
        if pooling == "standardised":
            # Not trainable, it goes by what it is given, in training as well. It is one of Keras'
            # own layers, with variables, so that a compiled network takes other numbers.
            fixed = {"center": False, "scale": False, "epsilon": 1e-7, "trainable": False}
            x = keras.layers.BatchNormalization(name=STANDARDISE, **fixed)(x)
    else:
        raise ValueError(f"The value of `pooling` is {pooling!r}, but must be one of {POOLINGS}.")
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
    return keras.Model(inputs, outputs, name="head")


def _averaged(features: keras.KerasTensor) -> keras.KerasTensor:
    """Over all places (B, …, C) of each channel."""
    places = len(features.shape) - 2
    if places == 0:
        return features
    if places > 1:
        return keras.layers.GlobalAveragePooling2D(name="average")(features)
    return keras.layers.GlobalAveragePooling1D(name="average")(features)


def classifier(
    x: keras.KerasTensor,
    classes: int,
    *,
    width: int,
    dropout: float,
    l1: float,
    l2: float,
    seed: int,
    adjustable: bool = False,
) -> keras.KerasTensor:
    """Dense ReLU, dropout and output on flat features (B, D); arguments as in `head`."""
    # Two layers of one seed would draw equal numbers.
    if adjustable:
        drop = AdjustableDropout(seed + 2, classes)
        penalty = drop.penalty(l1 > 0, l2 > 0) if l1 or l2 else None
        drop.restart(0, dropout, l1, l2)
    else:
        drop = keras.layers.Dropout(dropout, seed=seed + 2, name="dropout")
        penalty = keras.regularizers.L1L2(l1, l2) if l1 or l2 else None

    def dense(units: int, activation: str, name: str, offset: int) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed + offset),
            kernel_regularizer=penalty,
            name=name,
        )

    x = drop(dense(width, "relu", "dense", 0)(x))
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    return dense(units, activation, "probability", 1)(x)
