"""Ctrl-C, or SIGTERM, ends a run gently: what is done is still reported."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

BY_USER = "interrupted by the user"  # why a run ended
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # of a person, and of a system that wants its machine
NOTE = "Ending after the epochs that are running; Ctrl-C again leaves at once."


class Interrupt:
    """Whether the user wants the run to end."""

    # No dataclass: until this module is imported, Ctrl-C is a traceback.
    def __init__(self) -> None:
        self.raised = False


@contextmanager
def gentle(tell: Callable[[str], None] = print) -> Iterator[Interrupt]:
    """Raises the flag at the first signal; from the second on it does what it did before.

    Python delivers signals to the main thread alone; elsewhere nothing changes.

    Args:
        tell: The printer of the line that says so.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def first(number: int, frame: FrameType | None) -> None:
        interrupt.raised = True
        back()
        tell(NOTE)

    for number in SIGNALS:
        signal.signal(number, first)
    try:
        yield interrupt
    finally:
        back()


def leave_at_once() -> None:
    """Lets these signals end this process with a line, whatever it is doing.

    A library that is being imported may take a KeyboardInterrupt for a failure of its own, and
    swallow it.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)

    for number in SIGNALS:
        signal.signal(number, leave)
