"""Run folders in which a file is damaged: report, predict and resume say so, or do without it.

Each file of a run that an earlier version made is spoiled in each way, and each value of its JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_places import faults, run

RUN = Path(__file__).resolve().parents[1] / "run" / "earlier_run"
OTHERS: tuple[Any, ...] = (None, "x", -1, 1e300, [], {}, [None], {"x": None}, True)
SAMPLE = 40  # of the spoiled files, and of the values, in a run of all tests; all in `soak`


def spoiled(file: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Ways to damage a file, and what does it."""
    content = file.read_bytes()
    yield "removed", lambda path: path.unlink()
    yield "empty", lambda path: path.write_bytes(b"")
    yield "half", lambda path: path.write_bytes(content[: len(content) // 2])
    yield "bytes", lambda path: path.write_bytes(np.random.default_rng(0).bytes(500))
    yield "zeros", lambda path: path.write_bytes(bytes(len(content)))
    yield "a folder", lambda path: (path.unlink(), path.mkdir())
    yield "a link to itself", lambda path: (path.unlink(), path.symlink_to(path.name))


def values(file: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Each value of a JSON file, or of a line, in place of which another kind of value is put."""
    if file.suffix not in (".json", ".jsonl"):
        return
    texts = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    kinds = {}
    for number, text in enumerate(texts):
        known = json.loads(text)
        if known.get("event", number) not in kinds:  # a line of each kind
            kinds[known.get("event", number)] = number, known
    for number, known in kinds.values():
        for place in places(known):
            for other in OTHERS:
                changed = json.loads(json.dumps(known))
                put(changed, place, other)
                lines = [*texts[:number], json.dumps(changed), *texts[number + 1 :]]
                text = "\n".join(lines) + "\n"
                yield f"{number} {place} {other}", lambda path, text=text: path.write_text(text)


def places(value: Any, place: tuple = ()) -> Iterator[tuple]:
    """Where the values of nested JSON stand; of a list its first alone."""
    if place:
        yield place
    inner = list(value.items()) if isinstance(value, dict) else []
    inner += list(enumerate(value))[:1] if isinstance(value, list) else []
    for name, each in inner:
        yield from places(each, (*place, name))


def put(value: Any, place: tuple, other: Any) -> None:
    for name in place[:-1]:
        value = value[name]
    value[place[-1]] = other


def commands(folder: Path) -> list[tuple[str, list[str], bool]]:
    picture = str(folder / "picture.png")
    return [
        ("tuning.report.__main__", [str(folder)], True),
        ("tuning.predict", [str(folder), picture], True),
        ("tuning.search", ["--resume", folder.name, "--runs", str(folder.parent)], False),
    ]


def check(kinds: list[tuple[Path, str, Callable[[Path], object]]], tmp_path: Path, most: int = 3):
    every = []
    for number, (file, _, spoil) in enumerate(kinds):
        folder = tmp_path / f"{number}"
        shutil.copytree(RUN, folder)
        spoil(folder / file)
        every += commands(folder)[:most]
    results = run(tmp_path, [each[:2] for each in every], tmp_path)
    wrong = [
        f"{' '.join(map(str, kinds[int(Path(line.split()[1]).name)][:2]))}: {line}"
        if Path(line.split()[1]).name.isdigit()
        else line
        for line in faults(every, results)
    ]
    assert not wrong, f"{len(wrong)} of {len(every)}:\n" + "\n".join(wrong)


def files() -> list[Path]:
    return sorted(each for each in RUN.rglob("*") if each.is_file())


def every_file() -> list[tuple[Path, str, Callable[[Path], object]]]:
    return [(f.relative_to(RUN), name, spoil) for f in files() for name, spoil in spoiled(f)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [SAMPLE, pytest.param(None, marks=pytest.mark.soak)])
def test_a_damaged_file_is_named_or_left_out(number, tmp_path):
    """Pictures are missing, so that no damage makes a run go on; its mistake is told in a line."""
    every = every_file()
    chosen = np.random.default_rng(1).permutation(len(every))[:number]
    check([every[number] for number in chosen], tmp_path)


def every_value() -> list[tuple[Path, str, Callable[[Path], object]]]:
    return [(f.relative_to(RUN), name, spoil) for f in files() for name, spoil in values(f)]


@pytest.mark.slow
def test_a_value_of_another_kind_is_named_or_left_out(tmp_path):
    every = every_value()
    chosen = np.random.default_rng(1).choice(len(every), SAMPLE, replace=False)
    check([every[number] for number in chosen], tmp_path, most=1)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(20))
def test_each_value_of_another_kind_is_named_or_left_out(part, tmp_path):
    check(every_value()[part::20], tmp_path, most=2)
