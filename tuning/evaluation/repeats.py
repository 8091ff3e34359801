"""Configurations trained again: with fresh seeds, or on other divisions of the pictures."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from tuning.records.event_log import SCORE
from tuning.records.facts import Candidate, Confirmation, CrossValidation, Repeated
from tuning.records.trial_log import TrialRecord

FIRST_SEED = 1000  # after the search's own, whatever it was


@dataclass(frozen=True)
class Repeat:
    """One training of a configuration that the search has found.

    Attributes:
        trial: The search's number of it.
        hyperparameters: Its hyperparameters; `epochs` are those to train.
        seed: The seed of initial weights, dropout and the order of pictures.
        fold: The fold that is validated on, and the number of folds; None for the data's own
            validation split.
    """

    trial: int
    hyperparameters: dict[str, Any]
    seed: int
    fold: tuple[int, int] | None = None

    def config(self, number: int) -> dict[str, Any]:
        """What a worker gets."""
        values = {"number": number, "hyperparameters": self.hyperparameters, "seed": self.seed}
        return values | {"fold": self.fold}


def confirming(ranking: list[TrialRecord], number: int, times: int, seed: int) -> list[Repeat]:
    """The best `number` configurations, each with `times` fresh seeds."""
    seeds = [seed + FIRST_SEED + each for each in range(times)]
    return [
        Repeat(record.number, record.hyperparameters, each)
        for record in ranking[:number]
        for each in seeds
    ]


def confirmation(repeats: list[Repeat], records: dict[int, TrialRecord]) -> Confirmation | None:
    """What came of `confirming`; None if some are missing.

    Args:
        repeats: All of them.
        records: The records of those that were run, by their place in `repeats`.
    """
    if not repeats or any(not _over(records.get(each)) for each in range(len(repeats))):
        return None
    accuracies: dict[int, list[float]] = {}
    for place, repeat in enumerate(repeats):
        best = records[place].best_score
        assert best is not None
        accuracies.setdefault(repeat.trial, []).append(best)
    candidates: list[Candidate] = [
        {"trial": trial, **_spread(found)} for trial, found in accuracies.items()
    ]
    # Of equal means the one that the search ranked first.
    winner = max(candidates, key=lambda each: each["mean"])
    return {
        "repeats": len(repeats) // len(candidates),
        "seeds": sorted({repeat.seed for repeat in repeats}),
        "candidates": candidates,
        "winner": winner["trial"],
    }


def folding(winner: TrialRecord, folds: int, seed: int) -> list[Repeat]:
    """The winner on each fold, for as many epochs as it had when it was best.

    No fold chooses its own best epoch, so that none is judged by what it was chosen by.
    """
    hyperparameters = winner.hyperparameters | {"epochs": winner.best_epoch}
    return [Repeat(winner.number, hyperparameters, seed, (each, folds)) for each in range(folds)]


def cross_validation(
    repeats: list[Repeat], records: dict[int, TrialRecord]
) -> CrossValidation | None:
    """What came of `folding`; None if some are missing."""
    if not repeats or any(not _over(records.get(each)) for each in range(len(repeats))):
        return None
    last = [records[each].curve[SCORE][-1] for each in range(len(repeats))]
    return {"folds": len(repeats), **_spread(last)}


def _over(record: TrialRecord | None) -> bool:
    return record is not None and record.status == "finished"


def _spread(accuracies: list[float]) -> Repeated:
    mean, sd = statistics.mean(accuracies), statistics.stdev(accuracies)
    return {"accuracies": accuracies, "mean": mean, "sd": sd}
