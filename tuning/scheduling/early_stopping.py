"""What ends a trial early."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from tuning.records.event_log import SCORE
from tuning.records.trial_log import TrialRecord
from tuning.scheduling.searcher import TrialEndings
from tuning.scheduling.step import epochs_of

REDUCTION = 3  # of three trials at a rung, one goes on; ASHA's paper uses 3 to 4
FIRST_RUNG = 0.1  # share of a trial's epochs before it may be stopped
BRACKETS = 3  # of HyperBand: first rungs at 1, 3 and 9 times ASHA's


class _Protecting:
    """Stops none of the article's experiments, and remembers which others were stopped or lost.

    Their rates are constant, so that what they have at a rung cannot be compared with what trials
    have there whose rates are about to fall: they do not count at rungs either.
    """

    rungs: frozenset[int] = frozenset()  # epochs after which alone it may stop a trial

    def begin(self) -> None:
        """Called before the first trial."""
        self.endings = TrialEndings()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        if trial.config.get("experiment"):
            return str(TrialScheduler.CONTINUE)
        decision = str(TrialScheduler.CONTINUE)
        for epoch in epochs_of(result):
            if decision != TrialScheduler.STOP:
                decision = super().on_trial_result(tune_controller, trial, epoch)  # type: ignore[misc]
        if decision == TrialScheduler.STOP and not result.get("done"):
            self.endings.stopped.add(trial.config["number"])
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Takes in the last result; a failed trial has none to compare with."""
        if "epoch" in result and not trial.config.get("experiment"):
            super().on_trial_complete(tune_controller, trial, result)  # type: ignore[misc]

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Takes in that a trial has failed."""
        number = trial.config["number"]
        self.endings.failed[number] = _reason(trial)
        # Its machine was lost between two trials. Ray gives it up, since it was not running yet.
        if trial.status == "PENDING":
            self.endings.lost.add(number)
        super().on_trial_error(tune_controller, trial)  # type: ignore[misc]

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Called by Ray, which does not expect that they are known."""
        super().set_search_properties(metric, mode, **spec)  # type: ignore[misc]
        return True

    def replay(self, records: list[TrialRecord]) -> None:
        """Takes in the trials of a run that is resumed."""
        self.set_search_properties("best_score", "max")
        for record in records:
            if record.experiment:
                continue
            trial = _Earlier(record)
            self.on_trial_add(None, trial)  # type: ignore[attr-defined]
            best = 0.0
            for epoch, score in enumerate(record.curve[SCORE], 1):
                best = max(best, score)
                result = {"epoch": epoch, "best_score": best, "done": True}
                super().on_trial_result(None, trial, result)  # type: ignore[misc]


def _reason(trial: Any) -> str:
    """The last line of what went wrong, without traceback and module."""
    text = Path(trial.error_file).read_text() if trial.error_file else ""
    if "ActorDied" in text or "is unavailable" in text or not text.strip():
        return "its process or its machine died"
    last = next(line for line in reversed(text.split("\n")) if line.strip())
    return re.sub(r"^([\w.]+\.)?((Trial|User)Error: )?", "", last.strip())


class _Earlier:
    def __init__(self, record: TrialRecord) -> None:
        self.trial_id = f"earlier-{record.number}"


class Halving(_Protecting, AsyncHyperBandScheduler):  # type: ignore[misc]
    """Asynchronous successive halving; with several brackets, asynchronous HyperBand.

    Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020,
    https://arxiv.org/abs/1810.05934).
    """


class Median(_Protecting, MedianStoppingRule):  # type: ignore[misc]
    """Stops a trial whose best is worse than the median of the others' means so far.

    Golovin et al., "Google Vizier" (KDD 2017). Ray's pauses a trial where there is too little to
    compare with; here it goes on.
    """

    def _on_insufficient_samples(self, tune_controller: Any, trial: Any, time: float) -> str:
        return str(TrialScheduler.CONTINUE)


class Patient(_Protecting, FIFOScheduler):  # type: ignore[misc]
    """Stops no trial."""

    def replay(self, records: list[TrialRecord]) -> None:
        """There is nothing to take in."""


def rungs(first: int, epochs: int) -> Iterator[int]:
    """The epochs at which halving looks at trials, in any of its brackets."""
    while first <= epochs:
        yield first
        first *= REDUCTION


def build_scheduler(kind: str, epochs: int) -> Halving | Median | Patient:
    """The scheduler of a name in `choices.SCHEDULERS`.

    Args:
        kind: The scheduler's name.
        epochs: The epochs of a trial that is not stopped.
    """
    first = max(1, round(FIRST_RUNG * epochs))
    found: Halving | Median | Patient
    if kind in ("asha", "hyperband"):
        found = Halving(
            time_attr="epoch",
            max_t=epochs,
            grace_period=first,
            reduction_factor=REDUCTION,
            brackets=BRACKETS if kind == "hyperband" else 1,
        )
        found.rungs = frozenset(rungs(first, epochs))
    elif kind == "median":
        found = Median(time_attr="epoch", grace_period=first)
    else:
        found = Patient()
    found.begin()
    return found
