"""Keeps a process to its share of a machine's cores."""

from __future__ import annotations

import fcntl
import os
import tempfile
from io import BufferedRandom
from pathlib import Path

_held: list[BufferedRandom] = []  # cores of this process, until it ends


def bind(cpus: int) -> None:
    """Gives this process as many threads as it has cores, and, where there are enough, cores.

    Two processes with a thread a core each would otherwise share one core now and then while the
    other idles. Call it before TensorFlow or JAX is imported; later calls change nothing.

    Args:
        cpus: The process' share.
    """
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(cpus)
    if _held or not hasattr(os, "sched_setaffinity"):
        return  # macOS has no such call
    folder = Path(tempfile.gettempdir()) / f"little-data-tuner-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    cores = []
    for core in sorted(os.sched_getaffinity(0)):
        # The operating system frees the locks of a process that dies.
        lock = (folder / f"core-{core}.lock").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        cores.append(core)
        if len(cores) == cpus:
            os.sched_setaffinity(0, cores)
            return
    for lock in _held:
        lock.close()
    _held.clear()
