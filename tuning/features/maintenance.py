"""All entries of a cache: what is there, what is damaged, what may go."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.features.entry import Damaged, read
from tuning.features.writer import remove


@dataclass(frozen=True)
class Found:
    """An entry that lies in the cache.

    Attributes:
        folder: The entry's.
        bytes: The size of all its files.
        used: The time it was last mapped, in seconds of Unix time.
        header: Its facts of itself; empty where it has none.
    """

    folder: Path
    bytes: int
    used: float
    header: dict[str, Any]

    @property
    def label(self) -> str:
        """The entry as people read it."""
        identity = self.header.get("identity", {})
        number, policy = identity.get("view", "?"), identity.get("policy", "?")
        view = policy if policy == "none" else f"{policy}/{number}"
        split = self.header.get("split", "?")
        return f"{identity.get('frontier', 'unknown')} of {split}, view {view}"


def entries(folder: Path) -> list[Found]:
    """All entries under `folder`, the least recently used first."""
    return sorted(_entries(folder), key=lambda found: found.used)


def _entries(folder: Path) -> Iterator[Found]:
    for each in folder.iterdir() if folder.is_dir() else ():
        if each.name.startswith("."):
            continue  # a draft, or what is being removed
        try:
            files = list(each.iterdir()) if each.is_dir() else [each]
            total = sum(file.stat().st_size for file in files)
            used = each.stat().st_mtime
        except FileNotFoundError:
            continue  # removed by somebody else
        header: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            used = (each / "entry.json").stat().st_mtime
            header = json.loads((each / "entry.json").read_text())
        yield Found(each, total, used, header)


def prune(folder: Path, limit: int) -> list[Found]:
    """Removes the least recently used entries until all take at most `limit` bytes.

    An entry that a process has mapped stays.

    Returns:
        Those that were removed.
    """
    found = entries(folder)
    total = sum(each.bytes for each in found)
    removed = []
    for each in found:
        if total <= limit:
            break
        if _remove_unused(each.folder):
            total -= each.bytes
            removed.append(each)
    return removed


def _remove_unused(folder: Path) -> bool:
    try:
        # Over NFS an exclusive lock takes a file that is open for writing.
        with (folder / "entry.json").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(folder)
    except (BlockingIOError, PermissionError):  # in use, or not ours to judge
        return False
    except OSError:
        remove(folder)  # without a header nobody can be using it
    return True


def verify(folder: Path) -> Iterator[tuple[Found, str | None]]:
    """Compares every entry with its checksums; removes the damaged ones, to be built again.

    Yields:
        Each entry, and what is wrong with it, None for nothing.
    """
    for found in entries(folder):
        try:
            read(found.folder, full=True, use=False)
        except FileNotFoundError:
            continue
        except Damaged as fault:
            remove(found.folder)
            yield found, str(fault)
        else:
            yield found, None


def free_bytes(folder: Path) -> int:
    """On the disk under `folder`."""
    return shutil.disk_usage(folder).free
