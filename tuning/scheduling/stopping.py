"""What ends a search."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ray import tune

from tuning.options import Options
from tuning.records.trial_log import TrialLog, device_hours

ALIKE = 5  # failures in a row that share a cause


@dataclass
class Failures:
    """Counts failures in a row that share a cause."""

    cause: str = ""
    row: int = 0

    def add(self, reason: str | None) -> None:
        """A trial has ended; `reason` is why it failed, None if it did not."""
        # The same mishap has another number in each trial: a size, an epoch, a process.
        cause = re.sub(r"\d+", "#", reason or "")
        self.row = self.row + 1 if cause and cause == self.cause else bool(cause)
        self.cause = cause


@dataclass
class SearchEnd(tune.Stopper):  # type: ignore[misc]
    """Ends the search as soon as one of its conditions holds.

    Attributes:
        conditions: The tests, each with what it says of itself.
        reason: The word of the first that held.
    """

    conditions: list[tuple[Callable[[], bool], str]]
    reason: str | None = field(default=None)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial ends; that is the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Called by Ray after each result."""
        if self.reason is None:
            self.reason = next((reason for holds, reason in self.conditions if holds()), None)
        return self.reason is not None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its set-up


class Spending:
    """How much of its budgets a search has spent.

    Args:
        options: What the user asked for.
        trial_log: What happened to trials so far, in the sessions before too.
        gpus: The GPUs of a trial.
    """

    def __init__(self, options: Options, trial_log: TrialLog, gpus: float) -> None:
        self._options = options
        self._log = trial_log
        self._gpus = gpus
        self._began = time.monotonic() - trial_log.elapsed

    @property
    def time(self) -> float:
        """The share of the time budget; 0 without one."""
        budget = self._options.time_budget
        return (time.monotonic() - self._began) / budget if budget else 0.0

    @property
    def money(self) -> float:
        """The share of the budget of GPU hours, or of money; 0 without one."""
        if self._options.budget is None:
            return 0.0
        hours = device_hours(self._log.records.values(), self._gpus)
        return hours * (self._options.price or 1.0) / self._options.budget
