"""Building features against a bare forward loop of the same model and batch.

Pictures a second of `FeatureCache.features` for block5_pool, with block3_pool and block4_pool kept
in passing, hashing, writing and fsync included, against `model.predict_on_batch` on pixels that
are already in memory. The two take turns in one process.

    python -m benchmarks.cache_build [--pictures 512] [--rounds 3]
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from pathlib import Path

from benchmarks.machine import PHOTOS, describe, interleaved, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))
import numpy as np

from models import backbones
from models.units import PICTURE
from tuning.data import dataset
from tuning.features import PLAIN, FeatureCache, View
from tuning.features.entry import BLOCK

SIZE = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = dataset.load(
            PHOTOS, cache=Path(folder), per_class=(options.pictures // 2, 4), image_size=SIZE
        )
        backbone = backbones.load("vgg16", SIZE, "random", "rescale")
        bare = backbone.section(PICTURE, backbone.top)
        pixels = np.asarray(data.train.pictures, np.float32)

        def forward() -> None:
            for first in range(0, len(pixels), BLOCK):
                bare.predict_on_batch(pixels[first : first + BLOCK])

        fresh = itertools.count()

        def build(view: View) -> None:
            cache = FeatureCache(Path(folder) / str(next(fresh)))
            cache.features(data.train, backbone, backbone.top, view)

        seconds = interleaved(
            {
                "bare forward loop": forward,
                "build, view none": lambda: build(PLAIN),
                "build, view article": lambda: build(View("article", 0)),
            },
            options.rounds,
        )
    print(describe())
    rows = [
        (name, len(pixels) / time, seconds["bare forward loop"] / time)
        for name, time in seconds.items()
    ]
    print(table(["", "pictures/s", "of the bare loop"], rows))


if __name__ == "__main__":
    main()
