"""What is written down of trials is what is read back; the live view follows it."""

import io

import pytest
from rich.console import Console

from tuning import records
from tuning.evaluation import interval, wilson
from tuning.journal import Journal
from tuning.progress import Progress
from tuning.records import Ledger

HYPERPARAMETERS = {"network": "convnet", "augmentation": "none", "dropout": 0.5, "epochs": 3}


def metrics(accuracy, loss=1.0, epoch=1):
    values = {"epoch": epoch, "loss": 1.0, "accuracy": 0.5, "validation_loss": loss}
    return values | {"validation_accuracy": accuracy, "seconds": 1.0}


@pytest.fixture
def ledger(tmp_path):
    return Ledger(Journal(tmp_path / "trials.jsonl"), lambda record, event: None)


def fill(ledger):
    ledger.start(0, HYPERPARAMETERS)
    ledger.epoch(0, metrics(0.6))
    ledger.start(1, HYPERPARAMETERS)
    ledger.epoch(1, metrics(0.8, loss=0.9))
    ledger.epoch(0, metrics(0.8, loss=0.7, epoch=2))
    ledger.epoch(0, metrics(0.7, epoch=3))
    ledger.end(0, "finished")
    ledger.end(1, "failed", "out of luck")


def test_reading_gives_back_what_was_written(ledger):
    fill(ledger)
    first, second = records.read(ledger.journal)
    assert [first, second] == list(ledger.records.values())
    assert (first.status, first.epochs, first.best_epoch, first.best_accuracy) == (
        "finished",
        3,
        2,
        0.8,
    )
    assert (second.status, second.reason) == ("failed", "out of luck")


def test_an_epoch_that_is_trained_again_counts_once(ledger):
    ledger.session()
    ledger.start(0, HYPERPARAMETERS)
    for epoch, accuracy in ((1, 0.6), (2, 0.9)):
        ledger.epoch(0, metrics(accuracy, epoch=epoch))
    ledger.session()  # the search was killed, and the trial's checkpoint was of its first epoch
    ledger.start(0, HYPERPARAMETERS)
    ledger.epoch(0, metrics(0.7, epoch=2))
    ledger.retry(0, "its machine died")
    ledger.epoch(0, metrics(0.65, epoch=3))
    ledger.end(0, "finished")
    (record,) = records.read(ledger.journal)
    assert record.curve["validation_accuracy"] == [0.6, 0.7, 0.65]
    assert (record.best_epoch, record.retries, record.status) == (2, 1, "finished")


def test_the_time_between_sessions_is_not_the_runs(tmp_path):
    journal = Journal(tmp_path / "trials.jsonl")
    start = {"event": "start", "number": 0, "hyperparameters": HYPERPARAMETERS}
    journal.write(event="session", at=0.0)
    journal.write(**start, at=2.0)
    journal.write(event="session", at=1000.0)
    journal.write(**start, at=1001.0)
    journal.write(event="end", number=0, status="failed", reason="x", at=1004.0)
    assert records.elapsed(journal) == 6.0
    assert records.read(journal)[0].seconds == 3.0
    assert records.elapsed(Journal(tmp_path / "none")) == 0.0


def test_a_line_that_was_cut_off_is_passed_over(ledger):
    fill(ledger)
    with ledger.journal.path.open("a") as file:
        file.write('{"event":"epo')
    assert len(records.read(ledger.journal)) == 2
    ledger.end(0, "finished")  # on a line of its own
    assert ledger.journal.read()[-1]["event"] == "end"


def test_the_best_is_by_accuracy_then_loss_and_never_a_failure(ledger):
    fill(ledger)
    ledger.start(2, HYPERPARAMETERS)
    ledger.epoch(2, metrics(0.8, loss=0.6))
    ledger.start(3, HYPERPARAMETERS)
    ranking = records.ranking(list(ledger.records.values()))
    assert [record.number for record in ranking] == [2, 0]


def test_plain_lines_without_a_terminal(tmp_path):
    output = io.StringIO()
    console = Console(file=output, width=200)
    with Progress(2, Journal(tmp_path / "cache.jsonl"), None, console) as progress:
        fill(Ledger(Journal(tmp_path / "trials.jsonl"), progress.update))
    lines = output.getvalue().splitlines()
    assert lines[0] == "trial 0 starts: small convnet, no augmentation, dropout 0.5"
    assert "trial 0 finished after 3 epochs" in lines[2]
    assert "accuracy 0.800 in epoch 2 | best so far 0.800 (trial 0)" in lines[2]
    assert lines[3].startswith("trial 1 failed: out of luck")
    assert len(lines) == 4


def test_a_live_table_on_a_terminal(tmp_path):
    output = io.StringIO()
    console = Console(file=output, width=120, force_terminal=True)
    cache = Journal(tmp_path / "cache.jsonl")
    cache.write(
        event="building", key="k", pictures=2000, split="train", frontier="block4_pool", view="a/1"
    )
    with Progress(2, cache, None, console) as progress:
        ledger = Ledger(Journal(tmp_path / "trials.jsonl"), progress.update)
        ledger.start(0, HYPERPARAMETERS)
        ledger.epoch(0, metrics(0.6))
        progress.live.refresh()
        seen = output.getvalue()
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
