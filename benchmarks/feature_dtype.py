"""What numbers of 16 bits do to the final accuracy, against float32.

Features that are kept in float16; and layers, frozen and trained ones, that compute in bfloat16.
The same trials, seed by seed; printed are the best epoch's validation accuracies. Weights are
surrogates for ImageNet's unless they are given.

    python -m benchmarks.feature_dtype [--per-class 200 100] [--seeds 5] [--weights FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
from pathlib import Path

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))
import numpy as np

from search_spaces import levers
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

SIZE = 96
# How features are kept, and what layers compute in.
NUMBERS = {
    "float32": ("float32", "float32"),
    "kept in float16": ("float16", "float32"),
    "computed in bfloat16": ("float16", "bfloat16"),
}
TRIALS = {"head alone": (0, 20), "3 layers unfrozen": (3, 8)}  # unfrozen layers, epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--per-class", type=int, nargs=2, default=(200, 100))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--weights", default=str(SURROGATE))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = dataset.load(
            PHOTOS, cache=folder, per_class=tuple(options.per_class), image_size=SIZE
        )
        settings = {
            how: TrialContext(
                data,
                FeatureCache(folder / how, dtype, precision=precision),
                vgg16_from(options.weights),
                "imagenet",
            )
            for how, (dtype, precision) in NUMBERS.items()
        }
        exact, *short = (
            np.asarray(context.cache.features(data.train, context.backbone, context.backbone.top))
            for context in settings.values()
        )
        apart = [np.abs(exact - each).max() / np.abs(exact).max() for each in short]
        rows = []
        for kind, (unfrozen, epochs) in TRIALS.items():
            found = {
                how: [
                    best(dataclasses.replace(context, seed=seed), unfrozen, epochs)
                    for seed in range(options.seeds)
                ]
                for how, context in settings.items()
            }
            (_, wanted), *others = found.items()
            for (how, ours), far in zip(others, apart, strict=True):
                gaps = [b - a for a, b in zip(wanted, ours, strict=True)]
                means = [f"{statistics.mean(each):.4f}" for each in (wanted, ours)]
                error = statistics.stdev(gaps) / len(gaps) ** 0.5
                gain = [f"{statistics.mean(gaps):+.4f}", f"{error:.4f}"]
                rows.append((f"{kind}, {how}", *means, *gain, f"{far:.1e}"))
    print(f"{describe()}\n{len(data.train)} + {len(data.validation)} photos of {SIZE} px, ")
    print(f"{options.seeds} seeds\n")
    head = ("best accuracy", "float32", "this", "better by", "± s.e.", "a feature is off by")
    print(table(head, rows))


def best(context: TrialContext, unfrozen: int, epochs: int) -> float:
    """Validation accuracy of the best epoch."""
    point = {"network": "vgg16", "unfrozen": unfrozen, "augmentation": "none"}
    if unfrozen:
        point |= {"head_epochs": epochs, "fine_tune_rate": 1e-4}
    trial = TransferTrial(context, levers.complete(point, epochs))
    for _ in range(epochs):
        trial.run_epoch()
    return trial.best.accuracy


if __name__ == "__main__":
    main()
