"""One entry: a folder with the features and a header that says what they are.

Who maps an entry holds a shared lock on its header, so that nobody removes it; whoever finds it
damaged says why.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from models import vgg16
from models.weights import Weights
from tuning.data.dataset import Split

FORMAT = 2  # part of every key: raised when entries or augmentation policies change their meaning
BLOCK = 64  # pictures of a forward pass and of a checksum; part of what an entry's bytes depend on


@dataclass(frozen=True)
class View:
    """One look at every picture: an augmentation policy and the number of its draw."""

    policy: str = "none"
    number: int = 0

    def __str__(self) -> str:
        return self.policy if self.policy == "none" else f"{self.policy}/{self.number}"


PLAIN = View()  # the pictures as they are


@dataclass(frozen=True)
class Backbone:
    """The frozen network: VGG16's weights, what pixels go through before it, and their size."""

    weights: Weights
    preprocessing: str
    image_size: int


@dataclass(frozen=True)
class Entry:
    """What one entry is, whether it is there or not.

    Attributes:
        identity: All that its bytes depend on.
        split: The pictures, a row each.
        view: The view of them.
        frontier: The frontier whose output it holds.
    """

    identity: dict[str, Any]
    split: Split
    view: View
    frontier: str

    @property
    def key(self) -> str:
        """Hex SHA-256 of the identity: the name of its folder."""
        return digest(self.identity)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all features, (N, H, W, C)."""
        size = self.identity["image_size"]
        return (len(self.split), *vgg16.output_shape(self.frontier, size))

    def __str__(self) -> str:
        return f"{self.frontier} of {self.split.name}, view {self.view}"


def identify(split: Split, backbone: Backbone, frontier: str, view: View, dtype: str) -> Entry:
    """The entry for these features."""
    identity = {
        "pictures": split.fingerprint,
        "image_size": backbone.image_size,
        "preprocessing": backbone.preprocessing,
        "weights": backbone.weights.checksum,
        "frontier": frontier,
        "policy": view.policy,
        "view": view.number,
        "dtype": dtype,
        "format": FORMAT,
    }
    return Entry(identity, split, view, frontier)


def digest(identity: dict[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


# --- reading


class Damaged(Exception):
    """An entry that is not what it says; why, in a few words."""


@dataclass
class Stored:
    """An entry, mapped; nobody removes it as long as this lives.

    Attributes:
        array: Read-only memory map, (N, H, W, C).
        header: The facts that stand beside it.
        lock: The open header, under a shared lock.
    """

    array: np.ndarray
    header: dict[str, Any]
    lock: BufferedReader

    @property
    def seconds(self) -> float:
        """The seconds of forward pass from the picture that reading it spares."""
        return float(self.header["seconds_from_picture"])

    @property
    def bytes(self) -> int:
        """The size of the features' file."""
        return int(self.header["bytes"])


def read(
    folder: Path,
    identity: dict[str, Any] | None = None,
    *,
    full: bool = False,
    use: bool = True,
) -> Stored:
    """Maps an entry.

    Its size, shape and times are looked at; its content only where the file was touched since it
    was written, or where `full` asks for it.

    Args:
        folder: The entry's.
        identity: The identity that it must have; None takes any whose folder bears its digest.
        full: Whether to compare all checksums.
        use: Whether to note that it was used now.

    Raises:
        FileNotFoundError: If there is none.
        Damaged: If it is not what it says.
    """
    lock = _open_header(folder)
    fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        header = json.loads(lock.read())
        known = header["identity"]
        array: np.ndarray = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        status = (folder / "features.npy").stat()
        shape, dtype, size = header["shape"], header["dtype"], header["bytes"]
        checksums, modified = header["checksums"], header["modified"]
    except FileNotFoundError:
        lock.close()
        if folder.exists():
            raise Damaged("its features are missing") from None
        raise
    except Exception as error:
        # NumPy parses the head of an array as Python, which fails in as many ways.
        lock.close()
        raise Damaged(f"it cannot be read: {error}") from None
    if known != identity if identity is not None else digest(known) != folder.name:
        reason = "it holds something else than its place says"
    elif status.st_size != size:
        reason = f"it has {status.st_size:,} bytes instead of {size:,}"
    elif list(array.shape) != shape or array.dtype.name != dtype:
        reason = "its array is not the one that its header describes"
    elif (full or status.st_mtime_ns != modified) and list(_checksums(array)) != checksums:
        reason = "its content has changed"
    else:
        if use:
            os.utime(folder / "entry.json")
        return Stored(array, header, lock)
    lock.close()
    raise Damaged(reason)


def _open_header(folder: Path) -> BufferedReader:
    try:
        return (folder / "entry.json").open("rb")
    except NotADirectoryError:
        raise Damaged("a file lies in its place") from None
    except FileNotFoundError:
        if folder.exists():
            raise Damaged("it has no header") from None
        raise
    except OSError as error:
        raise Damaged(f"its header cannot be read: {error.strerror}") from None


def _checksums(array: np.ndarray) -> Iterator[str]:
    for first in range(0, len(array), BLOCK):
        yield checksum(array[first : first + BLOCK])


def checksum(rows: np.ndarray) -> str:
    """Hex SHA-256 of the bytes of some rows."""
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
