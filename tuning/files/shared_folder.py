"""Folders that all machines share, and what each keeps of those that lie in an object store.

Nothing in a store can be mapped into memory, so machines keep copies of whole files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tuning.errors import UserError
from tuning.files.object_store import ObjectPath, in_parallel, is_url, reason


def default_cache() -> Path:
    """Where decoded pictures and features are kept unless the user says otherwise."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "little-data-tuner"


@dataclass(frozen=True)
class SharedFolder:
    """A folder that all machines share: a path that they all see, or a place with copies.

    Attributes:
        shared: The path or the place.
    """

    shared: Path | ObjectPath

    @classmethod
    def of(cls, where: Path | ObjectPath) -> SharedFolder:
        """That of a path as it is meant here, wherever processes of the search stand."""
        return cls(where.resolve() if isinstance(where, Path) else where)

    def __truediv__(self, name: str) -> SharedFolder:
        return SharedFolder(self.shared / name)

    @property
    def here(self) -> Path:
        """The folder on this machine."""
        if isinstance(self.shared, Path):
            return self.shared
        # By a name of its own, so that all that lies in it is in the store as well.
        return default_cache() / "copies" / _digest(self.shared.url) / self.shared.below

    @property
    def place(self) -> ObjectPath | None:
        """Its place in a store, None where all machines see the folder itself."""
        return self.shared if isinstance(self.shared, ObjectPath) else None

    def fetch(self, name: str, check: Callable[[Path], bool] | None = None) -> Path:
        """Brings a file here, once a machine.

        Args:
            name: Path in the folder.
            check: Whether what came is what should have come.

        Returns:
            Its path on this machine, where it lies if the folder has it at all.

        Raises:
            OSError: If the store stays away, or `check` fails.
        """
        file = self.here / name
        if self.place is not None and not file.exists():
            with alone(f"copy-{_digest(str(file))}"), suppress(FileNotFoundError):
                if not file.exists():
                    (self.place / name).download(file, check)
        return file

    def fetch_anew(self, name: str) -> Path:
        """Brings a file here that may have changed since; see `fetch`."""
        if self.place is not None:
            (self.here / name).unlink(missing_ok=True)
        return self.fetch(name)

    def send(self, name: str) -> None:
        """Gives a file that was written here to all machines."""
        if self.place is not None:
            (self.place / name).upload(self.here / name)

    def remove(self, name: str) -> None:
        """Takes a file away."""
        (self.here / name).unlink(missing_ok=True)
        if self.place is not None:
            (self.place / name).remove()


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One process of this machine at a time is in this context."""
    import filelock

    folder = default_cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / f"{name}.lock"):
        yield


def fetch_file(source: str) -> str:
    """A file's path on this machine: of one in a store the path of its copy, else as it is.

    Raises:
        UserError: If the store has no such file.
    """
    if not is_url(source):
        return source
    address, mark, query = source.partition("?")
    folder, _, name = address.rpartition("/")
    shared = SharedFolder(ObjectPath(folder + mark + query))
    try:
        file = shared.fetch(name)
    except OSError as error:
        raise UserError(f"{shared.place} cannot be read: {reason(error)}.") from None
    if not file.exists():
        raise UserError(f"There is no {name} in {shared.place}.")
    return str(file)


def fetch_folder(place: ObjectPath) -> Path:
    """A folder on this machine with copies of all objects under `place`, as they are now.

    Raises:
        UserError: If there are none, or the store says no.
    """
    folder = SharedFolder(place).here

    def bring(name: str) -> None:
        file, (size, written) = folder / name, files[name]
        known = file.stat() if file.exists() else None
        if known is None or (known.st_size, known.st_mtime_ns) != (size, written):
            (place / name).download(file)
            os.utime(file, ns=(written, written))

    try:
        with alone(f"copy-{_digest(str(folder))}"):
            # A name that leads out of the folder is none of a picture.
            files = {n: told for n, told in place.files().items() if ".." not in n.split("/")}
            if not files:
                raise UserError(f"There is nothing in {place}.")
            in_parallel(bring, files)
            for file in [each for each in folder.rglob("*") if each.is_file()]:
                if file.relative_to(folder).as_posix() not in files:
                    file.unlink()
    except OSError as error:
        raise UserError(f"{place} cannot be read: {reason(error)}.") from None
    return folder


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
