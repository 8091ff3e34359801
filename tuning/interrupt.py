"""Ctrl-C ends a run gently: what is done is still reported."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

BY_USER = "interrupted by the user"  # why a run ended
NOTE = "Ending after the epochs that are running; Ctrl-C again leaves at once."


@dataclass
class Interrupt:
    """Whether the user wants the run to end."""

    raised: bool = False


@contextmanager
def gentle() -> Iterator[Interrupt]:
    """Raises the flag at the first SIGINT; from the second on, SIGINT does what it did before."""
    interrupt = Interrupt()
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: FrameType | None) -> None:
        interrupt.raised = True
        signal.signal(signal.SIGINT, before)
        print(f"\n{NOTE}", flush=True)

    signal.signal(signal.SIGINT, first)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
