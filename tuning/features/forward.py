"""One run of frozen layers over pictures of a split, which may be done in shards."""

from __future__ import annotations

import itertools
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from models.backbones import Backbone
from models.units import PICTURE
from tuning.features.entry import BLOCK, Entry
from tuning.features.segments import find
from tuning.features.stores import EntryStore
from tuning.features.writer import SegmentWriter
from tuning.process.backend import has_gpu

if TYPE_CHECKING:
    import keras

AHEAD, BEHIND = 2, 2  # batches that are read before the one that is computed, and written after it
# Pixels and blocks of a batch where a GPU computes, at most: an H200 computes VGG16 on 39,000
# pictures of 150 pixels a second in batches of 256, on 25,000 in batches of 32.
PIXELS, AT_ONCE = 256 * 256**2, 4


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
        precision: What the layers compute in, see `Graph.section`.
    """

    pictures: np.ndarray
    start: str
    source: Entry | None
    writers: tuple[SegmentWriter, ...]
    store: EntryStore
    precision: str

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
            batches: list[Future[list[list[str]]]] = []
            for first, outputs in self._forward(backbone, rows):
                if len(batches) >= BEHIND:
                    batches[-BEHIND].result()
                batches.append(scribe.submit(self._write, first, outputs))
            written = [block for each in batches for block in each.result()]
        return PassResult(written, time.perf_counter() - began, frozenset({platform.node()}))

    def _write(self, first: int, outputs: Sequence[np.ndarray]) -> list[list[str]]:
        """Writes a batch; returns the checksums of each block of it."""
        return [
            [
                writer.write(first + at, output[at : at + BLOCK].astype(np.float32, copy=False))
                for writer, output in zip(self.writers, outputs, strict=True)
            ]
            for at in range(0, len(outputs[0]), BLOCK)
        ]

    def _forward(self, backbone: Backbone, rows: range) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Row number and outputs (rows, H, W, C) at each writer's frontier, batch by batch.

        The next batch is read while one is computed, and the last one is written: the device waits
        for neither.
        """
        frontiers = tuple(writer.segment.entry.frontier for writer in self.writers)
        model = _model(backbone, self.start, frontiers, self._transforms, self.precision)
        size = BLOCK * (_blocks(backbone) if has_gpu() else 1)
        inputs = self._inputs()

        def read(first: int) -> tuple[int, int, list[np.ndarray]]:
            taken = inputs(slice(first, min(first + size, rows.stop)))
            # A batch that is always full is compiled once, and gives the same bytes always.
            return first, len(taken[0]), [_full(each, size) for each in taken]

        with ThreadPoolExecutor(1, "reader") as reader:
            ahead = deque(reader.submit(read, first) for first in rows[: AHEAD * size : size])
            for following in [*rows[AHEAD * size :: size], *[None] * len(ahead)]:
                first, number, full = ahead.popleft().result()
                if following is not None:
                    ahead.append(reader.submit(read, following))
                found = model.predict_on_batch(full if len(full) > 1 else full[0])
                outputs = found if len(self.writers) > 1 else [found]
                yield first, [np.asarray(output)[:number] for output in outputs]

    @property
    def _transforms(self) -> bool:
        """Whether pictures are transformed on their way in."""
        return self.source is None and self.target.view.policy != "none"

    def _inputs(self) -> Callable[[slice], list[np.ndarray]]:
        """What goes into the layers of some rows: features; or pictures, as bytes, and transforms.

        These are applied by the device.
        """
        if self.source is not None:
            stored = find(self.store, self.source, self.writers[-1].segment.pictures)
            if len(stored.missing):
                raise SourceLost
            return lambda rows: [np.asarray(stored.array[rows], np.float32)]
        split, view = self.target.split, self.target.view
        if not self._transforms:
            return lambda rows: [split.pictures[self.pictures[rows]]]
        from models.augmentation import draw

        def transformed(rows: slice) -> list[np.ndarray]:
            these = self.pictures[rows]
            pictures, digests = split.pictures[these], split.digests[these]
            return [pictures, *draw(view.policy, view.number, digests, pictures.shape[1])]

        return transformed


def _blocks(backbone: Backbone) -> int:
    """Blocks of a batch on a GPU; large pictures take its memory."""
    height, width, _ = backbone.shape(PICTURE)
    return max(1, min(AT_ONCE, PIXELS // (BLOCK * height * width)))


def _full(rows: np.ndarray, size: int) -> np.ndarray:
    """So many rows: these, then zeros."""
    full = np.zeros((size, *rows.shape[1:]), rows.dtype)
    full[: len(rows)] = rows
    return full


@lru_cache(maxsize=2)  # one trial reads at most two frontiers
def _model(
    backbone: Backbone, start: str, ends: tuple[str, ...], transforms: bool, precision: str
) -> keras.Model:
    """From the output at `start` to those at `ends`, compiled when it is first used.

    Args:
        backbone: The network.
        start: The frontier whose output goes in; where it is the picture, that is uint8.
        ends: The frontiers whose outputs come out.
        transforms: Whether pictures come with transforms that are applied to them.
        precision: What its layers compute in, see `Graph.section`.
    """
    import keras

    from models.augmentation import TRANSFORMS, Augment

    dtype = "uint8" if start == PICTURE else "float32"
    inputs = [keras.Input(backbone.shape(start), dtype=dtype, name=start)]
    (x,) = inputs
    if transforms:
        inputs += [keras.Input((numbers,), name=name) for name, numbers in TRANSFORMS.items()]
        x = Augment(name="augment")(inputs)
    elif start == PICTURE:
        x = keras.layers.Rescaling(1.0, name="pixels")(x)  # sections take floats
    # Section by section, since a layer's output need not be what the frontier is called after.
    outputs = []
    for low, high in itertools.pairwise((start, *ends)):
        x = backbone.section(low, high, precision=precision)(x)
        outputs.append(x)
    model = keras.Model(inputs, outputs)
    if transforms and keras.backend.backend() == "tensorflow":
        model.jit_compile = False  # its XLA cannot compile the affine transform
    return model
