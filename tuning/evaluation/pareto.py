"""Trials between several objectives: the Pareto front."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import optuna

from tuning.options.choices import OBJECTIVES
from tuning.records.facts import Front


def pareto_front(
    study: optuna.Study, objectives: Sequence[str], numbers: Collection[int]
) -> Front | None:
    """The trials of a study that no other beats, as the report tells them.

    A trial beats another that is better in no objective and worse in at least one.

    Args:
        study: The study, with the objectives' values of each trial that ran to its end.
        objectives: Some of `choices.OBJECTIVES`, in the study's order.
        numbers: The run's own trials; a study may begin with those of another run.

    Returns:
        None where there is one objective only, or no trial ran to its end.
    """
    states = (optuna.trial.TrialState.COMPLETE,)
    over = {
        trial.number: trial.values
        for trial in study.get_trials(deepcopy=False, states=states)
        if trial.number in numbers
    }
    if len(objectives) < 2 or not over:
        return None
    signs = [1 if OBJECTIVES[name] == "max" else -1 for name in objectives]
    gains = {
        number: [sign * value for sign, value in zip(signs, values, strict=True)]
        for number, values in over.items()
    }
    return {
        "objectives": list(objectives),
        "directions": ["max" if sign > 0 else "min" for sign in signs],
        "values": {str(number): list(values) for number, values in over.items()},
        "best": [
            number
            for number, mine in gains.items()
            if not any(_beats(other, mine) for other in gains.values())
        ],
    }


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
