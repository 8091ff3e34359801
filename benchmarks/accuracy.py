"""What each element of today's recipe is worth to a head on frozen features.

The first point of the portfolio on the article's 2,000 + 800 photos at 150 px, the same with one
element changed, and the article's recipe on the same preprocessing; five seeds each: the best
epoch's validation accuracy, and the last one's, which nobody chose.

    python -m benchmarks.accuracy --weights vgg16.npz [--seeds 5] [--epochs 15] [--cache DIR]
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.process.native_output import import_keras

import_keras(Path(os.devnull))

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from search_spaces.portfolio import PORTFOLIO
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.transfer import TransferTrial

SIZE = 150
PER_CLASS = (1000, 400)
OFF: dict[str, dict[str, Any]] = {
    "today's recipe": {},
    "weights not averaged": {"average": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "gradients not clipped": {"clip": math.inf},
    "no warm-up": {"warmup": 0.0},
    "batches of 16": {"batch_size": 16},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "dropout 0.7": {"dropout": 0.7},
    "features averaged and standardised": {"pooling": "standardised"},
    "features flattened": {"pooling": "flatten"},
    "pixels / 255": {"preprocessing": "rescale"},
}


def train(context: TrialContext, point: dict[str, Any]) -> tuple[float, float]:
    """Best and last validation accuracy of a trial."""
    trial = TransferTrial(context, point)
    found = [trial.run_epoch()["validation_accuracy"] for _ in range(point["epochs"])]
    return max(found), found[-1]


def article(epochs: int) -> dict[str, Any]:
    """The article's bottleneck experiment, on the preprocessing that today's recipe has."""
    (bottleneck,) = (each for each in EXPERIMENTS if each.name == "bottleneck")
    return bottleneck.hyperparameters(epochs) | {"preprocessing": "imagenet"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", default=str(SURROGATE))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        data = dataset.load(PHOTOS, cache=cache, per_class=PER_CLASS, image_size=SIZE)
        context = TrialContext(data, FeatureCache(cache), options.weights)
        first = levers.complete(PORTFOLIO[0].point, options.epochs, space="levers")
        points = {name: first | off for name, off in OFF.items()}
        points["the article's recipe"] = article(options.epochs)
        rows = []
        for name, point in points.items():
            began = time.perf_counter()
            seeds = range(options.seeds)
            found = [train(replace(context, seed=seed), point) for seed in seeds]
            seconds = (time.perf_counter() - began) / options.seeds
            best, last = ([each[n] for each in found] for n in (0, 1))
            rows.append((name, *_mean(best), *_mean(last), seconds))
    print(describe())
    print(table(["a head", "best, %", "+-", "last, %", "+-", "seconds"], rows))


def _mean(shares: list[float]) -> tuple[str, str]:
    """Mean and its standard error, in per cent."""
    error = statistics.stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else math.nan
    return f"{100 * statistics.mean(shares):.2f}", f"{100 * error:.2f}"


if __name__ == "__main__":
    main()
