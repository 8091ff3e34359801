"""One run of frozen layers over the pictures of a split, which may be done in shards."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from models import vgg16
from tuning.features.entry import BLOCK, Backbone, Entry
from tuning.features.stores import EntryStore
from tuning.features.writer import EntryWriter

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class PassResult:
    """What a pass, or a shard of it, has done.

    Attributes:
        blocks: The checksums of each block of pictures, one a writer.
        seconds: The time of one process.
        hosts: The machines that did it.
    """

    blocks: list[list[str]]
    seconds: float
    hosts: frozenset[str]

    def __add__(self, other: PassResult) -> PassResult:
        """Both, one after the other."""
        return PassResult(
            self.blocks + other.blocks, self.seconds + other.seconds, self.hosts | other.hosts
        )


@dataclass(frozen=True)
class ForwardPass:
    """Frozen layers from a stored frontier, or the picture, up to all that is to be stored.

    Attributes:
        start: The frontier whose output goes in; the picture where nothing nearer is stored.
        source: The entry that holds it, None for the picture.
        writers: What comes out, the deepest last; all of one split and view.
        store: The place where the source lies.
    """

    start: str
    source: Entry | None
    writers: tuple[EntryWriter, ...]
    store: EntryStore

    @property
    def target(self) -> Entry:
        """The deepest of the entries."""
        return self.writers[-1].entry

    @property
    def bytes(self) -> int:
        """The bytes that it will store."""
        return sum(writer.bytes for writer in self.writers)

    def shards(self, blocks: int) -> list[range]:
        """The pictures in runs of so many blocks."""
        rows = len(self.target.split)
        return [range(f, min(f + blocks * BLOCK, rows)) for f in range(0, rows, blocks * BLOCK)]

    def run(self, backbone: Backbone, rows: range) -> PassResult:
        """Computes and writes some pictures' features; `rows` starts at a whole block.

        Raises:
            Overflow: See `EntryWriter.write`.
        """
        began = time.perf_counter()
        blocks = [
            [
                writer.write(first, output)
                for writer, output in zip(self.writers, outputs, strict=True)
            ]
            for first, outputs in self._forward(backbone, rows)
        ]
        return PassResult(blocks, time.perf_counter() - began, frozenset({platform.node()}))

    def _forward(self, backbone: Backbone, rows: range) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Row number and outputs (rows, H, W, C) at each writer's frontier, block by block."""
        model = _model(
            backbone, self.start, tuple(writer.entry.frontier for writer in self.writers)
        )
        source = self._inputs()
        for first in range(rows.start, rows.stop, BLOCK):
            block = np.asarray(source(slice(first, min(first + BLOCK, rows.stop))), np.float32)
            # A block that is always full is compiled once, and gives the same bytes always.
            full = np.zeros((BLOCK, *block.shape[1:]), np.float32)
            full[: len(block)] = block
            found = model.predict_on_batch(full)
            outputs = found if len(self.writers) > 1 else [found]
            yield first, [np.asarray(output)[: len(block)] for output in outputs]

    def _inputs(self) -> Any:
        if self.source is not None:
            stored = self.store.read(self.source)
            return lambda rows: stored.array[rows]
        split, view = self.target.split, self.target.view
        if view.policy == "none":
            return lambda rows: split.pictures[rows]
        from models.augmentation import augment

        return lambda rows: augment(
            split.pictures[rows], view.policy, view.number, split.digests[rows]
        )


@lru_cache(maxsize=2)  # one trial reads at most two frontiers
def _model(backbone: Backbone, start: str, ends: tuple[str, ...]) -> keras.Model:
    """From the output at `start` to those at `ends`, compiled when it is first used."""
    import keras

    whole = vgg16.section(
        start,
        ends[-1],
        backbone.image_size,
        backbone.weights.arrays,
        preprocessing=backbone.preprocessing,
    )
    return keras.Model(whole.inputs, [whole.get_layer(end).output for end in ends])
