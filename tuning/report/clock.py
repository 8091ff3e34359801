"""The run's own time, which stands still while nobody searches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any


class Clock:
    """From a time of day to seconds after the run's start, pauses between its sessions left out.

    Args:
        events: The events of `trials.jsonl`, in order; each has a time `at`, in seconds of Unix.
    """

    def __init__(self, events: Sequence[dict[str, Any]]) -> None:
        resumed = [pair for pair in pairwise(events) if pair[1]["event"] == "session"]
        self.first = min((event["at"] for event in events), default=0.0)
        self.resumed = [after["at"] for _, after in resumed]
        pauses = (after["at"] - before["at"] for before, after in resumed)
        self.lost = list(accumulate(pauses, initial=0.0))

    def __call__(self, at: float) -> float:
        """Seconds of searching until then."""
        return float(at - self.first - self.lost[bisect_right(self.resumed, at)])
