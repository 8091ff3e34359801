"""The feature cache: what frozen layers compute, computed once and shared by all.

An entry holds the output of VGG16 at one frontier for all pictures of one split, under one view.
Its key says everything it depends on, so an entry is never changed, only added. Processes agree by
a file lock an entry; readers map the file and hold no copy.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from models import vgg16
from models.weights import Weights
from tuning.dataset import Split
from tuning.journal import Journal

FORMAT = 1  # part of every key: raised when entries or augmentation policies change their meaning
CHUNK = 64  # pictures per forward pass
# Frontiers kept whenever a forward pass goes through them: 2 % of the pass's time in writing buys
# that no later trial, which unfreezes more layers, starts again at the picture.
KEPT_IN_PASSING = ("block3_pool", "block4_pool", "block5_pool")


@dataclass(frozen=True)
class View:
    """One look at every picture: an augmentation policy and the number of its draw."""

    policy: str = "none"
    number: int = 0


@dataclass(frozen=True)
class Frozen:
    """The frozen network: VGG16's weights, what pixels go through before it, and their size."""

    weights: Weights
    preprocessing: str
    image_size: int


@dataclass(frozen=True)
class Entry:
    """What one entry is, and where."""

    folder: Path
    identity: dict[str, Any]  # what the key is made of
    split: Split
    view: View
    frontier: str

    @property
    def key(self) -> str:
        """Hex SHA-256 of the identity."""
        return self.folder.name

    @property
    def array(self) -> Path:
        """The file of the features."""
        return self.folder / "features.npy"

    @property
    def header(self) -> Path:
        """The file that says what the features are."""
        return self.folder / "entry.json"


@dataclass
class FeatureCache:
    """Features on disk under `root`, mapped into memory, built by whoever needs them first.

    Attributes:
        root: The cache's folder, shared by all processes, searches and users.
        dtype: `float16` (half the bytes; an entry that would overflow is kept as float32) or
            `float32`.
        deepest: The lowest frontier that later trials may ask for; pools from there on are kept
            whenever a forward pass goes through them.
        journal: Where builds and uses are written down, None for nowhere.
    """

    root: Path
    dtype: str = "float16"
    deepest: str = "block3_pool"
    journal: Journal | None = None
    _open: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    _seconds: dict[str, float] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # Travels to workers as paths; maps would travel as their contents.
        return {**self.__dict__, "_open": {}, "_seconds": {}}

    def features(
        self,
        split: Split,
        frozen: Frozen,
        frontier: str,
        view: View = View(),
    ) -> np.ndarray:
        """The frozen network's output at `frontier` for all pictures of `split`.

        Returns:
            A read-only memory map, (N, H, W, C) in the entry's dtype.
        """
        entry = self._entry(split, frozen, frontier, view)
        array = self._open.get(entry.key)
        hit = True
        if array is None:
            array = self._read(entry)
        if array is None:
            array, hit = self._build_once(entry, frozen)
        self._open[entry.key] = array
        seconds = self._seconds[entry.key]
        self._log("use", entry, hit=hit, seconds=seconds, bytes=entry.array.stat().st_size)
        return array

    def key(self, split: Split, frozen: Frozen, frontier: str, view: View = View()) -> str:
        """The entry's key: hex SHA-256 over the canonical JSON of all that its bytes depend on."""
        return self._entry(split, frozen, frontier, view).key

    def _entry(self, split: Split, frozen: Frozen, frontier: str, view: View) -> Entry:
        identity = {
            "pictures": split.fingerprint,
            "image_size": frozen.image_size,
            "preprocessing": frozen.preprocessing,
            "weights": frozen.weights.checksum,
            "frontier": frontier,
            "policy": view.policy,
            "view": view.number,
            "dtype": self.dtype,
            "format": FORMAT,
        }
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        key = hashlib.sha256(canonical.encode()).hexdigest()
        return Entry(self.root / "features" / key, identity, split, view, frontier)

    # --- reading

    def _read(self, entry: Entry) -> np.ndarray | None:
        """The entry's map; None where there is none or it is damaged."""
        try:
            header = json.loads(entry.header.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError):
            return None
        try:
            array: np.ndarray = np.load(entry.array, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            return None
        whole = (
            header.get("identity") == entry.identity
            and list(array.shape) == header.get("shape")
            and array.dtype.name == header.get("dtype")
            and entry.array.stat().st_size == header.get("bytes")
        )
        if not whole:
            return None
        self._seconds[entry.key] = header["seconds_from_picture"]
        return array

    # --- building

    def _build_once(self, entry: Entry, frozen: Frozen) -> tuple[np.ndarray, bool]:
        """The entry's map, and whether somebody else had built it when our turn came."""
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        # The operating system frees the lock of a builder that dies; the next in line takes over.
        # One lock for all depths of a view, so that what a pass keeps in passing has one builder.
        one_view = {**entry.identity, "frontier": None}
        name = hashlib.sha256(json.dumps(one_view, sort_keys=True).encode()).hexdigest()
        with filelock.FileLock(locks / f"{name}.lock"):
            array = self._read(entry)
            hit = array is not None
            if array is None:
                if entry.folder.exists():
                    self._log("damaged", entry)
                self._build(entry, frozen)
                array = self._read(entry)
        if array is None:
            raise OSError(f"The feature entry {entry.folder} cannot be read after it was written.")
        return array, hit

    def _build(self, entry: Entry, frozen: Frozen) -> None:
        """Runs the frozen layers from the nearest stored frontier and stores what is asked for."""
        start, source = self._nearest_below(entry, frozen)
        entries = [
            self._entry(entry.split, frozen, frontier, entry.view)
            for frontier in self._stored_between(start, entry.frontier)
        ]
        self._log("building", entry, start=start)
        began = time.perf_counter()
        writers = [_Writer(each, len(entry.split), self.dtype) for each in entries]
        try:
            for outputs in _forward(entry, frozen, start, source, [e.frontier for e in entries]):
                for writer, output in zip(writers, outputs, strict=True):
                    writer.append(output)
            seconds = time.perf_counter() - began
            before = self._seconds[source.key] if isinstance(source, _Stored) else 0.0
            total = vgg16.flops(start, entry.frontier, frozen.image_size)
            for writer in writers:
                end = writer.entry.frontier
                share = vgg16.flops(start, end, frozen.image_size) / total if total else 1.0
                writer.publish(seconds_from_picture=before + share * seconds)
                # One pass made them all: its time is counted once, with the deepest.
                spent = seconds if end == entry.frontier else 0.0
                self._log(
                    "build",
                    writer.entry,
                    start=start,
                    seconds=spent,
                    bytes=writer.bytes,
                    dtype=writer.dtype,
                )
        finally:
            for writer in writers:
                writer.discard()

    def _nearest_below(self, entry: Entry, frozen: Frozen) -> tuple[str, _Source]:
        below = vgg16.FRONTIERS[1 : vgg16.FRONTIERS.index(entry.frontier)]
        for frontier in reversed(below):
            candidate = self._entry(entry.split, frozen, frontier, entry.view)
            array = self._read(candidate)
            if array is not None:
                return frontier, _Stored(candidate.key, array)
        return vgg16.PICTURE, _Pictures(entry.split, entry.view)

    def _stored_between(self, start: str, end: str) -> list[str]:
        order = vgg16.FRONTIERS.index
        low = max(order(start) + 1, order(self.deepest))
        passed = [f for f in KEPT_IN_PASSING if low <= order(f) < order(end)]
        return [*passed, end]

    def _log(self, event: str, entry: Entry, **facts: Any) -> None:
        if self.journal:
            view = f"{entry.view.policy}/{entry.view.number}"
            self.journal.write(
                event=event,
                key=entry.key,
                split=entry.split.name,
                pictures=len(entry.split),
                frontier=entry.frontier,
                view=view,
                **facts,
            )


@dataclass(frozen=True)
class _Stored:
    """Features of a lower frontier, read from the cache."""

    key: str
    array: np.ndarray

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.array[rows]


@dataclass(frozen=True)
class _Pictures:
    """Pixels of a view, made as they are read."""

    split: Split
    view: View

    def __getitem__(self, rows: slice) -> np.ndarray:
        pixels = self.split.pictures[rows]
        if self.view.policy == "none":
            return pixels
        from models.augmentation import augment

        return augment(pixels, self.view.policy, self.view.number, self.split.digests[rows])


_Source = _Stored | _Pictures


def _forward(
    entry: Entry, frozen: Frozen, start: str, source: _Source, ends: list[str]
) -> Iterator[list[np.ndarray]]:
    """Outputs (rows, H, W, C) at each frontier of `ends`, chunk by chunk."""
    import keras

    whole = vgg16.section(
        start,
        ends[-1],
        frozen.image_size,
        frozen.weights.arrays,
        preprocessing=frozen.preprocessing,
    )
    model = keras.Model(whole.inputs, [whole.get_layer(end).output for end in ends])
    for first in range(0, len(entry.split), CHUNK):
        rows = np.asarray(source[first : first + CHUNK], dtype=np.float32)
        # A chunk that is always full is compiled once.
        full = np.concatenate([rows, np.zeros((CHUNK - len(rows), *rows.shape[1:]), np.float32)])
        found = model.predict_on_batch(full)
        outputs = found if len(ends) > 1 else [found]
        yield [np.asarray(output)[: len(rows)] for output in outputs]


class _Writer:
    """Writes one entry beside its place, and moves it there whole or not at all."""

    def __init__(self, entry: Entry, rows: int, dtype: str) -> None:
        self.entry = entry
        self.rows = rows
        self.dtype = dtype
        self.bytes = 0
        entry.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f".{entry.key[:16]}-", dir=entry.folder.parent))
        self.array: np.memmap | None = None
        self.row = 0

    def append(self, output: np.ndarray) -> None:
        with np.errstate(over="ignore"):  # looked for in the next line
            values = output.astype(self.dtype)
        if self.dtype == "float16" and not np.isfinite(values).all() and np.isfinite(output).all():
            self._widen(output.shape[1:])
            values = output
        if self.array is None:
            self.array = self._create(output.shape[1:])
        self.array[self.row : self.row + len(values)] = values
        self.row += len(values)

    def _create(self, shape: tuple[int, ...]) -> np.memmap:
        return np.lib.format.open_memmap(
            self.folder / "features.npy", mode="w+", dtype=self.dtype, shape=(self.rows, *shape)
        )

    def _widen(self, shape: tuple[int, ...]) -> None:
        """Goes on in float32 when a value does not fit float16 (above 65,504)."""
        written = None if self.array is None else np.array(self.array[: self.row], np.float32)
        self.dtype = "float32"
        self.array = self._create(shape)
        if written is not None:
            self.array[: self.row] = written

    def publish(self, seconds_from_picture: float) -> None:
        assert self.array is not None
        self.array.flush()
        path = self.folder / "features.npy"
        checksum = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                checksum.update(block)
            os.fsync(file.fileno())
        self.bytes = path.stat().st_size
        header = {
            "identity": self.entry.identity,
            "shape": list(self.array.shape),
            "dtype": self.array.dtype.name,
            "bytes": self.bytes,
            "sha256": checksum.hexdigest(),
            "seconds_from_picture": seconds_from_picture,
        }
        with (self.folder / "entry.json").open("w") as file:
            json.dump(header, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        if self.entry.folder.exists():
            shutil.rmtree(self.entry.folder)  # damaged: `_read` refused it
        self.folder.rename(self.entry.folder)

    def discard(self) -> None:
        """Removes what was not published."""
        shutil.rmtree(self.folder, ignore_errors=True)
