"""What the trials say of each lever."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuning import wording
from tuning.records.facts import Facts, Trial
from tuning.report import story

METHODS = {"fanova": "fANOVA", "ped_anova": "PED-ANOVA"}
FEWEST = 10  # trials, below which a lever's part cannot be told from chance
FEW_VALUES = 8  # of a number, up to which it is told like a choice
SMALL = 0.02  # below it, numbers are rates and penalties, of which only ratios matter
FEW = 20  # trials, below which it is a hint


@dataclass(frozen=True)
class Lever:
    """A hyperparameter that differs between trials.

    Attributes:
        name: The hyperparameter's name in trials.
        trials: The trials that have it, and an accuracy.
        numeric: Whether its values have an order and distances.
        log: Whether its values span so much that only their ratios matter.
        values: Its different values, in order; those of a choice with the best median first.
        medians: Median accuracy by value; empty where there are too many values for that.
    """

    name: str
    trials: Sequence[Trial]
    numeric: bool
    log: bool
    values: Sequence[Any]
    medians: Mapping[Any, float]

    @property
    def label(self) -> str:
        """The name as people read it."""
        return wording.label(self.name)

    @property
    def summary(self) -> str:
        """The slice in words."""
        if self.medians:
            medians = self.medians.items()
            parts = [
                f"{wording.value(value)} {wording.percent(median)}" for value, median in medians
            ]
            return f"medians: {', '.join(parts)}"
        top = max(self.trials, key=lambda trial: trial["best_accuracy"] or 0.0)
        ends = f"{wording.value(self.values[0])} to {wording.value(self.values[-1])}"
        return (
            f"from {ends}; the highest, {wording.percent(top['best_accuracy'])}, at "
            f"{wording.value(top['hyperparameters'][self.name])}"
        )


def proposed(facts: Facts) -> list[Trial]:
    """Trials with an accuracy; the article's experiments are on another recipe than these."""
    return [
        trial
        for trial in facts["trials"]
        if trial["best_accuracy"] is not None and trial["experiment"] is None
    ]


def enough(facts: Facts) -> bool:
    """Whether there are trials enough to say anything about levers."""
    return len(proposed(facts)) >= FEWEST


def caution(facts: Facts) -> list[str]:
    """What to keep in mind when there are few trials, a sentence each."""
    number = len(proposed(facts))
    scored = sum(trial["best_accuracy"] is not None for trial in facts["trials"])
    besides = " besides the article's experiments" if scored > number else ""
    if not number:
        return [f"No trial{besides} came to an accuracy, so there is nothing to compare."]
    if number < FEWEST:
        return [
            f"{wording.count(number, 'trial')} with an accuracy{besides} cannot tell a lever's "
            f"part from chance; from {FEWEST} on, figures appear here."
        ]
    notes = [f"{number} trials are few: take this chapter as a hint."] if number < FEW else []
    found = facts["importances"]
    finished = sum(trial["status"] == "finished" for trial in proposed(facts))
    if found is None and finished < FEWEST and not facts["run"]["running"]:
        notes.append(
            f"Importances want {FEWEST} trials that ran to their end, but there are {finished}."
        )
    if found is not None and number >= FEW > found["trials"]:
        notes.append(
            f"The importances rest on the {found['trials']} trials that ran to their end, which "
            "are few: take them as a hint."
        )
    return notes


def levers(facts: Facts) -> list[Lever]:
    """Hyperparameters that differ between trials with an accuracy, the most important first."""
    scored = proposed(facts)
    names = story.hyperparameter_names(scored)
    found = [_lever(name, scored) for name in names if name not in story.constants(scored)]
    ranked = by_importance(facts)
    order = {name: place for place, name in enumerate(ranked)}
    several = [lever for lever in found if len(lever.values) > 1]
    return sorted(several, key=lambda lever: order.get(lever.name, len(order)))


def by_importance(facts: Facts) -> list[str]:
    """Names of the levers that have an importance, by the mean over the methods."""
    methods = facts["importances"]["methods"].values() if facts["importances"] else ()
    names = dict.fromkeys(name for shares in methods for name in shares)
    return sorted(names, key=lambda name: -sum(shares.get(name, 0.0) for shares in methods))


def _lever(name: str, scored: Sequence[Trial]) -> Lever:
    trials = [trial for trial in scored if trial["hyperparameters"].get(name) is not None]
    values = [trial["hyperparameters"][name] for trial in trials]
    groups: dict[Any, list[float]] = {}
    for trial, value in zip(trials, values, strict=True):
        groups.setdefault(value, []).append(trial["best_accuracy"] or 0.0)
    medians = {value: statistics.median(groups[value]) for value in groups}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        few = len(medians) <= FEW_VALUES and len(values) >= 2 * len(medians)
        ranked = {value: medians[value] for value in sorted(medians)}
        return Lever(name, trials, True, _is_log(values), list(ranked), ranked if few else {})
    best_first = sorted(medians, key=lambda value: -medians[value])
    return Lever(name, trials, False, False, best_first, {v: medians[v] for v in best_first})


def _is_log(values: Sequence[float]) -> bool:
    """Whether a linear axis would heap most values up at its lower end, as rates are."""
    low, high = min(values, default=0), max(values, default=0)
    if low <= 0 or high < 5 * low:
        return False
    heaped = statistics.median(values) < low + (high - low) / 5
    return high < SMALL or high >= 1000 * low or (heaped and high >= 20 * low)
