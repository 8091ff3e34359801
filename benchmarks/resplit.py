"""Whether what is chosen on many divisions is better than what one division chooses.

Heads on VGG16's frozen features of the four kinds of pictures of `benchmarks.portfolio`. Points are
drawn at random and each is trained on several divisions of the training pictures; the validation
pictures are held out. Of trials that all share one division, and of trials that have one each
(`--resplit`; the divisions are dealt out many times over), the best by its own validation pictures
is judged by those held out.

    python -m benchmarks.resplit --weights vgg16.npz [--trials 20] [--divisions 5] [--cache DIR]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.machine import SURROGATE, describe, table
from benchmarks.portfolio import SPACE, kinds
from search_spaces.constraints import parse_constraints
from tuning.data.dataset import Dataset, Split
from tuning.data.parts import Part
from tuning.features import FeatureCache
from tuning.scheduling.space import LeverSpace
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial
from tuning.wording import interval

SHARE = 0.2  # of the training pictures, to validate by
DEALT = 1000  # times


def divided(data: Dataset, seed: int) -> tuple[Dataset, Split]:
    """Training pictures divided in two, by class; and the pictures that are held out."""
    whole, held_out = data.train, data.validation
    assert isinstance(whole, Split)
    assert isinstance(held_out, Split)
    random = np.random.default_rng(seed)
    validated = np.zeros(len(whole), bool)
    for label in range(len(data.classes)):
        rows = random.permutation(np.flatnonzero(whole.labels == label))
        validated[rows[: max(1, round(SHARE * len(rows)))]] = True
    train = Part("train", (whole,), np.flatnonzero(~validated))
    validation = Part("validation", (whole,), np.flatnonzero(validated))
    return replace(data, train=train, validation=validation), held_out


def trained(context: TrialContext, points: list[dict[str, Any]], divisions: int) -> np.ndarray:
    """Validation and held-out accuracy of each point on each division, (trials, divisions, 2)."""
    found = np.zeros((len(points), divisions, 2))
    for division in range(divisions):
        data, held_out = divided(context.dataset, division)
        for number, point in enumerate(points):
            own = replace(context, dataset=data, seed=number)
            trial = TransferTrial(own, point)
            for _ in range(point["epochs"]):
                trial.train_epoch()
            for place, split in enumerate((data.validation, held_out)):
                right = trial.probabilities(split).argmax(1) == split.labels
                found[number, division, place] = right.mean()
    return found


def chosen(validated: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """Of trials (N,) the best by its validation pictures: both its accuracies."""
    best = int(np.argmax(validated))
    return float(validated[best]), float(held_out[best])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", default=str(SURROGATE))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--divisions", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--only", nargs="+", help="of the kinds of pictures, by their first words")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder) / "cache"
        space = LeverSpace(options.epochs, name="levers", constraints=parse_constraints(SPACE))
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        points = [space(study.ask()) for _ in range(options.trials)]
        for kind, read in kinds(Path(folder), cache).items():
            if options.only and kind.split()[0] not in options.only:
                continue
            context = TrialContext(read(), FeatureCache(cache), vgg16_from(options.weights))
            validated, held_out = np.moveaxis(trained(context, points, options.divisions), 2, 0)
            one = np.array([chosen(*each) for each in zip(validated.T, held_out.T, strict=True)])
            random, every = np.random.default_rng(0), np.arange(len(points))
            many = []
            for _ in range(DEALT):
                dealt = random.integers(options.divisions, size=len(points))
                many.append(chosen(validated[every, dealt], held_out[every, dealt]))
            rows.append((kind, "one", *_row(one), f"{100 * held_out.mean(axis=1).max():.1f}"))
            rows.append((kind, "each its own", *_row(np.array(many)), ""))
    print(describe())
    heads = ["validation", "held out", "from to", "flattered by", "best on average"]
    print(table(["pictures", "division", *heads], rows))


def _row(found: np.ndarray) -> tuple[str, ...]:
    """Of choices (N, 2): means, the middle nine tenths of what was held out, and their gap."""
    validated, held_out = found.mean(axis=0)
    ends = np.quantile(found[:, 1], (0.05, 0.95))
    gap = f"{100 * (validated - held_out):.1f}"
    return f"{100 * validated:.1f}", f"{100 * held_out:.1f}", interval(ends), gap


if __name__ == "__main__":
    main()
