"""The same trials by four ways of running them: what does a trial cost, and what a whole search?

(a) this project; (b) Ray Tune and Keras as their documentation has it: every trial builds VGG16,
freezes its lower layers and fits, augmentation drawn by Keras' layers in each epoch; (c)
KerasTuner's own tuner with the same model; (d) for heads alone the article's own way: features to
`.npy` once, then Keras fits.

Twelve trials: 0, 1 and 3 unfrozen conv layers, without and with the article's augmentation, two
dropouts; 3 epochs, and as many of the head alone before layers are unfrozen. One at a time, with
all cores. Way by way in turn, a trial each. Weights are surrogates for ImageNet's.

    python -m benchmarks.compute_once [--per-class 100 40] [--epochs 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.quiet import import_keras

import_keras(Path(os.devnull))
import keras
import numpy as np

from models import vgg16
from models.weights import load as load_weights
from search_spaces import levers
from tuning import dataset
from tuning.dataset import Dataset

SIZE = 150
PROJECTED = {"trials": 50, "epochs": 20, "train": 2000, "validation": 800}


@dataclass(frozen=True)
class Point:
    """One trial."""

    unfrozen: int
    augmentation: str
    dropout: float

    def hyperparameters(self, epochs: int) -> dict[str, Any]:
        """As this project has them."""
        point = {"network": "vgg16", "unfrozen": self.unfrozen, "dropout": self.dropout}
        point |= {"augmentation": self.augmentation}
        return levers.complete(point | ({"head_epochs": epochs} if self.unfrozen else {}), epochs)

    @property
    def kind(self) -> str:
        return f"{self.unfrozen} unfrozen, {self.augmentation}"


@dataclass(frozen=True)
class Outcome:
    """What a trial cost, and what it reached."""

    seconds: float
    accuracy: float


POINTS = [
    Point(unfrozen, augmentation, dropout)
    for dropout in (0.5, 0.3)
    for augmentation in ("none", "article")
    for unfrozen in (0, 1, 3)
]


def plain_keras(
    point: Point, data: Dataset, epochs: int, report: Callable[[dict[str, float]], None]
) -> None:
    """What a good engineer writes: the article's code in Keras 3, from pictures in memory."""
    arrays = [
        (np.asarray(split.pictures), split.labels[:, None].astype("float32"))
        for split in (data.train, data.validation)
    ]
    (x, y), validation = arrays
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3))
    for name, (kernel, bias) in _vgg16_weights().items():
        base.get_layer(name).set_weights([kernel, bias])
    inputs = keras.Input((SIZE, SIZE, 3))
    pixels = inputs
    if point.augmentation == "article":
        pixels = keras.layers.RandomFlip("horizontal")(pixels)
        pixels = keras.layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2), fill_mode="nearest")(pixels)
    pixels = keras.layers.Lambda(keras.applications.vgg16.preprocess_input)(pixels)
    head = keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dropout(point.dropout),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    base.trainable = False
    model = keras.Model(inputs, head(base(pixels)))
    tell = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: report(logs))
    fit = {"batch_size": 16, "epochs": epochs, "validation_data": validation, "verbose": 0}
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, callbacks=[tell], **fit)
    if point.unfrozen:
        base.trainable = True
        unfrozen = vgg16.CONVS[-point.unfrozen :]
        for layer in base.layers:
            layer.trainable = layer.name in unfrozen
        optimizer = keras.optimizers.SGD(1e-4, momentum=0.9)
        model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
        model.fit(x, y, callbacks=[tell], **fit)


def _vgg16_weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    arrays = load_weights(str(SURROGATE)).arrays
    return {name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in vgg16.CONVS}
