"""What the portfolio is worth to a search of few trials.

Heads on VGG16's frozen features of four kinds of pictures: the article's photos, 2,000 and 200 of
them, scikit-learn's digits, and drawn animals. Four ways to choose trials: the portfolio and then
TPE, as a search does, TPE or random proposals from the first trial on, and the portfolio alone. Of
the trials so far the best on one half of the validation pictures is told by the other half.

    python -m benchmarks.portfolio --weights vgg16.npz [--trials 12] [--seeds 3] [--cache DIR]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from PIL import Image
from sklearn.datasets import load_digits

from search_spaces.constraints import parse_constraints
from tuning.data import dataset, demo
from tuning.data.dataset import Dataset
from tuning.features import FeatureCache
from tuning.scheduling.space import LeverSpace
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

# Heads: a trial takes seconds, so that several ways and seeds can be compared on two cores.
SPACE = ("network=vgg16", "unfrozen=0", "augmentation=none,mirror")
WAYS: dict[str, tuple[bool, Callable[[int], BaseSampler] | None]] = {
    "portfolio, then TPE": (True, lambda seed: TPESampler(seed=seed, multivariate=True)),
    "TPE": (False, lambda seed: TPESampler(seed=seed, multivariate=True)),
    "random": (False, lambda seed: RandomSampler(seed=seed)),
    "portfolio alone": (True, None),
}
SIZE, SMALL = 150, 64  # pixels a side: of photos, and of what was drawn small


def kinds(folder: Path, cache: Path) -> dict[str, Callable[[], Dataset]]:
    """The kinds of pictures, each read when it is asked for."""

    def photos(number: int) -> Callable[[], Dataset]:
        counts = (number // 2, 400)
        return lambda: dataset.load(PHOTOS, cache=cache, per_class=counts, image_size=SIZE)

    def digits() -> Dataset:
        found, root = load_digits(), folder / "digits"
        for number, (picture, label) in enumerate(zip(found.images, found.target, strict=True)):
            place = root / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((picture * 15.9).astype(np.uint8)).save(place / f"{number}.png")
        counts = (50, 100)
        return dataset.load(root, cache=cache, per_class=counts, image_size=SMALL, holdout=0)

    def drawn() -> Dataset:
        return dataset.load(demo.make(folder), cache=cache, image_size=SMALL)

    return {
        "2,000 photos": photos(2000),
        "200 photos": photos(200),
        "500 digits": digits,
        "240 drawings": drawn,
    }


def accuracies(context: TrialContext, point: dict[str, Any]) -> tuple[float, float]:
    """Of a trial at its end, on either half of the validation pictures."""
    trial = TransferTrial(context, point)
    for _ in range(point["epochs"]):
        trial.run_epoch()
    validation = context.dataset.validation
    right = trial.probabilities(validation).argmax(1) == validation.labels
    return float(right[::2].mean()), float(right[1::2].mean())


def searched(context: TrialContext, way: str, trials: int, epochs: int) -> list[float]:
    """What the best of the trials so far reaches, after each trial."""
    first, sampler = WAYS[way]
    space = LeverSpace(epochs, name="levers", constraints=parse_constraints(SPACE))
    points = space.portfolio() if first else []
    study = optuna.create_study(
        direction="maximize", sampler=sampler(context.seed) if sampler else None
    )
    for point in points:
        parameters, _ = space.asked(point)
        study.enqueue_trial(parameters)
    found: list[tuple[float, float]] = []
    scored: list[float] = []
    for _ in range(trials if sampler else min(trials, len(points))):
        asked = study.ask()
        found.append(accuracies(context, space(asked)))
        study.tell(asked, found[-1][0])
        scored.append(max(found)[1])
    return scored + scored[-1:] * (trials - len(scored))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", default=str(SURROGATE))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="of the kinds of pictures, by their first words")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    after = sorted({each for each in (1, 3, 6, options.trials) if each <= options.trials})
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder) / "cache"
        for kind, read in kinds(Path(folder), cache).items():
            if options.only and kind.split()[0] not in options.only:
                continue
            context = TrialContext(read(), FeatureCache(cache), vgg16_from(options.weights))
            for way in WAYS:
                began = time.perf_counter()
                seeds = [replace(context, seed=seed) for seed in range(options.seeds)]
                curves = [searched(each, way, options.trials, options.epochs) for each in seeds]
                seconds = (time.perf_counter() - began) / options.seeds
                rows.append((kind, way, *_means(curves, after), seconds))
    print(describe())
    heads = [f"after {each}" for each in after]
    print(table(["pictures", "way", *heads, "seconds"], rows))


def _means(curves: Sequence[Sequence[float]], after: Sequence[int]) -> list[str]:
    return [f"{100 * statistics.mean(curve[n - 1] for curve in curves):.1f}" for n in after]


if __name__ == "__main__":
    main()
