"""Picture folders to arrays and labels; what is wrong with the data.

Pictures are decoded once, kept as one uint8 array a split under the cache, and memory-mapped after.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from tuning.data import layouts
from tuning.data.decoding import UnreadablePicture, decode
from tuning.data.parts import Part
from tuning.errors import UserError
from tuning.files.object_store import ObjectPath
from tuning.files.shared_folder import SharedFolder

FORMAT = 2  # of the decoded arrays; raised when `decode` changes pixels
MAX_BROKEN = 0.05
NAMED = 10  # broken files that get a warning of their own


@dataclass(frozen=True)
class Split:
    """The pictures of one split. Pickles as a path, never as pixels.

    Attributes:
        name: `train`, `validation` or `test`.
        folder: The folder of the pictures' array in the cache.
        labels: int64 (N,).
        paths: The files, relative to the data folder.
        digests: uint8 (N, 16), BLAKE2b of each picture's pixels: its identity for augmented views.
        fingerprint: Hex SHA-256 over the digests in order: of all that is computed from the pixels.
    """

    name: str
    folder: SharedFolder
    labels: np.ndarray
    paths: tuple[str, ...]
    digests: np.ndarray
    fingerprint: str

    @functools.cached_property
    def pictures(self) -> np.ndarray:
        """uint8 (N, S, S, 3), a read-only memory map."""
        file = self.folder.fetch("pictures.npy", self._are_these)
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
        return array

    def _are_these(self, file: Path) -> bool:
        pixels = np.load(file, mmap_mode="r", allow_pickle=False)
        return all(map(operator.eq, map(_digest, pixels), map(bytes, self.digests)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "pictures"}


@dataclass(frozen=True)
class Dataset:
    """A folder of labelled pictures.

    Attributes:
        root: The folder.
        classes: Names in sorted order; a label is an index into it.
        image_size: Side of the decoded pictures in pixels.
        train: Pictures to learn from.
        validation: Pictures to choose by.
        test: Pictures to judge the final model by, None where there are none.
        fingerprint: Hex SHA-256 over relative paths, pixels and labels of all splits.
        warnings: What the user should know, a line each.
    """

    root: Path
    classes: tuple[str, ...]
    image_size: int
    train: Split | Part
    validation: Split | Part
    test: Split | None
    fingerprint: str
    warnings: tuple[str, ...]

    @property
    def splits(self) -> tuple[Split | Part, ...]:
        """Those that there are."""
        return tuple(each for each in (self.train, self.validation, self.test) if each is not None)

    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures by split and class."""
        return {
            split.name: {
                name: int((split.labels == label).sum()) for label, name in enumerate(self.classes)
            }
            for split in self.splits
        }


def load(
    root: Path,
    *,
    cache: Path | ObjectPath,
    image_size: int = 150,
    validation_share: float = 0.2,
    holdout: float | None = None,
    per_class: tuple[int, ...] | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Finds, decodes and checks the pictures under `root`.

    Args:
        root: `train/CLASS/…` with `validation/CLASS/…` (and `test/CLASS/…`), or `CLASS/…` alone, or
            flat `CLASS.NUMBER.jpg` files in `train/` or in `root`.
        cache: The cache's folder or place; decoded pictures go to `pictures/` in it.
        image_size: Side in pixels to which pictures are scaled.
        validation_share: The share of each class, where there is no validation folder.
        holdout: Share of all pictures that is taken as test split before all else; 0 for none.
            None: 0.15 of pictures that come without split, and the test folder of others.
        per_class: The numbers of pictures to take of each class, the first in natural order, for
            train, validation and, if given, test.
        split_seed: The seed of the split by shares.

    Raises:
        UserError: What is wrong with the data, in one line.
    """
    files = layouts.find(
        root,
        validation_share=validation_share,
        holdout=holdout,
        per_class=per_class,
        split_seed=split_seed,
    )
    warnings: list[str] = []
    broken: dict[str, str] = {}
    splits: dict[str, Split] = {}
    for name in ("train", "validation", "test"):
        by_class = getattr(files, name)
        if by_class:
            shared = SharedFolder.of(cache)
            splits[name], refused = _split(name, root, by_class, shared, image_size)
            broken |= refused
    total = sum(map(len, splits.values())) + len(broken)
    warnings += _broken(broken, total, root)
    for split in splits.values():
        for label, name in enumerate(files.classes):
            if not (split.labels == label).any():
                raise UserError(f"No readable picture of class {name!r} in {split.name} of {root}.")
    for one, other in combinations(splits.values(), 2):
        warnings += _shared(one, other)
    return Dataset(
        root,
        files.classes,
        image_size,
        splits["train"],
        splits["validation"],
        splits.get("test"),
        _fingerprint(files.classes, splits.values()),
        tuple(warnings),
    )


def _fingerprint(classes: Sequence[str], splits: Iterable[Split]) -> str:
    whole = hashlib.sha256(json.dumps(classes).encode())
    for split in splits:
        rows = [split.name, split.paths, split.labels.tolist(), split.fingerprint]
        whole.update(json.dumps(rows).encode())
    return whole.hexdigest()


def _split(
    name: str, root: Path, by_class: layouts.ByClass, cache: SharedFolder, image_size: int
) -> tuple[Split, dict[str, str]]:
    """One split, and the reasons why files of it were left out, by relative path."""
    files = [file for found in by_class.values() for file in found]
    labels = np.repeat(np.arange(len(by_class)), [len(found) for found in by_class.values()])
    paths = [file.relative_to(root).as_posix() for file in files]
    # Hashing and decoding release Python's lock, so threads do.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        contents = list(pool.map(_content, files))
        identity = json.dumps({"files": contents, "image_size": image_size, "format": FORMAT})
        folder = cache / "pictures" / hashlib.sha256(identity.encode()).hexdigest()
        entry = _read(folder) or _decode(folder.here, files, image_size, pool)
        for part in ("pictures.npy", "entry.json"):  # the header last: it says that all is there
            if folder.place is not None and not (folder.place / part).exists():
                folder.send(part)
    reasons = entry["broken"]
    kept = np.array([index for index in range(len(files)) if str(index) not in reasons], dtype=int)
    digests = np.frombuffer(bytes.fromhex(entry["digests"]), np.uint8).reshape(-1, 16)
    split = Split(
        name,
        folder,
        labels[kept],
        tuple(paths[index] for index in kept),
        digests,
        hashlib.sha256(digests.tobytes()).hexdigest(),
    )
    return split, {paths[int(index)]: reason for index, reason in reasons.items()}


def _digest(picture: np.ndarray) -> bytes:
    return hashlib.blake2b(picture.tobytes(), digest_size=16).digest()


def _content(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _read(folder: SharedFolder) -> dict[str, Any] | None:
    """What stands beside the decoded pictures; None where there are none, or damaged ones."""
    try:
        entry: dict[str, Any] = json.loads(folder.fetch("entry.json").read_text())
        file = folder.fetch("pictures.npy")
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return entry if len(array) == len(entry["digests"]) // 32 else None


def _decode(
    folder: Path, files: list[Path], image_size: int, pool: ThreadPoolExecutor
) -> dict[str, Any]:
    """Decodes files into a cache entry, which appears whole or not at all."""

    def attempt(file: Path) -> np.ndarray | str:
        try:
            return decode(file, image_size)
        except UnreadablePicture as error:
            return str(error)

    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        digests = []
        broken: dict[str, str] = {}
        with (draft / "pixels").open("wb") as pixels:
            for index, result in enumerate(pool.map(attempt, files)):
                if isinstance(result, str):
                    broken[str(index)] = result
                    continue
                pixels.write(result.tobytes())
                digests.append(_digest(result))
        shape = (len(digests), image_size, image_size, 3)
        # NumPy cannot map an empty file.
        raw = np.memmap(draft / "pixels", np.uint8, "r", shape=shape) if digests else None
        with (draft / "pictures.npy").open("wb") as array:
            np.save(array, np.zeros(shape, np.uint8) if raw is None else raw)
            array.flush()
            os.fsync(array.fileno())
        (draft / "pixels").unlink()
        entry = {"digests": b"".join(digests).hex(), "broken": broken}
        with (draft / "entry.json").open("w") as header:
            json.dump(entry, header)
            header.flush()
            os.fsync(header.fileno())
        if _read(SharedFolder(folder)) is None:  # else another process was faster
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
        return entry
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _broken(reasons: dict[str, str], total: int, root: Path) -> list[str]:
    head = [f"{path}: {reason}" for path, reason in list(reasons.items())[:NAMED]]
    if len(reasons) == total:
        raise UserError(f"No readable picture in {root}: {'; '.join(head[:3])}.")
    if len(reasons) > MAX_BROKEN * total:
        raise UserError(
            f"{len(reasons)} of {total} files in {root} are no readable pictures, more than "
            f"{MAX_BROKEN:.0%}; remove them: {'; '.join(head)}"
            + ("; …" if len(reasons) > NAMED else "")
        )
    lines = [f"skipped {line}" for line in head]
    if len(reasons) > NAMED:
        more = ", ".join(list(reasons)[NAMED:])
        lines.append(f"skipped {len(reasons) - NAMED} more: {more}")
    return lines


def _shared(one: Split, other: Split) -> list[str]:
    first = {digest.tobytes(): path for digest, path in zip(one.digests, one.paths, strict=True)}
    twins = [
        (first[digest.tobytes()], path)
        for digest, path in zip(other.digests, other.paths, strict=True)
        if digest.tobytes() in first
    ]
    if not twins:
        return []
    return [
        f"{len(twins)} pictures of {other.name} are in {one.name} as well, which inflates the "
        f"score: {twins[0][1]} is {twins[0][0]}, for one"
    ]
