"""All segments of a cache: what is there, what is damaged, what may go."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.features.segments import FEATURES, HEADER, Damaged, read
from tuning.features.writer import remove


@dataclass(frozen=True)
class Kept:
    """A segment that lies in the cache.

    Attributes:
        folder: Its folder.
        bytes: The size of all its files.
        used: The time it was last mapped, in seconds of Unix time.
        header: Its facts of itself; empty where it has none.
        current: Whether this version reads it; an earlier one's entries had no segments.
    """

    folder: Path
    bytes: int
    used: float
    header: dict[str, Any]
    current: bool = True

    @property
    def name(self) -> str:
        """The entry and the segment, shortened."""
        if not self.current:
            return self.folder.name[:12]
        return f"{self.folder.parent.name[:12]}/{self.folder.name[:6]}"

    @property
    def label(self) -> str:
        """The segment as people read it."""
        identity = self.header.get("identity", {})
        number, policy = identity.get("view", "?"), identity.get("policy", "?")
        view = policy if policy == "none" else f"{policy}/{number}"
        split, pictures = self.header.get("split", "?"), (self.header.get("shape") or "?")[0]
        text = f"{identity.get('frontier', 'unknown')} of {pictures} pictures of {split}, "
        return f"{text}view {view}{'' if self.current else ', of an earlier version'}"


def segments(folder: Path) -> list[Kept]:
    """All segments under `folder`, the least recently used first."""
    return sorted(_segments(folder), key=lambda kept: kept.used)


def _segments(folder: Path) -> Iterator[Kept]:
    for entry in _within(folder):
        if not entry.is_dir() or (entry / HEADER).exists() or (entry / FEATURES).exists():
            found = [_kept(entry, current=False)]
        else:
            found = [_kept(each) for each in _within(entry)]
        yield from (each for each in found if each)


def _within(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # removed by somebody else
        # With a dot begin drafts, and what is being removed.
        return [each for each in folder.iterdir() if not each.name.startswith(".")]
    return []


def _kept(folder: Path, current: bool = True) -> Kept | None:
    try:
        files = list(folder.iterdir()) if folder.is_dir() else [folder]
        total = sum(file.stat().st_size for file in files)
        used = folder.stat().st_mtime
    except FileNotFoundError:
        return None  # removed by somebody else
    header: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        used = (folder / HEADER).stat().st_mtime
        header = json.loads((folder / HEADER).read_text())
    return Kept(folder, total, used, header, current)


def prune(folder: Path, limit: int) -> list[Kept]:
    """Removes the least recently used segments until all take at most `limit` bytes.

    A segment that a process has mapped stays.

    Returns:
        Those that were removed.
    """
    found = segments(folder)
    total = sum(each.bytes for each in found)
    removed = []
    for each in found:
        if total <= limit:
            break
        if remove_unused(each.folder):
            total -= each.bytes
            removed.append(each)
    return removed


def remove_unused(folder: Path) -> bool:
    """Removes a segment that no process has mapped; returns whether it did."""
    try:
        # Over NFS an exclusive lock takes a file that is open for writing.
        with (folder / HEADER).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(folder)
    except (BlockingIOError, PermissionError):  # in use, or not ours to judge
        return False
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            remove(folder)  # without a header nobody can be using it
    return True


def verify(folder: Path) -> Iterator[tuple[Kept, str | None]]:
    """Compares every segment with its checksums; removes the damaged ones, to be built again.

    Yields:
        Each segment, and what is wrong with it, None for nothing.
    """
    for kept in segments(folder):
        if not kept.current:
            continue
        try:
            read(kept.folder).compare(full=True)
        except FileNotFoundError:
            continue
        except Damaged as fault:
            remove(kept.folder)
            yield kept, str(fault)
        else:
            yield kept, None


def free_bytes(folder: Path) -> int:
    """On the disk under `folder`."""
    return shutil.disk_usage(folder).free
