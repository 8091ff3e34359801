"""Object stores, `s3://` and `gs://`: whole files go to and fro, none is changed in place."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import re
import shutil
import tempfile
import textwrap
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tuning.errors import UserError

Result = TypeVar("Result")

SCHEMES = ("s3", "gs")
PUBLIC = "gs://anonymous@"  # pyarrow's way to ask without credentials
PATIENCE = 60.0  # seconds for which a store that cannot be reached is tried again
PAUSES = (0.5, 8.0)  # seconds before the second attempt, and the longest between two
SETTLED = 2.0  # seconds after which all that wrote an object at once have done so
# S3's words for an object that is there already, or is just being made.
TAKEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
PARALLEL = 16  # requests at once: a store answers one in some 50 ms, however small it is
# What is said where asking once more changes nothing: by this machine's disk, by S3, by Google.
DEFINITE = re.compile(
    "Permission denied|ACCESS_DENIED|NO_SUCH|INVALID|SIGNATURE|UNRECOGNIZED_CLIENT"
    "|retry.reason=permanent-error"
)
# Google's client would try again in silence for 15 minutes: here it is ours to do, and to say.
OWN_RETRIES = "retry_limit_seconds=2"

log = logging.getLogger(__name__)


def is_url(text: str) -> bool:
    """Whether it names a place in an object store."""
    return text.partition("://")[0] in SCHEMES and "://" in text


@dataclass(frozen=True)
class ObjectPath:
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

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(self.url, f"{self.below}/{name}".lstrip("/"))

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
        except FileNotFoundError:
            raise UserError(f"{self} cannot be used: there is no such bucket.") from None
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

    def create(self, content: bytes) -> bool:
        """Makes the object if there is none; of several that try at once one alone succeeds.

        S3 is asked to write on that condition, where boto3 is installed. Others have no such
        request here: what was written is looked at once more, when all that tried have written.

        Returns:
            Whether it was made.
        """
        if self.url.startswith("s3:") and importlib.util.find_spec("boto3"):
            return self._create_in_s3(content)
        if self.exists():
            return False
        self.write(content)
        time.sleep(SETTLED)
        try:
            return self.read() == content
        except FileNotFoundError:
            return False

    def _create_in_s3(self, content: bytes) -> bool:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        query = dict(urllib.parse.parse_qsl(self.url.partition("?")[2]))
        endpoint = query.get("endpoint_override")
        if endpoint and "://" not in endpoint:
            endpoint = f"{query.get('scheme', 'https')}://{endpoint}"
        region = query.get("region") or os.environ.get("AWS_REGION")
        bucket, _, key = self._there()[1].partition("/")

        def put() -> bool:
            client = boto3.client("s3", endpoint_url=endpoint, region_name=region)
            try:
                client.put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] in TAKEN:
                    return False
                raise OSError(f"INVALID: {error}") from error
            except BotoCoreError as error:
                raise OSError(str(error)) from error
            return True

        return _patiently(self, put)

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
            # The file first: a stream that was opened makes an object, whatever happens next.
            with file.open("rb") as opened, store.open_output_stream(path) as stream:
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

    address = url
    if url.startswith("gs:") and "retry_limit_seconds" not in url:
        address += f"{'&' if '?' in url else '?'}{OWN_RETRIES}"
    try:
        store, path = fs.FileSystem.from_uri(address)
    except (ValueError, OSError) as error:
        raise UserError(f"{ObjectPath(url)} is no place in a store: {reason(error)}.") from None
    return store, path


def _patiently(place: ObjectPath, work: Callable[[], Result]) -> Result:
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
    """The part of pyarrow's message that says why: Amazon's comes last, Google's in the midst."""
    text = " ".join(str(error).split())
    if found := re.search(r"original-message=([^}]*)|Status\((.*) error_info=", text):
        text = found[1] or found[2]
    text = text.rstrip(".").rpartition("operation: ")[2] or text
    return textwrap.shorten(text, 300, placeholder=" ...")


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
