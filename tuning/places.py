"""Object stores, `s3://` and `gs://`, and what each machine keeps of them.

Nothing in a store is mapped into memory or changed in place: machines keep copies of whole files,
and send whole files.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuning.commands import default_cache
from tuning.errors import UserError

Result = TypeVar("Result")

SCHEMES = ("s3", "gs")
PATIENCE = 60.0  # seconds for which a store that cannot be reached is tried again
PAUSES = (0.5, 8.0)  # seconds before the second attempt, and the longest between two
PARALLEL = 16  # requests at once: a store answers one in some 50 ms, however small it is
# What the stores say where asking once more changes nothing.
DEFINITE = re.compile(
    "ACCESS_DENIED|NO_SUCH|INVALID|SIGNATURE|UNRECOGNIZED_CLIENT|[Pp]ermission|[Uu]nauthenticated"
)

log = logging.getLogger(__name__)


def is_url(text: str) -> bool:
    """Whether it names a place in an object store."""
    return text.partition("://")[0] in SCHEMES and "://" in text


@dataclass(frozen=True)
class Place:
    """A folder, or an object, in a store. What cannot be reached is tried again for a minute.

    Whoever waits says so as a warning of this module's logger.

    Attributes:
        url: `s3://BUCKET/FOLDER` or `gs://…`, as pyarrow takes it: `?endpoint_override=HOST:PORT`
            is for other stores than Amazon's. Credentials come from the environment.
        below: Path under it.

    Raises:
        OSError: By all methods, if a store says no or stays away.
        FileNotFoundError: By those that read, if there is no such object.
    """

    url: str
    below: str = ""

    def __truediv__(self, name: str) -> Place:
        return Place(self.url, f"{self.below}/{name}".lstrip("/"))

    def __str__(self) -> str:
        address = self.url.partition("?")[0].rstrip("/")
        return f"{address}/{self.below}" if self.below else address

    @property
    def name(self) -> str:
        """The last part of its path."""
        return str(self).rpartition("/")[2]

    def check(self) -> None:
        """Looks whether it can be reached and written.

        Raises:
            UserError: Why not.
        """
        try:
            probe = self / ".probe"
            probe.write(b"")
            probe.remove()
        except OSError as error:
            raise UserError(f"{self} cannot be used: {reason(error)}.") from None

    def exists(self) -> bool:
        """Whether it is an object."""
        store, path = self._there()
        return bool(_patiently(self, lambda: store.get_file_info(path)).is_file)

    def files(self) -> dict[str, tuple[int, int]]:
        """All objects under it: path below it → bytes, and when it was written in nanoseconds."""
        from pyarrow import fs

        store, path = self._there()
        every = fs.FileSelector(path, allow_not_found=True, recursive=True)
        found = _patiently(self, lambda: store.get_file_info(every))
        return {
            each.path[len(path) :].lstrip("/"): (each.size, each.mtime_ns)
            for each in found
            if each.is_file
        }

    def read(self) -> bytes:
        """What the object holds."""
        store, path = self._there()

        def read() -> bytes:
            with store.open_input_stream(path) as stream:
                return bytes(stream.read())

        return _patiently(self, read)

    def write(self, content: bytes | memoryview) -> None:
        """Makes the object, or replaces it; it appears whole or not at all."""
        store, path = self._there()

        def write() -> None:
            with store.open_output_stream(path) as stream:
                stream.write(content)

        _patiently(self, write)

    def download(self, file: Path, check: Callable[[Path], bool] | None = None) -> None:
        """Copies the object to a file, which appears whole, and if it passes `check`, or not."""
        store, path = self._there()

        def copy() -> None:
            with _draft(file) as draft:
                with store.open_input_stream(path) as stream, draft.open("wb") as opened:
                    shutil.copyfileobj(stream, opened, 2**24)
                if check is not None and not check(draft):
                    raise OSError(f"INVALID: {self} is damaged; remove it")

        file.parent.mkdir(parents=True, exist_ok=True)
        _patiently(self, copy)

    def upload(self, file: Path) -> None:
        """Copies a file to the object, as `write` does."""
        store, path = self._there()

        def copy() -> None:
            with store.open_output_stream(path) as stream, file.open("rb") as opened:
                shutil.copyfileobj(opened, stream, 2**24)

        _patiently(self, copy)

    def remove(self) -> None:
        """Takes the object away, if it is there."""
        store, path = self._there()

        def remove() -> None:
            with suppress(FileNotFoundError):
                store.delete_file(path)

        _patiently(self, remove)

    def _there(self) -> tuple[Any, str]:
        store, base = _connect(self.url)
        return store, f"{base.rstrip('/')}/{self.below}".rstrip("/")


@functools.lru_cache
def _connect(url: str) -> tuple[Any, str]:
    from pyarrow import fs

    try:
        store, path = fs.FileSystem.from_uri(url)
    except (ValueError, OSError) as error:
        raise UserError(f"{Place(url)} is no place in a store: {reason(error)}.") from None
    return store, path


def _patiently(place: Place, work: Callable[[], Result]) -> Result:
    until, (pause, longest) = time.monotonic() + PATIENCE, PAUSES
    while True:
        try:
            return work()
        except FileNotFoundError:
            raise
        except OSError as error:
            if DEFINITE.search(str(error)) or time.monotonic() + pause > until:
                raise
            log.warning("%s cannot be reached, trying again: %s", place, reason(error))
        time.sleep(pause)
        pause = min(2 * pause, longest)


def reason(error: Exception) -> str:
    """The part of pyarrow's message that says why, which comes last."""
    text = " ".join(str(error).split()).rstrip(".")
    return text.rpartition("operation: ")[2] or text


@contextmanager
def _draft(file: Path) -> Iterator[Path]:
    """A file beside `file` that takes its place in the end."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    os.close(handle)
    try:
        yield Path(name)
        os.replace(name, file)
    finally:
        Path(name).unlink(missing_ok=True)


def in_parallel(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """What `work` gives for each item; many requests are under way at once."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(work, items))


# --- copies


@dataclass(frozen=True)
class SharedFolder:
    """A folder that all machines share: a path that they all see, or a place with copies.

    Attributes:
        shared: The path or the place.
    """

    shared: Path | Place

    @classmethod
    def of(cls, where: Path | Place) -> SharedFolder:
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
    def place(self) -> Place | None:
        """In a store, None where all machines see the folder itself."""
        return self.shared if isinstance(self.shared, Place) else None

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


def copied(source: str) -> str:
    """A file's path on this machine: of one in a store the path of its copy, else as it is.

    Raises:
        UserError: If the store has no such file.
    """
    if not is_url(source):
        return source
    address, mark, query = source.partition("?")
    folder, _, name = address.rpartition("/")
    shared = SharedFolder(Place(folder + mark + query))
    try:
        file = shared.fetch(name)
    except OSError as error:
        raise UserError(f"{shared.place} cannot be read: {reason(error)}.") from None
    if not file.exists():
        raise UserError(f"There is no {name} in {shared.place}.")
    return str(file)


def mirrored(place: Place) -> Path:
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
