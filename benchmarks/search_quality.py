"""What a search finds for so many epochs: this project's searcher against two others.

An objective with learning curves over the project's own space stands for the training, so that
many seeds can be run. Searchers and schedulers are the real ones; four workers are played, each an
epoch in turn. (a) This project: TPE that is told early stops as pruned. (b) Random proposals. (c)
Ray's own OptunaSearch with Optuna's default TPE, told each trial's last validation accuracy, as its
documentation has it. All with the same asynchronous successive halving.

    python -m benchmarks.search_quality [--seeds 30] [--epochs 600]
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))
import numpy as np
import optuna
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from tuning.scheduling import study as studies
from tuning.scheduling.early_stopping import FIRST_RUNG, REDUCTION, build_scheduler
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch
from tuning.scheduling.space import LeverSpace

EPOCHS = 20  # of a trial
WORKERS = 4
WAYS = ("TPE, told truly", "random", "stock OptunaSearch")


def accuracy(levers: dict[str, Any], epoch: int, noise: np.random.Generator) -> float:
    """Validation accuracy after an epoch: rises to the levers' best, then overfits.

    The more layers are unfrozen, the higher it may rise, the more the rate matters and the sooner
    it falls again. Noise is that of 800 pictures.
    """
    peak = 0.72 if levers["network"] == "convnet" else 0.86
    rate = levers.get("fine_tune_rate")
    unfrozen = levers.get("unfrozen", 0)
    if rate is not None:
        peak += 0.02 * unfrozen - 0.02 * abs(math.log10(rate) + 4.2) * unfrozen / 2
    else:
        peak -= 0.03 * abs(math.log10(levers["head_rate"]) + 3)
    peak += {"none": -0.03, "flip": 0.0, "article": 0.015, "medium": 0.02, "strong": -0.01}[
        levers["augmentation"]
    ]
    peak -= 0.06 * (levers["dropout"] - 0.45) ** 2
    peak -= 0.02 * max(0.0, math.log10(levers.get("l2", 1e-6)) + 3.5)
    pace = 2 + 4 * levers["dropout"]
    overfit = 0.004 * (1 + unfrozen) * max(0.0, epoch / EPOCHS - 0.6)
    risen = peak - (peak - 0.5) * math.exp(-epoch / pace) - overfit
    return float(np.clip(risen + noise.normal(0, 0.008), 0, 1))


@dataclass
class Played:
    """A trial, as the scheduler sees it."""

    trial_id: str
    config: dict[str, Any]
    noise: np.random.Generator
    epoch: int = 0
    best: float = 0.0
    values: list[float] = field(default_factory=list)

    def __hash__(self) -> int:
        return hash(self.trial_id)


def searcher(way: str, seed: int) -> Any:
    """A fresh one."""
    space = LeverSpace(EPOCHS, {"vgg16": 6})
    if way == "stock OptunaSearch":
        return OptunaSearch(space=space, metric="validation_accuracy", mode="max", seed=seed)
    kind = "tpe" if way == "TPE, told truly" else "random"
    study = studies.create(
        optuna.storages.InMemoryStorage(), "study", build_sampler(kind, seed), ["accuracy"]
    )
    return LeverSearch(study, space)


def best_after(way: str, seed: int, epochs: int) -> float:
    """The peak accuracy, without noise, of the best trial after so many epochs in all."""
    search = searcher(way, seed)
    if way == "stock OptunaSearch":
        halving: Any = AsyncHyperBandScheduler(
            time_attr="epoch",
            max_t=EPOCHS,
            grace_period=round(FIRST_RUNG * EPOCHS),
            reduction_factor=REDUCTION,
        )
    else:
        halving = build_scheduler("asha", EPOCHS)
        search._endings = halving.endings
    stock = way == "stock OptunaSearch"
    halving.set_search_properties("validation_accuracy" if stock else "best_score", "max")
    running: list[Played] = []
    ended: list[Played] = []
    for number in range(epochs):
        while len(running) < WORKERS:
            name = f"{len(running) + len(ended)}"
            config = search.suggest(name)
            levers = config.get("hyperparameters", config)
            trial = Played(
                name,
                config | {"hyperparameters": levers},
                np.random.default_rng((seed, len(running) + len(ended))),
            )
            halving.on_trial_add(None, trial)
            running.append(trial)
        trial = running[number % WORKERS]
        trial.epoch += 1
        value = accuracy(trial.config["hyperparameters"], trial.epoch, trial.noise)
        trial.best = max(trial.best, value)
        trial.values.append(value)
        over = trial.epoch >= EPOCHS
        result: dict[str, Any] = {
            "epoch": trial.epoch,
            "training_iteration": trial.epoch,
            "validation_accuracy": value,
            "validation_score": value,
            "best_score": trial.best,
            "done": over,
            "over": over,
        }
        result["epochs"] = [dict(result)]
        decision = halving.on_trial_result(None, trial, result)
        if over or decision == TrialScheduler.STOP:
            halving.on_trial_complete(None, trial, result)
            search.on_trial_complete(trial.trial_id, result)
            running.remove(trial)
            ended.append(trial)
        else:
            search.on_trial_result(trial.trial_id, result)
    winner = max(running + ended, key=lambda each: each.best)
    silent = _Silent()
    return max(
        accuracy(winner.config["hyperparameters"], epoch, silent)  # type: ignore[arg-type]
        for epoch in range(1, EPOCHS + 1)
    )


class _Silent:
    def normal(self, mean: float, sd: float) -> float:
        return mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=600)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = {
        way: [best_after(way, seed, options.epochs) for seed in range(options.seeds)]
        for way in WAYS
    }
    print(describe())
    ours = found[WAYS[0]]
    rows = []
    for way, values in found.items():
        gaps = [mine - other for mine, other in zip(ours, values, strict=True)]
        error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if way != WAYS[0] else 0.0
        wins = sum(gap > 0 for gap in gaps)
        rows.append(
            (
                way,
                f"{statistics.mean(values):.4f}",
                f"{statistics.mean(gaps):+.4f}",
                f"{error:.4f}",
                f"{wins}/{len(gaps)}",
            )
        )
    print(table(("", "best accuracy", "ours is better by", "± s.e.", "seeds won"), rows))


if __name__ == "__main__":
    main()
