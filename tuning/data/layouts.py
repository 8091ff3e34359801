"""Which files of a folder are pictures of which class, in which split."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuning.errors import UserError

TEST_SHARE = 0.15  # of pictures that come without split
VALIDATION_NAMES = ("validation", "val", "valid")
LAYOUTS = "train/CLASS/… and validation/CLASS/…, or CLASS/… alone, or flat CLASS.NUMBER.jpg"

ByClass = dict[str, list[Path]]  # files of each class in natural order


@dataclass(frozen=True)
class Files:
    """The files of every split, by class; every split has the same classes, sorted."""

    train: ByClass
    validation: ByClass
    test: ByClass  # empty where there is no test split

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(self.train)


def find(
    root: Path,
    *,
    validation_share: float,
    holdout: float | None,
    per_class: tuple[int, ...] | None,
    split_seed: int,
) -> Files:
    """The files under `root`, in one of the three layouts; arguments as in `dataset.load`.

    Raises:
        UserError: If it is not one of them, or a class has too few files.
    """
    if not root.is_dir():
        raise UserError(f"No such data folder: {root}.")
    top = root / "train" if (root / "train").is_dir() else root
    train = _by_class(top)
    validation_folder = next((root / n for n in VALIDATION_NAMES if (root / n).is_dir()), None)
    if top is not root and validation_folder:
        test_folder = root / "test"
        splits: list[ByClass] = [
            train,
            _by_class(validation_folder),
            _by_class(test_folder) if test_folder.is_dir() else {},
        ]
        for name, split in zip(("validation", "test"), splits[1:], strict=True):
            _same_classes(root, name, train, split)
        if holdout is not None and splits[2]:
            raise UserError(f"{test_folder} is the test split; leave --holdout away.")
        held = _hold_out(splits[:2], holdout or 0.0, split_seed)
        if per_class:
            if len(per_class) > 2 and not splits[2]:
                raise UserError(
                    f"There is no folder {test_folder} to take {per_class[2]} pictures of each "
                    "class from; leave the third number away."
                )
            splits = [
                _first(split, count, name)
                for split, count, name in zip(
                    splits, (*per_class, 0)[:3], ("train", "validation", "test"), strict=True
                )
            ]
        return Files(splits[0], splits[1], held or splits[2])
    if per_class:
        held = _hold_out([train], holdout or 0.0, split_seed)
        files = _in_order(train, per_class)
        return Files(files.train, files.validation, held or files.test)
    return _by_shares(
        train, validation_share, TEST_SHARE if holdout is None else holdout, split_seed
    )


def _hold_out(splits: list[ByClass], share: float, seed: int) -> ByClass:
    """Takes a share of each class out of these splits together; empty where that is 0."""
    held: ByClass = {}
    for index, label in enumerate(splits[0] if share else {}):
        found = sorted((file for split in splits for file in split[label]), key=_natural)
        count = max(1, round(share * len(found)))
        rows = np.random.default_rng((seed, index)).permutation(len(found))[:count]
        held[label] = [found[row] for row in sorted(rows)]
        taken = set(held[label])
        for split in splits:
            split[label] = [file for file in split[label] if file not in taken]
            _enough(label, len(split[label]), 1, f"beside a holdout of {share}")
    return held


def _by_class(folder: Path) -> ByClass:
    """Files by class: of class folders, or where there are none of flat CLASS.NUMBER names."""
    entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    folders = [each for each in entries if each.is_dir()]
    found: ByClass
    if folders:
        found = {each.name: _files(each) for each in folders}
    else:
        found = {}
        for file in sorted(entries, key=_natural):
            if file.name.count(".") >= 2:
                found.setdefault(file.name.split(".")[0], []).append(file)
        found = dict(sorted(found.items()))
    if not found:
        raise UserError(f"No class folders in {folder}; expected {LAYOUTS}.")
    if len(found) == 1:
        raise UserError(f"Only one class, {next(iter(found))!r}, in {folder}; two are needed.")
    for name, files in found.items():
        if not files:
            raise UserError(f"The class {name!r} in {folder} is empty; add pictures or remove it.")
    return found


def _files(folder: Path) -> list[Path]:
    def hidden(path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(folder).parts)

    found = [path for path in folder.rglob("*") if not hidden(path) and path.is_file()]
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts cat.2 before cat.10."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def _same_classes(root: Path, name: str, train: ByClass, other: ByClass) -> None:
    missing, new = sorted(set(train) - set(other)), sorted(set(other) - set(train))
    if other and (missing or new):
        what = [f"without {', '.join(missing)}"] if missing else []
        what += [f"with {', '.join(new)}, which train lacks"] if new else []
        raise UserError(
            f"The classes in {root} differ: {name} is {' and '.join(what)}; "
            "every split needs the same class folders."
        )


def _first(split: ByClass, count: int, name: str) -> ByClass:
    if not split or not count:
        return {}
    for label, files in split.items():
        _enough(label, len(files), count, f"for {name}")
    return {label: files[:count] for label, files in split.items()}


def _in_order(files: ByClass, per_class: tuple[int, ...]) -> Files:
    """The first so many to train, the next to validation, then to test, as in the article."""
    for label, found in files.items():
        _enough(label, len(found), sum(per_class), f"({' + '.join(map(str, per_class))})")
    splits: list[ByClass] = []
    start = 0
    for count in per_class:
        splits.append({label: found[start : start + count] for label, found in files.items()})
        start += count
    return Files(splits[0], splits[1], splits[2] if len(splits) > 2 else {})


def _by_shares(files: ByClass, validation: float, test: float, seed: int) -> Files:
    splits: tuple[ByClass, ByClass, ByClass] = ({}, {}, {})
    for index, (label, found) in enumerate(files.items()):
        counts = [max(1, round(share * len(found))) if share else 0 for share in (validation, test)]
        _enough(label, len(found), sum(counts) + 1, "to have one in every split")
        order = np.random.default_rng((seed, index)).permutation(len(found))
        cuts = np.cumsum(counts)
        parts = np.split(order, cuts)  # validation, test, train
        for split, part in zip((splits[1], splits[2], splits[0]), parts, strict=True):
            if len(part):
                split[label] = [found[row] for row in sorted(part)]
    return Files(*splits)


def _enough(label: str, found: int, wanted: int, why: str) -> None:
    if found < wanted:
        raise UserError(f"The class {label!r} has {found} pictures, but {wanted} are needed {why}.")
