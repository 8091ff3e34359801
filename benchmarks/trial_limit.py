"""Seconds of an epoch of training against what the machine's arithmetic and memory allow.

The arithmetic limit: the suffix's floating point operations (forward once, gradients of weights
once, gradients of inputs once but for the first layer) over the rate of a large matrix product.
The memory limit of a head: seven passes over its weights a step (read for the forward pass; write
and read of the gradient; read and write of RMSprop's mean and of the weights) over the rate at
which a large array is read and written. Rates and epochs take turns in one process.

    python -m benchmarks.trial_limit [--pictures 512] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import describe, interleaved, table
from models.backbones import Backbone
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))
import keras
import numpy as np

from models import backbones, vgg16
from tuning.training.networks import Batches, NetworkSpec, compiled_network

SIDE = 2048  # of the matrices
PRODUCTS = 8
FLOATS = 2**26  # of the array that is read and written
BATCH = 16
SIZE = 150


def suffix(unfrozen: int, pictures: int, backbone: Backbone) -> Callable[[], object]:
    """An epoch of training from features of random numbers."""
    start = vgg16.frontier(unfrozen)
    generator = np.random.default_rng(0)
    shape = (pictures, *vgg16.output_shape(start, SIZE))
    features = generator.random(shape, np.float32).astype(np.float16)
    labels = generator.integers(0, 2, pictures)
    network = compiled_network(
        NetworkSpec(
            unfrozen=unfrozen,
            start=start,
            augmented=False,
            mixed=False,
            penalties=(),
            width=None,
            pooling="flatten",
            optimizer="sgd" if unfrozen else "rmsprop",
            scheduled=False,
            batch_size=BATCH,
            image_size=SIZE,
            classes=2,
            backbone=backbone,
        )
    )
    levers = {"network": "vgg16", "unfrozen": unfrozen, "dropout": 0.5}
    network.begin(None, levers, 1e-6, 0)
    batches = Batches((features,), labels, np.arange(pictures), BATCH)
    return lambda: network.epoch(batches)


def flops(unfrozen: int) -> int:
    """Of training on one picture, the head's included."""
    start = vgg16.frontier(unfrozen)
    head = 2 * 256 * (int(np.prod(vgg16.output_shape(vgg16.TOP, SIZE))) + 1)
    if not unfrozen:
        return 2 * head
    convs = vgg16.flops(start, vgg16.TOP, SIZE)
    first = vgg16.FRONTIERS[vgg16.FRONTIERS.index(start) + 1]
    return 3 * (convs + head) - vgg16.flops(start, first, SIZE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    backbone = backbones.load("vgg16", SIZE, "random", "rescale")
    matrix = keras.random.normal((SIDE, SIDE))
    array, other = np.ones(FLOATS, np.float32), np.ones(FLOATS, np.float32)

    def multiply() -> None:
        for _ in range(PRODUCTS):
            product = keras.ops.matmul(matrix, matrix)
        np.asarray(product[0, 0])

    depths = (0, 1, 3, 6)
    ways: dict[str, Callable[[], object]] = {
        "matrices": multiply,
        "memory": lambda: np.copyto(other, array),
    }
    ways |= {f"{n} unfrozen": suffix(n, options.pictures, backbone) for n in depths}
    seconds = interleaved(ways, options.rounds)
    rate = PRODUCTS * 2 * SIDE**3 / seconds["matrices"]
    bandwidth = 2 * 4 * FLOATS / seconds["memory"]
    rows = []
    for n in depths:
        measured = seconds[f"{n} unfrozen"]
        limit = flops(n) * options.pictures / rate
        rows.append(
            (f"{n} unfrozen", measured / options.pictures * 1e3, limit / measured, "arithmetic")
        )
    weights = 4 * 256 * int(np.prod(vgg16.output_shape(vgg16.TOP, SIZE)))
    limit = 7 * weights * (options.pictures // BATCH) / bandwidth
    measured = seconds["0 unfrozen"]
    rows.append(("0 unfrozen", measured / options.pictures * 1e3, limit / measured, "memory"))
    print(describe())
    print(f"matrix product {rate / 1e9:,.0f} GFLOP/s, memory {bandwidth / 1e9:,.1f} GB/s")
    print(table(["", "ms/picture", "of the limit", "limit"], rows))


if __name__ == "__main__":
    main()
