"""The main job, as a user starts it: processes, real photos, real Ray, real storage."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tuning import report

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def start(script: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    # Elsewhere and without PYTHONPATH, as a script: the packages must be found all the same.
    here = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tuning" / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**here, **environment},
    )


def run(script: str, *arguments: object, **environment: str) -> tuple[int, str, str]:
    process = start(script, *arguments, **environment)
    out, err = process.communicate(timeout=900)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def searched(photos, tmp_path_factory):
    """Six trials over all levers, two at a time, on photos, with random weights."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("search")
    code, out, err = run(
        "search.py",
        *("--data", photos, "--per-class", 24, 20, "--image-size", 32, "--weights", "random"),
        *("--trials", 6, "--epochs", 4, "--cpus-per-trial", 1, "--max-unfrozen", 3),
        *("--log", "mlflow", "--dashboard", "--name", "levers"),
        *("--runs", folder / "runs", "--cache", folder / "cache"),
    )
    assert code == 0, err
    return folder / "runs" / "levers", out, err


def test_a_search_ends_with_report_and_model(searched):
    folder, out, _ = searched
    facts = json.loads((folder / "report.json").read_text())
    report.check(facts)
    assert len(facts["trials"]) == 6
    assert facts["run"]["trials_at_once"] == 2
    assert {trial["status"] for trial in facts["trials"]} <= {"finished", "stopped"}
    # The bottleneck experiment comes second, the others last, all beside what was proposed.
    waited = len([trial for trial in facts["trials"] if trial["experiment"] is None])
    assert waited == 3
    numbers = {each["name"]: each["trial"] for each in facts["experiments"]}
    assert numbers["bottleneck"] < numbers["convnet"] < numbers["fine_tune"]
    assert all(each["epochs"] == 4 for each in facts["experiments"])
    best = facts["best"]
    assert best["validation"]["accuracy"] == max(t["best_accuracy"] for t in facts["trials"])
    assert best["test"] is None
    for name in ("report.html", "report.md", "settings.toml", "study.db", "best/model.keras"):
        assert (folder / name).is_file()
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 6
    assert str(folder / "report.html") in out


def test_tensorboard_has_hyperparameters_and_curves(searched):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder, _, _ = searched
    facts = json.loads((folder / "report.json").read_text())
    longest = max(facts["trials"], key=lambda trial: (trial["epochs"], trial["number"]))
    assert longest["epochs"] == 4
    events = EventAccumulator(str(folder / "tune" / f"{longest['number']:04d}"))
    events.Reload()
    assert len(events.Scalars("ray/tune/validation_accuracy")) == 4
    start = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    told = HParamsPluginData.FromString(start).session_start_info.hparams
    levers = longest["hyperparameters"]
    assert told["hyperparameters/network"].string_value == levers["network"]
    assert told["hyperparameters/dropout"].number_value == levers["dropout"]


def test_mlflow_is_told_and_rays_dashboard_starts(searched):
    import mlflow

    folder, out, _ = searched
    assert "Ray's dashboard: http://127.0.0.1:" in out
    client = mlflow.tracking.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("levers")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 6
    networks = {run.data.params["hyperparameters/network"] for run in runs}
    assert "vgg16" in networks <= {"vgg16", "convnet"}
    assert all(0 <= run.data.metrics["validation_accuracy"] <= 1 for run in runs)


def test_each_feature_entry_was_computed_once(searched):
    folder, _, _ = searched
    cache = json.loads((folder / "report.json").read_text())["cache"]
    assert cache["multiples"] == 0
    assert cache["builds"] > 0
    assert cache["hits"] > 0
    events = [json.loads(line) for line in (folder / "cache.jsonl").read_text().splitlines()]
    built = [(e["key"], e["segment"]) for e in events if e["event"] == "build"]
    assert len(built) == len(set(built))


def test_optuna_knows_how_each_trial_ended(searched):
    folder, _, _ = searched
    facts = json.loads((folder / "report.json").read_text())
    study = optuna.load_study(study_name="levers", storage=f"sqlite:///{folder / 'study.db'}")
    states = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED}
    begun = [trial for trial in study.trials if trial.state is not TrialState.WAITING]
    for told, trial in zip(facts["trials"], begun, strict=True):
        assert trial.state == states[told["status"]]
        assert list(trial.intermediate_values.values()) == told["curve"]["validation_accuracy"]
        if trial.state == TrialState.COMPLETE:
            assert trial.value == told["best_accuracy"]


def test_its_output_is_for_people(searched):
    _, out, err = searched
    assert err == "", err
    assert not re.search(r"WARNING|Traceback|ray::|TensorFlow|oneDNN|I0000", out)
    assert len(re.findall(r"^trial \d starts: ", out, re.MULTILINE)) == 6


def test_the_model_predicts_pictures(searched, photos, tmp_path):
    folder, _, _ = searched
    files = [photos / "validation" / "cats" / f"cat.{n}.jpg" for n in ("1001", "1002")]
    files = [file for file in files if file.exists()] or sorted(
        (photos / "validation" / "cats").iterdir()
    )[:2]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(files[0].read_bytes()[:500])
    code, out, err = run("predict.py", folder, files[0], broken, files[1])
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["file"] for row in rows] == [str(file) for file in files]
    assert all(row["class"] in ("cats", "dogs") for row in rows)
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    assert code == 1
    assert err.splitlines()[0].startswith(str(broken))
    assert str(broken) in err


def test_the_exported_model_is_the_best_epoch_of_the_best_trial(searched, photos):
    folder, _, _ = searched
    import keras
    import numpy as np

    from tuning.data import dataset
    from tuning.training.trial import score

    facts = json.loads((folder / "report.json").read_text())
    data = dataset.load(
        photos, cache=folder.parent.parent / "cache", image_size=32, per_class=(24, 20)
    )
    model = keras.saving.load_model(folder / "best" / "model.keras")
    found = model.predict(np.asarray(data.validation.pictures), verbose=0)
    loss, accuracy = score(np.concatenate([1 - found, found], 1), data.validation.labels)
    best = facts["best"]["validation"]
    assert accuracy == pytest.approx(best["accuracy"], abs=1.01 / len(data.validation))
    assert loss == pytest.approx(best["loss"], rel=1e-2)
    # Before it got a temperature it said what its trial had said.
    trial = next(each for each in facts["trials"] if each["number"] == facts["best"]["trial"])
    then = trial["curve"]["validation_loss"][facts["best"]["epoch"] - 1]
    raw = best.get("raw", {"loss": best["loss"], "temperature": 1.0})
    assert raw["loss"] == pytest.approx(then, rel=1e-2)
    assert best["loss"] <= raw["loss"]
