"""Where entries lie: on a disk, or in an object store of which each machine keeps copies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tuning.errors import UserError
from tuning.features import maintenance
from tuning.features.entry import BLOCK, Damaged, Entry, Stored, read
from tuning.features.writer import Content, EntryWriter
from tuning.files.object_store import ObjectPath, in_parallel
from tuning.files.shared_folder import SharedFolder, alone

HEADER = "entry.json"  # in a store it comes last: without it there is no entry


class EntryStore(Protocol):
    """Holds entries. Picklable; methods raise `FileNotFoundError` and `entry.Damaged` as `read`."""

    def read(self, entry: Entry, full: bool = False) -> Stored:
        """Maps an entry, see `entry.read`."""
        ...

    def header(self, entry: Entry) -> dict[str, Any]:
        """What an entry says of itself, without mapping it."""
        ...

    def writer(self, entry: Entry, dtype: str) -> EntryWriter:
        """An entry to be written."""
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

    def read(self, entry: Entry, full: bool = False) -> Stored:
        """See `EntryStore`."""
        return read(self.folder / entry.key, entry.identity, full=full)

    def header(self, entry: Entry) -> dict[str, Any]:
        """See `EntryStore`."""
        return self.read(entry).header

    def writer(self, entry: Entry, dtype: str) -> EntryWriter:
        """See `EntryStore`."""
        return EntryWriter(entry, dtype, self.folder)

    def reserve(self, entry: Entry, size: int) -> None:
        """See `EntryStore`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.limit is not None:
            maintenance.prune(self.folder, max(0, self.limit - size))
        free = maintenance.free_bytes(self.folder)
        if size > free:
            raise UserError(
                f"The features of {entry} need {size / 1e9:,.2f} GB, but "
                f"{self.folder} has {free / 1e9:,.2f} GB free: make room, put the cache elsewhere "
                "with --cache DIR, or let old entries go with --cache-limit."
            )


@dataclass(frozen=True)
class ObjectStore:
    """A place in an object store; each machine that reads an entry keeps a copy.

    An entry is an object for each block of pictures, so that several machines can write parts of
    it, and a header.

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

    def read(self, entry: Entry, full: bool = False) -> Stored:
        """See `EntryStore`."""
        try:
            return self.copies.read(entry, full)
        except (FileNotFoundError, Damaged):
            with alone(f"copy-{entry.key}"):  # of the processes on a machine one fetches
                try:
                    return self.copies.read(entry, full)
                except (FileNotFoundError, Damaged):
                    self._fetch(entry)
            return self.copies.read(entry, full)

    def header(self, entry: Entry) -> dict[str, Any]:
        """See `EntryStore`."""
        text = (self.place / entry.key / HEADER).read()
        try:
            header: dict[str, Any] = json.loads(text)
            whole = header["identity"] == entry.identity and header["shape"] == list(entry.shape)
            whole = whole and header["dtype"] in ("float16", "float32")
            whole = whole and len(header["checksums"]) == len(range(0, len(entry.split), BLOCK))
            float(header["seconds_from_picture"])
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise Damaged(f"its header in {self.place} says something else than its place")
        return header

    def writer(self, entry: Entry, dtype: str) -> EntryWriter:
        """See `EntryStore`."""
        return ObjectWriter(entry, dtype, self.shared.here, self.place / entry.key)

    def reserve(self, entry: Entry, size: int) -> None:
        """See `EntryStore`."""

    def _fetch(self, entry: Entry) -> None:
        header = self.header(entry)
        writer = self.copies.writer(entry, header["dtype"])
        self.copies.reserve(entry, writer.bytes)

        def bring(number: int) -> None:
            try:
                content = (self.place / entry.key / _block(number * BLOCK)).read()
            except FileNotFoundError:
                raise Damaged(f"its block {number} is not in {self.place}") from None
            if hashlib.sha256(content).hexdigest() != header["checksums"][number]:
                raise Damaged(f"its block {number} in {self.place} has changed")
            writer.put(number * BLOCK, content)

        try:
            writer.create()
            in_parallel(bring, range(len(header["checksums"])))
            writer.publish(header["checksums"], header["seconds_from_picture"])
        finally:
            writer.discard()


@dataclass(frozen=True)
class ObjectWriter(EntryWriter):
    """An entry that is being written to a store.

    Blocks without a header are nothing; who builds next writes the same bytes over them.

    Attributes:
        place: The entry's.
    """

    place: ObjectPath

    def create(self) -> None:
        """See `EntryWriter`."""

    def put(self, first: int, content: Content) -> None:
        """See `EntryWriter`."""
        (self.place / _block(first)).write(content)

    def publish(self, checksums: Sequence[str], seconds_from_picture: float) -> int:
        """See `EntryWriter`."""
        header = self.header(checksums, seconds_from_picture)
        (self.place / HEADER).write(json.dumps(header).encode())
        return self.bytes

    def discard(self) -> None:
        """See `EntryWriter`."""


def _block(first: int) -> str:
    """Name of the object whose first row is `first`."""
    return f"{first:09d}"
