"""Which files of a folder are pictures of which class, in which split, as far as folders say it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tuning.data.walk import Walk, holds_files
from tuning.errors import UserError
from tuning.wording import count

LAYOUTS = "train/CLASS/… and validation/CLASS/…, or CLASS/… alone, or flat CLASS.NUMBER.jpg"
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "test1"),
}

ByClass = dict[str, list[Path]]  # files of each class in natural order


@dataclass(frozen=True)
class Picture:
    """A file that is taken for a picture, and what is known of it.

    Attributes:
        file: The file.
        label: The class; None where nothing says it.
        split: A name of `SPLITS`; None where nothing says it.
        group: What it belongs to that must not be divided; None where nothing says it.
    """

    file: Path
    label: str | None = None
    split: str | None = None
    group: str | None = None


def split_of(name: str) -> str | None:
    """The split that a name is one of, in any case, also as `Training_set`; None for another."""
    plain = re.sub(r"[ _-]?(set|split|data)$", "", name.strip().casefold())
    return next((split for split, names in SPLITS.items() if plain in names), None)


def in_one_form(name: str) -> str:
    """A name in Unicode's composed form: some systems write its accents apart."""
    return unicodedata.normalize("NFC", name)


def find(root: Path, labelled: Path | None = None) -> tuple[list[Picture], list[str]]:
    """The pictures under `root` in their natural order, and what was left out, a line each.

    Args:
        root: A folder in one of the three layouts.
        labelled: A file that names classes: then folders need not.

    Raises:
        UserError: If it is in none of them.
    """
    if not root.is_dir():
        raise UserError(f"No such data folder: {root}.")
    walk = Walk(root)
    folders, files = walk.entries(root)
    if root in walk.closed:
        raise UserError(f"The data folder {root} cannot be read; see who may.")
    finder = _Finder(root, walk, labelled)
    splits = _splits(root, folders)
    notes: list[str] = []
    if splits:
        pictures = finder.of_splits(splits, notes)
    else:
        notes += _like_splits(root, folders)
        _one_too_high(root, folders, files)
        pictures = finder.of_folder(root)
    return pictures, notes + walk.notes()


class _Finder:
    def __init__(self, root: Path, walk: Walk, labelled: Path | None) -> None:
        self.root, self.walk, self.labelled = root, walk, labelled
        self._known: dict[Path, ByClass] = {}

    def of_splits(self, splits: dict[str, Path], notes: list[str]) -> list[Picture]:
        train = self.of_folder(splits["train"], "train")
        found = [train]
        for name in ("validation", "test"):
            if name not in splits:
                continue
            folder = splits[name]
            by_class = self._by_class(folder)
            known = {each.label for each in train}
            if name == "test" and not (known & set(by_class)) and not self.labelled:
                number = count(sum(1 for _ in self.walk.files(folder)), "picture")
                notes.append(
                    f"left out {folder.name}/: {number} without class folders; predict.py says "
                    "what they are"
                )
                continue
            found.append(self.of_folder(folder, name))
        if not self.labelled:
            _same_classes(self.root, found)
        return [each for split in found for each in split]

    def of_folder(self, folder: Path, split: str | None = None) -> list[Picture]:
        """The pictures of a split, or of a folder that is not split."""
        by_class = self._by_class(folder)
        if self.labelled and (len(by_class) < 2 or not all(by_class.values())):
            files = sorted(self.walk.files(folder), key=natural)
            return [Picture(file, None, split) for file in files]
        if not by_class:
            raise UserError(f"No class folders in {folder}; expected {LAYOUTS}.{self._list()}")
        if len(by_class) == 1 and split in (None, "train"):
            only = next(iter(by_class))
            raise UserError(f"Only one class, {only!r}, in {folder}; two are needed.")
        for name, files in by_class.items():
            if not files:
                raise UserError(
                    f"The class {name!r} in {folder} is empty; add pictures or remove it."
                )
        return [Picture(file, name, split) for name, files in by_class.items() for file in files]

    def _by_class(self, folder: Path) -> ByClass:
        """Files by class: of class folders, or without any of flat CLASS.NUMBER names."""
        if folder in self._known:
            return self._known[folder]
        folders, files = self.walk.entries(folder)
        found: ByClass = {}
        if folders:
            for each in folders:
                found.setdefault(in_one_form(each.name), []).extend(self.walk.files(each))
            self.walk.leave_out(len(files), "beside class folders")
        else:
            for file in files:
                if file.name.count(".") >= 2:
                    found.setdefault(in_one_form(file.name.split(".")[0]), []).append(file)
        in_order = {name: sorted(each, key=natural) for name, each in sorted(found.items())}
        self._known[folder] = in_order
        return in_order

    def _list(self) -> str:
        """A hint at a list of classes that lies there."""
        lists = [each for kind in ("*.csv", "*.tsv") for each in sorted(self.root.glob(kind))]
        return f" If {lists[0].name} lists their classes: --labels {lists[0]}." if lists else ""


def _splits(root: Path, folders: Iterable[Path]) -> dict[str, Path]:
    """The folders of splits by name; empty where some folder with files is none."""
    found: dict[str, Path] = {}
    for each in folders:
        name = split_of(each.name)
        if name is None:
            if holds_files(root, each):
                return {}
        elif name in found:
            raise UserError(
                f"{found[name].name}/ and {each.name}/ in {root} are both {name} folders; keep one."
            )
        else:
            found[name] = each
    if found and "train" not in found:
        there = " and ".join(f"{each.name}/" for each in found.values())
        raise UserError(f"There is {there} in {root}, but no train/ to learn from.")
    return found


def _like_splits(root: Path, folders: list[Path]) -> list[str]:
    """A word where folders that look like splits are classes, since others lie beside them."""
    like = [each for each in folders if split_of(each.name) and _has_classes(root, each)]
    others = [each for each in folders if not split_of(each.name) and holds_files(root, each)]
    if not like or not others:
        return []
    names = " and ".join(f"{each.name}/" for each in like)
    are = "was taken for a class" if len(like) == 1 else "were taken for classes"
    return [f"{names} {are}, since {others[0].name}/ lies beside; a split has splits beside it"]


def _has_classes(root: Path, folder: Path) -> bool:
    folders, _ = Walk(root).entries(folder)
    return sum(holds_files(root, each) for each in folders) > 1


def _one_too_high(root: Path, folders: list[Path], files: list[Path]) -> None:
    """Refuses a folder whose only folder is a data set."""
    full = [each for each in folders if holds_files(root, each)]
    if len(full) != 1 or any(file.name.count(".") >= 2 for file in files):
        return
    below, _ = Walk(root).entries(full[0])
    if _has_classes(root, full[0]) or (below and _splits(root, below)):
        raise UserError(f"{root} has one folder alone; did you mean {full[0]}?")


def _same_classes(root: Path, splits: list[list[Picture]]) -> None:
    train, *others = ({str(each.label) for each in split} for split in splits)
    for classes, split in zip(others, splits[1:], strict=True):
        missing, new = sorted(train - classes), sorted(classes - train)
        if missing or new:
            what = [f"without {', '.join(missing)}"] if missing else []
            what += [f"with {', '.join(new)}, which train lacks"] if new else []
            raise UserError(
                f"The classes in {root} differ: {split[0].split} is {' and '.join(what)}; "
                "every split needs the same class folders."
            )


def natural(path: Path) -> list[tuple[int, str]]:
    """Sorts cat.2 before cat.10."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]
