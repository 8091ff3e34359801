"""Pictures divided into splits: as folders or a list say it, else by shares or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuning.data.layouts import Picture, natural
from tuning.errors import UserError

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
    root: Path, pictures: Sequence[Picture], shares: Shares
) -> tuple[dict[str, list[Picture]], list[str]]:
    """Pictures by split, in the order of classes and then as they came; and what to say of it.

    Args:
        root: Their folder, for what is said.
        pictures: Pictures, each with a class.
        shares: How they are divided where nothing says it.

    Raises:
        UserError: If a class has too few of them.
    """
    given = {each.split for each in pictures} - {None}
    splits = {
        name: [each for each in pictures if (each.split or "train") == name]
        for name in ("train", "validation", "test")
    }
    per_class, seed = shares.per_class, shares.seed
    told: list[str] = []
    if splits["test"] and shares.holdout is not None:
        raise UserError(f"{root} has a test split; leave --holdout away.")
    if "validation" in given:
        has_test = bool(splits["test"])
        if not has_test:
            splits = _hold_out(splits, shares.holdout or 0.0, seed)
        if per_class:
            if len(per_class) > 2 and not has_test:
                raise UserError(
                    f"There is no test split in {root} to take {per_class[2]} pictures of each "
                    "class from; leave the third number away."
                )
            for name, number in zip(splits, (*per_class, 0)[: 2 + has_test], strict=False):
                splits[name] = _first(splits[name], number, name)
    elif splits["test"]:
        if per_class:
            two = _in_order(splits["train"], per_class[:2])
            number = per_class[2] if len(per_class) > 2 else 0
            test = _first(splits["test"], number, "test") if number else splits["test"]
            splits = two | {"test": test}
        else:
            splits |= _by_shares(splits["train"], {"validation": shares.validation}, seed)
        told.append(
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
    return splits, told + _divided(splits)


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
    held = {each.file for each in _drawn(whole, {"test": share}, seed)["test"]}
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
    return _drawn(pictures, shares, seed)


def _drawn(
    pictures: Sequence[Picture], shares: dict[str, float], seed: int
) -> dict[str, list[Picture]]:
    """Draws a share of each class for each split, whole groups; the rest is `train`."""
    drawn: dict[str, list[Picture]] = {name: [] for name in ("train", *shares)}
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
            drawn[name] += [each for row in sorted(rows) for each in units[row]]
    return {name: _in_order_of_classes(each) for name, each in drawn.items()}


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
