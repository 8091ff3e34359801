"""Ctrl-C ends a run gently: what is done is still reported."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NOTE = "Ending after the epochs that are running; Ctrl-C again leaves at once."


@contextmanager
def gentle() -> Iterator[threading.Event]:
    """Sets the event at the first SIGINT; from the second on, SIGINT does what it did before."""
    event = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: FrameType | None) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)
        print(f"\n{NOTE}", flush=True)

    signal.signal(signal.SIGINT, first)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
