"""Imports Keras without the lines that TensorFlow's native code prints while it loads."""

from __future__ import annotations

import os
import sys


def import_keras() -> None:
    """Imports Keras and its backend, silently unless that fails.

    TensorFlow writes to the process's stderr before any setting of it is read, and real messages
    drown in that. Errors are raised as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
