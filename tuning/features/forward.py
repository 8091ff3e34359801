"""One run of frozen layers over pictures of a split, which may be done in shards."""

from __future__ import annotations

import itertools
import platform
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from models.backbones import Backbone
from tuning.features.entry import BLOCK, Entry
from tuning.features.segments import find
from tuning.features.stores import EntryStore
from tuning.features.writer import SegmentWriter

if TYPE_CHECKING:
    import keras

AHEAD, BEHIND = 2, 2  # blocks that are read before the one that is computed, and written after it


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


class SourceLost(Exception):
    """What a pass should start from is not there, or damaged."""


@dataclass(frozen=True)
class ForwardPass:
    """Frozen layers from a stored frontier, or the picture, up to all that is to be stored.

    Attributes:
        pictures: Indices of the pictures in the split, a row of the features each.
        start: The frontier whose output goes in; the picture where nothing nearer is stored.
        source: The entry that holds it, None for the picture.
        writers: What comes out, the deepest last; all of one split and view.
        store: The place where the source lies.
    """

    pictures: np.ndarray
    start: str
    source: Entry | None
    writers: tuple[SegmentWriter, ...]
    store: EntryStore

    @property
    def target(self) -> Entry:
        """The deepest of the entries."""
        return self.writers[-1].segment.entry

    @property
    def bytes(self) -> int:
        """The bytes that it will store."""
        return sum(writer.bytes for writer in self.writers)

    def shards(self, blocks: int) -> list[range]:
        """The features' rows in runs of so many blocks."""
        rows = len(self.pictures)
        return [range(f, min(f + blocks * BLOCK, rows)) for f in range(0, rows, blocks * BLOCK)]

    def run(self, backbone: Backbone, rows: range) -> PassResult:
        """Computes and writes some pictures' features; `rows` starts at a whole block.

        Raises:
            Overflow: See `SegmentWriter.write`.
            SourceLost: If what it starts from is not there.
        """
        began = time.perf_counter()
        with ThreadPoolExecutor(1, "scribe") as scribe:
            blocks: list[Future[list[str]]] = []
            for first, outputs in self._forward(backbone, rows):
                if len(blocks) >= BEHIND:
                    blocks[-BEHIND].result()
                blocks.append(scribe.submit(self._write, first, outputs))
            written = [each.result() for each in blocks]
        return PassResult(written, time.perf_counter() - began, frozenset({platform.node()}))

    def _write(self, first: int, outputs: Sequence[np.ndarray]) -> list[str]:
        pairs = zip(self.writers, outputs, strict=True)
        return [writer.write(first, output) for writer, output in pairs]

    def _forward(self, backbone: Backbone, rows: range) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Row number and outputs (rows, H, W, C) at each writer's frontier, block by block.

        The next block is read and transformed while one is computed, and the last one is written:
        the device waits for neither.
        """
        model = _model(
            backbone, self.start, tuple(writer.segment.entry.frontier for writer in self.writers)
        )
        source = self._inputs()

        def read(first: int) -> tuple[int, int, np.ndarray]:
            block = np.asarray(source(slice(first, min(first + BLOCK, rows.stop))))
            # A block that is always full is compiled once, and gives the same bytes always.
            full = np.zeros((BLOCK, *block.shape[1:]), np.float32)
            full[: len(block)] = block
            return first, len(block), full

        with ThreadPoolExecutor(1, "reader") as reader:
            ahead = deque(reader.submit(read, first) for first in rows[: AHEAD * BLOCK : BLOCK])
            for following in [*rows[AHEAD * BLOCK :: BLOCK], *[None] * len(ahead)]:
                first, number, full = ahead.popleft().result()
                if following is not None:
                    ahead.append(reader.submit(read, following))
                found = model.predict_on_batch(full)
                outputs = found if len(self.writers) > 1 else [found]
                yield first, [np.asarray(output)[:number] for output in outputs]

    def _inputs(self) -> Any:
        if self.source is not None:
            stored = find(self.store, self.source, self.writers[-1].segment.pictures)
            if len(stored.missing):
                raise SourceLost
            return lambda rows: stored.array[rows]
        split, view = self.target.split, self.target.view
        if view.policy == "none":
            return lambda rows: split.pictures[self.pictures[rows]]
        from models.augmentation import augment

        def transformed(rows: slice) -> np.ndarray:
            these = self.pictures[rows]
            return augment(split.pictures[these], view.policy, view.number, split.digests[these])

        return transformed


@lru_cache(maxsize=2)  # one trial reads at most two frontiers
def _model(backbone: Backbone, start: str, ends: tuple[str, ...]) -> keras.Model:
    """From the output at `start` to those at `ends`, compiled when it is first used."""
    import keras

    # Section by section, since a layer's output need not be what the frontier is called after.
    inputs = x = keras.Input(backbone.shape(start), name=start)
    outputs = []
    for low, high in itertools.pairwise((start, *ends)):
        x = backbone.section(low, high)(x)
        outputs.append(x)
    return keras.Model(inputs, outputs)
