"""From a run folder to the facts of its report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces.experiments import NAMES
from tuning import report
from tuning.data import dataset
from tuning.errors import UserError
from tuning.features import FeatureCache
from tuning.options import Options
from tuning.records import metadata, outcome
from tuning.records.event_log import EventLog
from tuning.records.facts import Facts
from tuning.records.outcome import RunOutcome
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import CURVES, RunEnding, TrialLog
from tuning.report import gather, story
from tuning.report.__main__ import main
from tuning.report.clock import Clock
from tuning.report.live import LiveReport
from tuning.report.trust import optimism
from tuning.run.describe import describe
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from

METADATA = "opening.json"
POINT = {"network": "vgg16", "unfrozen": 0, "augmentation": "none", "dropout": 0.5, "epochs": 2}
OPENING = {
    "name": "small",
    "command": "python tuning/search.py --trials 4",
    "settings": "settings.toml",
    "seed": 0,
    "began": "2026-11-24T14:00:00+00:00",
    "planned": 4,
    "epochs": 2,
    "objectives": ["accuracy"],
    "price": 3.0,
    "versions": {"keras": "3.15.1"},
    "hardware": {"machine": "Linux", "cpus": 2, "gpus": []},
    "data": {
        "root": "pictures",
        "classes": ["cats", "dogs"],
        "image_size": 32,
        "counts": {"train": {"cats": 50, "dogs": 50}, "validation": {"cats": 20, "dogs": 20}},
        "fingerprint": "f00d",
        "warnings": [],
    },
    "weights": {"source": "random", "checksum": "", "note": None},
    "experiments": [
        {
            "name": "bottleneck",
            "title": "Bottleneck features",
            "article": "90 %",
            "article_accuracy": 0.91,
            "hyperparameters": POINT,
        }
    ],
}


def gathered(folder: Path) -> Facts:
    return gather.gather(RunFolder(folder))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A search in its fourth trial: two are over, one failed, the machine slept in between."""
    (tmp_path / METADATA).write_text(json.dumps(OPENING))
    events = [
        {"event": "session", "at": 1000.0},
        {"event": "start", "number": 0, "hyperparameters": POINT, "at": 1010.0},
        _epoch(0, 1, 0.70, 1012.0),
        _epoch(0, 2, 0.80, 1014.0),
        {"event": "end", "number": 0, "status": "finished", "reason": None, "at": 1014.0},
        {"event": "start", "number": 1, "hyperparameters": _other(1), "at": 1015.0},
        {"event": "end", "number": 1, "status": "failed", "reason": "out of memory", "at": 1016.0},
        # It was killed, and resumed an hour later.
        {"event": "session", "at": 4616.0},
        {"event": "start", "number": 2, "hyperparameters": _other(2), "at": 4620.0},
        _epoch(2, 1, 0.85, 4622.0),
        {"event": "end", "number": 2, "status": "stopped", "reason": None, "at": 4623.0},
        {"event": "start", "number": 3, "hyperparameters": _other(3), "at": 4624.0},
    ]
    for event in events:
        EventLog(tmp_path / "trials.jsonl").write(**event)
    cache = EventLog(tmp_path / "cache.jsonl")
    entry = {"split": "train", "frontier": "block5_pool", "view": "none/0"}
    for event in (
        # One pass kept two depths; its time is told with the deepest.
        {"event": "build", "key": "a", "seconds": 0.0, "bytes": 10, "pictures": 100},
        {"event": "build", "key": "b", "seconds": 8.0, "bytes": 20, "pictures": 100},
        {"event": "use", "key": "b", "hit": False, "seconds": 8.0, "bytes": 20, "pictures": 100},
        {"event": "use", "key": "b", "hit": True, "seconds": 8.0, "bytes": 20, "pictures": 100},
        {"event": "use", "key": "b", "hit": True, "seconds": 8.0, "bytes": 20, "pictures": 100},
    ):
        cache.write(**entry, **event)
    return tmp_path


def _epoch(number: int, epoch: int, accuracy: float, at: float) -> dict:
    metrics = dict.fromkeys(CURVES, 0.5) | {"validation_accuracy": accuracy}
    worker = "node-1 77"
    return {"event": "epoch", "number": number, "epoch": epoch, "metrics": metrics,
            "worker": worker, "at": at}  # fmt: skip


def _other(number: int) -> dict:
    return POINT | {"dropout": number / 10}


def test_a_search_that_goes_on_has_a_report(run):
    facts = report.check(gathered(run))
    assert facts["run"]["running"]
    assert facts["run"]["trials_at_once"] is None
    assert [t["status"] for t in facts["trials"]] == ["finished", "failed", "stopped", "running"]
    assert facts["best"]["trial"] == 2
    assert facts["best"]["validation"]["accuracy"] == 0.85
    assert facts["best"]["validation"]["pictures"] == 40
    assert facts["best"]["test"] is None
    assert facts["best"]["model"] is None
    assert facts["failures"] == ["out of memory (trial 1)"]
    assert facts["cost"]["price"] is None
    assert facts["cache"]["passes_computed"] == 100
    assert facts["cache"]["passes_saved"] == 200
    assert facts["cache"]["forward_seconds_saved"] == 16


def test_the_articles_experiments_are_found_among_the_trials(run):
    (found,) = gathered(run)["experiments"]
    assert found["trial"] == 0
    assert (found["best_accuracy"], found["best_epoch"]) == (0.80, 2)
    assert found["interval"][0] < 0.80 < found["interval"][1]
    assert [trial["experiment"] for trial in gathered(run)["trials"]][:2] == [
        "bottleneck",
        None,
    ]


def test_a_pause_between_two_sessions_costs_nothing(run):
    facts = gathered(run)
    assert facts["run"]["seconds"] == 16 + 8
    spans = [(trial["started"], trial["ended"]) for trial in facts["trials"]]
    assert spans == [(10, 14), (15, 16), (20, 23), (24, 24)]
    assert [trial["worker"] for trial in facts["trials"]] == ["node-1 77", None, "node-1 77", None]


def test_a_clock_without_events_stands_at_nought():
    assert Clock([])(0.0) == 0.0
    clock = Clock([{"event": "session", "at": at} for at in (10.0, 50.0, 100.0)])
    assert [clock(at) for at in (10.0, 50.0, 99.0, 100.0, 103.0)] == [0, 0, 49, 0, 3]


def test_what_the_end_found_is_told(run):
    ending = RunEnding(None, False, 2, 0.5, 4)
    score = gather.score(0.75, 0.6, 200)
    outcome.write(RunOutcome(ending, trial=0, test=score, model="best/model.keras"), RunFolder(run))
    facts = report.check(gathered(run))
    assert not facts["run"]["running"]
    assert facts["run"]["trials_at_once"] == 2
    assert facts["best"]["trial"] == 0  # the confirmation may choose another than validation
    assert facts["best"]["test"] == {**score, "interval": list(score["interval"])}  # JSON
    assert facts["trials"][3]["status"] == "interrupted"
    # (4 + 1 + 3 + 0) seconds with half a GPU each, at 3 an hour
    assert facts["cost"]["gpu_hours"] == pytest.approx(8 * 0.5 / 3600)
    assert facts["cost"]["price"] == pytest.approx(8 * 0.5 / 3600 * 3)
    outcome.reopen(RunFolder(run))
    assert gathered(run)["run"]["running"]


def test_looks_at_the_test_split_before_a_run_was_resumed_are_counted(run):
    ending, score = RunEnding(None, False, 1, 0, 1), gather.score(0.75, 0.6, 200)
    outcome.reopen(RunFolder(run))  # begun, but never ended
    for looks in range(3):
        outcome.write(RunOutcome(ending, trial=0, test=score), RunFolder(run))
        facts = gathered(run)
        assert facts["run"]["earlier_looks"] == looks
        assert (f"({looks} time" in optimism(facts)) == bool(looks)
        outcome.reopen(RunFolder(run))
        outcome.write(
            RunOutcome(ending, trial=0), RunFolder(run)
        )  # without a test split nothing was looked at
        outcome.reopen(RunFolder(run))


def test_repeats_are_a_part_of_the_cost(run):
    before = gathered(run)["cost"]
    (run / "confirmation").mkdir()
    events = EventLog(run / "confirmation" / "trials.jsonl")
    events.write(event="start", number=0, hyperparameters=POINT, at=10.0)
    events.write(event="end", number=0, status="finished", reason=None, at=40.0)
    after = gathered(run)["cost"]
    assert (before["repeat_seconds"], after["repeat_seconds"]) == (0, 30)
    assert before["trial_seconds"] == after["trial_seconds"]


def test_a_number_that_is_not_finite_is_kept_as_null(run):
    score = gather.score(0.5, float("nan"), 20)
    outcome.write(
        RunOutcome(RunEnding(None, False, 1, 0.0, 1), trial=0, test=score), RunFolder(run)
    )
    facts = report.check(gathered(run))
    assert facts["best"]["test"]["loss"] is None
    assert facts["cost"]["gpu_hours"] == 0


@pytest.mark.parametrize("name", [METADATA, "findings.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": 3}', "\xff"])
def test_a_damaged_file_is_named(run, capsys, name, text):
    (run / name).write_text(text, encoding="latin-1")
    assert main([str(run)]) == 2
    error = capsys.readouterr().err
    assert f"{name} cannot be read: " in error
    assert error.count("\n") == 1


LEFT_OUT = "line {} is damaged and was left out."
EPOCH = '{"event":"epoch","number":0,"epoch":3,"at":5000.0,"metrics":'


@pytest.mark.parametrize("name", ["trials.jsonl", "cache.jsonl"])
@pytest.mark.parametrize(
    "line",
    [
        '{"event":"epo',
        '{"event":"use"}',
        "somebody's note",
        "[]",
        '{"event":[]}',
        '{"event":"start","number":"x"}',
        '{"event":"start","number":9,"at":5000.0,"hyperparameters":{"epochs":"two"}}',
        '{"event":"start","number":9,"at":5000.0,"hyperparameters":{"epochs":2,"shape":[3,2]}}',
        '{"event":"end","number":true,"status":"failed","reason":null,"at":5000.0}',
        '{"event":"end","number":0,"status":"done","reason":null,"at":5000.0}',
        f"{EPOCH}{{}}}}",
        f"{EPOCH}{json.dumps(dict.fromkeys(CURVES, 3.5))}}}",
        f"{EPOCH}{json.dumps(dict.fromkeys(CURVES, True))}}}",
    ],
)
def test_a_line_that_is_no_event_is_named_and_left_out(run, capsys, name, line):
    before = gathered(run)
    with (run / name).open("a") as file:
        file.write(line + "\n")
    number = len((run / name).read_text().splitlines())
    after = gathered(run)
    said = f"{name}: {LEFT_OUT.format(number)}"
    assert after["warnings"] == [said]
    assert after["trials"] == before["trials"]
    assert after["cache"] == before["cache"]
    assert main([str(run)]) == 0
    assert said in capsys.readouterr().err
    assert said in (run / "report.md").read_text()


@pytest.mark.parametrize(
    ("name", "other"), [("trials.jsonl", "cache.jsonl"), ("cache.jsonl", "trials.jsonl")]
)
def test_events_of_another_log_are_named_and_left_out(run, name, other):
    before = gathered(run)
    first = 1 + len((run / name).read_text().splitlines())
    strange = (run / other).read_text()
    with (run / name).open("a") as file:
        file.write(strange)
    last = len((run / name).read_text().splitlines())
    after = report.check(gathered(run))
    numbers = ", ".join(map(str, range(first, last + 1)))
    assert after["warnings"] == [f"{name}: lines {numbers} are damaged and were left out."]
    assert after["trials"] == before["trials"]
    assert after["cache"] == before["cache"]


def test_any_line_of_a_log_may_be_damaged(run):
    """What depends on it is left out with it: of a trial whose beginning is gone, the trial."""
    for name in ("trials.jsonl", "cache.jsonl"):
        whole = (run / name).read_text()
        lines = whole.splitlines()
        for number, line in enumerate(lines):
            cut = [*lines[:number], line[: len(line) // 2], *lines[number + 1 :]]
            (run / name).write_text("\n".join(cut) + "\n")
            facts = report.check(gathered(run))
            assert facts["warnings"] == [f"{name}: {LEFT_OUT.format(number + 1)}"]
            gone = json.loads(line)
            if gone["event"] == "start":
                assert gone["number"] not in [trial["number"] for trial in facts["trials"]]
        (run / name).write_text(whole)


def test_damaged_lines_of_repeats_are_named_as_well(run):
    (run / "confirmation").mkdir()
    (run / "confirmation" / "trials.jsonl").write_text("\nsomebody's note\n")
    facts = gathered(run)
    assert facts["warnings"] == [f"confirmation/trials.jsonl: {LEFT_OUT.format(2)}"]
    assert facts["cost"]["repeat_seconds"] == 0


def test_the_report_is_made_from_the_run_folder_without_keras(run):
    code = (
        "import sys; from tuning.report.__main__ import main; code = main(sys.argv[1:]);"
        "print(sorted({'keras', 'ray', 'tensorflow'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(run / "report.html"), "[]"]
    assert (
        "was not over when this was written: 3 trials were, of at most 4."
        in (run / "report.md").read_text()
    )
    assert json.loads((run / "report.json").read_text())["best"]["trial"] == 2


def test_the_live_report_follows_the_trials(run):
    live = LiveReport(RunFolder(run), pause=0.0)
    trial_log = TrialLog(EventLog(run / "trials.jsonl"), [live])
    trial_log.start(4, POINT)
    assert not (run / "report.json").exists()  # nothing has ended
    trial_log.end(4, "failed", "lost")
    assert live.fault is None
    facts = json.loads((run / "report.json").read_text())
    assert facts["trials"][4]["reason"] == "lost"


def test_the_live_report_waits_between_two(run):
    live = LiveReport(RunFolder(run), pause=3600.0)
    trial_log = TrialLog(EventLog(run / "trials.jsonl"), [live])
    for number in (4, 5):
        trial_log.start(number, POINT)
        trial_log.end(number, "failed", "lost")
    assert len(json.loads((run / "report.json").read_text())["trials"]) == 5


def test_a_live_report_that_fails_ends_no_search(run):
    (run / METADATA).unlink()
    live = LiveReport(RunFolder(run), pause=0.0)
    trial_log = TrialLog(EventLog(run / "trials.jsonl"), [live])
    trial_log.start(4, POINT)
    trial_log.end(4, "failed", "lost")
    assert live.fault is not None
    assert METADATA in live.fault


SPACE = {
    "name": "levers",
    "version": 1,
    "limits": ["unfrozen=0:3"],
    "rate": 1e11,
    "experiments": list(NAMES),
}


@pytest.fixture(scope="module")
def context(photos, tmp_path_factory) -> TrialContext:
    cache = tmp_path_factory.mktemp("cache")
    pictures = dataset.load(photos, cache=cache, image_size=32, per_class=(4, 2))
    return TrialContext(pictures, FeatureCache(cache, "float16"), vgg16_from("random"))


def networks(context):
    return [context.backbone], [context.backbone]


def test_the_opening_is_all_that_a_report_needs(photos, context, tmp_path):
    options = Options(data=photos, trials=7, epochs=3, price=2.5)
    known = describe(
        options, context, *networks(context), SPACE, None, [], "python tuning/search.py", None
    )
    metadata.write(known, folder := RunFolder(tmp_path))
    assert known == metadata.read(folder)
    facts = report.check(gathered(tmp_path))
    assert facts["run"]["planned"] == 7
    assert facts["run"]["began"] == known["began"]
    assert facts["data"]["counts"]["validation"] == {"cats": 2, "dogs": 2}
    assert "random weights" in facts["weights"]["note"]
    assert [each["name"] for each in facts["experiments"]] == ["convnet", "bottleneck", "fine_tune"]
    assert facts["versions"]["keras"]
    assert facts["best"] is None
    # A run that is resumed began when it began.
    known["began"] = "2020-01-01T00:00:00+00:00"
    resumed = describe(
        options,
        context,
        *networks(context),
        SPACE,
        None,
        [],
        "python tuning/search.py --resume x",
        known,
    )
    assert (resumed["began"], resumed["command"]) == (known["began"], known["command"])


def test_experiments_are_known_by_their_mark(photos, context, tmp_path):
    folder = RunFolder(tmp_path)
    known = describe(
        Options(data=photos, epochs=3), context, *networks(context), SPACE, None, [], "", None
    )
    metadata.write(known, folder)
    (_, bottleneck, _) = known["experiments"]
    log = TrialLog(folder.trials)
    for number, mark in enumerate((None, "bottleneck")):  # of equal hyperparameters
        log.start(number, bottleneck["hyperparameters"], mark)
        log.epoch(number, {"epoch": 1, **dict.fromkeys(CURVES, 0.5)})
    facts = gathered(tmp_path)
    assert [trial["experiment"] for trial in facts["trials"]] == [None, "bottleneck"]
    assert [each["trial"] for each in facts["experiments"]] == [None, 1, None]
    assert facts["space"] == SPACE
    kept = "levers, version 1; at 100 GFLOP/s kept to unfrozen=0:3"
    assert ("Space", kept) in story.repeat(facts)


def test_experiments_of_earlier_versions_are_known_by_their_values(photos, context, tmp_path):
    folder = RunFolder(tmp_path)
    known = describe(
        Options(data=photos, epochs=3), context, *networks(context), None, None, [], "", None
    )
    assert "space" not in known
    metadata.write(known, folder)
    (_, bottleneck, _) = known["experiments"]
    log = TrialLog(folder.trials)
    for number, epochs in enumerate((2, 3)):
        log.start(number, bottleneck["hyperparameters"] | {"epochs": epochs})
        log.epoch(number, {"epoch": 1, **dict.fromkeys(CURVES, 0.5)})
    assert [each["trial"] for each in gathered(tmp_path)["experiments"]] == [None, 1, None]


def test_a_folder_without_an_opening_is_told(tmp_path):
    with pytest.raises(UserError, match=r"it has no opening\.json"):
        gathered(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        gathered(tmp_path / "nowhere")
