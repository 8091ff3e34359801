"""What keeping features in float16 does to the final accuracy, against float32.

The same trials, seed by seed, from both; printed are the best epoch's validation accuracies. The
first column says how far features of the two lie apart. Weights are surrogates for ImageNet's.

    python -m benchmarks.feature_dtype [--per-class 200 100] [--seeds 5]
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
TRIALS = {"head alone": (0, 20), "3 layers unfrozen": (3, 8)}  # unfrozen layers, epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--per-class", type=int, nargs=2, default=(200, 100))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = dataset.load(
            PHOTOS, cache=folder, per_class=tuple(options.per_class), image_size=SIZE
        )
        settings = {
            dtype: TrialContext(
                data, FeatureCache(folder / dtype, dtype), vgg16_from(str(SURROGATE)), "imagenet"
            )
            for dtype in ("float32", "float16")
        }
        exact, short = (
            np.asarray(context.cache.features(data.train, context.backbone, context.backbone.top))
            for context in settings.values()
        )
        apart = np.abs(exact - short.astype(np.float32)).max() / np.abs(exact).max()
        rows = []
        for kind, (unfrozen, epochs) in TRIALS.items():
            found = {
                dtype: [
                    best(dataclasses.replace(context, seed=seed), unfrozen, epochs)
                    for seed in range(options.seeds)
                ]
                for dtype, context in settings.items()
            }
            gaps = [b - a for a, b in zip(*found.values(), strict=True)]
            means = [f"{statistics.mean(each):.4f}" for each in found.values()]
            error = statistics.stdev(gaps) / len(gaps) ** 0.5
            rows.append((kind, *means, f"{statistics.mean(gaps):+.4f}", f"{error:.4f}"))
    print(f"{describe()}\n{len(data.train)} + {len(data.validation)} photos of {SIZE} px, ")
    print(
        f"{options.seeds} seeds; greatest difference of a feature, of the greatest: {apart:.1e}\n"
    )
    print(table(("best accuracy", "float32", "float16", "float16 is better by", "± s.e."), rows))


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
