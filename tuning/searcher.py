"""Ray's OptunaSearch, telling Optuna what really happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from tuning.choices import OBJECTIVES

# What a trial reports for each objective, of its best epoch or as a whole.
METRICS = {
    "accuracy": "best_accuracy",
    "loss": "best_loss",
    "epoch_seconds": "epoch_seconds",
    "parameters": "parameters",
}


@dataclass
class Fates:
    """What became of trials, by their numbers.

    Attributes:
        stopped: Those that the scheduler stopped early.
        lost: Those whose worker was lost before it began with them; they are proposed again.
        failed: Why others came to no result.
    """

    stopped: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)


class LeverSearch(OptunaSearch):  # type: ignore[misc]
    """Proposes `{"number", "hyperparameters"}` and tells Optuna how each trial ended.

    Ray's own tells an early stop as COMPLETE with the last value, leaves a trial RUNNING when
    telling fails, and keeps its state in a pickle. Here a trial that ran all its epochs is COMPLETE
    with its best epoch's value, one that was stopped is PRUNED (the samplers read its intermediate
    values), one that failed is FAIL with its reason, and one that the end of the search cut off is
    not told. The storage is all the state there is.

    Args:
        study: That is asked and told.
        space: From an Optuna trial to hyperparameters, `epochs` among them.
        fates: Of the trials that the scheduler knows more about than Ray Tune tells.
        objectives: Of `choices.OBJECTIVES`, in the order of the study's directions.
        room: How many trials may run at once; asked each time. None: as many as Tune wants.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Callable[[Any], dict[str, Any]],
        fates: Fates | None = None,
        objectives: Sequence[str] = ("accuracy",),
        room: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(
            metric=METRICS[objectives[0]],
            mode=OBJECTIVES[objectives[0]],
        )
        self._space = space
        self._ot_study = study
        self._fates = fates or Fates()
        self._room = room
        self._live: set[str] = set()
        self._objectives = [METRICS[each] for each in objectives]
        self._epochs: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's number and hyperparameters; None while there is no room for it."""
        if self._room and len(self._live) >= self._room():
            return None
        if getattr(self._ot_study.sampler, "exhausted", False):
            finished: str = Searcher.FINISHED
            return finished
        # Ray's own takes Optuna's names apart at each slash and mixes them with ours.
        trial = self._ot_study.ask()
        self._ot_trials[trial_id] = trial
        self._live.add(trial_id)
        hyperparameters = self._space(trial)
        trial.set_user_attr("hyperparameters", hyperparameters)  # also those that are pinned
        self._epochs[trial_id] = hyperparameters["epochs"]
        return {"number": trial.number, "hyperparameters": hyperparameters}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch is over."""
        if len(self._objectives) == 1 and "epoch" in result:
            # Intermediate values of several objectives are nothing that Optuna knows.
            value = result["validation_accuracy"]
            if self._objectives[0] != "best_accuracy":
                value = result[self._objectives[0]]
            self._ot_trials[trial_id].report(value, result["epoch"])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The trial is over."""
        trial = self._ot_trials[trial_id]
        self._live.discard(trial_id)
        if result:
            self.on_trial_result(trial_id, result)  # Tune tells a last epoch only here
        if error and trial.number in self._fates.lost:
            self._ot_study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        elif error or not result or result.get("failed"):
            reason = result.get("failed") if result else None
            trial.set_user_attr("reason", reason or self._fates.failed.get(trial.number, ""))
            self._ot_study.tell(trial, state=TrialState.FAIL)
        elif result["epoch"] >= self._epochs[trial_id]:
            self._ot_study.tell(trial, [result[name] for name in self._objectives])
        elif trial.number in self._fates.stopped:
            self._ot_study.tell(trial, state=TrialState.PRUNED)
        # Else the search ended first; the trial goes on when it is resumed.

    def save(self, checkpoint_path: str) -> None:
        """Called by Ray, which wants a file; the storage has it all."""
        open(checkpoint_path, "wb").close()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its set-up, and a storage's URL may have a password in it


class Given(Searcher):  # type: ignore[misc]
    """Proposes what it was given, in order.

    Args:
        configs: Of the trials.
    """

    def __init__(self, configs: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.configs = list(configs)

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next one."""
        if not self.configs:
            finished: str = Searcher.FINISHED
            return finished
        return self.configs.pop(0)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """There is nothing to learn."""

    def save(self, checkpoint_path: str) -> None:
        """Called by Ray, which wants a file."""
        open(checkpoint_path, "wb").close()

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a run is resumed from its own files."""
