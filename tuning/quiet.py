"""Keeps the lines of TensorFlow's native code away from the user's terminal."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path


def import_keras(log: Path) -> None:
    """Imports Keras; what native code writes to stderr from now on goes to a file instead.

    TensorFlow and Ray print dozens of lines about a machine without GPU, and real messages drown
    in them. Python's own stderr stays where it was.

    Args:
        log: The file that such lines are appended to.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # This process may share a GPU with trials, of which both frameworks would take all memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 2)
    os.close(file)
    import keras  # noqa: F401

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
