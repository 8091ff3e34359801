"""Ray's OptunaSearch, telling Optuna what really happened."""

from __future__ import annotations

from typing import Any

from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch


class LeverSearch(OptunaSearch):  # type: ignore[misc]
    """Proposes `{"number", "hyperparameters"}` and tells Optuna how each trial ended.

    Ray's own tells an early stop as COMPLETE with the last value, and leaves a trial RUNNING when
    telling fails. Here a trial that ran all its epochs is COMPLETE with its best epoch's value,
    one that was stopped is PRUNED (the samplers read its intermediate values), all others FAIL.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._epochs: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial's number and hyperparameters."""
        hyperparameters = super().suggest(trial_id)
        if hyperparameters is None:
            return None
        self._epochs[trial_id] = hyperparameters["epochs"]
        return {"number": self._ot_trials[trial_id].number, "hyperparameters": hyperparameters}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch is over."""
        trial = self._ot_trials[trial_id]
        trial.report(result["validation_accuracy"], result["training_iteration"])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The trial is over."""
        trial = self._ot_trials[trial_id]
        if result and "validation_accuracy" in result:
            self.on_trial_result(trial_id, result)  # Tune tells a last epoch only here
        if error or not result or "best_accuracy" not in result:
            self._ot_study.tell(trial, state=TrialState.FAIL)
        elif result["training_iteration"] >= self._epochs[trial_id]:
            self._ot_study.tell(trial, result["best_accuracy"])
        else:
            self._ot_study.tell(trial, state=TrialState.PRUNED)

    def close(self) -> None:
        """Trials that the end of the search cut off are no longer running."""
        for trial in self._ot_study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._ot_study.tell(trial.number, state=TrialState.FAIL)
