"""How busy this process's GPU is, as its driver has it."""

from __future__ import annotations

import functools
import os
from typing import Any


def busy() -> float | None:
    """The share of the last moment in which the GPU computed something, anybody's.

    NVML's utilization, over a sixth of a second to a second. None where there is no NVIDIA GPU, or
    NVML's Python package is not installed.
    """
    found = _card()
    if found is None:
        return None
    nvml, handle = found
    try:
        return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except nvml.NVMLError:
        return None


@functools.cache
def _card() -> tuple[Any, Any] | None:
    try:
        import pynvml as nvml
    except ImportError:
        return None
    # Ray gives a worker its GPU by this name: an index, or a UUID.
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    try:
        nvml.nvmlInit()
        if first.isdigit():
            return nvml, nvml.nvmlDeviceGetHandleByIndex(int(first))
        return nvml, nvml.nvmlDeviceGetHandleByUUID(first)
    except nvml.NVMLError:
        return None
