"""EfficientNet-Lite0 as a user's own backbone: a network that `keras.applications` does not have.

Built from the description of its authors (https://github.com/tensorflow/tpu, Apache-2.0): MBConv
blocks of EfficientNet-B0 without squeeze-and-excitation, with ReLU6.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from models.undrawn import undrawn

WEIGHTS = Path(__file__).resolve().parents[2] / "shared" / "weights" / "efficientnet_lite0.npz"
# Kernel, stride of the first, expansion, channels, repeats.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
SIZE = 224


@undrawn()
def lite0(top: bool = False) -> keras.Model:
    """The network with its ImageNet weights.

    Args:
        top: Whether it ends with the 1,000 logits of its classes.
    """
    inputs = keras.Input((None, None, 3))
    x = _conv(inputs, 32, 3, "conv_stem", strides=2)
    x = _normalised(x, "bn0")
    number = 0
    for kernel, stride, expansion, channels, repeats in STAGES:
        for repeat in range(repeats):
            here = stride if repeat == 0 else 1
            x = _block(x, f"block{number}", kernel, here, expansion, channels)
            number += 1
    x = _conv(x, 1280, 1, "conv_head")
    x = _normalised(x, "bn1")
    if top:
        x = keras.layers.GlobalAveragePooling2D(name="average")(x)
        x = keras.layers.Dense(1000, name="fc")(x)
    model = keras.Model(inputs, x, name="efficientnet_lite0")
    with np.load(WEIGHTS) as file:
        for layer in model.layers:
            names = [f"{layer.name.replace('.', '/')}/{each.name}" for each in layer.weights]
            if names:
                layer.set_weights([file[name] for name in names])
    model.preprocessing = keras.layers.Rescaling(1 / 128, -127 / 128, name="to_unit")
    model.image_size = SIZE
    return model


def _block(x, name, kernel, stride, expansion, channels):
    inside = x
    if expansion > 1:
        inside = _conv(x, expansion * x.shape[-1], 1, f"{name}.expand_conv")
        inside = _normalised(inside, f"{name}.bn0")
    inside = keras.layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}.depthwise_conv"
    )(inside)
    inside = _normalised(inside, f"{name}.bn1")
    inside = _conv(inside, channels, 1, f"{name}.project_conv")
    inside = _normalised(inside, f"{name}.bn2", activated=False)
    return x + inside if stride == 1 and x.shape[-1] == channels else inside


def _normalised(x, name, activated=True):
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=name)(x)
    return keras.layers.ReLU(6.0, name=f"{name}.relu6")(x) if activated else x


def _conv(x, channels, kernel, name, strides=1):
    return keras.layers.Conv2D(
        channels, kernel, strides, padding="same", use_bias=False, name=name
    )(x)
