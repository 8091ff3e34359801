"""What every benchmark prints and reads: the machine, tables, photos, weights."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
PHOTOS = SHARED / "data" / "cats_and_dogs"
# Weak but real weights in place of ImageNet's; for preprocessing `imagenet`.
SURROGATE = SHARED / "weights" / "vgg16_surrogate.npz"


def describe() -> str:
    """One line: processor, cores, GPUs, versions."""
    import keras

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0].split(":")[1].strip() if models else name
    gpus = [each for each in keras.distribution.list_devices() if not each.startswith("cpu")]
    backend = keras.backend.backend()
    versions = ", ".join(
        f"{each} {importlib.metadata.version(each)}" for each in ("keras", backend, "numpy")
    )
    return (
        f"{name}, {len(os.sched_getaffinity(0))} cores, GPUs: {', '.join(gpus) or 'none'}; "
        f"Python {platform.python_version()}, {versions}"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with its columns in line, the first to the left."""
    cells = [list(header), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


def _text(cell: object) -> str:
    return (
        f"{cell:.3g}"
        if isinstance(cell, float) and abs(cell) < 100
        else (f"{cell:,.0f}" if isinstance(cell, float) else str(cell))
    )


def interleaved(
    ways: dict[str, Callable[[], object]], rounds: int, *, warm: int = 1
) -> dict[str, float]:
    """Median seconds of each way, the ways taking turns so that noise hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warm + rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if turn >= warm:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}
