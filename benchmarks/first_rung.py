"""Whether the first rung of early stopping knows the end, with rates that fall and without.

Heads of points drawn from a space are trained to their end; Kendall's tau compares their order by
the best validation accuracy at the first rung with that at the end. On today's recipe the rung sees
averaged weights.

    python -m benchmarks.first_rung --weights vgg16.npz
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import kendalltau

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from search_spaces.constraints import parse_constraints
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.scheduling.early_stopping import FIRST_RUNG, REDUCTION
from tuning.scheduling.space import LeverSpace
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

PER_CLASS, SIZE = (1000, 400), 150
# Heads on features as they are, in epochs of a second; rates are drawn as the search draws them.
PINNED = parse_constraints(["network=vgg16", "unfrozen=0", "augmentation=none"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", default=str(SURROGATE))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        data = dataset.load(PHOTOS, cache=cache, per_class=PER_CLASS, image_size=SIZE)
        # Alike in both, so that the recipe alone differs.
        context = TrialContext(data, FeatureCache(cache), vgg16_from(options.weights), "imagenet")
        rung = max(1, round(FIRST_RUNG * options.epochs))
        rows = []
        for name in ("levers", "article"):
            curves = [curve(context, point) for point in drawn(name, options)]
            first, end = (np.array([max(c[:n]) for c in curves]) for n in (rung, options.epochs))
            tau = kendalltau(first, end)
            going_on = np.argsort(-first, kind="stable")[: max(1, len(first) // REDUCTION)]
            lost = end.max() - end[going_on].max()
            rows.append((name, float(tau.statistic), float(tau.pvalue), f"{100 * lost:.2f}"))
    print(describe())
    print(table(["space", "tau", "p", "points lost with the best third"], rows))


def drawn(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Points as a random sampler proposes them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = LeverSpace(options.epochs, name=name, constraints=PINNED)
    return [space(study.ask()) for _ in range(options.trials)]


def curve(context: TrialContext, point: dict[str, Any]) -> list[float]:
    """Validation accuracy by epoch."""
    trial = TransferTrial(context, point)
    return [trial.run_epoch()["validation_accuracy"] for _ in range(point["epochs"])]


if __name__ == "__main__":
    main()
