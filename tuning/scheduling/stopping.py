"""What ends a search."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ray import tune

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


def deadline(seconds: float | None) -> Callable[[], bool]:
    """Whether so many seconds have passed since now."""
    end = time.monotonic() + (float("inf") if seconds is None else seconds)
    return lambda: time.monotonic() > end
