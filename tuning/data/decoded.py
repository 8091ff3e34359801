"""The decoded pictures of a split in the cache: a folder with pixels, and what they are.

Every picture has a checksum. They are compared where the pixels' file was touched since it was
written, or by whoever asks for it; what is damaged is decoded again.
"""

from __future__ import annotations

import hashlib
import json
import operator
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tuning.data.containers import is_installed
from tuning.data.decoding import DecodeSettings, UnreadablePicture, decode
from tuning.errors import NoRoom, UserError
from tuning.files.atomic import appearing, remove
from tuning.files.shared_folder import SharedFolder
from tuning.wording import size as in_words

FORMAT = 3  # raised when `decode` changes pixels
PIXELS, HEADER = "pictures.npy", "entry.json"

Header = dict[str, Any]
"""What stands beside the pixels.

`digests`: hex, those of all pictures in order; `broken`: why others were left out, by index;
`lacks`: packages that would read some of those; `levels`: black and white of pictures of more than
8 bits, where this split's are the data set's, else null; `deep`: how many of those it has; `bytes`
and `modified`: size and time, in ns, of the pixels' file; `checksum`: of all that.
"""


def digest(picture: np.ndarray) -> bytes:
    """16 bytes that stand for a picture's pixels."""
    return hashlib.blake2b(picture.tobytes(), digest_size=16).digest()


def are(file: Path, digests: Iterable[bytes]) -> bool:
    """Whether the pixels in a file are those that digests stand for."""
    pixels = np.load(file, mmap_mode="r", allow_pickle=False)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing releases Python's lock
        return all(map(operator.eq, pool.map(digest, pixels), digests))


def read(folder: SharedFolder) -> Header | None:
    """What stands beside an entry's pixels.

    Returns:
        None where there is no entry, or a damaged one, or a package was installed since that reads
        more of its pictures.
    """
    try:
        header: Header = json.loads(folder.fetch(HEADER).read_text())
        file = folder.fetch(PIXELS)
        if any(map(is_installed, header["lacks"])) or _fault(file, header):
            return None
    except Exception:
        # NumPy parses the head of an array as Python, which fails in as many ways.
        return None
    return header


def _checksum(header: Header) -> str:
    """Hex SHA-256 of a header without its checksum."""
    facts = {name: value for name, value in header.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _fault(file: Path, header: Header, full: bool = False) -> str | None:
    """What is wrong with an entry; None for nothing."""
    if header["checksum"] != _checksum(header):
        return "its header has changed"
    status = file.stat()
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    digests = bytes.fromhex(header["digests"])
    if array.dtype != np.uint8 or array.ndim != 4 or len(array) != len(digests) // 16:
        return "its array is not the one that its header describes"
    touched = (status.st_size, status.st_mtime_ns) != (header["bytes"], header["modified"])
    if touched or full:
        if not are(file, (digests[at : at + 16] for at in range(0, len(digests), 16))):
            return "its content has changed"
        if touched:  # copied, perhaps: it need not be compared every time
            os.utime(file, ns=(status.st_atime_ns, header["modified"]))
    return None


def verify(cache: Path) -> Iterator[tuple[Path, str | None]]:
    """Compares all entries with their checksums; removes the damaged ones, to be decoded again.

    Args:
        cache: The folder of all entries.

    Yields:
        Each entry's folder, and what is wrong with it, None for nothing.
    """
    for folder in sorted(cache.iterdir()) if cache.is_dir() else ():
        if folder.name.startswith("."):
            continue  # a draft
        try:
            header = json.loads((folder / HEADER).read_text())
            if "checksum" not in header:
                fault: str | None = "it is of an earlier version"
            else:
                fault = _fault(folder / PIXELS, header, full=True)
        except Exception as error:
            fault = f"it cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        if fault:
            remove(folder)
        yield folder, fault


def write(
    folder: Path,
    files: list[Path],
    image_size: int,
    settings: DecodeSettings,
    facts: Header,
    pool: ThreadPoolExecutor,
) -> Header:
    """Decodes files into an entry, which appears whole or not at all.

    Args:
        folder: The entry's.
        files: The pictures.
        image_size: Side in pixels.
        settings: How they become squares of 8 bits.
        facts: More for the header.
        pool: Threads to decode in.

    Raises:
        UserError: If there is no room for it, or it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        check_room(folder.parent, len(files) * image_size**2 * 3)
        with appearing(folder, lambda there: read(SharedFolder(there)) is not None) as draft:
            header = facts | _decode(draft / PIXELS, files, image_size, settings, pool)
            header["checksum"] = _checksum(header)
            with (draft / HEADER).open("w") as file:
                json.dump(header, file)
                file.flush()
                os.fsync(file.fileno())
        return header
    except OSError as error:
        raise UserError(
            f"Decoded pictures cannot be written to {folder.parent}: "
            f"{error.strerror or error}; give another --cache."
        ) from None


def check_room(folder: Path, needed: int, what: str = "decoded") -> None:
    """Looks whether so many bytes of decoded pictures, or other ones, can be written.

    Raises:
        UserError: If not.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        smaller = ", or a smaller --image-size" if what == "decoded" else ""
        raise NoRoom(
            f"The {what} pictures need {in_words(needed)} in {folder}, where {in_words(free)} are "
            f"free; make room, or give another --cache{smaller}."
        )


def _decode(
    target: Path,
    files: list[Path],
    image_size: int,
    settings: DecodeSettings,
    pool: ThreadPoolExecutor,
) -> Header:
    def attempt(file: Path) -> np.ndarray | UnreadablePicture:
        try:
            return decode(file, image_size, settings)
        except UnreadablePicture as error:
            return error

    digests: list[bytes] = []
    broken: dict[str, str] = {}
    lacks: set[str] = set()
    with target.open("wb") as array:
        start = _array_header(array, len(files), image_size)
        for index, result in enumerate(pool.map(attempt, files)):
            if isinstance(result, UnreadablePicture):
                broken[str(index)] = str(result)
                lacks.update([result.lacks] if result.lacks else [])
                continue
            array.write(result.tobytes())
            digests.append(digest(result))
        # NumPy leaves room for a longer number, so the header keeps its length.
        array.seek(0)
        assert _array_header(array, len(digests), image_size) == start
        array.flush()
        os.fsync(array.fileno())
    status = target.stat()
    return {
        "digests": b"".join(digests).hex(),
        "broken": broken,
        "lacks": sorted(lacks),
        "bytes": status.st_size,
        "modified": status.st_mtime_ns,
    }


def _array_header(file: BinaryIO, count: int, size: int) -> int:
    """Writes the start of a .npy file of uint8 (count, size, size, 3); returns its length."""
    facts = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, facts)
    return file.tell()
