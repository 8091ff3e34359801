"""Tending the cache from the command line, as a user would."""

import os
import re
import subprocess
import sys

import pytest

from tuning.features import View, maintenance


def tend(root, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "tuning.features", "--cache", str(root), *arguments],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def filled(data, features, backbone, place):
    """Three segments of three ages; nobody maps them."""
    for number in range(3):
        features.features(data.train, backbone, "block3_pool", View("flip", number))
        folder = features.folder / place(data.train, "block3_pool", View("flip", number))
        os.utime(folder / "entry.json", (1e9 + number, 1e9 + number))
    features.release()
    return features


def test_list_shows_the_oldest_first(filled):
    code, out, err = tend(filled.root, "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 4
    assert sum("block3_pool of 20 pictures of train, view flip/" in line for line in lines) == 3
    assert re.fullmatch(r"3 segments, \d+\.\d KiB", lines[-1])


def test_verify_names_and_removes_damage(filled, data, backbone):
    code, out, _ = tend(filled.root, "verify")
    assert code == 0
    assert out.count(": whole") == 3
    hurt = maintenance.segments(filled.folder)[1]
    with (hurt.folder / "features.npy").open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(b"\x11\x22")
    code, out, _ = tend(filled.root, "verify")
    assert code == 1
    assert out.count(": whole") == 2
    assert f"{hurt.name}  {hurt.label}: removed, its content has changed" in out
    assert len(maintenance.segments(filled.folder)) == 2
    filled.features(data.train, backbone, "block3_pool", View("flip", 1))
    assert len(maintenance.segments(filled.folder)) == 3


def test_prune_takes_the_least_recently_used(filled, data, backbone):
    filled.features(data.train, backbone, "block3_pool", View("flip", 0))
    filled.release()
    size = maintenance.segments(filled.folder)[0].bytes
    code, out, _ = tend(filled.root, "prune", "--limit", str(2 * size + 10))
    assert code == 0
    assert re.match(r"removed 1 segment, .*; left 2 segments", out)
    left = {each.label for each in maintenance.segments(filled.folder)}
    assert left == {f"block3_pool of 20 pictures of train, view flip/{n}" for n in (0, 2)}


def test_prune_spares_what_is_in_use(filled, data, backbone):
    mapped = filled.features(data.train, backbone, "block3_pool", View("flip", 1))
    before = mapped.sum()
    code, out, _ = tend(filled.root, "prune", "--limit", "0")
    assert code == 0
    assert re.match(r"removed 2 segments, .*; left 1 segment", out)
    assert mapped.sum() == before
    assert [each.label for each in maintenance.segments(filled.folder)] == [
        "block3_pool of 20 pictures of train, view flip/1"
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("list",), "No feature cache in"),
        (("prune", "--limit", "lots"), "'lots' is not a size such as 500MB or 20GB"),
        (("tidy",), "invalid choice: 'tidy'"),
        ((), "required: action"),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, told):
    code, out, err = tend(tmp_path, *arguments)
    assert code == 2
    assert out == ""
    assert told in err
    assert err.count("\n") == 1
