"""What is stored of an entry: segments, folders with features and a header that says what they are.

Who maps a segment holds a shared lock on its header, so that nobody removes it; whoever finds it
damaged says why.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tuning.data.parts import Rows
from tuning.features.entry import BLOCK, Entry, checksum, digest, pictures, segment_name

FEATURES, HEADER = "features.npy", "entry.json"


class Damaged(Exception):
    """A segment that is not what it says; why, in a few words."""


@dataclass(frozen=True)
class Header:
    """What a segment says of itself.

    Attributes:
        facts: As they are written; see `writer.SegmentWriter.header`.
    """

    facts: dict[str, Any]

    @cached_property
    def pictures(self) -> tuple[bytes, ...]:
        """Identities of its pictures, a row each."""
        return pictures(bytes.fromhex(self.facts["digests"]))

    @property
    def seconds(self) -> float:
        """The seconds of forward pass from the picture that reading all of it spares."""
        return float(self.facts["seconds_from_picture"])


def parse(text: bytes, key: str, name: str) -> Header:
    """A segment's header.

    Args:
        text: The JSON.
        key: The key of the entry that it should be of.
        name: The name that it should have.

    Raises:
        Damaged: If it is none, or another's.
    """
    try:
        header = Header(json.loads(text))
        facts = header.facts
        if (digest(facts["identity"]), segment_name(header.pictures)) != (key, name):
            raise Damaged("it holds something else than its place says")
        if facts["checksum"] != signature(facts):
            raise Damaged("its header has changed")
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"its header cannot be read: {error}") from None
    return header


def signature(facts: dict[str, Any]) -> str:
    """The checksum of a header."""
    return digest({name: fact for name, fact in facts.items() if name != "checksum"})


@dataclass(frozen=True)
class Stored:
    """A segment, mapped; nobody removes it as long as this lives.

    Attributes:
        array: Read-only memory map, (N, H, W, C).
        header: Its header.
        folder: Its folder.
        lock: The open header, under a shared lock.
    """

    array: np.ndarray
    header: Header
    folder: Path
    lock: BufferedReader

    def compare(self, full: bool) -> None:
        """Looks at the features where their file was touched since, or where `full` asks for it.

        Raises:
            Damaged: If they are not those that were written.
        """
        file, facts = self.folder / FEATURES, self.header.facts
        status = file.stat()
        touched = status.st_mtime_ns != facts["modified"]
        if not full and not touched:
            return
        blocks = range(0, len(self.array), BLOCK)
        found = [checksum(self.array[first : first + BLOCK]) for first in blocks]
        if found != facts["checksums"]:
            raise Damaged("its content has changed")
        if touched:  # copied, perhaps: it need not be compared every time
            with suppress(OSError):
                os.utime(file, ns=(status.st_atime_ns, facts["modified"]))

    def touch(self) -> None:
        """Notes that it was used now."""
        os.utime(self.folder / HEADER)


def read(folder: Path) -> Stored:
    """Maps a segment whose folder and entry's folder bear the right names, see `Stored.compare`.

    Raises:
        FileNotFoundError: If there is none.
        Damaged: If it is not what it says.
    """
    lock = _open_header(folder)
    fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        header = parse(lock.read(), folder.parent.name, folder.name)
        array: np.ndarray = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
        found = (folder / FEATURES).stat().st_size
    except Damaged:
        lock.close()
        raise
    except FileNotFoundError:
        lock.close()
        if folder.exists():
            raise Damaged("its features are missing") from None
        raise
    except Exception as error:
        # NumPy parses the head of an array as Python, which fails in as many ways.
        lock.close()
        raise Damaged(f"it cannot be read: {error}") from None
    facts = header.facts
    if found == facts["bytes"] and (list(array.shape), array.dtype.name) == (
        facts["shape"],
        facts["dtype"],
    ):
        return Stored(array, header, folder, lock)
    lock.close()
    if found != facts["bytes"]:
        raise Damaged(f"it has {found:,} bytes instead of {facts['bytes']:,}")
    raise Damaged("its array is not the one that its header describes")


def _open_header(folder: Path) -> BufferedReader:
    try:
        return (folder / HEADER).open("rb")
    except NotADirectoryError:
        raise Damaged("a file lies in its place") from None
    except FileNotFoundError:
        if folder.exists():
            raise Damaged("it has no header") from None
        raise
    except OSError as error:
        raise Damaged(f"its header cannot be read: {error.strerror}") from None


# --- what is there of the pictures that somebody needs


class Segments(Protocol):
    """Where segments lie, see `stores.EntryStore`."""

    def names(self, entry: Entry) -> Sequence[str]:
        """All segments of an entry, those with the most pictures first."""
        ...

    def header(self, entry: Entry, name: str) -> Header:
        """What a segment says of itself."""
        ...

    def confirm(self, entry: Entry, name: str) -> None:
        """Looks at a segment that will be needed, as far as that can be done without fetching."""
        ...

    def read(self, entry: Entry, name: str, full: bool = False) -> Stored:
        """Maps a segment, see `read` and `Stored.compare`."""
        ...


@dataclass
class Found:
    """What is stored of some pictures' features.

    Attributes:
        wanted: Identities of the pictures, in the order of the features.
        headers: The segments that hold them, by name.
        stored: The same, mapped; empty where only headers were asked for.
        places: Segment, and row there, of each picture that was found.
        faults: What is wrong with segments that are damaged, by name.
    """

    wanted: Sequence[bytes]
    headers: dict[str, Header] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)
    places: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    @cached_property
    def missing(self) -> np.ndarray:
        """Indices of the pictures that were not found, each picture once."""
        first = {each: row for row, each in reversed(list(enumerate(self.wanted)))}
        return np.array(sorted(row for e, row in first.items() if e not in self.places), int)

    @cached_property
    def seconds(self) -> float:
        """The seconds of forward pass from the picture that reading the features spares."""
        each = {
            name: header.seconds / len(header.pictures) for name, header in self.headers.items()
        }
        return sum(each[name] for name, _ in self.places.values())

    @property
    def bytes(self) -> dict[str, int]:
        """The size of each segment that is mapped."""
        return {name: int(each.header.facts["bytes"]) for name, each in self.stored.items()}

    @cached_property
    def array(self) -> np.ndarray | Rows:
        """All features that were wanted, (N, H, W, C): mapped where they lie together."""
        arrays = [each.array for each in self.stored.values()]
        starts = np.cumsum([0, *map(len, arrays)])
        start = dict(zip(self.stored, starts.tolist(), strict=False))
        where = (self.places[each] for each in self.wanted)
        rows = np.array([start[name] + row for name, row in where], int)
        if len(arrays) == 1 and (np.diff(rows) == 1).all():
            return arrays[0][rows[0] : rows[0] + len(rows)]
        return Rows(arrays, rows)


def find(
    store: Segments,
    entry: Entry,
    wanted: Sequence[bytes],
    *,
    headers_only: bool = False,
    full: bool = False,
) -> Found:
    """Looks for pictures' features.

    Args:
        store: Where to look.
        entry: Which features.
        wanted: Identities of the pictures.
        headers_only: Whether to believe the headers, and map nothing.
        full: Whether to compare all checksums.
    """
    found, left = Found(wanted), set(wanted)
    # A segment of just these pictures is the rule, and is found without looking at any other.
    just = segment_name(dict.fromkeys(wanted))
    for name in _names(store, entry, just):
        if not left:
            break
        try:
            known = None if name == just and not headers_only else store.header(entry, name)
            if known and left.isdisjoint(known.pictures):
                continue
            if headers_only:
                store.confirm(entry, name)
            else:
                found.stored[name] = store.read(entry, name, full)
                known = found.stored[name].header
        except FileNotFoundError:
            continue  # removed by somebody else
        except Damaged as fault:
            found.faults[name] = str(fault)
            continue
        assert known
        found.headers[name] = known
        for row, picture in enumerate(known.pictures):
            if picture in left:
                found.places[picture] = name, row
        left.difference_update(known.pictures)
    return found


def _names(store: Segments, entry: Entry, just: str) -> Iterator[str]:
    yield just
    yield from (name for name in store.names(entry) if name != just)
