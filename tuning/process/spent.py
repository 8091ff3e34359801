"""What a process spends its time on.

The clock of a worker that runs trials. Work on a device is over when its result is here, since what
is measured ends with reading numbers; so seconds of training are the device's, and what Python does
around it is seen for what it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

WORK = ("building", "training", "evaluating")  # in which the device computes what was asked for
KINDS = (*WORK, "compiling", "waiting", "other")


class Clock:
    """Seconds by what they went into; what is measured inside something else counts for itself."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(KINDS, 0.0)
        self._inside: list[float] = []  # seconds of what is already counted, by context

    @contextmanager
    def on(self, kind: str) -> Iterator[None]:
        """Counts the time in this context.

        Args:
            kind: One of `KINDS`.
        """
        began = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            inside = self._inside.pop()
            self.add(kind, time.perf_counter() - began - inside, inside)

    def add(self, kind: str, seconds: float, counted: float = 0.0) -> None:
        """Counts seconds that have just passed.

        Args:
            kind: One of `KINDS`.
            seconds: Its seconds.
            counted: Seconds of others that passed meanwhile, and are counted.
        """
        self._seconds[kind] += max(0.0, seconds)
        if self._inside:
            self._inside[-1] += seconds + counted

    def take(self) -> dict[str, float]:
        """What was counted since it was last asked for."""
        taken, self._seconds = self._seconds, dict.fromkeys(KINDS, 0.0)
        return taken


clock = Clock()  # this process's
