"""From Ray Tune to Optuna and back: who proposes trials, and is told what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from tuning.options.choices import OBJECTIVES
from tuning.records.event_log import SCORE
from tuning.scheduling.optuna_private import EXPERIMENT, is_enqueued, set_waiting
from tuning.scheduling.plateau import Plateau
from tuning.scheduling.step import epochs_of
from tuning.scheduling.turns import Turns
from tuning.wording import count

# What a trial reports for each objective, of its best epoch or as a whole.
METRICS = {
    "accuracy": "best_score",  # of the search's metric
    "loss": "best_loss",
    "epoch_seconds": "epoch_seconds",
    "parameters": "parameters",
}


AGAIN = 50  # proposals in a row that were known already, after which there is nothing new


def _key(hyperparameters: dict[str, Any]) -> str:
    return json.dumps(hyperparameters, sort_keys=True, default=str)


@dataclass
class TrialEndings:
    """What became of trials, by their numbers.

    Attributes:
        stopped: The trials that the scheduler stopped early.
        lost: The trials whose worker was lost before it began with them; they are proposed again.
        failed: The reasons why others came to no result.
    """

    stopped: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)


class LeverSearch(Searcher):  # type: ignore[misc]
    """Proposes trials' configurations, see `worker.Worker`, and tells Optuna how each trial ended.

    Ray's own `OptunaSearch` tells an early stop as COMPLETE with the last value, leaves a trial
    RUNNING when telling fails, and keeps its state in a pickle. Here a trial that came to
    its end is COMPLETE with its best epoch's value, one that was stopped is PRUNED (the samplers
    read its intermediate values), one that failed is FAIL with its reason, and one that the end of
    the search cut off is not told. The storage is all the state there is.

    Args:
        study: The study that is asked and told.
        space: The way from an Optuna trial to hyperparameters, `epochs` among them.
        endings: The trials that the scheduler knows more about than Ray Tune tells.
        objectives: Some of `choices.OBJECTIVES`, in the order of the study's directions.
        capacity: The number of trials that may run at once, asked each time; None: as many as Tune
            wants.
        turns: The article's experiments, which come beside what the study proposes.
        patience: The patience of all trials but these, see `Trial.is_over`.
        plateau: The rule that ends the proposals, None where their number is given.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Callable[[Any], dict[str, Any]],
        endings: TrialEndings | None = None,
        objectives: Sequence[str] = ("accuracy",),
        capacity: Callable[[], int] | None = None,
        turns: Turns | None = None,
        patience: int | None = None,
        plateau: Plateau | None = None,
    ) -> None:
        super().__init__(
            metric=METRICS[objectives[0]],
            mode=OBJECTIVES[objectives[0]],
        )
        self._space = space
        self._study = study
        self._trials: dict[str, optuna.Trial] = {}
        self._endings = endings or TrialEndings()
        self._capacity = capacity
        self._turns = turns
        self._live: set[str] = set()
        self._objectives = [METRICS[each] for each in objectives]
        self._patience = patience
        self._known = {
            _key(trial.user_attrs["hyperparameters"]): trial.number
            for trial in study.get_trials(deepcopy=False)
            if "hyperparameters" in trial.user_attrs
        }
        self._exhausted = False
        self._plateau = plateau

    def notes(self) -> list[str]:
        """What ended the proposals before so many trials were made as were asked for."""
        if self._plateau and self._plateau.holds:
            return [self._plateau.note()]
        if not self._is_exhausted():
            return []
        number = count(len(self._known), "configuration")
        if not self._exhausted:
            return [f"The search is over after {number}: every point of the grid was tried."]
        return [
            f"The search is over after {number}: the last {AGAIN} that were proposed are all among "
            "these, and none is trained twice."
        ]

    def _is_over(self) -> bool:
        """Whether nothing is proposed any more."""
        return self._is_exhausted() or bool(self._plateau and self._plateau.holds)

    def _is_exhausted(self) -> bool:
        return self._exhausted or bool(getattr(self._study.sampler, "exhausted", False))

    def _ask(self) -> optuna.Trial | None:
        """A trial whose point is new, or was asked for; None where proposals come again."""
        for _ in range(AGAIN):
            trial = self._study.ask()
            attributes = trial.user_attrs
            if EXPERIMENT in attributes or "hyperparameters" in attributes:
                return trial  # it was interrupted
            hyperparameters = self._space(trial)
            earlier = self._known.setdefault(_key(hyperparameters), trial.number)
            if earlier == trial.number or is_enqueued(trial):
                trial.set_user_attr("hyperparameters", hyperparameters)  # also what is pinned
                return trial
            trial.set_user_attr("from", f"trial {earlier}")  # so that it is none of the run's own
            self._study.tell(trial, state=TrialState.FAIL)
            if self._is_exhausted():
                return None
        self._exhausted = True
        return None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's number and hyperparameters; None while there is no room for it."""
        finished: str = Searcher.FINISHED
        if self._capacity and len(self._live) >= self._capacity():
            return None
        if self._plateau and self._plateau.needs_noise:
            return finished  # the loop measures it and comes back
        over = self._is_over()
        trial = self._turns.next(over) if self._turns else None
        if trial is None and not over:
            trial = self._ask()
            if trial is None and self._turns:
                trial = self._turns.next(exhausted=True)
        if trial is None:
            return finished
        self._trials[trial_id] = trial
        self._live.add(trial_id)
        experiment = trial.user_attrs.get(EXPERIMENT)
        return {
            "number": trial.number,
            "hyperparameters": trial.user_attrs["hyperparameters"],
            "experiment": experiment,
            "patience": None if experiment else self._patience,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Some epochs are over."""
        if len(self._objectives) > 1:
            return  # intermediate values of these are nothing that Optuna knows
        name = SCORE if self._objectives[0] == "best_score" else self._objectives[0]
        for epoch in epochs_of(result):
            self._trials[trial_id].report(epoch[name], epoch["epoch"])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The trial is over."""
        trial = self._trials[trial_id]
        self._live.discard(trial_id)
        if result:
            self.on_trial_result(trial_id, result)  # Tune tells a last epoch only here
        if error and trial.number in self._endings.lost:
            set_waiting(self._study, trial)
        elif error or not result or result.get("failed"):
            reason = result.get("failed") if result else None
            trial.set_user_attr("reason", reason or self._endings.failed.get(trial.number, ""))
            self._study.tell(trial, state=TrialState.FAIL)
        elif result.get("over"):
            self._study.tell(trial, [result[name] for name in self._objectives])
        elif trial.number in self._endings.stopped:
            self._study.tell(trial, state=TrialState.PRUNED)
        # Else the search ended first; the trial goes on when it is resumed.

    def save(self, checkpoint_path: str) -> None:
        """Called by Ray, which wants a file; the storage has it all."""
        open(checkpoint_path, "wb").close()

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a run is resumed from its own files."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its set-up, and a storage's URL may have a password in it


class ListedSearch(Searcher):  # type: ignore[misc]
    """Proposes what it was given, in order.

    Args:
        configs: The trials' configurations, see `worker.Worker.reset_config`.
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
