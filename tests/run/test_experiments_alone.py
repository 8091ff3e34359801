"""The article's experiments alone: they run through the same loop as every search."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import pytest
from test_search import run, start

from tuning import report
from tuning.records.event_log import EventLog

pytestmark = pytest.mark.slow
EPOCHS = 12


def test_killed_in_the_tenth_epoch_of_the_second_they_go_on_from_a_checkpoint(photos, tmp_path):
    place = ("--runs", tmp_path / "runs")
    log = EventLog(tmp_path / "runs" / "three" / "trials.jsonl")
    process = start(
        "search.py",
        *("--data", photos, "--per-class", 40, 20, "--image-size", 32, "--weights", "random"),
        *("--experiments", "--epochs", EPOCHS, "--name", "three", "--time-budget", "20m"),
        *("--cpus-per-trial", os.cpu_count(), "--cache", tmp_path / "cache", *place),
    )
    until = time.monotonic() + 600
    while epochs(log.read(), 1) != list(range(1, 10)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = log.read()
    done = len(epochs(before, 1))
    assert 9 <= done < EPOCHS
    spent = before[-1]["at"] - before[0]["at"]

    # What was spent before counts: of this budget nothing is left.
    code, _, error = run("search.py", "--resume", "three", *place, "--time-budget", f"{spent}s")
    assert code == 0, error
    assert "time budget" in (log.path.parent / "report.md").read_text()
    assert epochs(log.read()[len(before) :], 1) == []

    code, out, error = run("search.py", "--resume", "three", *place, "--time-budget", "20m")
    assert (code, error) == (0, "")
    after = log.read()[len(before) :]
    again = epochs(after, 1)
    assert 1 < again[0] <= done + 1  # from a checkpoint
    assert again == list(range(again[0], EPOCHS + 1))
    assert epochs(after, 0) == []  # it was over
    facts = report.check(json.loads((log.path.parent / "report.json").read_text()))
    assert [(each["status"], each["epochs"]) for each in facts["trials"]] == 3 * [
        ("finished", EPOCHS)
    ]
    names = [each["experiment"] for each in facts["trials"]]
    assert names == ["convnet", "bottleneck", "fine_tune"]
    assert re.search(r"Small convnet from scratch +75-80 % +\d+\.\d %", out)
    # The head of experiment 3 is experiment 2's, epochs and all.
    assert len(list((tmp_path / "cache" / "heads").glob("*.npz"))) == 1
    assert facts["run"]["trials_at_once"] == 1
    assert (log.path.parent / "tune").is_dir()  # the loggers' folder


def epochs(events: list[dict], number: int) -> list[int]:
    return [e["epoch"] for e in events if e["event"] == "epoch" and e["number"] == number]
