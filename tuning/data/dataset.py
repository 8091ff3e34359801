"""Picture folders to arrays and labels; what is wrong with the data.

Pictures are decoded once, kept as one uint8 array a split under the cache, and memory-mapped after.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tuning.data import decoded, labels, layouts, levels, likeness
from tuning.data.decoding import AS_IN_THE_ARTICLE, DecodeSettings, Levels
from tuning.data.division import Shares, divide
from tuning.data.layouts import Picture
from tuning.data.parts import Part
from tuning.errors import UserError
from tuning.files.object_store import ObjectPath
from tuning.files.shared_folder import SharedFolder
from tuning.wording import count

MAX_BROKEN = 0.05
NAMED = 10  # broken files that get a warning of their own
CONTRADICTIONS = 5  # that are named


@dataclass(frozen=True)
class Split:
    """The pictures of one split. Pickles as a path, never as pixels.

    Attributes:
        name: `train`, `validation` or `test`.
        folder: The folder of the pictures' array in the cache.
        labels: int64 (N,).
        paths: The files, relative to the data folder.
        digests: uint8 (N, 16), the head of the SHA-256 of each file's bytes: a picture's identity,
            at whatever size.
        checksums: uint8 (N, 16), BLAKE2b of each picture's pixels.
        settings: How they became squares of 8 bits.
        groups: What each belongs to that is not divided, None for nothing; empty where none has
            any.
    """

    name: str
    folder: SharedFolder
    labels: np.ndarray
    paths: tuple[str, ...]
    digests: np.ndarray
    checksums: np.ndarray
    settings: DecodeSettings
    groups: tuple[str | None, ...] = ()

    @property
    def whole(self) -> tuple[Split, ...]:
        """The splits that it is part of."""
        return (self,)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the pixels in their order."""
        return hashlib.sha256(self.checksums.tobytes()).hexdigest()

    @functools.cached_property
    def pictures(self) -> np.ndarray:
        """uint8 (N, S, S, 3), a read-only memory map."""
        file = self.folder.fetch(decoded.PIXELS, self._are_these)
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
        return array

    def _are_these(self, file: Path) -> bool:
        return decoded.are(file, map(bytes, self.checksums))

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
        cache: Where decoded pictures are kept.
    """

    root: Path
    classes: tuple[str, ...]
    image_size: int
    train: Split | Part
    validation: Split | Part
    test: Split | None
    fingerprint: str
    warnings: tuple[str, ...]
    cache: SharedFolder

    @property
    def settings(self) -> DecodeSettings:
        """How pictures became squares of 8 bits; the scale of more is None where there are none."""
        return self.train.settings

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

    def pictures(self) -> Iterator[Picture]:
        """Each picture, with all that is known of it."""
        for split in self.splits:
            assert isinstance(split, Split)
            groups = split.groups or itertools.repeat(None)
            for path, label, group in zip(split.paths, split.labels, groups, strict=False):
                yield Picture(self.root / path, self.classes[label], split.name, group)

    def at(self, image_size: int) -> Dataset:
        """The same pictures in the same splits, at another size.

        Args:
            image_size: Side in pixels.

        Raises:
            UserError: If the files are others by now, or there is no room for their pixels.
        """
        if image_size == self.image_size:
            return self
        reader = _Reader(self.root, self.cache, image_size, self.settings)
        again: dict[str, Split] = {}

        def resized(split: Split | Part) -> Split | Part:
            for whole in split.whole:
                if whole.name not in again:
                    again[whole.name] = reader.again(whole)
            if isinstance(split, Split):
                return again[split.name]
            return replace(split, whole=tuple(again[whole.name] for whole in split.whole))

        train, validation = resized(self.train), resized(self.validation)
        test = self.test and resized(self.test)
        assert test is None or isinstance(test, Split)
        return replace(
            self,
            image_size=image_size,
            train=train,
            validation=validation,
            test=test,
            fingerprint=_fingerprint(self.classes, again.values()),
        )


def load(
    root: Path,
    *,
    cache: Path | ObjectPath,
    image_size: int = 150,
    validation_share: float = 0.2,
    holdout: float | None = None,
    per_class: tuple[int, ...] | None = None,
    split_seed: int = 0,
    settings: DecodeSettings = AS_IN_THE_ARTICLE,
    listed: Path | None = None,
    groups: str | None = None,
    divided: Path | None = None,
) -> Dataset:
    """Finds, decodes and checks the pictures under `root`.

    Args:
        root: `train/CLASS/…` with `validation/CLASS/…` (and `test/CLASS/…`), or `CLASS/…` alone, or
            flat `CLASS.NUMBER.jpg` files in `train/` or in `root`; see `layouts`.
        cache: The cache's folder or place; decoded pictures go to `pictures/` in it.
        image_size: Side in pixels to which pictures are scaled.
        validation_share: The share of each class, where there is no validation folder.
        holdout: Share of all pictures that is taken as test split before all else; 0 for none.
            None: 0.15 of pictures that come without split, and the test folder of others.
        per_class: The numbers of pictures to take of each class, the first in natural order, for
            train, validation and, if given, test.
        split_seed: The seed of the split by shares.
        settings: How pictures become squares of 8 bits. The scale of those of more is what an
            earlier run found; None finds it in the training split.
        listed: A list of files and classes that goes before folders, see `labels.apply`.
        groups: The column of that list whose groups are not divided.
        divided: What `labels.write` wrote of the same pictures when they were divided; all else
            that divides them is not asked then.

    Raises:
        UserError: What is wrong with the data, in one line.
    """
    reader = _Reader(root, SharedFolder.of(cache), image_size, settings)
    shares = Shares(validation_share, holdout, per_class, split_seed)
    by_split, notes = _divided(root, reader, shares, listed, groups, divided)
    classes = tuple(sorted({str(each.label) for split in by_split.values() for each in split}))
    splits, broken = reader.splits(by_split, classes)
    warnings = [*notes, *broken, *reader.notes]
    if settings.levels:
        shown = _scale(settings.levels)
        warnings.append(f"Pictures of more than 8 bits are shown as before: {shown}")
    _check_classes(splits.values(), classes, root)
    warnings += _contradictions(splits.values(), classes)
    return Dataset(
        root,
        classes,
        image_size,
        splits["train"],
        splits["validation"],
        splits.get("test"),
        _fingerprint(classes, splits.values()),
        tuple(warnings),
        reader.cache,
    )


def _check_classes(splits: Iterable[Split], classes: Sequence[str], root: Path) -> None:
    for split in splits:
        for label, name in enumerate(classes):
            if not (split.labels == label).any():
                raise UserError(f"No readable picture of class {name!r} in {split.name} of {root}.")


def _divided(
    root: Path,
    reader: _Reader,
    shares: Shares,
    listed: Path | None,
    groups: str | None,
    divided: Path | None,
) -> tuple[dict[str, list[Picture]], list[str]]:
    """Pictures by split, and what to say of them; see `load`."""
    if divided:
        pictures = labels.read(divided, root)
        return {name: [p for p in pictures if p.split == name] for name in layouts.SPLITS}, []
    pictures, notes = layouts.find(root, listed)
    if listed:
        pictures, more = labels.apply(listed, root, pictures, groups)
        notes += more
    by_split, more = divide(root, pictures, shares, reader.alike(pictures))
    return by_split, notes + more


def _fingerprint(classes: Sequence[str], splits: Iterable[Split]) -> str:
    whole = hashlib.sha256(json.dumps(classes).encode())
    for split in splits:
        rows = [split.name, split.paths, split.labels.tolist(), split.fingerprint]
        whole.update(json.dumps(rows).encode())
    return whole.hexdigest()


class _Reader:
    """Reads the splits of one data set, training first: its pictures give the scale of all.

    Attributes:
        settings: How pictures become squares; with the scale of those of more than 8 bits, once
            training is read.
        notes: What was found of them, for the user.
    """

    def __init__(
        self,
        root: Path,
        cache: SharedFolder,
        image_size: int,
        settings: DecodeSettings,
    ) -> None:
        self.root, self.cache, self.image_size = root, cache, image_size
        self.settings = settings
        self.notes: list[str] = []
        self._contents: dict[Path, str] = {}

    def splits(
        self, by_split: Mapping[str, Sequence[Picture]], classes: Sequence[str]
    ) -> tuple[dict[str, Split], list[str]]:
        """All splits, and what to say of files that were left out.

        Raises:
            UserError: If these are too many.
        """
        splits: dict[str, Split] = {}
        broken: dict[str, str] = {}
        for name in layouts.SPLITS:  # the first finds the scale
            if by_split.get(name):
                splits[name], refused = self.split(name, by_split[name], classes)
                broken |= refused
        total = sum(map(len, splits.values())) + len(broken)
        return splits, _broken(broken, total, self.root)

    def split(
        self, name: str, pictures: Sequence[Picture], classes: Sequence[str]
    ) -> tuple[Split, dict[str, str]]:
        """One split, and the reasons why files of it were left out, by relative path."""
        files = [each.file for each in pictures]
        numbers = {label: number for number, label in enumerate(classes)}
        known = np.array([numbers[str(each.label)] for each in pictures])
        paths = [file.relative_to(self.root).as_posix() for file in files]
        finds_scale = name == "train" and self.settings.levels is None
        contents, folder, header = self.entry(files, finds_scale)
        if finds_scale and header["levels"]:
            found = Levels(*header["levels"])
            self.settings = replace(self.settings, levels=found)
            deep = header["deep"]
            number = "All" if deep == len(files) else f"{deep:,} of {len(files):,}"
            self.notes.append(f"{number} training pictures have more than 8 bits: {_scale(found)}")
        reasons = header["broken"]
        kept = np.array([row for row in range(len(files)) if str(row) not in reasons], dtype=int)
        groups = [pictures[index].group for index in kept]
        split = Split(
            name,
            folder,
            known[kept],
            tuple(paths[index] for index in kept),
            _digests("".join(contents[index][:32] for index in kept)),
            _digests(header["digests"]),
            self.settings,
            tuple(groups) if any(groups) else (),
        )
        return split, {paths[int(index)]: reason for index, reason in reasons.items()}

    def alike(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Which pictures are the same or nearly, int (N,), alike for those that are."""
        files = [each.file for each in pictures]
        small = _Reader(self.root, self.cache, likeness.SIDE, AS_IN_THE_ARTICLE)
        contents, folder, header = small.entry(files)
        self._contents |= small._contents
        readable = np.array(
            [row for row in range(len(files)) if str(row) not in header["broken"]], int
        )
        pixels = np.load(folder.fetch(decoded.PIXELS), mmap_mode="r", allow_pickle=False)
        near = readable[likeness.first_of_each(likeness.clusters(np.asarray(pixels)))]
        same = likeness.first_of_each(np.unique(contents, return_inverse=True)[1])
        one = np.concatenate([readable, np.arange(len(files))])
        return likeness.components(len(files), one, np.concatenate([near, same]))

    def contents(self, files: Sequence[Path]) -> list[str]:
        """Hashes of files' bytes."""
        new = [file for file in files if file not in self._contents]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing releases Python's lock
            self._contents.update(zip(new, pool.map(_content, new), strict=True))
        return [self._contents[file] for file in files]

    def again(self, split: Split) -> Split:
        """A split that was read before, at this size and with the scale that was found then.

        Raises:
            UserError: If its files are others by now.
        """
        files = [self.root / path for path in split.paths]
        contents, folder, header = self.entry(files)
        digests = _digests("".join(content[:32] for content in contents))
        if header["broken"] or not np.array_equal(digests, split.digests):
            raise UserError(
                f"The pictures in {self.root} have changed since they were read; start again."
            )
        return replace(split, folder=folder, checksums=_digests(header["digests"]))

    def entry(
        self, files: list[Path], finds_scale: bool = False
    ) -> tuple[list[str], SharedFolder, decoded.Header]:
        """Decoded pictures, decoded now if need be.

        Returns:
            Hashes of the files' bytes, where the pixels lie, and what stands beside them.
        """
        # Decoding releases Python's lock, so threads do.
        contents = self.contents(files)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            settings = self.settings
            known = settings.levels and astuple(settings.levels)
            identity = {
                "files": contents,
                "image_size": self.image_size,
                "levels": "its own" if finds_scale else known,
                "format": decoded.FORMAT,
            }
            if settings.keep_aspect:  # entries of earlier versions keep their names
                identity["keep_aspect"] = settings.keep_aspect
            key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
            folder = self.cache / "pictures" / key
            header = decoded.read(folder)
            is_new = header is None
            if header is None:
                facts: dict[str, Any] = {"levels": None, "deep": 0}
                if finds_scale:
                    deep = list(itertools.compress(files, pool.map(levels.deep, files)))
                    scale = levels.find(deep)
                    settings = replace(settings, levels=scale)
                    facts = {"levels": scale and astuple(scale), "deep": len(deep)}
                header = decoded.write(folder.here, files, self.image_size, settings, facts, pool)
            for part in (decoded.PIXELS, decoded.HEADER):  # the last says that all is there
                if folder.place is not None and (is_new or not (folder.place / part).exists()):
                    folder.send(part)
        return contents, folder, header


def _digests(text: str) -> np.ndarray:
    """uint8 (N, 16) of hex digits."""
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 16)


def _scale(levels: Levels) -> str:
    return (
        f"{levels.low:,.6g} and less is shown black, {levels.high:,.6g} and more white, in all "
        "splits and in predictions"
    )


def _content(file: Path) -> str:
    """Hex SHA-256 of a file's bytes, or of why they cannot be read."""
    try:
        content = file.read_bytes()
    except OSError as error:
        content = f"unreadable: {error.strerror}".encode()
    return hashlib.sha256(content).hexdigest()


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


def _contradictions(splits: Iterable[Split], classes: Sequence[str]) -> list[str]:
    """A word on equal pictures of different classes."""
    first: dict[bytes, tuple[str, int]] = {}
    found = []
    for split in splits:
        for known, path, label in zip(split.checksums, split.paths, split.labels, strict=True):
            other, its = first.setdefault(bytes(known), (path, label))
            if its != label:
                found.append(f"{path} ({classes[label]}) is {other} ({classes[its]})")
    if not found:
        return []
    named = "; ".join(found[:CONTRADICTIONS]) + ("; …" if len(found) > CONTRADICTIONS else "")
    return [f"{count(len(found), 'picture')} under two classes, of which one is wrong: {named}"]
