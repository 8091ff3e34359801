"""Files and folders that appear whole or not at all."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tuning.files.atomic import appearing, drop_drafts, replacing

ROOT = Path(__file__).resolve().parents[2]


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_what_fails_leaves_nothing(tmp_path):
    (tmp_path / "file.txt").write_text("as it was")
    for context in (replacing(tmp_path / "file.txt"), appearing(tmp_path / "folder")):
        with pytest.raises(KeyboardInterrupt), context:
            raise KeyboardInterrupt
    assert names(tmp_path) == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "as it was"


def test_what_a_killed_writer_left_is_dropped(tmp_path):
    others = ["3.npz", ".hidden.npz", f"{'a' * 32}.npz"]
    for name in others:
        (tmp_path / name).touch()
    killed = "import os; from pathlib import Path; from tuning.files.atomic import replacing\n"
    killed += "with replacing(Path('4.npz')) as draft: draft.touch(); os._exit(1)"
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert len(names(tmp_path)) == len(others) + 1
    drop_drafts(tmp_path)
    assert names(tmp_path) == sorted(others)
    drop_drafts(tmp_path / "none")


def test_the_first_of_several_folders_stays(tmp_path):
    """All drafts are written before the first is moved: none of them fails for another."""
    folder = tmp_path / "new" / "folder"
    barrier = Barrier(8)

    def write(number):
        with appearing(folder) as draft:
            (draft / "number").write_text(str(number))
            barrier.wait()
        return (folder / "number").read_text()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(write, range(8)))) == 1
    assert names(folder.parent) == ["folder"]


@pytest.mark.parametrize("damaged", ["a file", "a folder"])
def test_what_is_damaged_makes_room(tmp_path, damaged):
    folder = tmp_path / "folder"
    if damaged == "a file":
        folder.write_text("damaged")
    else:
        folder.mkdir()
        (folder / "part").write_text("damaged")

    def is_whole(there):
        return there.is_dir() and (there / "part").read_text() == "whole"

    for content in ("whole", "whole, but later"):
        with appearing(folder, is_whole) as draft:
            (draft / "part").write_text(content)
    assert (folder / "part").read_text() == "whole"
    assert names(tmp_path) == ["folder"]
