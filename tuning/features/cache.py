"""Features on disk, mapped into memory, built by whoever needs them first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.backbones import Backbone
from models.units import PICTURE
from tuning.data.dataset import Split
from tuning.data.parts import Part, Rows
from tuning.errors import UserError
from tuning.features import cost
from tuning.features.entry import (
    BLOCK,
    PLAIN,
    Entry,
    Segment,
    View,
    digest,
    identify,
)
from tuning.features.forward import ForwardPass, PassResult, SourceLost
from tuning.features.locks import BuildLocks, FileLocks
from tuning.features.segments import Found, find
from tuning.features.stores import EntryStore, LocalStore, ObjectStore
from tuning.features.writer import Overflow, SegmentWriter
from tuning.files.object_store import ObjectPath
from tuning.files.shared_folder import SharedFolder
from tuning.process.spent import clock
from tuning.records.event_log import EventSink

# Each batch is gathered from as many places; beyond these they are made one.
MOST_SEGMENTS = 8

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
        store_from: The layer whose output is stored, and those of all above it; None: what is worth
            it, see `features.cost`. The rest is recomputed.
        worth: FLOP that a byte must spare to be stored, see `features.cost`.
        precision: What the network computes in: `float32`; `tf32`, which GPUs use for it; or
            `bfloat16`.
        limit: Bytes that all features may take on a machine's disk, None for no limit; the least
            recently used entries make room, but never one in use.
        verify: Whether entries are compared with their checksums before their first use.
        events: The log of builds and uses, None for none.
        locks: The locks of those who build; None: file locks among this machine's processes.
    """

    root: Path | ObjectPath
    dtype: str = "float16"
    store_from: str | None = None
    worth: float = cost.SPACE
    precision: str = "float32"
    limit: int | None = None
    verify: bool = False
    events: EventSink | None = None
    locks: BuildLocks | None = None
    _open: dict[str, Found] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # Travels to workers as paths; maps would travel as their contents.
        return {**self.__dict__, "_open": {}}

    def stored(self, backbone: Backbone) -> list[str]:
        """The frontiers that are stored, from the picture on."""
        own = self.store_from and backbone.graph.frontier_above(self.store_from)
        if own:
            return list(backbone.frontiers[backbone.order(own) :])
        return cost.stored(backbone, self.worth)

    def start(self, backbone: Backbone, frontier: str) -> str:
        """Where a network that is cut at `frontier` begins: there, if it is stored.

        Else storing costs more than recomputing: the network begins at the nearest that is stored
        below, or at the picture, and the frozen layers from there on are a part of it and run in
        each step.
        """
        most = backbone.order(frontier)
        below = [each for each in self.stored(backbone) if backbone.order(each) <= most]
        return below[-1] if below else PICTURE

    def features(
        self, split: Split | Part, backbone: Backbone, frontier: str, view: View = PLAIN
    ) -> np.ndarray | Rows:
        """The frozen network's output at `frontier` for all pictures of `split`.

        Returns:
            (N, H, W, C) in the entry's number type: a read-only memory map, or rows of several.

        Raises:
            UserError: If the disk has no room for them.
        """
        entry = self.entry(split, backbone, frontier, view)
        found, hit = self._open.get(entry.content), True
        if found is None:
            found, hit = self._ensure(entry, backbone)
            self._open[entry.content] = found
        read = {"bytes": sum(found.bytes.values()), "segments": found.bytes}
        self._log("use", entry, hit=hit, seconds=found.seconds, **read)
        return found.array

    def build(
        self, split: Split, backbone: Backbone, frontier: str, view: View, runner: Runner
    ) -> None:
        """Makes sure that the features are there, letting `runner` do the work if they are not."""
        if self.missing(split, backbone, frontier, view):
            self._build_once(self.entry(split, backbone, frontier, view), backbone, runner)

    def missing(self, split: Split, backbone: Backbone, frontier: str, view: View = PLAIN) -> int:
        """The number of pictures whose features are not there, or do not look whole."""
        entry = self.entry(split, backbone, frontier, view)
        return len(find(self.store, entry, entry.pictures, headers_only=True).missing)

    def entry(
        self, split: Split | Part, backbone: Backbone, frontier: str, view: View = PLAIN
    ) -> Entry:
        """What these features are and where they lie, whether they are there or not."""
        return identify(split, backbone, frontier, view, self.dtype, self.precision)

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

    def _find(self, entry: Entry) -> Found:
        return find(self.store, entry, entry.pictures, full=self.verify)

    def _ensure(self, entry: Entry, backbone: Backbone) -> tuple[Found, bool]:
        """The features, and whether we had to compute none of them."""
        # Of a part's splits all is computed: a picture's features are those of any fold.
        splits = [replace(entry, split=whole) for whole in entry.split.whole]
        hit, merged = True, False
        kept: list[Found] = []  # lest one split's features make room for the next one's
        while True:
            found = self._find(entry)
            if len(found.missing):
                for each in splits:
                    hit = self._build_once(each, backbone) and hit
                    kept.append(self._find(each))
            elif len(found.headers) > MOST_SEGMENTS and not merged:
                del found, kept[:]  # what is in use would stay
                for each in splits:
                    self._merge(each)
                merged = True  # or there was no room for it
            else:
                return found, hit

    # --- building

    def _build_once(self, entry: Entry, backbone: Backbone, runner: Runner | None = None) -> bool:
        """Computes what is missing of a split; whether somebody else had done so by our turn."""
        # One lock for all depths of a view, so that what a pass keeps in passing has one builder.
        with ExitStack() as stack:
            with clock.on("waiting"):
                stack.enter_context(self.lock(digest({**entry.identity, "frontier": None})))
            stack.enter_context(clock.on("building"))
            # Who lets others do the work does not read either.
            self._remove_damaged(entry, headers_only=runner is not None)
            built, wide = False, set[str]()  # frontiers whose values float16 cannot hold
            while job := self._plan(entry, backbone, wide):
                self._build(job, backbone, runner or _here, wide)
                built = True
            return not built

    def _remove_damaged(self, entry: Entry, headers_only: bool = False) -> None:
        found = find(self.store, entry, entry.pictures, headers_only=headers_only, full=self.verify)
        for name, fault in found.faults.items():
            self._log("damaged", entry, segment=name, reason=fault)
            log.warning("Features of %s are damaged and computed again: %s", entry, fault)
            self.store.remove(entry, name)

    def _plan(self, entry: Entry, backbone: Backbone, wide: set[str]) -> ForwardPass | None:
        """Of what is missing all that can start at the same depth, the nearest first."""
        order, stored = backbone.order, self.stored(backbone)
        missing = find(self.store, entry, entry.pictures, headers_only=True).missing
        if not len(missing):
            return None
        wanted = [entry.pictures[row] for row in missing]
        start, source = PICTURE, None
        for frontier in reversed([each for each in stored if order(each) < order(entry.frontier)]):
            candidate = self._at(frontier, entry, backbone)
            lacks = find(self.store, candidate, wanted, headers_only=True).missing
            if len(lacks) < len(missing):
                start, source, missing = frontier, candidate, np.delete(missing, lacks)
                break
        kept = [each for each in cost.kept_in_passing(backbone) if each in stored]
        passed = [each for each in kept if order(start) < order(each) < order(entry.frontier)]
        writers: list[SegmentWriter] = []
        for frontier in (*passed, entry.frontier):
            target = self._at(frontier, entry, backbone)
            segment = Segment(target, tuple(entry.pictures[row] for row in missing))
            dtype = "float32" if frontier in wide else self.dtype
            writers.append(self.store.writer(segment, dtype))
        return ForwardPass(missing, start, source, tuple(writers), self.store, self.precision)

    def _at(self, frontier: str, entry: Entry, backbone: Backbone) -> Entry:
        return self.entry(entry.split, backbone, frontier, entry.view)

    def _build(self, job: ForwardPass, backbone: Backbone, runner: Runner, wide: set[str]) -> None:
        """Runs the frozen layers and stores what comes out, or finds out why it cannot."""
        entry = job.target
        try:
            self.store.reserve(entry, job.bytes)
            if job.source and len(self._source(job).missing):
                return  # what made room was what it should start from
            self._log("building", entry, start=job.start)
            for writer in job.writers:
                writer.create()
            self._publish(job, backbone, runner(job, backbone))
        except SourceLost:
            assert job.source
            self._remove_damaged(job.source)
            if not len(self._source(job).missing):
                raise  # it can be read here, but not where it was needed
        except Overflow as overflow:
            self._log("overflow", entry, at=overflow.frontier)
            log.warning("%s has values beyond float16's and is kept as float32", overflow.frontier)
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

    def _source(self, job: ForwardPass) -> Found:
        assert job.source
        wanted = job.writers[-1].segment.pictures
        return find(self.store, job.source, wanted, headers_only=True)

    def _publish(self, job: ForwardPass, backbone: Backbone, written: PassResult) -> None:
        before = self._source(job).seconds if job.source else 0.0
        total = backbone.flops(job.start, job.target.frontier)
        for index, writer in enumerate(job.writers):
            end = writer.segment.entry.frontier
            share = backbone.flops(job.start, end) / total if total else 1.0
            checksums = [block[index] for block in written.blocks]
            size = writer.publish(checksums, before + share * written.seconds)
            # One pass made them all: its time is counted once, with the deepest.
            spent = written.seconds if writer is job.writers[-1] else 0.0
            self._log(
                "build",
                writer.segment.entry,
                segment=writer.segment.name,
                pictures=len(job.pictures),
                seconds=spent,
                bytes=size,
                start=job.start,
                dtype=writer.dtype,
                hosts=sorted(written.hosts),
            )

    def _merge(self, entry: Entry) -> None:
        """Makes one segment of many, if there is room for it."""
        whole = Segment(entry, tuple(dict.fromkeys(entry.pictures)))
        with self.lock(digest({**entry.identity, "frontier": None})):
            found = find(self.store, entry, whole.pictures, full=True)
            if len(found.missing) or len(found.headers) <= MOST_SEGMENTS:
                return
            writer = self.store.writer(whole, found.array.dtype.name)
            try:
                self.store.reserve(entry, writer.bytes)
                writer.create()
                blocks = range(0, len(whole.pictures), BLOCK)
                checksums = [writer.write(at, found.array[at : at + BLOCK]) for at in blocks]
                writer.publish(checksums, found.seconds)
            except (UserError, OSError):
                return  # many segments serve as well, if more slowly
            finally:
                writer.discard()
            held = set(whole.pictures)
            spare = [n for n, each in found.headers.items() if held.issuperset(each.pictures)]
            del found  # and its locks with it
            for name in spare:
                self.store.retire(entry, name)

    def _log(self, event: str, entry: Entry, **facts: Any) -> None:
        if self.events:
            self.events.write(
                event=event,
                key=entry.key,
                split=entry.split.name,
                frontier=entry.frontier,
                view=str(entry.view),
                **{"pictures": len(entry.split), **facts},
            )


def _here(job: ForwardPass, backbone: Backbone) -> PassResult:
    return job.run(backbone, range(len(job.pictures)))
