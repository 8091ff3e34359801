"""What an epoch costs on a device: one call for all of it, against Keras' own `fit`; JAX alone.

`KERAS_BACKEND=jax python -m benchmarks.gpu`: VGG16 cut at several depths and the small convnet, on
random numbers in the shape of the article's pictures. With `--kept FOLDER` compiled functions are
kept there; run it twice to see what the first epoch then costs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.machine import describe, table
from models import backbones, vgg16
from models.augmentation import draw
from models.units import PICTURE
from search_spaces.experiments import EXPERIMENTS
from tuning.training import networks
from tuning.training.networks import Batches, CompiledNetwork, NetworkSpec

CONVNET, BOTTLENECK, FINE_TUNE = (each.hyperparameters(2) for each in EXPERIMENTS)
KINDS = {
    "head": BOTTLENECK,
    "pooled head": BOTTLENECK | {"pooling": "average"},
    "3 layers": FINE_TUNE,
    "13 layers": FINE_TUNE | {"unfrozen": 13},
    "convnet, augmented": CONVNET,
}
EPOCHS = 15  # the median counts; the first one compiles
BATCH = 16


Point = dict[str, Any]


def spec(point: Point, size: int) -> NetworkSpec:
    large = point["network"] == "vgg16"
    start = vgg16.frontier(point["unfrozen"]) if large else PICTURE
    return NetworkSpec(
        unfrozen=point.get("unfrozen", 0),
        start=start,
        augmented=not large,
        mixed=False,
        penalties=(),
        width=None,
        pooling=point.get("pooling", "flatten"),
        optimizer="sgd" if point.get("unfrozen") else "rmsprop",
        scheduled=False,
        batch_size=BATCH,
        image_size=size,
        classes=2,
        backbone=backbones.load("vgg16", size, "random", "rescale") if large else None,
    )


def measure(
    point: dict[str, Any], size: int, rows: int, scanned: bool
) -> tuple[float, float, float]:
    """Seconds of the first epoch, the median of later ones, and the first one's loss."""
    networks.forget()
    with mock.patch.object(networks, "_is_scanned", return_value=scanned):
        network = CompiledNetwork(spec(point, size))
    network.begin(None, point, point.get("fine_tune_rate", 1e-4), seed=0)
    generator = np.random.default_rng(0)
    shape = network.model.input_shape[1:]
    columns: tuple[np.ndarray, ...] = (generator.random((rows, *shape)).astype(np.float16),)
    names: tuple[str | None, ...] = ("features",)
    if point["network"] == "convnet":
        pictures = generator.integers(0, 256, (rows, *shape)).astype(np.uint8)
        digests = generator.integers(0, 256, (rows, 16)).astype(np.uint8)
        columns = (pictures, *draw("article", 0, digests, size))
        names = ("pictures", None, None)
    labels = generator.integers(0, 2, rows)
    seconds, losses = [], []
    for _ in range(EPOCHS + 1):
        order = generator.permutation(rows)[: rows // BATCH * BATCH]
        began = time.perf_counter()
        losses.append(network.epoch(Batches(columns, labels, order, BATCH, names))["loss"])
        seconds.append(time.perf_counter() - began)
    return seconds[0], float(np.median(seconds[1:])), losses[0]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--image-size", type=int, default=150)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--kept", type=Path, help="folder for compiled functions")
    options = parser.parse_args(arguments)
    if options.kept:
        from tuning.training.scan import keep_compiled

        keep_compiled(options.kept)
    rows = []
    for kind in options.kinds:
        for name, scanned in (("one call", True), ("fit", False)):
            first, later, loss = measure(KINDS[kind], options.image_size, options.rows, scanned)
            rows.append((kind, name, f"{first:.2f}", f"{1000 * later:.1f}", f"{loss:.6f}"))
            print(*rows[-1], flush=True)
    print(f"{describe()}; {options.rows} rows, {options.image_size} px\n")
    print(table(("network", "epoch by", "first, s", "later, ms", "first loss"), rows))


if __name__ == "__main__":
    main()
