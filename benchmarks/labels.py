"""Whether wrong labels are found, and whether learning curves foretell what more pictures add.

Linear heads on VGG16's frozen features of the article's photos, pooled. Some labels are flipped,
and it is counted how many of these stand among the most doubtful. Learning curves of a half, a
quarter, … of the training pictures foretell what twice as many would add, which is known.

    python -m benchmarks.labels --weights vgg16.npz [--draws 10] [--cache DIR]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))

import numpy as np

from tuning.data import dataset
from tuning.evaluation import doubts
from tuning.evaluation.frozen_head import fit, out_of_fold
from tuning.evaluation.learning import learning_curve
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.moments import pooled
from tuning.training.source import vgg16_from

PER_CLASS, SIZE = (1000, 400), 150
FLIPPED = 0.03
NUMBERS = (200, 800, 2800)  # pictures whose labels are looked at
SIZES = (250, 500, 1000)  # training pictures, twice of which are there


def flips(
    features: np.ndarray, labels: np.ndarray, number: int, seed: int, flipped: float
) -> list[float]:
    """Share found among the first 5 %, among those counted as wrong; how many are, and how surely.

    Returns:
        Shares of the flipped labels among the first 5 % and among those counted to another class;
        shares of all labels that are counted so, and with at least 95 %; seconds.
    """
    from sklearn.model_selection import StratifiedKFold

    random = np.random.default_rng(seed)
    rows = random.choice(len(labels), min(number, len(labels)), replace=False)
    known, given = features[rows], labels[rows].copy()
    wrong = random.choice(len(rows), round(flipped * len(rows)), replace=False)
    given[wrong] = 1 - given[wrong]
    began = time.perf_counter()
    folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(given, given)
    said = out_of_fold(known, given, 2, folds)
    suggested, margins = doubts.confident_classes(said, given), doubts.margins(said, given)
    doubted = suggested != given
    order = np.lexsort((margins, ~doubted))
    seconds = time.perf_counter() - began
    first = order[: round(0.05 * len(rows))]
    sure = doubted & (said[np.arange(len(rows)), suggested] >= 0.95)
    found = [np.isin(wrong, each).mean() if len(wrong) else np.nan
             for each in (first, np.flatnonzero(doubted))]  # fmt: skip
    return [*map(float, found), float(doubted.mean()), float(sure.mean()), seconds]


def foretold(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    size: int,
    seed: int,
) -> list[float]:
    """What twice so many pictures are foretold to add, the interval's ends, and what they add."""
    features, labels = train
    rows = np.random.default_rng(seed).permutation(len(labels))
    some, twice = (np.sort(rows[:number]) for number in (size, 2 * size))
    found = learning_curve((features[some], labels[some]), validation, ("cats", "dogs"))
    if found is None:
        return [np.nan] * 4
    said = fit(features[twice], labels[twice], 2)(validation[0])
    reached = float((said.argmax(1) == validation[1]).mean())
    return [found["gain"], *found["gain_interval"], reached - found["scores"][-1][0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", default=str(SURROGATE))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        data = dataset.load(PHOTOS, cache=cache, per_class=PER_CLASS, image_size=SIZE)
        context = TrialContext(data, FeatureCache(cache), vgg16_from(options.weights), "imagenet")
        splits = (data.train, data.validation)
        features = [
            pooled(context.cache.features(each, context.backbone, context.backbone.top))
            for each in splits
        ]
    labels = [each.labels for each in splits]
    print(describe())
    rows = []
    for share in (FLIPPED, 0.0):
        for number in NUMBERS:
            draws = [
                flips(np.concatenate(features), np.concatenate(labels), number, seed, share)
                for seed in range(options.draws)
            ]
            means = np.mean(draws, axis=0)
            figures = [f"{100 * each:.1f}" for each in means[:-1]]
            rows.append((f"{number:,}", f"{100 * share:.0f}", *figures, float(means[-1])))
    heads = ["in the first 5 %", "counted", "of all counted", "of all sure", "seconds"]
    print(table(["labels", "flipped %", *heads], rows))
    rows = []
    for size in SIZES:
        draws = [
            foretold((features[0], labels[0]), (features[1], labels[1]), size, seed)
            for seed in range(options.draws)
        ]
        gains, lows, highs, reached = np.array(draws).T
        inside = np.mean((lows <= reached) & (reached <= highs))
        figures = [f"{100 * each.mean():.2f}" for each in (gains, lows, highs, reached)]
        rows.append((f"{size:,}", *figures, f"{100 * inside:.0f}"))
    print("\n" + table(["pictures", "foretold", "from", "to", "came", "inside %"], rows))


if __name__ == "__main__":
    main()
