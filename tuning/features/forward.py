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
from tuning.features.draft import Draft
from tuning.features.entry import BLOCK, Entry, Frozen
from tuning.features.shelves import Shelf

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Written:
    """What a pass, or a shard of it, has done.

    Attributes:
        blocks: For each block of pictures, the checksum in each draft.
        seconds: Of one process.
        hosts: That did it.
    """

    blocks: list[list[str]]
    seconds: float
    hosts: frozenset[str]

    def __add__(self, other: Written) -> Written:
        """Both, one after the other."""
        return Written(
            self.blocks + other.blocks, self.seconds + other.seconds, self.hosts | other.hosts
        )


@dataclass(frozen=True)
class Pass:
    """Frozen layers from a stored frontier, or the picture, up to all that is to be stored.

    Attributes:
        start: The frontier whose output goes in; the picture where nothing nearer is stored.
        source: The entry that holds it, None for the picture.
        drafts: What comes out, the deepest last; all of one split and view.
        shelf: Where the source lies.
    """

    start: str
    source: Entry | None
    drafts: tuple[Draft, ...]
    shelf: Shelf

    @property
    def target(self) -> Entry:
        """The deepest of the entries."""
        return self.drafts[-1].entry

    @property
    def bytes(self) -> int:
        """That it will store."""
        return sum(draft.bytes for draft in self.drafts)

    def shards(self, blocks: int) -> list[range]:
        """The pictures in runs of so many blocks."""
        rows = len(self.target.split)
        return [range(f, min(f + blocks * BLOCK, rows)) for f in range(0, rows, blocks * BLOCK)]

    def run(self, frozen: Frozen, rows: range) -> Written:
        """Computes and writes some pictures' features; `rows` starts at a whole block.

        Raises:
            draft.Overflow: See `Draft.write`.
        """
        began = time.perf_counter()
        blocks = [
            [draft.write(first, output) for draft, output in zip(self.drafts, outputs, strict=True)]
            for first, outputs in self._forward(frozen, rows)
        ]
        return Written(blocks, time.perf_counter() - began, frozenset({platform.node()}))

    def _forward(self, frozen: Frozen, rows: range) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Row number and outputs (rows, H, W, C) at each draft's frontier, block by block."""
        model = _model(frozen, self.start, tuple(draft.entry.frontier for draft in self.drafts))
        source = self._inputs()
        for first in range(rows.start, rows.stop, BLOCK):
            block = np.asarray(source(slice(first, min(first + BLOCK, rows.stop))), np.float32)
            # A block that is always full is compiled once, and gives the same bytes always.
            full = np.zeros((BLOCK, *block.shape[1:]), np.float32)
            full[: len(block)] = block
            found = model.predict_on_batch(full)
            outputs = found if len(self.drafts) > 1 else [found]
            yield first, [np.asarray(output)[: len(block)] for output in outputs]

    def _inputs(self) -> Any:
        if self.source is not None:
            stored = self.shelf.read(self.source)
            return lambda rows: stored.array[rows]
        split, view = self.target.split, self.target.view
        if view.policy == "none":
            return lambda rows: split.pictures[rows]
        from models.augmentation import augment

        return lambda rows: augment(
            split.pictures[rows], view.policy, view.number, split.digests[rows]
        )


@lru_cache(maxsize=2)  # one trial reads at most two frontiers
def _model(frozen: Frozen, start: str, ends: tuple[str, ...]) -> keras.Model:
    """From the output at `start` to those at `ends`, compiled when it is first used."""
    import keras

    whole = vgg16.section(
        start,
        ends[-1],
        frozen.image_size,
        frozen.weights.arrays,
        preprocessing=frozen.preprocessing,
    )
    return keras.Model(whole.inputs, [whole.get_layer(end).output for end in ends])
