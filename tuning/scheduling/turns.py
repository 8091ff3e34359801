"""When the article's experiments come, beside the points that are proposed.

The bottleneck experiment costs little and comes second, when there is one result already. The other
two train convolutions for as many epochs as the article did: without a budget they come last, with
one when a quarter of it is left, and get no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from search_spaces.experiments import EXPERIMENTS, Experiment
from tuning.records.facts import Space
from tuning.scheduling import study as studies
from tuning.scheduling.optuna_private import EXPERIMENT, begin_beside, go_on
from tuning.wording import count, duration

EARLY = "bottleneck"
BESIDE = 3  # trials before the first of them, where another backbone than the article's is searched
LATE = 0.25  # share of a budget for the others
FEWEST = 5  # epochs, below which an experiment shows nothing


@dataclass(frozen=True)
class Allowance:
    """What a budget leaves for the experiments that come last.

    Attributes:
        seconds: What one of them may take.
        spent: The share of the budget that is spent by now.
        estimate: About how many seconds a trial of these hyperparameters takes.
    """

    seconds: float
    spent: Callable[[], float]
    estimate: Callable[[dict[str, Any]], float]

    def epochs(self, experiment: Experiment, most: int) -> int:
        """How many of `most` epochs fit into it."""
        for epochs in range(most, 0, -1):
            if self.estimate(experiment.hyperparameters(epochs)) <= self.seconds:
                return epochs
        return 0


@dataclass(frozen=True)
class Turns:
    """The experiments that a run is to have, each when its turn comes.

    Attributes:
        study: The run's study, which has those that have begun.
        experiments: The experiments, in the article's order.
        planned: The number of trials of the run.
        epochs: The epochs of a trial.
        alone: Whether there is nothing else in the run; then all come in order and whole.
        beside: The number of trials that come before the first.
        allowance: What a budget leaves for the last, None without one.
    """

    study: optuna.Study
    experiments: Sequence[Experiment]
    planned: int
    epochs: int
    alone: bool = False
    beside: int = 0
    allowance: Allowance | None = None

    def next(self, exhausted: bool = False) -> optuna.Trial | None:
        """Begins the experiment whose turn it is; None if it is none's.

        Args:
            exhausted: Whether nothing else is left to propose.
        """
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        # One that was interrupted goes on first. Its number is higher than those of the points that
        # wait as well, so whoever asks the study would get it after all of these, if at all.
        for each in waiting:
            if EXPERIMENT in each.user_attrs and (trial := go_on(self.study, each)):
                return trial
        begun = studies.count_begun(self.study)
        if waiting and not begun and not self.alone:
            return None  # the first result is another's
        if begun < self.beside and not exhausted:
            return None
        for experiment in self.to_come():
            early = self.alone or experiment.name == EARLY
            if early or exhausted or self._late(begun):
                epochs = self._epochs(experiment)
                if epochs:
                    attributes = {"hyperparameters": experiment.hyperparameters(epochs)}
                    return begin_beside(self.study, experiment.name, attributes)
        return None

    def to_come(self) -> list[Experiment]:
        """The experiments that have not begun, in the order in which they come."""
        begun = [trial.user_attrs.get(EXPERIMENT) for trial in self._trials()]
        left = [each for each in self.experiments if each.name not in begun]
        return left if self.alone else sorted(left, key=lambda each: each.name != EARLY)

    def notes(self) -> list[str]:
        """What the budget made of them, a sentence each."""
        if self.alone or self.allowance is None:
            return []
        pays = f"a quarter of the budget pays for {duration(self.allowance.seconds)} of it"
        found = []
        for trial in self._trials():
            name = trial.user_attrs.get(EXPERIMENT)
            for each in self.experiments:
                epochs = trial.user_attrs["hyperparameters"]["epochs"] if each.name == name else 0
                if 0 < epochs < self.epochs:
                    found.append(
                        f"The article's experiment “{each.title}” was shortened to {epochs} of "
                        f"{count(self.epochs, 'epoch')}: {pays}."
                    )
        for each in self.to_come():
            if not self._epochs(each):
                takes = duration(self.allowance.estimate(each.hyperparameters(self.epochs)))
                found.append(
                    f"The article's experiment “{each.title}” was left out: it takes about {takes} "
                    f"here, and {pays}, which is less than {FEWEST} epochs."
                )
        return found

    def _late(self, begun: int) -> bool:
        """Whether it is time for those that come last."""
        if self.allowance is not None and self.allowance.spent() >= 1 - LATE:
            return True
        return self.planned - begun <= sum(self._epochs(each) > 0 for each in self.to_come())

    def _epochs(self, experiment: Experiment) -> int:
        """How many it gets; 0: it is left out."""
        if self.alone or self.allowance is None or experiment.name == EARLY:
            return self.epochs
        epochs = self.allowance.epochs(experiment, self.epochs)
        return epochs if epochs >= min(FEWEST, self.epochs) else 0

    def _trials(self) -> list[Any]:
        return self.study.get_trials(deepcopy=False)


def experiments_of(
    study: optuna.Study, chosen: Space | None, alone: Sequence[str] | None
) -> list[Experiment]:
    """The article's experiments that a run is to have.

    Args:
        study: The run's study. Those of earlier versions have them without a mark among their
            trials, and need no more of them.
        chosen: What it chooses from; None: a version began it that did not say.
        alone: The experiments of a run that has nothing else.
    """
    if chosen is None and not all(
        EXPERIMENT in trial.user_attrs for trial in study.get_trials(deepcopy=False)
    ):
        return []
    names = chosen["experiments"] if chosen else alone or ()
    return [each for each in EXPERIMENTS if each.name in names]
