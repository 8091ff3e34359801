"""How fast the machines compute, by the measure that the field has: a large matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable

import ray

from tuning.cluster.resources import Resources
from tuning.process.cores import bind

SIDES = {"cpu": 1536, "gpu": 4096}  # of the square matrices
SECONDS = 0.3  # of products, after a first one


def matrix_rate(share: Resources) -> float:
    """FLOP/s of a large float32 matrix product on what one trial gets."""
    # Its process ends with it, and gives the GPU and the cores back.
    measure = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_calls=1)(_measure)
    rate: float = ray.get(measure.remote(share.threads))
    return rate


def _measure(threads: int | None) -> float:
    if threads:
        bind(threads)
        import numpy as np

        ones = np.ones((SIDES["cpu"],) * 2, np.float32)
        return _rate(lambda: ones @ ones, SIDES["cpu"])
    import keras

    matrix = keras.ops.ones((SIDES["gpu"],) * 2)
    # A number that is fetched has been computed.
    return _rate(lambda: float(keras.ops.matmul(matrix, matrix)[0, 0]), SIDES["gpu"])


def _rate(product: Callable[[], object], side: int) -> float:
    product()
    began, products = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < SECONDS:
        product()
        products += 1
    return 2.0 * side**3 * products / passed
