"""Experiment 1: seconds per epoch here against a plain Keras run of the same network.

Plain: pictures in memory, `model.fit` with Keras' random layers as augmentation, validation each
epoch, as the Keras documentation writes it. Epochs of the two alternate in one process; printed are
medians without each one's first epoch, which compiles.

    python -m benchmarks.convnet_epoch [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import PHOTOS, describe, interleaved, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))
import keras
import numpy as np

from models.convnet import convnet
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial


def plain(data: dataset.Dataset) -> Callable[[], object]:
    augmentation = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2), fill_mode="nearest"),
            keras.layers.RandomShear(0.0035, 0.0035, fill_mode="nearest"),
        ]
    )
    inputs = keras.Input((data.image_size, data.image_size, 3))
    model = keras.Model(inputs, convnet(data.image_size, 2)(augmentation(inputs)))
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    train, validation = data.train, data.validation
    x, v = (np.asarray(split.pictures, np.float32) for split in (train, validation))
    y, w = (split.labels[:, None].astype("float32") for split in (train, validation))
    return lambda: model.fit(x, y, batch_size=16, validation_data=(v, w), verbose=0)


def ours(data: dataset.Dataset, cache: Path) -> Callable[[], object]:
    trial = TransferTrial(
        TrialContext(data, FeatureCache(cache), vgg16_from("random")),
        EXPERIMENTS[0].hyperparameters(50),
    )
    return lambda: trial.run_epoch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = dataset.load(PHOTOS, cache=Path(folder))
        ways = {"plain Keras": plain(data), "this project": ours(data, Path(folder))}
        seconds = interleaved(ways, options.rounds)
    print(describe())
    rows = [(name, each, each / seconds["plain Keras"]) for name, each in seconds.items()]
    print(table(("", "seconds an epoch", "of plain Keras"), rows))


if __name__ == "__main__":
    main()
