"""Locks of entries that are built: one holder at a time, and free when it dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class BuildLocks(Protocol):
    """Gives locks by name. Picklable: all processes of a search share one."""

    def hold(self, name: str) -> AbstractContextManager[None]:
        """A context that is entered when nobody else is inside it under this name."""
        ...


@dataclass(frozen=True)
class FileLocks:
    """Locks among the processes of one machine: the operating system frees a dead one's."""

    folder: Path

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """See `BuildLocks`."""
        import filelock

        self.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder / f"{name}.lock"):
            yield
