"""Features on disk, mapped into memory, built by whoever needs them first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models import vgg16
from tuning.data.dataset import Split
from tuning.data.parts import Part, Rows
from tuning.errors import UserError
from tuning.features.entry import PLAIN, Backbone, Damaged, Entry, Stored, View, digest, identify
from tuning.features.forward import ForwardPass, PassResult
from tuning.features.locks import BuildLocks, FileLocks
from tuning.features.stores import EntryStore, LocalStore, ObjectStore
from tuning.features.writer import EntryWriter, Overflow
from tuning.files.object_store import ObjectPath
from tuning.files.shared_folder import SharedFolder
from tuning.records.event_log import EventSink

# Frontiers kept whenever a forward pass goes through them: 2 % of the pass's time in writing buys
# that no later trial, which unfreezes more layers, starts again at the picture.
KEPT_IN_PASSING = ("block3_pool", "block4_pool", "block5_pool")

log = logging.getLogger(__name__)

Runner = Callable[[ForwardPass, Backbone], PassResult]  # does the work of a pass


@dataclass
class FeatureCache:
    """Features under `root`; see the package.

    Attributes:
        root: The cache's folder, shared by all processes, searches and users; or its place in an
            object store, of which each machine keeps copies.
        dtype: `float16` (half the bytes; an entry that would overflow is kept as float32) or
            `float32`.
        lowest: The lowest frontier that is stored, see `features.cost`; what lies below is
            recomputed from the pictures.
        limit: Bytes that all features may take on a machine's disk, None for no limit; the least
            recently used entries make room, but never one in use.
        verify: Whether entries are compared with their checksums before their first use.
        events: The log of builds and uses, None for none.
        locks: The locks of those who build; None: file locks among this machine's processes.
    """

    root: Path | ObjectPath
    dtype: str = "float16"
    lowest: str = "block3_pool"
    limit: int | None = None
    verify: bool = False
    events: EventSink | None = None
    locks: BuildLocks | None = None
    _open: dict[str, Stored] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # Travels to workers as paths; maps would travel as their contents.
        return {**self.__dict__, "_open": {}}

    def start(self, frontier: str) -> str:
        """Where a network that is cut at `frontier` begins: there, or at the picture.

        Below `lowest` storing costs more than recomputing: the frozen layers then become a part
        of the network that is trained, and run in each step.
        """
        order = vgg16.FRONTIERS.index
        return frontier if order(frontier) >= order(self.lowest) else vgg16.PICTURE

    def features(
        self, split: Split | Part, backbone: Backbone, frontier: str, view: View = PLAIN
    ) -> np.ndarray | Rows:
        """The frozen network's output at `frontier` for all pictures of `split`.

        Returns:
            (N, H, W, C) in the entry's number type: a read-only memory map, or of a part the rows
            of several.

        Raises:
            UserError: If the disk has no room for them.
        """
        if isinstance(split, Part):
            # A picture's features are those of any fold.
            found = [self._mapped(each, backbone, frontier, view) for each in split.whole]
            return Rows(found, split.rows)
        return self._mapped(split, backbone, frontier, view)

    def _mapped(self, split: Split, backbone: Backbone, frontier: str, view: View) -> np.ndarray:
        entry = self._entry(split, backbone, frontier, view)
        stored, hit = self._open.get(entry.key) or self._read(entry), True
        if stored is None:
            hit = self._build_once(entry, backbone)
            stored = self.store.read(entry)
        self._open[entry.key] = stored
        self._log("use", entry, hit=hit, seconds=stored.seconds, bytes=stored.bytes)
        return stored.array

    def build(
        self, split: Split, backbone: Backbone, frontier: str, view: View, runner: Runner
    ) -> None:
        """Makes sure that the features are there, letting `runner` do the work if they are not."""
        entry = self._entry(split, backbone, frontier, view)
        if not self._has(entry):
            self._build_once(entry, backbone, runner)

    def holds(self, split: Split, backbone: Backbone, frontier: str, view: View) -> bool:
        """Whether the features are there, and look whole."""
        return self._has(self._entry(split, backbone, frontier, view))

    def key(
        self, split: Split | Part, backbone: Backbone, frontier: str, view: View = PLAIN
    ) -> str:
        """Hex SHA-256 over the canonical JSON of all that the features' bytes depend on."""
        if isinstance(split, Part):
            keys = [self.key(each, backbone, frontier, view) for each in split.whole]
            return digest({"keys": keys, "pictures": split.fingerprint})
        return self._entry(split, backbone, frontier, view).key

    def release(self) -> None:
        """Lets go of all maps, so that their entries may make room for others."""
        self._open.clear()

    def lock(self, name: str) -> AbstractContextManager[None]:
        """A context that one process at a time is in, of all that share this cache."""
        return (self.locks or FileLocks(self.shared.here / "locks")).hold(name)

    @property
    def shared(self) -> SharedFolder:
        """All that is kept, features and other things."""
        return SharedFolder(self.root)

    @property
    def folder(self) -> Path:
        """Where this machine maps entries from."""
        return (self.shared / "features").here

    @property
    def store(self) -> EntryStore:
        """Where the entries lie."""
        folder = self.shared / "features"
        return (
            ObjectStore(folder, self.limit) if folder.place else LocalStore(folder.here, self.limit)
        )

    def _entry(self, split: Split, backbone: Backbone, frontier: str, view: View) -> Entry:
        return identify(split, backbone, frontier, view, self.dtype)

    def _read(self, entry: Entry) -> Stored | None:
        """The entry, None where there is none or it is damaged."""
        try:
            return self.store.read(entry, self.verify)
        except (FileNotFoundError, Damaged):
            return None

    def _has(self, entry: Entry) -> bool:
        try:
            return bool(self.store.header(entry))
        except (FileNotFoundError, Damaged):
            return False

    # --- building

    def _build_once(self, entry: Entry, backbone: Backbone, runner: Runner | None = None) -> bool:
        """Whether somebody else had built the entry when our turn came."""
        # One lock for all depths of a view, so that what a pass keeps in passing has one builder.
        with self.lock(digest({**entry.identity, "frontier": None})):
            try:
                self.store.read(entry, self.verify)
                return True
            except FileNotFoundError:
                pass
            except Damaged as fault:
                self._log("damaged", entry, reason=str(fault))
                log.warning("The features of %s are damaged and built again: %s", entry, fault)
            self._build(entry, backbone, runner or _here)
            return False

    def _build(self, entry: Entry, backbone: Backbone, runner: Runner) -> None:
        """Runs the frozen layers from the nearest stored frontier and stores what is asked for."""
        wide: set[str] = set()  # frontiers whose values float16 cannot hold
        while True:
            job = self._plan(entry, backbone, wide)
            try:
                self.store.reserve(entry, job.bytes)
                self._log("building", entry, start=job.start)
                for writer in job.writers:
                    writer.create()
                self._publish(job, backbone, runner(job, backbone))
                return
            except Overflow as overflow:
                self._log("overflow", entry, at=overflow.frontier)
                log.warning(
                    "%s has values beyond float16's and is kept as float32", overflow.frontier
                )
                wide.add(overflow.frontier)
            except OSError as error:
                if self.shared.place is not None:
                    raise  # a store may come back
                raise UserError(
                    f"The features of {entry} cannot be written to {self.root}: "
                    f"{error.strerror or error}."
                ) from error
            finally:
                for writer in job.writers:
                    writer.discard()

    def _plan(self, entry: Entry, backbone: Backbone, wide: set[str]) -> ForwardPass:
        order = vgg16.FRONTIERS.index
        start, source = vgg16.PICTURE, None
        for frontier in reversed(vgg16.FRONTIERS[order(self.lowest) : order(entry.frontier)]):
            candidate = self._entry(entry.split, backbone, frontier, entry.view)
            if self._has(candidate):
                start, source = frontier, candidate
                break
        above = max(order(start) + 1, order(self.lowest))
        passed = [f for f in KEPT_IN_PASSING if above <= order(f) < order(entry.frontier)]
        writers: list[EntryWriter] = []
        for frontier in (*passed, entry.frontier):
            target = self._entry(entry.split, backbone, frontier, entry.view)
            dtype = "float32" if frontier in wide else self.dtype
            writers.append(self.store.writer(target, dtype))
        return ForwardPass(start, source, tuple(writers), self.store)

    def _publish(self, job: ForwardPass, backbone: Backbone, written: PassResult) -> None:
        before = 0.0
        if job.source is not None:
            before = float(self.store.header(job.source)["seconds_from_picture"])
        total = vgg16.flops(job.start, job.target.frontier, backbone.image_size)
        for index, writer in enumerate(job.writers):
            end = writer.entry.frontier
            share = vgg16.flops(job.start, end, backbone.image_size) / total if total else 1.0
            checksums = [block[index] for block in written.blocks]
            size = writer.publish(checksums, before + share * written.seconds)
            # One pass made them all: its time is counted once, with the deepest.
            spent = written.seconds if writer is job.writers[-1] else 0.0
            how = {"start": job.start, "dtype": writer.dtype, "hosts": sorted(written.hosts)}
            self._log("build", writer.entry, seconds=spent, bytes=size, **how)

    def _log(self, event: str, entry: Entry, **facts: Any) -> None:
        if self.events:
            self.events.write(
                event=event,
                key=entry.key,
                split=entry.split.name,
                pictures=len(entry.split),
                frontier=entry.frontier,
                view=str(entry.view),
                **facts,
            )


def _here(job: ForwardPass, backbone: Backbone) -> PassResult:
    return job.run(backbone, range(len(job.target.split)))
