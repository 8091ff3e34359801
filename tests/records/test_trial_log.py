"""What is written down of trials is what is read back; the live view follows it."""

import io

import pytest
from rich.console import Console

from tuning.evaluation.intervals import interval, wilson
from tuning.records.event_log import EventLog
from tuning.records.trial_log import TrialLog, elapsed, rank, read_trials
from tuning.run.progress import Progress

HYPERPARAMETERS = {"network": "convnet", "augmentation": "none", "dropout": 0.5, "epochs": 3}


def metrics(accuracy, loss=1.0, epoch=1):
    values = {"epoch": epoch, "loss": 1.0, "accuracy": 0.5, "validation_loss": loss}
    return values | {"validation_accuracy": accuracy, "seconds": 1.0}


@pytest.fixture
def trial_log(tmp_path):
    return TrialLog(EventLog(tmp_path / "trials.jsonl"))


def fill(trial_log):
    trial_log.start(0, HYPERPARAMETERS)
    trial_log.epoch(0, metrics(0.6))
    trial_log.start(1, HYPERPARAMETERS)
    trial_log.epoch(1, metrics(0.8, loss=0.9))
    trial_log.epoch(0, metrics(0.8, loss=0.7, epoch=2))
    trial_log.epoch(0, metrics(0.7, epoch=3))
    trial_log.end(0, "finished")
    trial_log.end(1, "failed", "out of luck")


def test_who_follows_a_log_reads_each_line_once(trial_log):
    log = trial_log.events
    assert log.since(0) == ([], 0)
    fill(trial_log)
    events, end = log.since(0)
    assert events == log.read()
    with log.path.open("a") as file:
        file.write('{"event":"end","number":1,"status":"failed",')
    assert log.since(end) == ([], end)
    with log.path.open("a") as file:
        file.write('"reason":null,"at":9.0}\nno event\n')
    (last,), end = log.since(end)
    assert last["reason"] is None
    assert log.since(end) == ([], end)
    assert end == log.path.stat().st_size


def test_reading_gives_back_what_was_written(trial_log):
    fill(trial_log)
    first, second = read_trials(trial_log.events)
    assert [first, second] == list(trial_log.records.values())
    assert (first.status, first.epochs, first.best_epoch, first.best_accuracy) == (
        "finished",
        3,
        2,
        0.8,
    )
    assert (second.status, second.reason) == ("failed", "out of luck")


def test_an_epoch_that_is_trained_again_counts_once(trial_log):
    trial_log.session()
    trial_log.start(0, HYPERPARAMETERS)
    for epoch, accuracy in ((1, 0.6), (2, 0.9)):
        trial_log.epoch(0, metrics(accuracy, epoch=epoch))
    trial_log.session()  # the search was killed, and the trial's checkpoint was of its first epoch
    trial_log.start(0, HYPERPARAMETERS)
    trial_log.epoch(0, metrics(0.7, epoch=2))
    trial_log.retry(0, "its machine died")
    trial_log.epoch(0, metrics(0.65, epoch=3))
    trial_log.end(0, "finished")
    (record,) = read_trials(trial_log.events)
    assert record.curve["validation_accuracy"] == [0.6, 0.7, 0.65]
    assert (record.best_epoch, record.retries, record.status) == (2, 1, "finished")


def test_the_time_between_sessions_is_not_the_runs(tmp_path):
    events = EventLog(tmp_path / "trials.jsonl")
    start = {"event": "start", "number": 0, "hyperparameters": HYPERPARAMETERS}
    events.write(event="session", at=0.0)
    events.write(**start, at=2.0)
    events.write(event="session", at=1000.0)
    events.write(**start, at=1001.0)
    events.write(event="end", number=0, status="failed", reason="x", at=1004.0)
    assert elapsed(events) == 6.0
    assert read_trials(events)[0].seconds == 3.0
    assert elapsed(EventLog(tmp_path / "none")) == 0.0


def test_a_line_that_was_cut_off_is_passed_over(trial_log):
    fill(trial_log)
    with trial_log.events.path.open("a") as file:
        file.write('{"event":"epo')
    assert len(read_trials(trial_log.events)) == 2
    trial_log.end(0, "finished")  # on a line of its own
    assert trial_log.events.read()[-1]["event"] == "end"


@pytest.mark.parametrize(
    "line",
    ["somebody's note", '{"event":"use"}', '{"event":"epoch","number":7}', "\0\0", "[" * 9000],
)
def test_a_run_goes_on_after_a_damaged_line(trial_log, line):
    fill(trial_log)
    before = read_trials(trial_log.events)
    with trial_log.events.path.open("a") as file:
        file.write(line)
    again = TrialLog(trial_log.events)
    assert again.trials == before
    again.session()
    again.start(2, HYPERPARAMETERS)
    again.epoch(2, metrics(0.9))
    assert [record.epochs for record in read_trials(trial_log.events)] == [3, 1, 1]
    assert trial_log.events.damaged() == [9]


def test_a_trial_whose_beginning_is_damaged_may_begin_again(trial_log):
    fill(trial_log)
    first, *others = trial_log.events.path.read_text().splitlines()
    trial_log.events.path.write_text("\n".join([first[:9], *others]))
    again = TrialLog(trial_log.events)
    assert list(again.records) == [1]
    again.start(0, HYPERPARAMETERS)
    again.epoch(0, metrics(0.9))
    assert [record.epochs for record in read_trials(trial_log.events)] == [1, 1]


def test_the_best_is_by_accuracy_then_loss_and_never_a_failure(trial_log):
    fill(trial_log)
    trial_log.start(2, HYPERPARAMETERS)
    trial_log.epoch(2, metrics(0.8, loss=0.6))
    trial_log.start(3, HYPERPARAMETERS)
    ranking = rank(list(trial_log.records.values()))
    assert [record.number for record in ranking] == [2, 0]


def test_plain_lines_without_a_terminal(tmp_path):
    output = io.StringIO()
    console = Console(file=output, width=200)
    progress = Progress(2, EventLog(tmp_path / "cache.jsonl"), None, console)
    progress.open()
    fill(TrialLog(EventLog(tmp_path / "trials.jsonl"), [progress]))
    progress.close()
    lines = output.getvalue().splitlines()
    assert lines[0] == "trial 0 starts: small convnet, no augmentation, dropout 0.5"
    assert "trial 0 finished after 3 epochs" in lines[2]
    assert "accuracy 0.800 in epoch 2 | best so far 0.800 (trial 0)" in lines[2]
    assert lines[3].startswith("trial 1 failed: out of luck")
    assert len(lines) == 4


def test_a_live_table_on_a_terminal(tmp_path):
    output = io.StringIO()
    console = Console(file=output, width=120, force_terminal=True)
    cache = EventLog(tmp_path / "cache.jsonl")
    cache.write(
        event="building", key="k", pictures=2000, split="train", frontier="block4_pool", view="a/1"
    )
    progress = Progress(2, cache, None, console)
    progress.open()
    trial_log = TrialLog(EventLog(tmp_path / "trials.jsonl"), [progress])
    trial_log.start(0, HYPERPARAMETERS)
    trial_log.epoch(0, metrics(0.6))
    progress.live.refresh()
    seen = output.getvalue()
    progress.close()
    for text in (
        "0 of 2 trials",
        "small convnet",
        "1/3",
        "0.600",
        "computing block4_pool of 2,000",
    ):
        assert text in seen


def test_wilson():
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine
    # 17 (1998), table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert interval(0.934, 800) == pytest.approx(wilson(747, 800))
    for successes, trials in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="is no proportion"):
            wilson(successes, trials)
