"""What users would pick instead, written as their documentation has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from benchmarks.listed import Outcome
from models import vgg16
from tuning.data.dataset import Dataset

BATCH = 16

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Point:
    """One trial, in words that all ways understand."""

    unfrozen: int
    augmentation: str
    dropout: float

    @property
    def kind(self) -> str:
        """Trials that cost the same."""
        return f"{self.unfrozen} unfrozen, " + (
            "augmented" if self.augmentation != "none" else "not augmented"
        )


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Seconds and validation accuracy of each epoch; `tell` is called with both after each."""

    def __init__(self, tell: Callable[[dict[str, float]], None] = lambda metrics: None) -> None:
        super().__init__()
        self.tell = tell
        self.seconds: list[float] = []
        self.accuracy = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self.began)
        self.accuracy = logs["val_accuracy"]
        self.tell({"validation_accuracy": self.accuracy, "seconds": self.seconds[-1]})


def in_memory(data: Dataset) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Pictures and labels of training and validation."""
    train, validation = data.train, data.validation
    return tuple(
        (np.asarray(split.pictures), split.labels[:, None].astype("float32"))
        for split in (train, validation)
    )


def head(dropout: float) -> keras.Model:
    """The article's top model."""
    return keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def base(weights: Weights, size: int) -> keras.Model:
    """VGG16 without its top."""
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(size, size, 3))
    for name in vgg16.CONVS:
        model.get_layer(name).set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])
    return model


def build(point: Point, weights: Weights, size: int) -> tuple[keras.Model, keras.Model]:
    """The network as in Keras' guide to transfer learning, its base frozen; and that base."""
    convolutional = base(weights, size)
    convolutional.trainable = False
    inputs = keras.Input((size, size, 3))
    x = inputs
    if point.augmentation == "article":
        x = keras.layers.RandomFlip("horizontal")(x)
        x = keras.layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2), fill_mode="nearest")(x)
    x = keras.applications.vgg16.preprocess_input(x)
    model = keras.Model(inputs, head(point.dropout)(convolutional(x, training=False)))
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    return model, convolutional


def fit(
    model: keras.Model,
    convolutional: keras.Model,
    point: Point,
    data: Dataset,
    epochs: int,
    clock: Clock,
) -> None:
    """First the head alone, then the unfrozen layers with it, as the guide and the article say."""
    (x, y), validation = in_memory(data)
    options = {"batch_size": BATCH, "epochs": epochs, "validation_data": validation, "verbose": 0}
    model.fit(x, y, callbacks=[clock], **options)
    if not point.unfrozen:
        return
    convolutional.trainable = True
    for layer in convolutional.layers:
        layer.trainable = layer.name in vgg16.CONVS[-point.unfrozen :]
    optimizer = keras.optimizers.SGD(1e-4, momentum=0.9)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, callbacks=[clock], **options)


def ray_tune(config: dict[str, Any], data: Dataset, weights: Weights, epochs: int) -> None:
    """(b) A function for Ray Tune."""
    from ray import tune

    model, convolutional = build(config["point"], weights, data.image_size)
    fit(model, convolutional, config["point"], data, epochs, Clock(tune.report))


class HyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """(c) The same for KerasTuner, which goes through the points in order."""

    def __init__(self, points: list[Point], data: Dataset, weights: Weights, epochs: int) -> None:
        super().__init__()
        self.points, self.data, self.weights, self.epochs = points, data, weights, epochs
        self.outcomes: list[Outcome] = []
        self.last = 0.0

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self.point = self.points[hp.Int("point", 0, len(self.points) - 1)]
        model, self.convolutional = build(self.point, self.weights, self.data.image_size)
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, **options: Any) -> Any:
        clock = Clock()
        fit(model, self.convolutional, self.point, self.data, self.epochs, clock)
        now = time.perf_counter()
        self.outcomes.append(Outcome(now - self.last, clock.seconds, clock.accuracy))
        self.last = now
        return {"val_accuracy": clock.accuracy}

    def search(self, folder: Path) -> list[Outcome]:
        """All points; an outcome each."""
        tuner = keras_tuner.GridSearch(
            self,
            objective=keras_tuner.Objective("val_accuracy", "max"),
            max_trials=len(self.points),
            directory=folder,
            max_consecutive_failed_trials=1,
        )
        self.last = time.perf_counter()
        tuner.search(verbose=0)
        return self.outcomes


def article(
    points: list[Point], data: Dataset, weights: Weights, epochs: int, folder: Path
) -> tuple[float, list[Outcome]]:
    """(d) Features to `.npy` once, then heads; seconds of the former, and an outcome each."""
    began = time.perf_counter()
    network = base(weights, data.image_size)
    splits = in_memory(data)
    for name, (x, _) in zip(("train", "validation"), splits, strict=True):
        pixels = keras.applications.vgg16.preprocess_input(x.astype("float32"))
        np.save(folder / f"{name}.npy", network.predict(pixels, batch_size=BATCH, verbose=0))
    once = time.perf_counter() - began
    outcomes = []
    for point in points:
        began = time.perf_counter()
        x, v = (np.load(folder / f"{name}.npy") for name in ("train", "validation"))
        (_, y), (_, w) = splits
        model, clock = head(point.dropout), Clock()
        model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
        model.fit(
            x,
            y,
            batch_size=BATCH,
            epochs=epochs,
            validation_data=(v, w),
            callbacks=[clock],
            verbose=0,
        )
        seconds = time.perf_counter() - began
        outcomes.append(Outcome(seconds, clock.seconds, clock.accuracy))
    return once, outcomes
