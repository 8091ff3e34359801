"""How commands end: mistakes and refusals in a line, faults with a traceback in a file."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuning import __main__ as console
from tuning.errors import UserError
from tuning.features import __main__ as features
from tuning.process.commands import exit_code
from tuning.report import __main__ as report
from tuning.report import story

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path) -> Path:
    """A copy, since a report is written into it."""
    return shutil.copytree(ROOT / "tests" / "run" / "earlier_run", tmp_path / "run")


def test_a_planted_fault_comes_out_as_what_it_is(run, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(story, "summary", lambda facts: 1 // 0)
    assert report.main([str(run)]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a fault of this program's own, ZeroDivisionError: ")
    assert "in tests/process/test_commands.py:" in line
    log = Path(line.rpartition("; see ")[2])
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert "tuning/report/markdown.py" in text
    assert text.rstrip().endswith("ZeroDivisionError: integer division or modulo by zero")


def test_no_command_takes_half_an_option(run, capsys):
    assert report.main([str(run), "--wat"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unrecognized arguments: --wat; did you mean --watch?" in line


def test_a_command_that_there_is_not_names_the_one_that_is_meant(monkeypatch, capsys):
    monkeypatch.setattr("tuning.__main__.leave_at_once", lambda: None)
    for word, told in (
        ("predit", "error: There is no command predit; did you mean predict?"),
        ("photos", "error: There is no command photos; there are predict, report, serve, "),
    ):
        monkeypatch.setattr("sys.argv", ["little-data-tuner", word])
        assert console.main() == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(told)


def test_an_option_behind_an_action_belongs_before_it(tmp_path, capsys):
    (tmp_path / "features").mkdir()
    assert features.main(["list", "--cache", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "; put --cache first (see" in line
    assert features.main(["--cache", str(tmp_path), "list"]) == 0


def raising(error: BaseException):
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("two\nlines"), 2, "error: two lines"),
        (UserError("a\x1b[2Jb"), 2, r"error: a\x1b[2Jb"),
        (OSError(errno.ENOSPC, "x", "/a/b"), 2, "error: /a/b: No space left on device; make room."),
        (OSError(errno.EROFS, "x", "/a"), 2, "error: /a: Read-only file system; give another"),
        (OSError("[Errno 28] No space left on device: h5py"), 2, "error: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError("a bug"), 70, "error: a fault of this program's own, OSError: a bug"),
        (FileNotFoundError(errno.ENOENT, "x", "/a"), 70, "a fault of this program's own"),
    ],
)
def test_the_exit_code_and_the_line_of_an_error(error, code, told, capsys):
    assert exit_code(raising(error)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_disk_that_is_full_under_a_library_is_found_by_its_cause(capsys):
    def work() -> int:
        try:
            raise OSError(errno.ENOSPC, "x")
        except OSError as error:
            raise RuntimeError("the library's own") from error

    assert exit_code(work) == 2
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_output_that_cannot_be_written_is_one_line(run):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tuning.report", str(run)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "warning" not in line] == [
        "error: No space left on device; make room."
    ]


SCRIPT = "from tuning.__main__ import main; main()"  # the console's command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("command", "package"),
    [
        (["-c", SCRIPT], "rich"),
        ([ROOT / "tuning" / "search.py"], "rich"),
        ([ROOT / "tuning" / "predict.py"], "numpy"),
        (["-m", "tuning.serve"], "numpy"),
        (["-m", "tuning.export"], "numpy"),
    ],
    ids=["console", "search", "predict", "serve", "export"],
)
def test_in_its_first_moments_a_command_leaves_with_a_line(number, command, package, tmp_path):
    slow = tmp_path / package  # imported early, and takes its time
    slow.mkdir()
    (slow / "__init__.py").write_text("import time; print('now', flush=True); time.sleep(60)")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout.readline() == "now\n"
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert time.monotonic() - began < 10


def test_a_python_without_our_packages_is_one_line():
    """`-S`: without what is installed beside it."""
    done = subprocess.run(
        [sys.executable, "-S", "tuning/search.py"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: rich is not installed for ")
    assert "pip install -e ." in line
