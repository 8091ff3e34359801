"""How fast the machines are: a large matrix product, as the field has it, disks and copies."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ray
from threadpoolctl import threadpool_limits

from tuning.cluster.resources import Resources
from tuning.features.cost import Rates

SIDES = {"cpu": 1536, "gpu": 4096}  # of the square matrices
SECONDS = 0.3  # of products or copies, after a first one
GAIN = 1.2  # how much quicker a lower precision has to be
BYTES = 32 * 2**20  # of what is written, or copied to a GPU


def measure(share: Resources, folder: Path) -> Rates:
    """The rates of what one trial gets, measured where trials run.

    Args:
        share: What it gets; large matrix products are computed on it, in float32, which is TF32
            on GPUs, and there in bfloat16, too.
        folder: The place where it keeps features; a file is written there, read and removed.
    """
    if share.threads and _alone():
        return _measure(share.threads, folder)  # another process takes seconds to start
    # Its process ends with it, and gives the GPU and the cores back.
    both = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_calls=1)(_measure)
    rates: Rates = ray.get(both.remote(share.threads, folder))
    return rates


def _alone() -> bool:
    """Whether this machine is all there is."""
    nodes = [each["NodeID"] for each in ray.nodes() if each["Alive"]]
    return nodes == [ray.get_runtime_context().get_node_id()]


def _measure(threads: int | None, folder: Path) -> Rates:
    """On the CPU where threads are given, else on the GPU."""
    if threads:
        return Rates(_on_cpu(threads), _disk(folder), "float32")
    precision, rate = _on_gpu()
    return Rates(rate, _disk(folder), precision, _copied())


def _disk(folder: Path) -> float:
    """Bytes/s, of writing until the disk has it and of reading it back."""
    folder.mkdir(parents=True, exist_ok=True)
    content = os.urandom(BYTES)
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        file.read()
        return 2 * BYTES / (time.perf_counter() - began)


def _on_cpu(threads: int) -> float:
    ones = np.ones((SIDES["cpu"],) * 2, np.float32)
    with threadpool_limits(threads):
        return 2.0 * SIDES["cpu"] ** 3 * _a_second(lambda: ones @ ones)


def _on_gpu() -> tuple[str, float]:
    """The precision that is quicker, and its rate: of bfloat16 if the GPU is made for it."""
    tf32, bfloat16 = _product("float32"), _product("bfloat16")
    return ("bfloat16", bfloat16) if bfloat16 > GAIN * tf32 else ("tf32", tf32)


def _product(dtype: str) -> float:
    import keras

    matrix = keras.ops.ones((SIDES["gpu"],) * 2, dtype)
    # A number that is fetched has been computed.
    times = _a_second(lambda: float(keras.ops.matmul(matrix, matrix)[0, 0]))
    return 2.0 * SIDES["gpu"] ** 3 * times


def _copied() -> float:
    """Bytes/s, from the machine's memory into the GPU's."""
    import keras

    content = np.ones(BYTES, np.uint8)
    return BYTES * _a_second(lambda: int(keras.ops.convert_to_tensor(content)[0]))


def _a_second(call: Callable[[], object]) -> float:
    """How often something can be done in a second, after a first time."""
    call()
    began, times = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < SECONDS:
        call()
        times += 1
    return times / passed
