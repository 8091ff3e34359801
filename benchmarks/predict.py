"""Predicting files against a bare `model.predict` loop with the same decoding.

Pictures a second of `tuning.predict.classify`, with its CSV written, against a loop that decodes a
batch and gives it to `model.predict`, and against `model.predict` alone, on pixels that are in
memory. The ways take turns in one process, on one exported model with random weights.

    python -m benchmarks.predict [--network convnet] [--pictures 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import tempfile
from pathlib import Path

from benchmarks.machine import PHOTOS, describe, interleaved, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))
import keras
import numpy as np

from tuning import predict
from tuning.data import dataset
from tuning.data.decoding import decode
from tuning.export import classifier, model
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from

POINTS = {
    "convnet": {"network": "convnet", "dropout": 0.5},
    "vgg16": {"network": "vgg16", "dropout": 0.5, "unfrozen": 0},
}
SIZE = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--network", choices=tuple(POINTS), default="convnet")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    files = list(itertools.islice(predict.find([str(PHOTOS)], []), options.pictures))
    with tempfile.TemporaryDirectory() as folder:
        model = exported(options.network, Path(folder))
    bare = model.model
    pixels = np.stack([decode(file, SIZE) for file in files])

    def loop() -> None:
        for first in range(0, len(files), predict.BATCH):
            batch = files[first : first + predict.BATCH]
            bare.predict(np.stack([decode(file, SIZE) for file in batch]), verbose=0)

    arguments = predict._parser().parse_args(["run", "files"])

    def ours() -> None:
        with (
            open(os.devnull, "w") as output,
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            predict._run(model, iter(files), arguments)

    seconds = interleaved(
        {
            "decode a batch, model.predict": loop,
            "tuning.predict": ours,
            "model.predict, pixels in memory": lambda: bare.predict(
                pixels, batch_size=predict.BATCH, verbose=0
            ),
        },
        options.rounds,
    )
    print(describe())
    print(f"{len(files)} photos of {SIZE} x {SIZE} pixels, {options.network}")
    basis = seconds["decode a batch, model.predict"]
    rows = [(name, len(files) / time, basis / time) for name, time in seconds.items()]
    print(table(["", "pictures/s", "of the bare loop"], rows))


def exported(network: str, folder: Path) -> classifier.Classifier:
    """An untrained model of a run, written and read as after a search."""
    from models import network as networks

    data = dataset.load(PHOTOS, cache=folder, per_class=(2, 2), image_size=SIZE)
    context = TrialContext(data, FeatureCache(folder), sources=vgg16_from("random"))
    trained = networks.trainable(
        POINTS[network],
        image_size=SIZE,
        classes=2,
        backbone=context.backbone_for(POINTS[network]),
    )
    model.export(context, POINTS[network], trained.get_weights(), folder / "best")
    keras.backend.clear_session()
    return classifier.load(folder)


if __name__ == "__main__":
    main()
