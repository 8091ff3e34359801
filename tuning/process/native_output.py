"""Keeps the lines of TensorFlow's and Ray's native code away from the user's terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tuning.errors import UserError


@contextmanager
def native_output(log: Path) -> Iterator[None]:
    """In this context, what native code writes to stderr goes to a file instead.

    TensorFlow and Ray print dozens of lines about a machine without GPU, and real messages drown
    in them. Python's own stderr stays where it was.

    Args:
        log: The file that such lines are appended to.
    """
    restore = redirect(log)
    try:
        yield
    finally:
        restore()


def redirect(log: Path) -> Callable[[], None]:
    """Redirects descriptor 2 to a file, which is appended to; returns what puts it back."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise UserError(
            f"The folder {log.parent} cannot be written: {error.strerror}; give another --cache."
        ) from None
    kept, python = os.dup(2), sys.stderr
    python.flush()
    if _writes_to_2(python):
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(file, 2)
    os.close(file)

    def restore() -> None:
        os.dup2(kept, 2)
        os.close(kept)
        if sys.stderr is not python:
            sys.stderr.close()
            sys.stderr = python

    return restore


def _writes_to_2(stream: object) -> bool:
    try:
        return bool(stream.fileno() == 2)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False  # a notebook's, or a test's
