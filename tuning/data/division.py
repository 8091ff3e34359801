"""Pictures divided into splits: as folders or a list say it, else by shares or numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from tuning.data.layouts import SPLITS, Picture, natural
from tuning.data.likeness import components, first_of_each
from tuning.errors import UserError
from tuning.wording import count

TEST_SHARE = 0.15  # of pictures that come without split

Units = list[list[Picture]]  # pictures that must not be divided, together; most are one alone


@dataclass(frozen=True)
class Shares:
    """How what is not divided is divided; as the arguments of `dataset.load`."""

    validation: float
    holdout: float | None
    per_class: tuple[int, ...] | None
    seed: int


def divide(
    root: Path, pictures: Sequence[Picture], shares: Shares, alike: np.ndarray
) -> tuple[dict[str, list[Picture]], list[str]]:
    """Pictures by split, in the order of classes and then as they came; and what to say of it.

    What is alike is divided together, but where folders, a list or numbers say otherwise: then it
    is counted.

    Args:
        root: Their folder, for what is said.
        pictures: Pictures, each with a class.
        shares: How they are divided where nothing says it.
        alike: Kinds of pictures that are the same or nearly, int (N,).

    Raises:
        UserError: If a class has too few of them.
    """
    given = {each.split for each in pictures} - {None}
    per_class, seed = shares.per_class, shares.seed
    notes: list[str] = []
    kinds = dict(zip((each.file for each in pictures), alike.tolist(), strict=True))
    if "validation" not in given and not per_class:
        pictures, notes = _together(root, pictures, kinds)
    splits = {
        name: [each for each in pictures if (each.split or "train") == name]
        for name in ("train", "validation", "test")
    }
    if splits["test"] and shares.holdout is not None:
        raise UserError(f"{root} has a test split; leave --holdout away.")
    if "validation" in given:
        splits = _as_given(root, splits, shares)
    elif splits["test"]:
        if per_class:
            two = _in_order(splits["train"], per_class[:2])
            number = per_class[2] if len(per_class) > 2 else 0
            test = _first(splits["test"], number, "test") if number else splits["test"]
            splits = two | {"test": test}
        else:
            splits |= _by_shares(splits["train"], {"validation": shares.validation}, seed)
        notes.append(
            "there is no validation split: it is taken out of the training pictures, by "
            + ("--per-class" if per_class else f"a share of {shares.validation:g}")
        )
    elif per_class:
        splits = _hold_out(splits, shares.holdout or 0.0, seed)
        held = splits["test"]
        splits = _in_order(splits["train"], per_class)
        splits["test"] = held or splits.get("test", [])
    else:
        held_out = TEST_SHARE if shares.holdout is None else shares.holdout
        both = {"validation": shares.validation, "test": held_out}
        splits = _by_shares(splits["train"], both, seed)
    splits = {name: each for name, each in splits.items() if each}
    for name, each in splits.items():
        for label in sorted(_by_class(pictures).keys() - _by_class(each).keys()):
            raise UserError(
                f"The class {label!r} has no picture in {name} of {root}; every split needs all "
                "classes."
            )
    return splits, notes + _divided(splits) + _repeated(root, splits, kinds)


def _as_given(
    root: Path, splits: dict[str, list[Picture]], shares: Shares
) -> dict[str, list[Picture]]:
    """Training and validation as they come, with a test split beside them if one is asked for."""
    has_test, per_class = bool(splits["test"]), shares.per_class
    if not has_test:
        splits = _hold_out(splits, shares.holdout or 0.0, shares.seed)
    if per_class:
        if len(per_class) > 2 and not has_test:
            raise UserError(
                f"There is no test split in {root} to take {per_class[2]} pictures of each "
                "class from; leave the third number away."
            )
        for name, number in zip(splits, (*per_class, 0)[: 2 + has_test], strict=False):
            splits[name] = _first(splits[name], number, name)
    return splits


def _together(
    root: Path, pictures: Sequence[Picture], kinds: dict[Path, int]
) -> tuple[list[Picture], list[str]]:
    """Pictures of which those that are alike have a group, as far as nothing divides them."""
    free = [each for each in pictures if each.split in (None, "train")]
    # Those of another class are no copies that make an accuracy better, but a contradiction.
    alike = np.array([f"{kinds[each.file]}/{each.label}" for each in free])
    groups = np.array([each.group or f"/{each.file}" for each in free])
    rows = np.tile(np.arange(len(free)), 2)
    found = components(
        len(free), rows, np.concatenate([first_of_each(alike), first_of_each(groups)])
    )
    together: dict[int, list[Picture]] = {}
    for each, number in zip(free, found.tolist(), strict=True):
        together.setdefault(number, []).append(each)
    units = Counter(label for unit in together.values() for label in {each.label for each in unit})
    names: dict[Path, str] = {}
    repeated: list[list[Picture]] = []
    for unit in together.values():
        # A class of copies is divided all the same, and then there is a word of them.
        if len(unit) < 2 or any(units[each.label] < len(SPLITS) for each in unit):
            continue
        named = {each.group for each in unit if each.group}
        name = named.pop() if len(named) == 1 else unit[0].file.relative_to(root).as_posix()
        names |= {each.file: name for each in unit}
        if len({kinds[each.file] for each in unit}) < len(unit):
            repeated.append(unit)
    notes = []
    if repeated:
        one, other = (each.file.relative_to(root).as_posix() for each in repeated[0][:2])
        number = sum(map(len, repeated))
        notes = [
            f"{count(number, 'picture')} are the same as others, or nearly, and stay in one split "
            f"with them: {other} and {one}, for one"
        ]
    return [replace(each, group=names.get(each.file, each.group)) for each in pictures], notes


def _repeated(root: Path, splits: dict[str, list[Picture]], kinds: dict[Path, int]) -> list[str]:
    """A word on what is alike in several splits, as folders, a list or numbers have it."""
    notes = []
    for one, other in combinations(splits, 2):
        first = {(kinds[each.file], each.label): each.file for each in reversed(splits[one])}
        twins = [
            (each.file, first[kinds[each.file], each.label])
            for each in splits[other]
            if (kinds[each.file], each.label) in first
        ]
        if twins:
            what, its = (each.relative_to(root).as_posix() for each in twins[0])
            are = "is" if len(twins) == 1 else "are"
            notes.append(
                f"{count(len(twins), 'picture')} of {other} {are} in {one} as well, or nearly, "
                f"which inflates the score: {what} is {its}, for one"
            )
    return notes


def _by_class(pictures: Sequence[Picture]) -> dict[str, list[Picture]]:
    found: dict[str, list[Picture]] = {}
    for each in pictures:
        assert each.label is not None
        found.setdefault(each.label, []).append(each)
    return dict(sorted(found.items()))


def _units(pictures: Sequence[Picture]) -> Units:
    """Pictures of one group together, where its first stands."""
    found: dict[object, list[Picture]] = {}
    for each in pictures:
        found.setdefault(each.file if each.group is None else each.group, []).append(each)
    return list(found.values())


def _hold_out(
    splits: dict[str, list[Picture]], share: float, seed: int
) -> dict[str, list[Picture]]:
    """Takes a share of each class out of all splits together, for testing."""
    if not share:
        return splits
    whole = sorted((each for split in splits.values() for each in split), key=_natural)
    held = {each.file for each in drawn(whole, {"test": share}, seed)["test"]}
    for name, split in splits.items():
        rest = [each for each in split if each.file not in held]
        for label, found in _by_class(split).items():
            left = sum(each.label == label for each in rest)
            _enough(label, left, 1 if found else 0, f"beside a holdout of {share}")
        splits[name] = rest
    splits["test"] = [each for each in whole if each.file in held]
    return {name: _in_order_of_classes(split) for name, split in splits.items()}


def _by_shares(
    pictures: Sequence[Picture], shares: dict[str, float], seed: int
) -> dict[str, list[Picture]]:
    for label, found in _by_class(pictures).items():
        least = sum(max(1, round(share * len(found))) for share in shares.values() if share) + 1
        _enough(label, len(found), least, "to have one in every split")
    return drawn(pictures, shares, seed)


def drawn(
    pictures: Sequence[Picture], shares: dict[str, float], seed: int
) -> dict[str, list[Picture]]:
    """Draws a share of each class for each split, whole groups; the rest is `train`.

    Args:
        pictures: Pictures, each with a class.
        shares: The splits' shares, in 0..1.
        seed: The seed of the draw.

    Raises:
        UserError: If a class has too few groups.
    """
    found: dict[str, list[Picture]] = {name: [] for name in ("train", *shares)}
    by_class: dict[str, Units] = {label: [] for label in _by_class(pictures)}
    for unit in _units(pictures):
        by_class[str(unit[0].label)].append(unit)
    for index, (label, units) in enumerate(by_class.items()):
        number = sum(map(len, units))
        order = list(np.random.default_rng((seed, index)).permutation(len(units)))
        taken: dict[str, list[int]] = {}
        for name, share in shares.items():
            wanted = max(1, round(share * number)) if share else 0
            rows = taken[name] = []
            while order and sum((len(units[row]) for row in rows), 0) < wanted:
                rows.append(order.pop(0))
        taken["train"] = order
        if not order:
            raise UserError(
                f"The class {label!r} has too few groups to have one in every split: {len(units)}."
            )
        for name, rows in taken.items():
            found[name] += [each for row in sorted(rows) for each in units[row]]
    return {name: _in_order_of_classes(each) for name, each in found.items()}


def _in_order_of_classes(pictures: Sequence[Picture]) -> list[Picture]:
    return [each for found in _by_class(pictures).values() for each in found]


def _first(pictures: Sequence[Picture], number: int, name: str) -> list[Picture]:
    found = []
    for label, each in _by_class(pictures).items() if number else ():
        _enough(label, len(each), number, f"for {name}")
        found += each[:number]
    return found


def _in_order(pictures: Sequence[Picture], per_class: tuple[int, ...]) -> dict[str, list[Picture]]:
    """The first so many to train, the next to validation, then to test, as in the article."""
    splits: dict[str, list[Picture]] = {"train": [], "validation": [], "test": []}
    for label, found in _by_class(pictures).items():
        _enough(label, len(found), sum(per_class), f"({' + '.join(map(str, per_class))})")
        start = 0
        for name, number in zip(splits, per_class, strict=False):
            splits[name] += found[start : start + number]
            start += number
    return splits


def _divided(splits: dict[str, list[Picture]]) -> list[str]:
    """A word on groups that are in several splits, as folders or a list have them."""
    seen: dict[str, str] = {}
    torn: dict[str, tuple[str, str]] = {}
    for name, split in splits.items():
        for each in split:
            if each.group is not None and seen.setdefault(each.group, name) != name:
                torn[each.group] = (seen[each.group], name)
    if not torn:
        return []
    group, (one, other) = next(iter(torn.items()))
    number = "1 group is" if len(torn) == 1 else f"{len(torn):,} groups are"
    return [f"{number} in several splits, which inflates the score: {group} in {one} and {other}"]


def _natural(picture: Picture) -> list[tuple[int, str]]:
    return natural(picture.file)


def _enough(label: str, found: int, wanted: int, why: str) -> None:
    if found < wanted:
        raise UserError(f"The class {label!r} has {found} pictures, but {wanted} are needed {why}.")
