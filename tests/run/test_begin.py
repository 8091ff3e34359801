"""The first moments of a run: what is refused, what may be begun anew, what is gone on with."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from rich.console import Console

from search_spaces.experiments import EXPERIMENTS
from search_spaces.levers import VERSIONS
from tuning import Options, search
from tuning.cluster.joining import connected
from tuning.errors import UserError
from tuning.options import settings
from tuning.records.event_log import CURVES
from tuning.records.run_folder import RunFolder
from tuning.report.gather import gather
from tuning.run.begin import begin
from tuning.run.prepare import prepare
from tuning.run.request import extended_options, resumed_options
from tuning.scheduling.tune import Run
from tuning.training import pictures

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow  # for Ray's start, which all share


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with connected(None):
        yield
    assert not ray.is_initialized()


@pytest.fixture
def asked(photos: Path, tmp_path: Path) -> dict:
    """What a user asks for."""
    return {
        "data": photos,
        "per_class": (4, 2),
        "image_size": 32,
        "weights": "random",
        "runs": tmp_path / "runs",
        "cache": tmp_path / "cache",
        "name": "mine",
    }


@contextmanager
def begun(options: Options, resumed: bool = False) -> Iterator[Run]:
    with begin(prepare(options, resumed), "typed", Console(file=io.StringIO())) as run:
        yield run


def resumed(asked: dict, **changed: object) -> Options:
    return resumed_options("mine", runs=asked["runs"], **changed)


def event(kind: str, number: int, at: float, **facts: object) -> str:
    return json.dumps({"event": kind, "number": number, "at": at, **facts}) + "\n"


def test_a_running_runs_name_is_refused_and_nothing_of_it_changes(asked):
    with begun(Options(**asked)) as run:
        before = {file: file.read_bytes() for file in run.folder.path.iterdir() if file.is_file()}
        with (
            pytest.raises(UserError, match="Another process is at work"),
            begun(Options(**asked, trials=3)),
        ):
            pass
        for file, content in before.items():
            assert file.read_bytes() == content


def test_a_run_without_trials_may_be_begun_anew_or_gone_on_with(asked):
    with begun(Options(**asked, trials=5)):
        pass  # interrupted before its first trial
    with begun(Options(**asked, trials=3, epochs=2)) as run:
        assert run.options.planned == 3
        assert settings.read(run.folder.settings)["trials"] == 3
    with begun(resumed(asked, trials=4), resumed=True) as run:
        assert len(run.study.trials) == len(run.space.portfolio()) > 2  # they wait
        assert (run.options.trials, run.options.epochs) == (4, 2)
    RunFolder(asked["runs"] / "mine").trials.path.write_text(
        event("start", 0, 1.0, hyperparameters={"network": "convnet", "epochs": 2})
    )
    with pytest.raises(UserError, match="is there already; choose another --name"):
        prepare(Options(**asked))


def test_a_run_that_was_killed_before_its_study_is_gone_on_with(asked):
    folder = RunFolder(asked["runs"] / "mine")
    options = Options(**asked, trials=3)
    with folder.locked():
        settings.write(folder.settings, options)
    with begun(resumed(asked), resumed=True) as run:
        assert len(run.study.trials) == len(run.space.portfolio()) > 2


def test_a_renamed_folder_goes_on_with_the_study_it_has(asked):
    with begun(Options(**asked, trials=3)) as run:
        began = [trial.number for trial in run.study.trials]
    (asked["runs"] / "mine").rename(asked["runs"] / "yours")
    with begun(resumed_options("yours", runs=asked["runs"]), resumed=True) as run:
        assert run.study.study_name == "mine"
        assert [trial.number for trial in run.study.trials] == began


def test_a_ray_that_was_there_before_is_taken_and_no_other(asked):
    with begun(Options(**asked)):
        # Else a failed trial would end the search, and Ctrl-C would be Ray Tune's.
        assert os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] == "1"
        assert os.environ["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
    assert ray.is_initialized()
    with (
        pytest.raises(UserError, match=r"--address auto would not be heard\. Leave it away"),
        begun(Options(**asked | {"name": "other"}, address="auto")),
    ):
        pass


def test_a_mistake_that_is_found_late_leaves_the_name_free(asked, tmp_path):
    with (
        pytest.raises(UserError, match="there is no such run folder"),
        begun(Options(**asked, warm_start=str(tmp_path / "nowhere"))),
    ):
        pass
    with begun(Options(**asked)) as run:
        assert len(run.study.trials) == len(run.space.portfolio()) > 2


def test_damaged_files_are_named_and_what_is_whole_is_gone_on_with(asked, caplog):
    with begun(Options(**asked, epochs=2)) as run:
        first, second, *_ = run.space.first_points(run.options)
    folder = RunFolder(asked["runs"] / "mine")
    metrics = dict.fromkeys(CURVES, 0.5)
    with folder.trials.path.open("a") as file:
        file.write(event("start", 0, 1.0, hyperparameters=first))
        file.write('{"event":"epoch"}\nnot ours\n')
        file.write(event("epoch", 0, 2.0, epoch=1, metrics=metrics, worker="here 1"))
        file.write(event("start", 1, 3.0, hyperparameters=second))
        file.write(event("end", 0, 4.0, status="failed", reason="x"))
    folder.cache_events.path.write_text("[]\n")
    folder.metadata.write_text("{")
    with caplog.at_level(logging.WARNING), begun(resumed(asked), resumed=True) as run:
        assert {n: each.status for n, each in run.trial_log.records.items()} == {
            0: "failed",
            1: "running",
        }
    assert "opening.json cannot be read" in caplog.text
    assert "trials.jsonl: lines 3, 4 are damaged" in caplog.text
    warnings = "\n".join(gather(folder)["warnings"])
    assert "trials.jsonl: lines 3, 4 are damaged and were left out." in warnings
    assert "cache.jsonl: line 1 is damaged and was left out." in warnings


def test_experiments_of_a_version_that_had_no_study_for_them_are_gone_on_with(asked):
    options = Options(**asked, experiments=(), epochs=2)
    folder = RunFolder(asked["runs"] / "mine")
    points = [each.hyperparameters(2) for each in EXPERIMENTS]
    with folder.locked():
        settings.write(folder.settings, options)
    folder.trials.path.write_text(
        event("start", 0, 1.0, hyperparameters=points[0])
        + event("epoch", 0, 2.0, epoch=1, metrics=dict.fromkeys(CURVES, 0.5))
        + event("end", 0, 3.0, status="finished", reason=None)
        + event("start", 1, 3.0, hyperparameters=points[1])
    )
    with begun(resumed(asked), resumed=True) as run:
        assert [each.state.name for each in run.study.trials] == ["COMPLETE", "WAITING"]
        assert run.study.trials[0].value == 0.5
        assert [each.name for each in run.experiments] == ["convnet", "bottleneck", "fine_tune"]


def test_the_best_points_of_a_run_come_first_when_it_is_extended(asked, photos):
    folder = RunFolder(asked["runs"] / "mine")
    with begun(Options(**asked, epochs=2, set=("network=vgg16",))) as run:
        space = run.space
    points = [
        space.complete({"unfrozen": 0, "augmentation": "none", "dropout": n / 20})
        for n in range(12)
    ]
    with folder.trials.path.open("a") as file:
        for number, point in enumerate(points):
            metrics = dict.fromkeys(CURVES, number / 20)
            file.write(event("start", number, 1.0, hyperparameters=point))
            file.write(event("epoch", number, 2.0, epoch=1, metrics=metrics))
            file.write(event("end", number, 3.0, status="finished", reason=None))
    options = extended_options("mine", runs=asked["runs"], name="more", per_class=(5, 2))
    assert (options.epochs, options.set, options.extend) == (2, ("network=vgg16",), "mine")
    with begun(options) as run:
        states = {trial.state.name for trial in run.study.trials}
        asked_for = [trial.system_attrs["fixed_params"] for trial in run.study.trials]
        assert states == {"WAITING"}
        assert asked_for[:10] == [space.asked(point)[0] for point in points[:1:-1]]
        assert len(asked_for) == 9 + len(space.portfolio())  # one of the best is of these
    with pytest.raises(UserError, match=r"There is no run .*nowhere to extend"):
        extended_options("nowhere", runs=asked["runs"])
    with pytest.raises(UserError, match="none of its 12 trials with an epoch lies in this"):
        prepare(extended_options("mine", runs=asked["runs"], name="x", set=("network=convnet",)))


def test_what_is_chosen_from_is_fixed_when_a_run_begins(asked):
    with begun(Options(**asked, trials=3)) as run:
        pass
    known = json.loads(run.folder.metadata.read_text())
    assert (known["space"]["name"], known["space"]["limits"]) == ("levers", [])
    assert known["space"]["rate"] > 1e9
    known["space"] |= {"limits": ["unfrozen=0:1"], "experiments": ["convnet"]}
    run.folder.metadata.write_text(json.dumps(known))
    run.folder.trials.path.write_text(event("start", 0, 1.0, hyperparameters={"epochs": 2}))
    with begun(resumed(asked), resumed=True) as run:
        assert str(run.space.constraints.by_name["unfrozen"]) == "unfrozen=0:1"
        assert [each.name for each in run.experiments] == ["convnet"]


@pytest.mark.parametrize("earlier", ["said its version", "said none"])
def test_a_run_in_an_older_version_of_its_space_gets_no_more_trials(asked, earlier):
    with begun(Options(**asked, space="full", trials=3)) as run:
        pass
    known = json.loads(run.folder.metadata.read_text())
    known["space"]["version"] = 1
    if earlier == "said none":
        del known["space"]
    run.folder.metadata.write_text(json.dumps(known))
    run.folder.trials.path.write_text(event("start", 0, 1.0, hyperparameters={"epochs": 2}))
    now = VERSIONS["full"]
    told = rf"version 1 of the space full, which is version {now} now; .* --extend mine"
    with pytest.raises(UserError, match=told), begun(resumed(asked), resumed=True):
        pass


def test_more_folds_than_pictures_are_refused_before_anything_is_done(asked, capsys):
    words = ["--data", asked["data"], "--per-class", 20, 10, "--holdout", 0, "--folds", 50]
    words += ["--runs", asked["runs"], "--cache", asked["cache"], "--image-size", 32]
    assert search.main([*map(str, words)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the smallest class has 30 beside the test split" in error
    assert not asked["runs"].exists()


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0, 6.0])
def test_ctrl_c_is_one_line_from_the_first_moment(all_photos, asked, seconds):
    """The seconds are the process' own, which a busy machine makes longer; no trial has begun."""
    words = ["--data", all_photos, "--image-size", 32, "--weights", "random"]
    words += ["--runs", asked["runs"], "--cache", asked["cache"]]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tuning" / "search.py"), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while used(process.pid) < seconds:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 130
    assert error == "interrupted\n"


def used(pid: int) -> float:
    """Seconds of the processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_what_is_wrong_with_an_archive_names_the_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("notes.md", "none yet")
    options = Options(data=tmp_path / "pictures.zip", cache=tmp_path / "cache")
    with pytest.raises(UserError, match=rf"No class folders in {tmp_path}/pictures\.zip"):
        pictures.load(options)
