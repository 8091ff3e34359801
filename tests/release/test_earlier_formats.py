"""A run that an earlier version made is gone on with, reported and predicted with."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
# As that version left it: trials 0 to 2 in one session, trial 3 in another that was interrupted.
# It was made in a folder with `pictures`, by
#   search.py --data pictures --cache cache --runs runs --name earlier_run --image-size 32
#     --weights random --set network=convnet --epochs 40 --trials 3
#   search.py --resume earlier_run --trials 4
# and holds no machine's name, and nothing that is made again (tune/, report.html, …). The loss of
# trial 3's only epoch was rounded afterwards: if it were trained again, its digits would tell.
FIXTURE = ROOT / "tests" / "run" / "earlier_run"
CLASSES = ("lying", "standing")
COUNTS = {"train": 12, "validation": 6}
SIDE = 32
MISPLACED = "validation/standing/04.png"  # it lies, so the model makes a mistake
OVER = ("finished", "stopped")


def draw(folder: Path) -> None:
    """Stripes that lie or stand, from whole numbers alone.

    A run is gone on with only where its pictures are there, to the last pixel. So they owe nothing
    to a library's random numbers, fonts or codecs, which change.
    """
    for split, count in COUNTS.items():
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                file = f"{split}/{name}/{number:02}.png"
                standing = name == "standing" and file != MISPLACED
                Image.fromarray(stripes(file, standing)).save(folder / file)


def stripes(seed: str, standing: bool) -> np.ndarray:
    """uint8 (SIDE, SIDE, 3)."""
    digest = hashlib.shake_256(seed.encode()).digest(8 + SIDE * SIDE * 3)
    chosen = np.frombuffer(digest, np.uint8, 8).astype(np.int64)
    noise = np.frombuffer(digest, np.uint8, offset=8).astype(np.int64).reshape(SIDE, SIDE, 3)
    width, shift = 2 + chosen[0] % 4, chosen[1] % 8
    ground, stripe = 48 + chosen[2:5] % 64, 144 + chosen[5:8] % 64
    rows = (np.arange(SIDE) + shift) // width % 2
    lying = np.where(rows[:, None, None] == 1, stripe, ground) + np.zeros((1, SIDE, 1), np.int64)
    pixels = (lying.swapaxes(0, 1) if standing else lying) + noise % 64 - 32
    return np.asarray(pixels, np.uint8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a user would stand: with `runs/earlier_run` and `pictures`."""
    shutil.copytree(FIXTURE, tmp_path / "runs" / FIXTURE.name)
    draw(tmp_path / "pictures")
    return tmp_path


def command(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def known(now: Any, earlier: Any) -> Any:
    """Of what is told now, what was told earlier too: a later version may tell more."""
    if isinstance(earlier, dict):
        return {name: known(now.get(name), value) for name, value in earlier.items()}
    if isinstance(earlier, list) and len(now) == len(earlier):
        return [known(*pair) for pair in zip(now, earlier, strict=True)]
    return now


@pytest.mark.slow
def test_the_search_goes_on(place: Path) -> None:
    folder = place / "runs" / FIXTURE.name
    earlier = facts(FIXTURE)
    (folder / "report.json").unlink()
    trials = len(earlier["trials"]) + 1
    done = command(
        place, ROOT / "tuning" / "search.py", "--resume", FIXTURE.name, "--trials", trials
    )
    assert done.returncode == 0, done.stderr
    now = facts(folder)
    assert [each["number"] for each in now["trials"]] == list(range(trials))
    assert {each["status"] for each in now["trials"]} <= set(OVER)
    for before, after in zip(earlier["trials"], now["trials"], strict=False):
        if before["status"] in OVER:
            assert known(after, before) == before
        else:
            # Its checkpoint holds these epochs, so they are not trained again.
            assert after["hyperparameters"] == before["hyperparameters"]
            assert after["epochs"] > before["epochs"]
            for name, values in before["curve"].items():
                assert after["curve"][name][: len(values)] == values
    assert known(now["data"], earlier["data"]) == earlier["data"]
    assert now["run"]["began"] == earlier["run"]["began"]
    assert not now["run"]["interrupted"]
    best = max(each["best_accuracy"] for each in now["trials"])
    assert best >= earlier["best"]["validation"]["accuracy"]
    assert now["best"]["validation"]["accuracy"] == pytest.approx(best)
    assert (folder / now["best"]["model"]).is_file()


def test_the_report_is_made_again(place: Path) -> None:
    folder = place / "runs" / FIXTURE.name
    earlier = facts(FIXTURE)
    (folder / "report.json").unlink()
    done = command(place, "-m", "tuning.report", f"runs/{FIXTURE.name}")
    assert done.returncode == 0, done.stderr
    now = facts(folder)
    for name in earlier.keys() - {"created", "schema_version"}:
        assert known(now[name], earlier[name]) == earlier[name], name
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_its_model_predicts(place: Path) -> None:
    folder = place / "pictures" / "validation"
    score = facts(FIXTURE)["best"]["validation"]
    done = command(
        place, ROOT / "tuning" / "predict.py", f"runs/{FIXTURE.name}", "pictures/validation"
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    drawn = sorted(file.relative_to(place).as_posix() for file in folder.rglob("*.png"))
    assert [row["file"] for row in rows] == drawn
    said = [(Path(row["file"]).parent.name, row["class"]) for row in rows]
    confusion = [[said.count((truth, other)) for other in CLASSES] for truth in CLASSES]
    assert confusion == score["confusion"] == [[6, 0], [1, 5]]
    told = re.search(r"^accuracy ([\d.]+) %.*: (\d+) of the (\d+) pictures", done.stderr, re.M)
    assert told, done.stderr
    assert told[1] == f"{100 * score['accuracy']:.1f}"
    right = round(score["accuracy"] * score["pictures"])
    assert (int(told[2]), int(told[3])) == (right, score["pictures"])
