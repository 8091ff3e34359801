"""What today's recipe is worth, element by element, and what kept views are worth.

Photos of the article at 150 px; validation accuracy of the best epoch and of the last one, which
nobody chose. With `--views` the first point of the portfolio is trained with that many views of
policy `medium`, which its epochs take in turn; else as it is, with one element changed after the
other, and by the article's recipe on the same preprocessing.

    python -m benchmarks.accuracy --weights vgg16.npz
    python -m benchmarks.accuracy --weights vgg16.npz --unfrozen 1 --pictures 400 --seeds 3
    python -m benchmarks.accuracy --weights vgg16.npz --views 2 4 8 16 30 --pictures 400 --epochs 30
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from search_spaces.portfolio import PORTFOLIO
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

SIZE = 150
VALIDATION = 400  # pictures a class
POLICY = "medium"
RECIPE: dict[str, dict[str, Any]] = {
    "today's recipe": {},
    "weights not averaged": {"average": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "gradients not clipped": {"clip": math.inf},
    "no warm-up": {"warmup": 0.0},
    "batches of 16": {"batch_size": 16},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "dropout 0.7": {"dropout": 0.7},
}
# Of a head alone: with unfrozen layers they cost one more pass of the frozen ones each.
FEATURES: dict[str, dict[str, Any]] = {
    "features averaged and standardised": {"pooling": "standardised"},
    "features flattened": {"pooling": "flatten"},
    "pixels / 255": {"preprocessing": "rescale"},
}

Run = tuple[str, TrialContext, dict[str, Any]]  # in words, and what a trial is made of


def train(context: TrialContext, point: dict[str, Any]) -> tuple[float, float]:
    """Best and last validation accuracy of a trial."""
    trial = TransferTrial(context, point)
    found = [trial.run_epoch()["validation_accuracy"] for _ in range(point["epochs"])]
    return max(found), found[-1]


def article(unfrozen: int, epochs: int) -> dict[str, Any]:
    """The article's recipe, on the preprocessing that today's has."""
    name = "fine_tune" if unfrozen else "bottleneck"
    (experiment,) = (each for each in EXPERIMENTS if each.name == name)
    point = experiment.hyperparameters(epochs) | {"preprocessing": "imagenet"}
    return point | ({"unfrozen": unfrozen, "augmentation": "none"} if unfrozen else {})


def elements(context: TrialContext, unfrozen: int, epochs: int) -> list[Run]:
    """Today's recipe, and what it is without each of its elements."""
    first = levers.complete({**PORTFOLIO[0].point, "unfrozen": unfrozen}, epochs, space="levers")
    changes = RECIPE if unfrozen else RECIPE | FEATURES
    runs = [(name, context, first | change) for name, change in changes.items()]
    return [*runs, ("the article's recipe", context, article(unfrozen, epochs))]


def kept_views(context: TrialContext, numbers: Sequence[int], epochs: int) -> list[Run]:
    """The pictures as they are, and so many views of each."""
    first = levers.complete(PORTFOLIO[0].point, epochs, space="levers")
    runs = [("as they are", context, first)]
    for views in numbers:
        runs.append(
            (f"{views} views", replace(context, views=views), first | {"augmentation": POLICY})
        )
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", default=str(SURROGATE))
    parser.add_argument("--pictures", type=int, default=2000, help="to train on")
    parser.add_argument("--unfrozen", type=int, default=0)
    parser.add_argument("--views", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        counts = (options.pictures // 2, VALIDATION)
        data = dataset.load(PHOTOS, cache=cache, per_class=counts, image_size=SIZE)
        context = TrialContext(data, FeatureCache(cache), vgg16_from(options.weights))
        if options.views:
            runs = kept_views(context, options.views, options.epochs)
        else:
            runs = elements(context, options.unfrozen, options.epochs)
        rows = []
        for name, where, point in runs:
            began = time.perf_counter()
            found = [train(replace(where, seed=seed), point) for seed in range(options.seeds)]
            seconds = (time.perf_counter() - began) / options.seeds
            best, last = ([each[n] for each in found] for n in (0, 1))
            rows.append((name, *_mean(best), *_mean(last), seconds))
    print(describe())
    print(table(["trained on", "best, %", "+-", "last, %", "+-", "seconds"], rows))


def _mean(shares: list[float]) -> tuple[str, str]:
    """Mean and its standard error, in per cent."""
    error = statistics.stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else math.nan
    return f"{100 * statistics.mean(shares):.2f}", f"{100 * error:.2f}"


if __name__ == "__main__":
    main()
