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
from tuning.copies import SharedFolder
from tuning.dataset import Split
from tuning.errors import UserError
from tuning.features.draft import Draft, Overflow
from tuning.features.entry import PLAIN, Damaged, Entry, Frozen, Stored, View, digest, identify
from tuning.features.forward import Pass, Written
from tuning.features.rights import FileRights, Rights
from tuning.features.shelves import Bucket, Disk, Shelf
from tuning.journal import Events
from tuning.places import Place

# Frontiers kept whenever a forward pass goes through them: 2 % of the pass's time in writing buys
# that no later trial, which unfreezes more layers, starts again at the picture.
KEPT_IN_PASSING = ("block3_pool", "block4_pool", "block5_pool")

log = logging.getLogger(__name__)

Runner = Callable[[Pass, Frozen], Written]  # does the work of a pass


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
        journal: Where builds and uses are written down, None for nowhere.
        rights: Who may build; None: the processes of this machine agree by file locks.
    """

    root: Path | Place
    dtype: str = "float16"
    lowest: str = "block3_pool"
    limit: int | None = None
    verify: bool = False
    journal: Events | None = None
    rights: Rights | None = None
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
        self, split: Split, frozen: Frozen, frontier: str, view: View = PLAIN
    ) -> np.ndarray:
        """The frozen network's output at `frontier` for all pictures of `split`.

        Returns:
            A read-only memory map, (N, H, W, C) in the entry's number type.

        Raises:
            UserError: If the disk has no room for them.
        """
        entry = self._entry(split, frozen, frontier, view)
        stored, hit = self._open.get(entry.key) or self._read(entry), True
        if stored is None:
            hit = self._build_once(entry, frozen)
            stored = self.shelf.read(entry)
        self._open[entry.key] = stored
        self._log("use", entry, hit=hit, seconds=stored.seconds, bytes=stored.bytes)
        return stored.array

    def build(
        self, split: Split, frozen: Frozen, frontier: str, view: View, runner: Runner
    ) -> None:
        """Makes sure that the features are there, letting `runner` do the work if they are not."""
        entry = self._entry(split, frozen, frontier, view)
        if not self._has(entry):
            self._build_once(entry, frozen, runner)

    def holds(self, split: Split, frozen: Frozen, frontier: str, view: View) -> bool:
        """Whether the features are there, and look whole."""
        return self._has(self._entry(split, frozen, frontier, view))

    def key(self, split: Split, frozen: Frozen, frontier: str, view: View = PLAIN) -> str:
        """The entry's key: hex SHA-256 over the canonical JSON of all that its bytes depend on."""
        return self._entry(split, frozen, frontier, view).key

    def release(self) -> None:
        """Lets go of all maps, so that their entries may make room for others."""
        self._open.clear()

    def right(self, name: str) -> AbstractContextManager[None]:
        """A context that one process at a time is in, of all that share this cache."""
        return (self.rights or FileRights(self.shared.here / "locks")).hold(name)

    @property
    def shared(self) -> SharedFolder:
        """All that is kept, features and other things."""
        return SharedFolder(self.root)

    @property
    def folder(self) -> Path:
        """Where this machine maps entries from."""
        return (self.shared / "features").here

    @property
    def shelf(self) -> Shelf:
        """Where the entries lie."""
        folder = self.shared / "features"
        return Bucket(folder, self.limit) if folder.place else Disk(folder.here, self.limit)

    def _entry(self, split: Split, frozen: Frozen, frontier: str, view: View) -> Entry:
        return identify(split, frozen, frontier, view, self.dtype)

    def _read(self, entry: Entry) -> Stored | None:
        """The entry, None where there is none or it is damaged."""
        try:
            return self.shelf.read(entry, self.verify)
        except (FileNotFoundError, Damaged):
            return None

    def _has(self, entry: Entry) -> bool:
        try:
            return bool(self.shelf.header(entry))
        except (FileNotFoundError, Damaged):
            return False

    # --- building

    def _build_once(self, entry: Entry, frozen: Frozen, runner: Runner | None = None) -> bool:
        """Whether somebody else had built the entry when our turn came."""
        # One right for all depths of a view, so that what a pass keeps in passing has one builder.
        with self.right(digest({**entry.identity, "frontier": None})):
            try:
                self.shelf.read(entry, self.verify)
                return True
            except FileNotFoundError:
                pass
            except Damaged as fault:
                self._log("damaged", entry, reason=str(fault))
                log.warning("The features of %s are damaged and built again: %s", entry, fault)
            self._build(entry, frozen, runner or _here)
            return False

    def _build(self, entry: Entry, frozen: Frozen, runner: Runner) -> None:
        """Runs the frozen layers from the nearest stored frontier and stores what is asked for."""
        wide: set[str] = set()  # frontiers whose values float16 cannot hold
        while True:
            job = self._plan(entry, frozen, wide)
            try:
                self.shelf.reserve(entry, job.bytes)
                self._log("building", entry, start=job.start)
                for draft in job.drafts:
                    draft.create()
                self._publish(job, frozen, runner(job, frozen))
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
                for draft in job.drafts:
                    draft.discard()

    def _plan(self, entry: Entry, frozen: Frozen, wide: set[str]) -> Pass:
        order = vgg16.FRONTIERS.index
        start, source = vgg16.PICTURE, None
        for frontier in reversed(vgg16.FRONTIERS[order(self.lowest) : order(entry.frontier)]):
            candidate = self._entry(entry.split, frozen, frontier, entry.view)
            if self._has(candidate):
                start, source = frontier, candidate
                break
        above = max(order(start) + 1, order(self.lowest))
        passed = [f for f in KEPT_IN_PASSING if above <= order(f) < order(entry.frontier)]
        drafts: list[Draft] = []
        for frontier in (*passed, entry.frontier):
            target = self._entry(entry.split, frozen, frontier, entry.view)
            dtype = "float32" if frontier in wide else self.dtype
            drafts.append(self.shelf.draft(target, dtype))
        return Pass(start, source, tuple(drafts), self.shelf)

    def _publish(self, job: Pass, frozen: Frozen, written: Written) -> None:
        before = 0.0
        if job.source is not None:
            before = float(self.shelf.header(job.source)["seconds_from_picture"])
        total = vgg16.flops(job.start, job.target.frontier, frozen.image_size)
        for index, draft in enumerate(job.drafts):
            end = draft.entry.frontier
            share = vgg16.flops(job.start, end, frozen.image_size) / total if total else 1.0
            checksums = [block[index] for block in written.blocks]
            size = draft.publish(checksums, before + share * written.seconds)
            # One pass made them all: its time is counted once, with the deepest.
            spent = written.seconds if draft is job.drafts[-1] else 0.0
            how = {"start": job.start, "dtype": draft.dtype, "hosts": sorted(written.hosts)}
            self._log("build", draft.entry, seconds=spent, bytes=size, **how)

    def _log(self, event: str, entry: Entry, **facts: Any) -> None:
        if self.journal:
            self.journal.write(
                event=event,
                key=entry.key,
                split=entry.split.name,
                pictures=len(entry.split),
                frontier=entry.frontier,
                view=str(entry.view),
                **facts,
            )


def _here(job: Pass, frozen: Frozen) -> Written:
    return job.run(frozen, range(len(job.target.split)))
