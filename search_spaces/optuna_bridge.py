"""Lets an Optuna trial answer KerasTuner's hyperparameters.

A space declared once with `keras_tuner.HyperParameters` can so be searched by any Optuna sampler.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import keras_tuner
import optuna
from keras_tuner.engine import hyperparameters as kinds


class OptunaHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """HyperParameters whose values an Optuna trial suggests, each when first asked for.

    Only active hyperparameters are asked for, so a conditional one exists in the Optuna trial
    only where it matters. `trial.params` holds the values themselves under KerasTuner's names,
    so that points can be enqueued by value.

    Args:
        trial: The Optuna trial (or Ray Tune's stand-in for it) that is asked.
    """

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self._trial = trial

    def _retrieve(self, hp: kinds.HyperParameter) -> Any:
        if hp.name not in self.values and self._conditions_are_active(hp.conditions):
            self.values[hp.name] = suggest(self._trial, hp)
        return super()._retrieve(hp)


def suggest(trial: optuna.Trial, hp: kinds.HyperParameter) -> Any:
    """The trial's value for one hyperparameter.

    Raises:
        ValueError: If the hyperparameter is of a kind or sampling that has no counterpart.
    """
    if isinstance(hp, kinds.Fixed):
        return hp.value
    if isinstance(hp, kinds.Boolean):
        return trial.suggest_categorical(hp.name, [False, True])
    if isinstance(hp, kinds.Choice):
        return trial.suggest_categorical(hp.name, list(hp.values))
    if isinstance(hp, (kinds.Int, kinds.Float)):
        if hp.sampling == "log" and hp.step is not None:
            # Optuna knows no logarithmic steps: the grid's points become a choice.
            number = int if isinstance(hp, kinds.Int) else float
            return trial.suggest_categorical(hp.name, [number(value) for value in hp.values])
        if hp.sampling in ("linear", "log"):
            log = hp.sampling == "log"
            if isinstance(hp, kinds.Int):
                step = 1 if log else hp.step
                last = hp.max_value - (hp.max_value - hp.min_value) % step
                return trial.suggest_int(hp.name, hp.min_value, last, step=step, log=log)
            return trial.suggest_float(hp.name, hp.min_value, _last(hp), step=hp.step, log=log)
        raise ValueError(
            f"The sampling of {hp.name!r} is {hp.sampling!r}, but must be linear or log."
        )
    raise ValueError(f"The kind of {hp.name!r} is {type(hp).__name__}, which Optuna cannot answer.")


def _last(hp: kinds.Float) -> float:
    """The greatest value that linear steps reach; Optuna warns of a rest in every trial."""
    if hp.step is None:
        return float(hp.max_value)
    # In decimals, since in binary 1.0 is less than ten steps of 0.1.
    span, step = Decimal(str(hp.max_value)) - Decimal(str(hp.min_value)), Decimal(str(hp.step))
    return float(Decimal(str(hp.max_value)) - span % step)
