"""What a run changes in its process, and puts back."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tuning.process.native_output import native_output
from tuning.wording import visible

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # the last is Ray Tune's


@contextmanager
def quietly(tell: Callable[[str], None], native: Path) -> Iterator[None]:
    """In this context nothing is said but what this project says; all that changes is put back.

    Args:
        tell: The printer of each line that this project's loggers have for the user.
        native: The file that the lines of native code are appended to.
    """
    with put_back(), native_output(native):
        warnings.simplefilter("ignore")  # of libraries, to each other's authors
        logger = logging.getLogger("tuning")
        logger.addHandler(_Teller(tell))
        logger.setLevel(logging.INFO)
        yield


class _Teller(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        line = visible(record.getMessage())
        self.tell(f"warning: {line}" if record.levelno >= logging.WARNING else line)


@contextmanager
def put_back() -> Iterator[None]:
    """Puts back, at the end, what a run changes in its process.

    That is environment, warnings, loggers, signal handlers, exception hook, the path of modules.
    """
    environment, hook, path = dict(os.environ), sys.excepthook, list(sys.path)
    loggers = {each: (each.level, each.disabled, list(each.handlers)) for each in _loggers()}
    signals = {}
    if threading.current_thread() is threading.main_thread():
        signals = {each: signal.getsignal(each) for each in SIGNALS}
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        sys.excepthook = hook
        sys.path[:] = path
        for each, (level, disabled, handlers) in loggers.items():
            each.setLevel(level)
            each.disabled, each.handlers = disabled, handlers
        for number, handler in signals.items():
            if handler is not None:
                signal.signal(number, handler)


def _loggers() -> list[logging.Logger]:
    # Those that a run sets are made here, lest it leave them changed.
    for name in ("ray", "optuna", "tensorflow", "mlflow", "absl", "tuning"):
        logging.getLogger(name)
    known = logging.root.manager.loggerDict.values()
    return [logging.root, *(each for each in known if isinstance(each, logging.Logger))]
