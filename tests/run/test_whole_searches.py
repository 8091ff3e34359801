"""Searches from end to end, as a user starts them: what can be asked of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tuning import report
from tuning.records.event_log import EventLog
from tuning.records.trial_log import read_trials

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("searches")


@pytest.fixture(scope="module")
def search(photos, place):
    def run(name, *arguments):
        done = subprocess.run(
            [
                *(sys.executable, str(ROOT / "tuning" / "search.py"), "--data", str(photos)),
                *("--per-class", "24", "12", "--image-size", "32", "--weights", "random"),
                *("--name", name, "--runs", str(place / "runs"), "--cache", str(place / "cache")),
                *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            cwd=TESTS,  # where a HyperModel is found
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            timeout=500,
        )
        return place / "runs" / name, done

    return run


def study_of(folder):
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder}/study.db")


def facts_of(folder):
    return report.check(json.loads((folder / "report.json").read_text()))


def test_one_trial_at_a_time_a_seed_gives_the_same_search(search):
    few_shapes = ("network=vgg16", "unfrozen=0:1", "regularization=none")
    one_at_a_time = ("--trials", 6, "--epochs", 2, "--cpus-per-trial", len(os.sched_getaffinity(0)))
    found = []
    for name in ("first", "second"):
        folder, done = search(name, *one_at_a_time, "--seed", 3, "--set", *few_shapes)
        assert done.returncode == 0, done.stderr
        tried = read_trials(EventLog(folder / "trials.jsonl"))
        found.append([(each.hyperparameters, each.status, each.curve) for each in tried])
    first, second = found
    assert [each[:2] for each in first] == [each[:2] for each in second]
    for (_, _, one), (_, _, other) in zip(first, second, strict=True):
        for name, values in one.items():
            assert values == pytest.approx(other[name], rel=1e-4)


def test_points_of_the_user_and_of_an_earlier_run(search, place):
    """After `first`, whose finished trials it takes over."""
    points = place / "points.json"
    points.write_text('[{"network": "vgg16", "unfrozen": 0, "dropout": 0.25, "head_rate": 0.002}]')
    folder, done = search(
        "third",
        *("--trials", 2, "--epochs", 2, "--enqueue", points, "--warm-start", place / "runs/first"),
        *("--set", "network=vgg16", "unfrozen=0", "augmentation=none", "--sampler", "tpe"),
        *("--confirm", "2x2", "--folds", "2", "--holdout", "0.1"),
    )
    assert done.returncode == 0, done.stderr
    study = study_of(folder)
    own = [trial for trial in study.trials if "from" not in trial.user_attrs]
    assert len(own) == 2
    assert len(study.trials) > 2
    facts = facts_of(folder)
    tried = [trial["hyperparameters"] for trial in facts["trials"]]
    # The bottleneck experiment alone lies in this space; then comes the user's point.
    assert facts["trials"][0]["experiment"] == "bottleneck"
    assert (tried[1]["dropout"], tried[1]["head_rate"]) == (0.25, 0.002)
    assert facts["confirmation"]["repeats"] == 2
    assert facts["confirmation"]["winner"] == facts["best"]["trial"]
    assert facts["cross_validation"]["folds"] == 2
    test = facts["best"]["test"]
    assert sum(map(sum, test["confusion"])) == test["pictures"] > 0
    assert set(test["recall"]) == {"cats", "dogs"}


def test_several_objectives_give_a_front(search):
    folder, done = search(
        "front",
        *("--trials", 4, "--epochs", 1, "--objective", "accuracy", "--objective", "parameters"),
        *("--space", "full", "--sampler", "random"),
    )
    assert done.returncode == 0, done.stderr
    study = study_of(folder)
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    facts = facts_of(folder)
    assert facts["run"]["objectives"] == ["accuracy", "parameters"]
    assert facts["front"] is not None


def test_a_trial_that_fails_is_told_with_its_reason_and_the_search_goes_on(search):
    folder, done = search(
        "moody",
        *("--hypermodel", "hypermodels_that_fail:Moody", "--epochs", 1, "--sampler", "grid"),
        *("--trials", 9),
    )
    assert done.returncode == 0, done.stderr
    trials = study_of(folder).trials
    assert len(trials) == 4  # each point of the grid once
    reasons = {trial.params["today/mood"]: trial.user_attrs.get("reason") for trial in trials}
    assert reasons["good"] is None
    assert "no layer is 3 wide" in reasons["broken"]
    assert "memory" in reasons["greedy"]
    assert "loss" in reasons["wild"]
    facts = facts_of(folder)
    assert sorted(trial["status"] for trial in facts["trials"]) == ["failed"] * 3 + ["finished"]
    assert facts["best"]["hyperparameters"]["today/mood"] == "good"
    assert len(facts["failures"]) == 3


def test_five_failures_alike_end_the_search(search):
    folder, done = search(
        "hopeless", "--hypermodel", "hypermodels_that_fail:Hopeless", "--trials", 30, "--epochs", 1
    )
    assert done.returncode == 1
    assert "5 trials in a row failed alike" in done.stderr
    assert "does not fit" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(study_of(folder).trials) < 30
    assert facts_of(folder)["best"] is None or facts_of(folder)["failures"]


def test_mlflow_and_wandb_are_told_and_rays_dashboard_starts(search, place, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(place))
    folder, done = search(
        "told", "--trials", 2, "--epochs", 1, "--log", "mlflow", "wandb", "--dashboard"
    )
    assert done.returncode == 0, done.stderr
    assert "Ray's dashboard: http://127.0.0.1:" in done.stdout
    client = mlflow.tracking.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("told")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    assert {run.data.params["hyperparameters/network"] for run in runs} == {"convnet", "vgg16"}
    assert all(0 <= run.data.metrics["validation_accuracy"] <= 1 for run in runs)
    assert len(list(place.rglob("offline-run-*/*.wandb"))) == 2
