"""Classes, splits and groups of pictures from a list, as data sets come with: `train.csv`."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tuning.data.layouts import SPLITS, Picture, in_one_form, split_of
from tuning.errors import UserError
from tuning.files import atomic
from tuning.files.given import read_text
from tuning.wording import count

COLUMNS = ("file", "label", "split", "group")  # of a list that `write` made
LABELS = ("label", "labels", "class", "class_name", "category", "target", "y")
SPLIT_NAMES = ("split", "set", "subset", "partition")
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class _Columns:
    """Which column is which, by number; the first line of data."""

    file: int
    label: int
    split: int | None
    group: int | None
    first: int


def apply(
    path: Path, root: Path, pictures: Sequence[Picture], groups: str | None = None
) -> tuple[list[Picture], list[str]]:
    """Pictures with what a list says of them, and what was left out, a line each.

    What is in the list is as it says; other pictures keep the class of their folder.

    Args:
        path: The list: lines of cells, with or without a head.
        root: The folder of the pictures, which the list's paths begin in, or go on from.
        pictures: Those that there are.
        groups: The head of the column of groups; None: `group`, if there is one.

    Raises:
        UserError: If it is no such list, contradicts itself, or names none of the pictures.
    """
    rows = _read(path)
    index = _Index(root, pictures)
    columns = _columns(path, rows, index, groups)
    notes: list[str] = []
    said: dict[Path, Picture] = {}
    lines: dict[Path, int] = {}
    unknown: list[str] = []
    for number, row in enumerate(rows[columns.first :], start=columns.first + 1):
        cells = [each.strip() for each in row]
        if len(cells) <= max(columns.file, columns.label) or not cells[columns.file]:
            continue
        found = index.find(cells[columns.file])
        if len(found) > 1:
            one, other = (each.relative_to(root).as_posix() for each in found[:2])
            raise UserError(
                f"Line {number} of {path} may mean {one} or {other}; write more of its path."
            )
        if not found:
            unknown.append(cells[columns.file])
            continue
        news = _news(path, number, cells, columns)
        if said.setdefault(found[0], news) != news:
            raise UserError(
                f"{path} contradicts itself: {cells[columns.file]} is {said[found[0]].label!r} in "
                f"line {lines[found[0]]} and {news.label!r} in line {number}; a picture has one "
                "class."
            )
        lines.setdefault(found[0], number)
    if unknown:
        noun = count(len(unknown), "line")
        named = f"{unknown[0]}, for one" if len(unknown) > 1 else unknown[0]
        notes.append(f"{noun} of {path.name} without a picture: {named}")
    return _merged(path, pictures, said, notes), notes


def write(
    path: Path,
    root: Path,
    pictures: Iterable[Picture],
    also: Sequence[str] = (),
    cells: Iterable[Sequence[str]] = itertools.repeat(()),
) -> None:
    """Writes a list that `apply` reads, whole or not at all.

    Args:
        path: The list.
        root: The folder of the pictures.
        pictures: The pictures.
        also: The heads of further columns.
        cells: Their cells, for each picture.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow((*COLUMNS, *also))
    for each, more in zip(pictures, cells, strict=False):
        file = each.file.relative_to(root).as_posix()
        table.writerow([file, each.label, each.split or "", each.group or "", *more])
    atomic.write_text(path, text.getvalue())


def read(path: Path, root: Path) -> list[Picture]:
    """What `write` wrote, whether the files are there or not.

    Raises:
        UserError: If it cannot be read.
    """
    rows = _read(path)
    if tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise UserError(f"{path} is damaged: it is not the list of {', '.join(COLUMNS)} it was.")
    return [
        Picture(root / file, label, split or None, group or None)
        for file, label, split, group in rows[1:]
    ]


def _read(path: Path) -> list[list[str]]:
    text = read_text(path, "The list", "utf-8-sig")
    head = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=head.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise UserError(f"{path} is no list of comma-separated values: {error}.") from None
    if not rows:
        raise UserError(f"The list {path} is empty.")
    return rows


class _Index:
    """Pictures by what a list may call them: a path or its end, a name, a name without suffix."""

    def __init__(self, root: Path, pictures: Sequence[Picture]) -> None:
        self.whole: dict[str, Path] = {}
        self.files: dict[str, list[Path]] = {}
        for each in pictures:
            path = PurePosixPath(in_one_form(each.file.relative_to(root).as_posix()))
            self.whole[str(path)] = each.file
            for tail in (path, path.with_suffix("")):
                for start in range(len(tail.parts)):
                    name = "/".join(tail.parts[start:])
                    known = self.files.setdefault(name, [])
                    if each.file not in known:
                        known.append(each.file)

    def find(self, text: str) -> list[Path]:
        """The pictures that a cell may mean; it may say more of the path than there is."""
        parts = [each for each in in_one_form(text.replace("\\", "/")).split("/") if each != "."]
        if whole := self.whole.get("/".join(parts)):
            return [whole]
        for start in range(len(parts)):
            if found := self.files.get("/".join(parts[start:])):
                return found
        return []


def _columns(path: Path, rows: list[list[str]], index: _Index, groups: str | None) -> _Columns:
    width = max(map(len, rows))
    sample = rows[1:1001] or rows
    cells = [
        {row[column].strip() for row in sample if len(row) > column} for column in range(width)
    ]
    hits = [sum(bool(index.find(cell)) for cell in each) for each in cells]
    file = max(range(width), key=hits.__getitem__)
    if not hits[file]:
        raise UserError(
            f"No column of {path} names pictures: {sample[0][0]!r}, for one, is none of them."
        )
    has_head = not (len(rows[0]) > file and index.find(rows[0][file].strip()))
    head = [each.strip().casefold() for each in rows[0]] if has_head else []
    if groups is not None and groups.strip().casefold() not in head:
        there = f"its columns are {', '.join(rows[0])}" if has_head else "it has no head"
        raise UserError(f"--groups {groups}: {path} has no such column; {there}.")
    group = _named(head, [groups.strip().casefold() if groups else "group"], file)
    split = _named(head, SPLIT_NAMES, file)
    label = _named(head, LABELS, file)
    if label is None:
        label = _by_content(path, rows, has_head, {file, split, group})
    return _Columns(file, label, split, group, first=int(has_head))


def _named(head: list[str], names: Sequence[str], file: int) -> int | None:
    return next((head.index(n) for n in names if n in head and head.index(n) != file), None)


def _by_content(path: Path, rows: list[list[str]], has_head: bool, taken: set[int | None]) -> int:
    """The column of classes: the one whose values come again."""
    columns = [each for each in range(max(map(len, rows))) if each not in taken]
    body = rows[int(has_head) :]
    values = {c: [row[c].strip() for row in body if len(row) > c] for c in columns}
    few = [c for c, found in values.items() if 2 <= len(set(found)) <= max(2, len(found) // 2)]
    found = columns if len(columns) == 1 else few
    if len(found) != 1:
        names = [rows[0][c] if has_head else f"number {c + 1}" for c in columns]
        raise UserError(
            f"Which column of {path} has the classes: {', '.join(names) or 'none is left'}? Call "
            "it label."
        )
    return found[0]


def _news(path: Path, number: int, cells: list[str], columns: _Columns) -> Picture:
    """What a line says, as a picture of no file."""

    def cell(column: int | None) -> str | None:
        return (cells[column] or None) if column is not None and len(cells) > column else None

    split = cell(columns.split)
    if split is not None and (known := split_of(split)) is None:
        names = ", ".join(SPLITS)
        raise UserError(f"Line {number} of {path}: the split {split!r} is none of {names}.")
    label = cell(columns.label)
    return Picture(
        Path(), label and in_one_form(label), known if split else None, cell(columns.group)
    )


def _merged(
    path: Path, pictures: Sequence[Picture], said: dict[Path, Picture], notes: list[str]
) -> list[Picture]:
    found = []
    for each in pictures:
        news = said.get(each.file, Picture(each.file))
        found.append(
            replace(
                each,
                label=news.label or each.label,
                split=news.split or each.split,
                group=news.group,
            )
        )
    kept = [each for each in found if each.label is not None]
    if left := len(found) - len(kept):
        notes.append(f"left out {count(left, 'picture')} without a class in {path.name}")
    classes = sorted({str(each.label) for each in kept})
    if len(classes) < 2:
        only = f"Only one class, {classes[0]!r}," if classes else "No class"
        raise UserError(f"{only} in {path}; two are needed.")
    return kept
