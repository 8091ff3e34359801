"""What a change of the pictures costs, and what it costs to read features that lie apart.

Searches of heads with folds, on `--pictures` photos without splits and then on ones that came,
went, changed their label, their split and their fold: the pictures that go through frozen layers
for each view in use, and the seconds until all features are there. Then an epoch of a head on
features that lie in one segment, and in two and eight with neighbours in different ones. The three
take turns in one process.

    python -m benchmarks.growing [--pictures 2000] [--more 100] [--size 64] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import PHOTOS, describe, interleaved, table
from models.backbones import Backbone
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))
import numpy as np

from models import backbones, vgg16
from tuning.data import dataset
from tuning.data.dataset import Dataset
from tuning.data.folds import fold
from tuning.data.parts import Rows
from tuning.features import PLAIN, FeatureCache, View
from tuning.records.event_log import EventLog
from tuning.report.gather import cache_statistics
from tuning.training.networks import Batches, NetworkSpec, compiled_network

VIEWS = (PLAIN, View("article", 0), View("medium", 0))
FOLDS = 5
BATCH = 16


class Pictures:
    """Photos in a folder that changes, and their features."""

    def __init__(self, folder: Path, backbone: Backbone) -> None:
        self.folder, self.backbone = folder, backbone
        self.events = EventLog(folder / "cache.jsonl")
        self.cache = FeatureCache(folder / "cache", events=self.events)
        self.coming = {
            name: sorted(PHOTOS.glob(f"*/{name}/*"), key=lambda file: (file.parts[-3], file.name))
            for name in ("cats", "dogs")
        }

    def add(self, count: int) -> None:
        """Half of them cats."""
        for name, files in self.coming.items():
            (self.folder / "pictures" / name).mkdir(parents=True, exist_ok=True)
            for _ in range(count // 2):
                file = files.pop(0)
                target = f"{file.parts[-3]}-{file.name}"
                (self.folder / "pictures" / name / target).symlink_to(file.resolve())

    def some(self, name: str, count: int) -> list[Path]:
        """Pictures of a class, from all over the folder."""
        files = sorted((self.folder / "pictures" / name).iterdir())
        return files[:: len(files) // count][:count]

    def data(self, split_seed: int = 0) -> Dataset:
        """The pictures as they are now."""
        return dataset.load(
            self.folder / "pictures",
            cache=self.folder / "cache",
            image_size=self.backbone.image_size,
            holdout=0,
            split_seed=split_seed,
        )

    def search(self, change: str, split_seed: int = 0, number: int = 0) -> tuple[object, ...]:
        """What a search reads: the change, pictures computed for each view, seconds."""
        before = cache_statistics(self.events)["passes_computed"] or 0
        data = self.data(split_seed)
        began = time.perf_counter()
        for part in (data, fold(data, number, FOLDS)):
            for view in VIEWS:
                self.cache.features(part.train, self.backbone, vgg16.TOP, view)
            self.cache.features(part.validation, self.backbone, vgg16.TOP)
        seconds = time.perf_counter() - began
        self.cache.release()
        computed = (cache_statistics(self.events)["passes_computed"] or 0) - before
        return change, f"{computed / len(VIEWS):,g}", seconds


def changes(pictures: Pictures, count: int, more: int) -> list[tuple[object, ...]]:
    """A search after each change."""
    pictures.add(count)
    rows = [pictures.search(f"{count:,} pictures")]
    pictures.add(more)
    rows.append(pictures.search(f"{more} more"))
    for name in ("cats", "dogs"):
        for file in pictures.some(name, more // 2):
            file.unlink()
    rows.append(pictures.search(f"{more} less"))
    labels = max(1, more // 10)
    for file in pictures.some("cats", labels):
        file.rename(pictures.folder / "pictures" / "dogs" / file.name)
    rows.append(pictures.search(f"{labels} with another label"))
    rows.append(pictures.search("another split seed", split_seed=1))
    rows.append(pictures.search("another fold", number=1))
    return rows


def epochs(backbone: Backbone, count: int, rounds: int) -> list[tuple[object, ...]]:
    """An epoch of a head on rows of one array, and of as many that lie apart."""
    network = compiled_network(
        NetworkSpec(
            unfrozen=0,
            start=vgg16.TOP,
            augmented=False,
            mixed=False,
            penalties=(),
            width=None,
            pooling="flatten",
            optimizer="rmsprop",
            scheduled=False,
            batch_size=BATCH,
            image_size=backbone.image_size,
            classes=2,
            backbone=backbone,
        )
    )
    network.begin(None, {"network": "vgg16", "unfrozen": 0, "dropout": 0.5}, 1e-6, 0)
    generator = np.random.default_rng(0)
    shape = (count, *vgg16.output_shape(vgg16.TOP, backbone.image_size))
    whole = generator.random(shape, np.float32).astype(np.float16)
    labels, order = generator.integers(0, 2, count), generator.permutation(count)

    def epoch(segments: int) -> Callable[[], object]:
        arrays = [whole[first::segments] for first in range(segments)]
        starts = np.cumsum([0, *map(len, arrays)])
        rows = np.array([starts[row % segments] + row // segments for row in range(count)])
        column: np.ndarray | Rows = whole
        if segments > 1:
            column = Rows([array.copy() for array in arrays], rows)
        return lambda: network.epoch(Batches((column,), labels, order, BATCH))

    ways = {f"{n} segment{'s' * (n > 1)}": epoch(n) for n in (1, 2, 8)}
    seconds = interleaved(ways, rounds)
    first = seconds["1 segment"]
    return [(name, 1e3 * time, time / first) for name, time in seconds.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--more", type=int, default=100)
    parser.add_argument("--size", type=int, default=64, help="side of the pictures")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    backbone = backbones.load("vgg16", options.size, "random", "rescale")
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        found = changes(Pictures(Path(folder), backbone), options.pictures, options.more)
    print(table(["", "computed for each view", "seconds"], found))
    print()
    larger = backbones.load("vgg16", 150, "random", "rescale")
    read = epochs(larger, options.pictures, options.rounds)
    print(table(["an epoch of a head", "ms", "of one segment"], read))


if __name__ == "__main__":
    main()
