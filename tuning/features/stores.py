"""Where segments lie: on a disk, or in an object store of which each machine keeps copies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuning.errors import NoRoom
from tuning.features import maintenance
from tuning.features.entry import BLOCK, Entry, Segment
from tuning.features.segments import HEADER, Damaged, Header, Segments, Stored, parse, read
from tuning.features.writer import Content, SegmentWriter, remove
from tuning.files.object_store import ObjectPath, in_parallel
from tuning.files.shared_folder import SharedFolder, alone
from tuning.wording import size as in_words


class EntryStore(Segments, Protocol):
    """Holds entries. Picklable; methods raise `FileNotFoundError` and `segments.Damaged`."""

    def writer(self, segment: Segment, dtype: str) -> SegmentWriter:
        """A segment to be written."""
        ...

    def remove(self, entry: Entry, name: str) -> None:
        """Takes a segment away."""
        ...

    def retire(self, entry: Entry, name: str) -> None:
        """Takes a segment away whose features lie in another one as well, unless it is in use."""
        ...

    def reserve(self, entry: Entry, size: int) -> None:
        """Makes room for `size` bytes that are to be written; `UserError` if there is none."""
        ...


@dataclass(frozen=True)
class LocalStore:
    """A folder that all processes see.

    Attributes:
        folder: The folder that the entries lie in.
        limit: Bytes that they may take, None for no limit.
    """

    folder: Path
    limit: int | None

    def names(self, entry: Entry) -> Sequence[str]:
        """See `segments.Segments`."""
        sizes = {}
        with suppress(OSError):
            for each in (self.folder / entry.key).iterdir():
                if not each.name.startswith("."):  # what is being removed
                    header = each / HEADER
                    sizes[each.name] = header.stat().st_size if header.exists() else 0
        return sorted(sizes, key=lambda name: -sizes[name])

    def header(self, entry: Entry, name: str) -> Header:
        """See `segments.Segments`."""
        return read(self.folder / entry.key / name).header

    def confirm(self, entry: Entry, name: str) -> None:
        """See `segments.Segments`."""
        self.read(entry, name)

    def read(self, entry: Entry, name: str, full: bool = False) -> Stored:
        """See `segments.Segments`."""
        stored = read(self.folder / entry.key / name)
        stored.compare(full)
        stored.touch()
        return stored

    def writer(self, segment: Segment, dtype: str) -> SegmentWriter:
        """See `EntryStore`."""
        return SegmentWriter(segment, dtype, self.folder)

    def remove(self, entry: Entry, name: str) -> None:
        """See `EntryStore`."""
        with suppress(FileNotFoundError):
            remove(self.folder / entry.key / name)

    def retire(self, entry: Entry, name: str) -> None:
        """See `EntryStore`."""
        maintenance.remove_unused(self.folder / entry.key / name)

    def reserve(self, entry: Entry, size: int) -> None:
        """See `EntryStore`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.limit is not None:
            maintenance.prune(self.folder, max(0, self.limit - size))
        free = maintenance.free_bytes(self.folder)
        if size > free:
            raise NoRoom(
                f"The features of {entry} need {in_words(size)}, but {self.folder} has "
                f"{in_words(free)} free: make room, put the cache elsewhere with --cache DIR, or "
                "let old entries go with --cache-limit."
            )


@dataclass(frozen=True)
class ObjectStore:
    """A place in an object store; each machine that reads a segment keeps a copy.

    A segment is an object for each block of pictures, so that several machines can write parts of
    it, and a header, which comes last: without it there is no segment.

    Attributes:
        shared: The folder of the entries.
        limit: Bytes that the copies on a machine may take; the store itself grows.
    """

    shared: SharedFolder
    limit: int | None

    @property
    def copies(self) -> LocalStore:
        """The copies on this machine."""
        return LocalStore(self.shared.here, self.limit)

    @property
    def place(self) -> ObjectPath:
        """The place of the entries."""
        assert self.shared.place is not None
        return self.shared.place

    def names(self, entry: Entry) -> Sequence[str]:
        """See `segments.Segments`."""
        files = (self.place / entry.key).files()
        sizes = {
            file.partition("/")[0]: size
            for file, (size, _) in files.items()
            if file.partition("/")[2] == HEADER
        }
        return sorted(sizes, key=lambda name: -sizes[name])

    def header(self, entry: Entry, name: str) -> Header:
        """See `segments.Segments`."""
        return parse((self.place / entry.key / name / HEADER).read(), entry.key, name)

    def confirm(self, entry: Entry, name: str) -> None:
        """See `segments.Segments`."""

    def read(self, entry: Entry, name: str, full: bool = False) -> Stored:
        """See `segments.Segments`."""
        try:
            return self.copies.read(entry, name, full)
        except (FileNotFoundError, Damaged):
            with alone(f"copy-{entry.key}"):  # of the processes on a machine one fetches
                try:
                    return self.copies.read(entry, name, full)
                except (FileNotFoundError, Damaged):
                    self._fetch(entry, name)
            return self.copies.read(entry, name, full)

    def writer(self, segment: Segment, dtype: str) -> SegmentWriter:
        """See `EntryStore`."""
        return ObjectWriter(segment, dtype, self.shared.here, self.place / segment.entry.key)

    def remove(self, entry: Entry, name: str) -> None:
        """See `EntryStore`."""
        self.copies.remove(entry, name)
        _remove(self.place / entry.key / name)

    def retire(self, entry: Entry, name: str) -> None:
        """See `EntryStore`."""
        self.copies.retire(entry, name)
        _remove(self.place / entry.key / name)

    def reserve(self, entry: Entry, size: int) -> None:
        """See `EntryStore`."""

    def _fetch(self, entry: Entry, name: str) -> None:
        header = self.header(entry, name)
        writer = self.copies.writer(Segment(entry, header.pictures), header.facts["dtype"])
        self.copies.reserve(entry, writer.bytes)
        place, checksums = self.place / entry.key / name, header.facts["checksums"]

        def bring(number: int) -> None:
            try:
                content = (place / _block(number * BLOCK)).read()
            except FileNotFoundError:
                raise Damaged(f"its block {number} is not in {self.place}") from None
            if hashlib.sha256(content).hexdigest() != checksums[number]:
                raise Damaged(f"its block {number} in {self.place} has changed")
            writer.put(number * BLOCK, content)

        try:
            writer.create()
            in_parallel(bring, range(len(checksums)))
            writer.publish(checksums, header.seconds)
        finally:
            writer.discard()


@dataclass(frozen=True)
class ObjectWriter(SegmentWriter):
    """A segment that is being written to a store; blocks without a header are nothing.

    Attributes:
        place: The entry's.
    """

    place: ObjectPath

    def create(self) -> None:
        """Removes what builders that died have left."""
        files = [file.partition("/")[::2] for file in self.place.files()]
        whole = {name for name, file in files if file == HEADER}
        for name in {name for name, _ in files} - whole:
            _remove(self.place / name)

    def put(self, first: int, content: Content) -> None:
        """See `SegmentWriter`."""
        (self.place / self.segment.name / _block(first)).write(content)

    def publish(self, checksums: Sequence[str], seconds_from_picture: float) -> int:
        """See `SegmentWriter`."""
        header = self.header(checksums, seconds_from_picture)
        (self.place / self.segment.name / HEADER).write(json.dumps(header).encode())
        return self.bytes

    def discard(self) -> None:
        """See `SegmentWriter`."""


def _remove(segment: ObjectPath) -> None:
    (segment / HEADER).remove()  # first: what is left then is nothing
    in_parallel(lambda file: (segment / file).remove(), segment.files())


def _block(first: int) -> str:
    """Name of the object whose first row is `first`."""
    return f"{first:09d}"
