"""Lets an Optuna trial answer KerasTuner's hyperparameters.

A space declared once with `keras_tuner.HyperParameters` can so be searched by any Optuna sampler.
The trial's parameters have KerasTuner's names and values, with two exceptions:

- `sampling="reverse_log"` has no counterpart, so the mirrored value is asked for on a logarithmic
  scale, under a name that says how to mirror it back: `1.899 - momentum` for `momentum` from 0.9
  to 0.999.
- Optuna knows a name once. A hyperparameter that has other choices under other conditions carries
  its condition: `units (kind=large)`.

What has one value only is not asked for. `asked` turns a point into such parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import keras_tuner
import optuna
from keras_tuner.engine import hyperparameters as kinds
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from search_spaces.answers import Answers
from search_spaces.constraints import WHOLE, ConstraintError, Constraints
from search_spaces.domain import Domain, Values, written
from search_spaces.points import Given


class OptunaHyperParameters(Answers):
    """HyperParameters whose values an Optuna trial suggests, each when first asked for.

    Only active hyperparameters are asked for, so a conditional one exists in the Optuna trial
    only where it matters.

    Args:
        trial: The Optuna trial (or Ray Tune's stand-in for it) that is asked.
        constraints: What the space is narrowed to.
    """

    def __init__(self, trial: optuna.Trial, constraints: Constraints = WHOLE) -> None:
        super().__init__()
        self._trial = trial
        self.constraints = constraints

    def answer(self, hp: kinds.HyperParameter) -> Any:
        """What the trial suggests.

        Raises:
            ConstraintError: If the trial was enqueued with a value outside, which Optuna lets pass.
        """
        domain = self.constraints.domain(hp)
        if domain.single:
            return domain.first
        name = _name(hp, domain, self)
        suggested = _suggest(self._trial, name, _distribution(domain))
        try:
            return domain.own(_mirrored(domain, suggested))
        except ValueError:
            raise ConstraintError(f"{name}={suggested}: {hp.name} is {domain}") from None


class _Recorder(Given):
    """Answers from a point, and keeps what an Optuna trial would have been asked."""

    def __init__(self, point: Mapping[str, Any], constraints: Constraints) -> None:
        super().__init__(point, constraints)
        self.asked: dict[str, tuple[Any, BaseDistribution]] = {}

    def answer(self, hp: kinds.HyperParameter) -> Any:
        value = super().answer(hp)
        domain = self.constraints.domain(hp)
        if not domain.single:
            pair = _mirrored(domain, value), _distribution(domain)
            self.asked[_name(hp, domain, self)] = pair
        return value


def asked(
    space: Callable[[keras_tuner.HyperParameters], Any],
    point: Mapping[str, Any],
    constraints: Constraints = WHOLE,
) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """A point as an Optuna trial holds it.

    Args:
        space: The function that asks for the hyperparameters of one trial.
        point: Hyperparameters, those of `OptunaHyperParameters.values`; defaults stand for others.
        constraints: What the space is narrowed to.

    Returns:
        Parameters, as `Study.enqueue_trial` takes them, and their distributions, as
        `optuna.trial.create_trial` takes both.

    Raises:
        ConstraintError: If a value lies outside.
    """
    recorder = _Recorder(point, constraints)
    space(recorder)
    parameters = {name: value for name, (value, _) in recorder.asked.items()}
    return parameters, {name: kind for name, (_, kind) in recorder.asked.items()}


def to_hyperparameters(values: Mapping[str, Any]) -> keras_tuner.HyperParameters:
    """KerasTuner's own HyperParameters of these values, for `HyperModel.build`."""
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return hp


def _name(hp: kinds.HyperParameter, domain: Domain, answers: OptunaHyperParameters | Given) -> str:
    """What a hyperparameter is called in the Optuna trial."""
    name = str(hp.name)
    if not isinstance(domain, Values) and domain.mirror is not None:
        # Of the ends as they are written, so that the name has no rounding error.
        total = Decimal(str(hp.min_value)) + Decimal(str(hp.max_value))
        name = f"{total.normalize():f} - {name}"
    for other in answers.declared(hp.name)[:1]:
        if other.conditions != hp.conditions and not _compatible(
            other, domain, answers.constraints
        ):
            where = [f"{c.name}={'|'.join(map(written, c.values))}" for c in hp.conditions]
            name = f"{name} ({', '.join(where)})" if where else name
    return name


def _compatible(other: kinds.HyperParameter, domain: Domain, constraints: Constraints) -> bool:
    """Whether Optuna lets two hyperparameters have one name."""
    try:
        old = constraints.domain(other)
        if old.single or getattr(old, "mirror", None) != getattr(domain, "mirror", None):
            return True  # it is not asked for, or has another name by itself
        check_distribution_compatibility(_distribution(old), _distribution(domain))
    except ConstraintError:
        return True  # it is never active
    except ValueError:
        return False
    return True


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Values):
        return CategoricalDistribution(domain.options)
    low, high = domain.low, domain.high
    if domain.mirror is not None:
        low, high = domain.mirror - high, domain.mirror - low
    if domain.whole:
        return IntDistribution(int(low), int(high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(low, high, log=domain.log, step=domain.step)


def _mirrored(domain: Domain, value: Any) -> Any:
    """The value that is asked for, of a hyperparameter's value; or back."""
    mirror = None if isinstance(domain, Values) else domain.mirror
    return value if mirror is None else mirror - value


def _suggest(trial: optuna.Trial, name: str, kind: BaseDistribution) -> Any:
    if isinstance(kind, CategoricalDistribution):
        return trial.suggest_categorical(name, kind.choices)
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
    assert isinstance(kind, FloatDistribution)
    return trial.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)
