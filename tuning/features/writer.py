"""A segment that is being written: beside its place, and moved there whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning.features.entry import Segment, checksum
from tuning.features.segments import FEATURES, HEADER, signature
from tuning.files import atomic

Content = memoryview | bytes


class Overflow(Exception):
    """Finite values that float16 cannot hold (above 65,504).

    Attributes:
        frontier: The frontier whose output they are.
    """

    def __init__(self, frontier: str) -> None:
        super().__init__(frontier)
        self.frontier = frontier


@dataclass(frozen=True)
class SegmentWriter:
    """A segment that is being written, perhaps by several processes, beside its place.

    Attributes:
        segment: The segment that it will be.
        dtype: The numbers' type.
        root: The folder where entries lie.
    """

    segment: Segment
    dtype: str
    root: Path

    @property
    def folder(self) -> Path:
        """Where it is written. Only who holds the entry's lock may write there."""
        return self.root / f".{self.segment.entry.key}"

    @property
    def file(self) -> Path:
        """The features."""
        return self.folder / FEATURES

    @property
    def row_bytes(self) -> int:
        """The size of one picture's features."""
        return math.prod(self.segment.shape[1:]) * np.dtype(self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """The size of all features."""
        return self.segment.shape[0] * self.row_bytes

    def create(self) -> None:
        """Makes the file, for rows to be written in any order."""
        shutil.rmtree(self.folder, ignore_errors=True)  # left by a builder that died
        self.folder.mkdir(parents=True)
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(self.dtype)),
            "fortran_order": False,
            "shape": self.segment.shape,
        }
        with self.file.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + self.bytes)

    def write(self, first: int, output: np.ndarray) -> str:
        """Writes the rows from `first` on.

        Returns:
            Their checksum.

        Raises:
            Overflow: If a finite value would not stay finite in the segment's number type.
        """
        with np.errstate(over="ignore"):  # looked for in the next line
            rows = output.astype(self.dtype, copy=False)
        if rows.dtype != output.dtype and np.isinf(rows).any() and np.isfinite(output).all():
            raise Overflow(self.segment.entry.frontier)
        self.put(first, np.ascontiguousarray(rows).data)
        return checksum(rows)

    def put(self, first: int, content: Content) -> None:
        """Writes the bytes of the rows from `first` on."""
        # Not through a map: a write into a hole of a full disk would kill the process.
        with self.file.open("r+b") as file:
            file.seek(-(self.segment.shape[0] - first) * self.row_bytes, os.SEEK_END)
            file.write(content)

    def header(
        self, checksums: Sequence[str], seconds_from_picture: float, **more: int
    ) -> dict[str, Any]:
        """What the segment says of itself."""
        facts = {
            "identity": self.segment.entry.identity,
            "split": self.segment.entry.split.name,
            "digests": b"".join(self.segment.pictures).hex(),
            "shape": list(self.segment.shape),
            "dtype": self.dtype,
            "checksums": list(checksums),
            "seconds_from_picture": seconds_from_picture,
            **more,
        }
        return facts | {"checksum": signature(facts)}

    def publish(self, checksums: Sequence[str], seconds_from_picture: float) -> int:
        """Moves the written segment to its place; returns the bytes of its features' file."""
        atomic.sync(self.file)
        status = self.file.stat()
        size, modified = status.st_size, status.st_mtime_ns
        header = self.header(checksums, seconds_from_picture, bytes=size, modified=modified)
        atomic.write_text(self.folder / HEADER, json.dumps(header))
        entry = self.root / self.segment.entry.key
        if entry.is_file():
            entry.unlink()  # somebody's, or what a failing disk left
        remove(entry / self.segment.name)  # damaged, or it would not be written
        while True:
            entry.mkdir(exist_ok=True)
            try:
                self.folder.rename(entry / self.segment.name)
                break
            except FileNotFoundError:
                if entry.exists():
                    raise
                # Whoever prunes has removed the empty folder.
        atomic.sync(entry)
        atomic.sync(self.root)
        return size

    def discard(self) -> None:
        """Removes what was not published."""
        shutil.rmtree(self.folder, ignore_errors=True)


def remove(folder: Path) -> None:
    """Takes a segment away; readers that have mapped it keep what they have."""
    if folder.is_dir():
        grave = folder.with_name(f".removed-{folder.name}-{os.getpid()}")
        folder.rename(grave)
        shutil.rmtree(grave)
    else:
        folder.unlink(missing_ok=True)
    with suppress(OSError):  # others are in it
        folder.parent.rmdir()
