"""A search that is killed again and again, and ends as if it had not been."""

import io
import json
import os
import random
import signal
import time
import uuid
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from test_search import start

from tuning import report
from tuning.records.event_log import EventLog
from tuning.records.trial_log import read_trials
from tuning.search import main

pytestmark = pytest.mark.slow
SOAK = pytest.mark.soak
EPOCHS = 3
# Of networks, each of which every session compiles anew.
FEW_SHAPES = ("network=vgg16", "unfrozen=0:1", "regularization=none")


def arguments(photos, folder, cache, trials, at_once):
    return (
        *("--data", photos, "--per-class", 24, 12, "--image-size", 32, "--weights", "random"),
        *(
            "--trials",
            trials - 4,
            "--epochs",
            EPOCHS,
            "--cpus-per-trial",
            os.cpu_count() // at_once,
            "--name",
            "killed",
        ),
        *("--runs", folder / "runs", "--cache", cache, "--set", *FEW_SHAPES),
    )


def events(folder):
    return EventLog(folder / "trials.jsonl").read()


def wait_for(folder, process, moment):
    """Until so many events of trials are written down; they are then told to a killed search."""
    until = time.monotonic() + 600
    while len([each for each in events(folder) if each["event"] != "session"]) < moment:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]


@pytest.fixture(
    scope="module",
    params=[
        (8, (12,), 1),
        *(
            pytest.param((40, sorted(random.Random(seed).sample(range(2, 120), 9)), 2), marks=SOAK)
            for seed in range(10)
        ),
    ],
)
def killed(request, photos, shared_cache, tmp_path_factory):
    """A search killed at some events of trials, then with more of them; a worker killed, too."""
    trials, moments, at_once = request.param
    place = tmp_path_factory.mktemp("resume")
    folder = place / "runs" / "killed"
    over = []  # trials that were over at each kill
    process = start("search.py", *arguments(photos, place, shared_cache, trials, at_once))
    for moment in moments:
        wait_for(folder, process, moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # As where it is killed while it writes.
        (folder / "checkpoints" / f".0.{uuid.uuid4().hex}.npz").write_bytes(b"half")
        over.append(
            {e["number"]: len(events(folder)) for e in events(folder) if e["event"] == "end"}
        )
        process = start(
            "search.py",
            *("--resume", "killed", "--runs", place / "runs", "--trials", trials),
            *("--cpus-per-trial", os.cpu_count()),
        )
    written = len(events(folder))
    while len(events(folder)) < written + 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    worker = [e["worker"] for e in events(folder)[written:] if e.get("worker")]
    if worker and alive(int(worker[-1].split()[-1])):
        os.kill(int(worker[-1].split()[-1]), signal.SIGKILL)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return trials, folder, over, out


def test_all_trials_are_told_and_none_is_running(killed):
    trials, folder, _, _ = killed
    study = optuna.load_study(study_name="killed", storage=f"sqlite:///{folder}/study.db")
    told = (TrialState.COMPLETE, TrialState.PRUNED)
    assert [trial.number for trial in study.trials] == list(range(trials))
    assert {trial.state for trial in study.trials} <= set(told)
    for trial in study.trials:
        if trial.state is TrialState.COMPLETE:
            assert sorted(trial.intermediate_values) == list(range(1, EPOCHS + 1))


def test_what_was_over_was_not_run_again(killed):
    _, folder, over, _ = killed
    assert max(map(len, over)) > 1
    if len(over) > 1:
        assert len({tuple(each) for each in over}) > 1  # the kills hit different moments
    for ended in over:
        for number, place in ended.items():
            later = [each for each in events(folder)[place:] if each.get("number") == number]
            assert later == []


def test_the_report_is_that_of_an_unbroken_run(killed):
    trials, folder, _, out = killed
    facts = report.check(json.loads((folder / "report.json").read_text()))
    assert len(facts["trials"]) == trials
    assert not facts["run"]["interrupted"]
    assert {each["status"] for each in facts["trials"]} <= {"finished", "stopped"}
    assert facts["cache"]["multiples"] == 0
    assert (folder / "best" / "model.keras").is_file()
    assert not list((folder / "checkpoints").glob("*.npz"))
    assert "report.html" in out
    tried = read_trials(EventLog(folder / "trials.jsonl"))
    for record in tried:
        assert record.epochs == len(record.curve["loss"])
        assert record.epochs <= EPOCHS
    assert sum(record.retries for record in tried) >= 1  # of the killed worker
    # Killed for longer than it ran, perhaps, but that is not the run's time.
    assert facts["run"]["seconds"] < sum(1 for _ in tried) * 60


def resume(runs):
    """Exit code and standard error of the search gone on with, in this process."""
    words = ("--resume", "killed", "--runs", str(runs))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        code = main(words)
    return code, said.getvalue()


def test_other_pictures_are_refused(killed):
    _, folder, _, _ = killed
    division = folder / "split.csv"
    kept = division.read_text()
    division.write_text(kept.replace("train/cats/cat.0001.jpg,cats,train,\n", ""))
    assert division.read_text() != kept
    code, err = resume(folder.parent)
    assert code == 2
    assert "not those that the run killed began with" in err
    assert "--extend killed" in err
    # A version that decoded otherwise did not write the number: it may be that, or the pictures.
    facts = folder / "opening.json"
    written = facts.read_text()
    told = json.loads(written)
    del told["data"]["decoding"]
    facts.write_text(json.dumps(told))
    code, err = resume(folder.parent)
    facts.write_text(written)
    division.write_text(kept)
    assert code == 2
    assert "begun by a version that decoded pictures otherwise" in err
    assert err.count("\n") == 1
