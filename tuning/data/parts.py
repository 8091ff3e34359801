"""Pictures of several splits together: what one fold of them is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tuning.data.dataset import Split
    from tuning.data.decoding import DecodeSettings


class Rows:
    """Some rows of several arrays, one after the other; read when they are asked for.

    Args:
        arrays: (N_i, …) each, memory maps perhaps.
        rows: Indices into all of them together.
    """

    def __init__(self, arrays: Sequence[np.ndarray], rows: np.ndarray) -> None:
        # Memory maps make an object of their own kind of whatever is taken from them.
        self.arrays, self.rows = [np.asarray(array) for array in arrays], rows
        self.ends = np.cumsum([len(array) for array in arrays])
        self.shape = (len(rows), *arrays[0].shape[1:])
        self.dtype = np.result_type(*(array.dtype for array in arrays))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        if np.ndim(index) == 0 and not isinstance(index, slice):
            one: np.ndarray = self[np.array([index])][0]
            return one
        rows = self.rows[index]
        if len(self.arrays) == 1:
            only: np.ndarray = self.arrays[0][rows]
            return only
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        start = 0
        for array, end in zip(self.arrays, self.ends, strict=True):
            inside = (rows >= start) & (rows < end)
            found[inside] = array[rows[inside] - start]
            start = end
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


@dataclass(frozen=True)
class Part:
    """Some pictures of several splits together, with the face of a `Split`.

    Attributes:
        name: `train` or `validation`.
        whole: The splits.
        rows: Indices into all of them together.
    """

    name: str
    whole: tuple[Split, ...]
    rows: np.ndarray

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 (N,)."""
        labels: np.ndarray = np.concatenate([split.labels for split in self.whole])[self.rows]
        return labels

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The files, relative to the data folder."""
        found = [path for split in self.whole for path in split.paths]
        return tuple(found[row] for row in self.rows)

    @cached_property
    def digests(self) -> np.ndarray:
        """uint8 (N, 16)."""
        digests: np.ndarray = np.concatenate([split.digests for split in self.whole])[self.rows]
        return digests

    @property
    def groups(self) -> tuple[str | None, ...]:
        """As those of a `Split`."""
        if not any(split.groups for split in self.whole):
            return ()
        found = [each for split in self.whole for each in split.groups or [None] * len(split)]
        return tuple(found[row] for row in self.rows)

    @property
    def settings(self) -> DecodeSettings:
        """The scale of pictures of more than 8 bits."""
        return self.whole[0].settings

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the pixels in their order."""
        checksums = np.concatenate([split.checksums for split in self.whole])[self.rows]
        return hashlib.sha256(checksums.tobytes()).hexdigest()

    @property
    def pictures(self) -> Rows:
        """uint8 (N, S, S, 3)."""
        return Rows([split.pictures for split in self.whole], self.rows)

    def __len__(self) -> int:
        return len(self.rows)
