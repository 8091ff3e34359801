"""Keeps the lines of TensorFlow's and Ray's native code away from the user's terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tuning.errors import UserError, one_line

BACKENDS = ("tensorflow", "jax")


@contextmanager
def native_output(log: Path) -> Iterator[None]:
    """In this context, what native code writes to stderr goes to a file instead.

    TensorFlow and Ray print dozens of lines about a machine without GPU, and real messages drown
    in them. Python's own stderr stays where it was.

    Args:
        log: The file that such lines are appended to.
    """
    restore = _redirect(log)
    try:
        yield
    finally:
        restore()


def import_keras(log: Path | None = None) -> None:
    """Imports Keras.

    Args:
        log: The file that native lines are appended to until the process ends; None: they stay.

    Raises:
        UserError: If its backend is none that this project trains with, or is not installed.
    """
    if log is not None:
        _redirect(log)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # This process may share a GPU with trials, of which both frameworks would take all memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        import keras
    except (ImportError, ValueError) as error:  # of a backend that there is not, or is not here
        chosen = os.environ.get("KERAS_BACKEND", "")
        raise UserError(
            f"Keras cannot be imported ({one_line(error)}); KERAS_BACKEND is {chosen!r}, and may "
            f"be {' or '.join(BACKENDS)}."
        ) from None
    if (backend := keras.backend.backend()) not in BACKENDS:
        raise UserError(
            f"Keras' backend is {backend}, but this project trains with {' or '.join(BACKENDS)}: "
            "set KERAS_BACKEND, or leave it to ~/.keras/keras.json."
        )
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _redirect(log: Path) -> Callable[[], None]:
    """Redirects descriptor 2; returns what puts it back."""
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
