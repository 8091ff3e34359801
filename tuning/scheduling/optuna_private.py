"""The one place that touches what is private in Optuna (5.0).

That is `Study._storage`, which samplers and evaluators ask for trials, `Trial._trial_id`, that a
copied study has a cache of its own, and what tells trials that were enqueued: `Trial._fixed_params`
and the system attribute `fixed_params`.
"""

from __future__ import annotations

import copy
from typing import Any

import optuna
from optuna.trial import BaseTrial, FrozenTrial, TrialState

EXPERIMENT = "experiment"  # attribute of trials that are none of the sampler's: the experiment


def set_waiting(study: optuna.Study, trial: BaseTrial | FrozenTrial) -> None:
    """Lets a trial that runs no longer wait to be asked for again; it keeps its values."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)  # type: ignore[union-attr]


def go_on(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial | None:
    """A trial that waits, as if it had been asked for; None if somebody else was quicker."""
    storage, number = study._storage, trial._trial_id
    if not storage.set_trial_state_values(number, TrialState.RUNNING):
        return None
    return optuna.Trial(study, number)


def is_enqueued(trial: optuna.Trial) -> bool:
    """Whether a trial's point was asked for, and not proposed by the sampler."""
    return bool(trial._fixed_params)


def was_enqueued(trial: FrozenTrial) -> bool:
    """The same of a trial that is over."""
    return "fixed_params" in trial.system_attrs


def begin_beside(study: optuna.Study, name: str, attributes: dict[str, Any]) -> optuna.Trial:
    """A trial of a study that nobody proposed, as if it had been asked for.

    Args:
        study: The study.
        name: The experiment; its hyperparameters are the trial's parameters behind this prefix.
        attributes: The trial's, `hyperparameters` among them.
    """
    values = {f"{name}/{key}": value for key, value in attributes["hyperparameters"].items()}
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=values,
            distributions={
                key: optuna.distributions.CategoricalDistribution((value,))
                for key, value in values.items()
            },
            user_attrs={**attributes, EXPERIMENT: name},
        )
    )
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return optuna.Trial(study, max(running, key=lambda trial: trial.number)._trial_id)


def proposed(study: optuna.Study) -> optuna.Study:
    """The study without the article's experiments: what samplers and evaluators may see of it.

    The experiments are on another recipe than what is searched. The best of them would draw a
    sampler to where this recipe is good, and their parameters would leave it none in common.
    """
    seen = copy.copy(study)
    seen._storage = _Proposed(study._storage)  # type: ignore[assignment]
    return seen


class _Proposed:
    """A storage whose trials are the proposed ones alone."""

    def __init__(self, storage: optuna.storages.BaseStorage) -> None:
        self._whole = storage

    def get_all_trials(self, *args: Any, **options: Any) -> list[FrozenTrial]:
        found = self._whole.get_all_trials(*args, **options)
        return [trial for trial in found if EXPERIMENT not in trial.user_attrs]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)
