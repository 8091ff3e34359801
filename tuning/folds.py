"""Cross-validation on the features that are there: a picture's features are those of any fold."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tuning.copies import SharedFolder
from tuning.dataset import Split
from tuning.features import PLAIN, FeatureCache, Frozen, View
from tuning.features.entry import digest
from tuning.setting import Setting


class Rows:
    """Some rows of several arrays, one after the other; read when they are asked for.

    Args:
        arrays: (N_i, …) each, memory maps perhaps.
        rows: Into all of them together.
    """

    def __init__(self, arrays: Sequence[np.ndarray], rows: np.ndarray) -> None:
        self.arrays, self.rows = arrays, rows
        self.ends = np.cumsum([len(array) for array in arrays])
        self.shape = (len(rows), *arrays[0].shape[1:])
        self.dtype = np.result_type(*(array.dtype for array in arrays))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = self.rows[index]
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
        rows: Into all of them together.
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
    def digests(self) -> np.ndarray:
        """uint8 (N, 16)."""
        digests: np.ndarray = np.concatenate([split.digests for split in self.whole])[self.rows]
        return digests

    @cached_property
    def fingerprint(self) -> str:
        """Of the pictures in their order."""
        return hashlib.sha256(self.digests.tobytes()).hexdigest()

    @property
    def pictures(self) -> Rows:
        """uint8 (N, S, S, 3)."""
        return Rows([split.pictures for split in self.whole], self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class FoldCache:
    """Finds the features of parts in the cache of the splits that they are of."""

    whole: FeatureCache

    @property
    def shared(self) -> SharedFolder:
        """See `FeatureCache.shared`."""
        return self.whole.shared

    def start(self, frontier: str) -> str:
        """See `FeatureCache.start`."""
        return self.whole.start(frontier)

    def release(self) -> None:
        """See `FeatureCache.release`."""
        self.whole.release()

    def right(self, name: str) -> AbstractContextManager[None]:
        """See `FeatureCache.right`."""
        return self.whole.right(name)

    def features(self, part: Part, frozen: Frozen, frontier: str, view: View = PLAIN) -> Rows:
        """The features of a part's pictures, (N, H, W, C)."""
        found = [self.whole.features(split, frozen, frontier, view) for split in part.whole]
        return Rows(found, part.rows)

    def key(self, part: Part, frozen: Frozen, frontier: str, view: View = PLAIN) -> str:
        """What tells these features from all others."""
        keys = [self.whole.key(split, frozen, frontier, view) for split in part.whole]
        return digest({"keys": keys, "pictures": part.fingerprint})


def fold(setting: Setting, number: int, folds: int) -> Setting:
    """The setting of one fold of training and validation pictures together.

    Stratified: every fold has its share of each class. The test split is no part of it.

    Args:
        setting: Of the search.
        number: Which fold is validated on, from 0.
        folds: How many there are.
    """
    from sklearn.model_selection import StratifiedKFold

    data = setting.dataset
    whole = (data.train, data.validation)
    labels = np.concatenate([split.labels for split in whole])
    divisions = StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels)
    train, validation = list(divisions)[number]
    divided = dataclasses.replace(
        data,
        train=Part("train", whole, train),  # type: ignore[arg-type]
        validation=Part("validation", whole, validation),  # type: ignore[arg-type]
    )
    cache: Any = FoldCache(setting.cache)
    return dataclasses.replace(setting, dataset=divided, cache=cache)
