"""What happened to every trial: written down as it happens, read back for the report.

`trials.jsonl` in the run folder is the truth; the live view and the report both follow it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tuning.journal import Journal

OVER = ("finished", "stopped", "failed")  # statuses of trials that are never run again
CURVES = ("loss", "accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Manner:
    """How the trials of a run were run.

    Attributes:
        ended: What ended it before all trials were over, None if they are.
        failing: Whether that was one cause that failed trial after trial.
        at_once: How many ran side by side.
        gpus: Of each trial.
        cpus: Of each trial.
    """

    ended: str | None
    failing: bool
    at_once: int
    gpus: float
    cpus: int

    @property
    def interrupted(self) -> bool:
        """Whether it ended before all trials were over."""
        return self.ended is not None

    def device_hours(self, records: Iterable[Record]) -> float:
        """GPU hours of these trials; where trials have no GPU, hours of a trial."""
        return sum(record.seconds for record in records) * (self.gpus or 1.0) / 3600


@dataclass
class Record:
    """One trial so far.

    Attributes:
        number: In the order in which trials were proposed, from 0.
        hyperparameters: As `search_spaces.levers.declare` returns them.
        status: `running`, `finished` (all its epochs), `stopped` (early, by the scheduler),
            `interrupted` (the search ended first; resumed, it goes on) or `failed`.
        reason: Why it failed, one line.
        curve: Per epoch, the metrics of `CURVES`.
        seconds: That it ran, up to its last event; waiting for a search to be resumed not counted.
        started: Seconds since the epoch of Unix.
        worker: The machine and process that ran its last epoch.
        retries: How often it went on after its process or its machine had died.
    """

    number: int
    hyperparameters: dict[str, Any]
    started: float
    status: str = "running"
    reason: str | None = None
    curve: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CURVES})
    seconds: float = 0.0
    worker: str | None = None
    retries: int = 0
    last: float = 0.0  # time of its last event

    @property
    def epochs(self) -> int:
        """Trained so far."""
        return len(self.curve["validation_accuracy"])

    @property
    def best_epoch(self) -> int | None:
        """From 1; of equal accuracies the one with the lowest loss, as `training.Best`."""
        if not self.epochs:
            return None
        accuracy, loss = self.curve["validation_accuracy"], self.curve["validation_loss"]
        return 1 + max(range(self.epochs), key=lambda epoch: (accuracy[epoch], -loss[epoch]))

    @property
    def best_accuracy(self) -> float | None:
        """Validation accuracy of the best epoch, None before the first."""
        return None if self.best_epoch is None else self.at_best("validation_accuracy")

    def at_best(self, name: str) -> float:
        """A metric of `CURVES` at the best epoch."""
        assert self.best_epoch is not None
        return self.curve[name][self.best_epoch - 1]


@dataclass
class Ledger:
    """Writes down what happens to trials and tells it to whoever watches.

    Attributes:
        journal: `trials.jsonl` of the run.
        watch: Called with the record after each event, and with the event's name.
    """

    journal: Journal
    watch: Callable[[Record, str], None]
    records: dict[int, Record] = field(default_factory=dict)

    @property
    def elapsed(self) -> float:
        """Seconds that the run took so far, see `elapsed`."""
        return elapsed(self.journal)

    def session(self) -> None:
        """The run begins, or is resumed."""
        self.journal.write(event="session", at=time.time())

    def start(self, number: int, hyperparameters: dict[str, Any]) -> None:
        """A trial begins, or goes on after its search or its worker was interrupted."""
        self._event(event="start", number=number, hyperparameters=hyperparameters, at=time.time())

    def epoch(self, number: int, metrics: dict[str, Any]) -> None:
        """A trial has finished an epoch; `metrics` as `training.Trial.run_epoch` returns them."""
        self._event(
            event="epoch",
            number=number,
            epoch=metrics["epoch"],
            metrics={name: metrics[name] for name in CURVES},
            worker=metrics.get("worker"),
            at=time.time(),
        )

    def retry(self, number: int, reason: str) -> None:
        """A trial goes on elsewhere: its process died, or what it needed was out of reach."""
        self._event(event="retry", number=number, reason=reason, at=time.time())

    def end(self, number: int, status: str, reason: str | None = None) -> None:
        """A trial is over."""
        self._event(event="end", number=number, status=status, reason=reason, at=time.time())

    def _event(self, **event: Any) -> None:
        self.journal.write(**event)
        _apply(self.records, event)
        self.watch(self.records[event["number"]], event["event"])


def read(journal: Journal) -> list[Record]:
    """All trials of a run, by number."""
    records: dict[int, Record] = {}
    for event in journal.read():
        _apply(records, event)
    return [records[number] for number in sorted(records)]


def elapsed(journal: Journal) -> float:
    """Seconds that the run took so far, the time between its sessions not counted."""
    events = journal.read()
    return sum(
        (after["at"] - before["at"] for before, after in pairwise(events) if not _begins(after)),
        0.0,
    )


def _begins(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "session")


def _apply(records: dict[int, Record], event: dict[str, Any]) -> None:
    if _begins(event):
        return
    number, at = event["number"], event["at"]
    if event["event"] == "start":
        record = records.setdefault(number, Record(number, event["hyperparameters"], at))
        record.status, record.reason = "running", None
    else:
        record = records[number]
        record.seconds += at - record.last
    record.last = at
    if event["event"] == "epoch":
        for name in CURVES:
            # One that was trained again, because its search or its worker ended after it.
            del record.curve[name][event["epoch"] - 1 :]
            record.curve[name].append(event["metrics"][name])
        record.worker = event["worker"]
    elif event["event"] == "retry":
        record.retries += 1
    elif event["event"] == "end":
        record.status, record.reason = event["status"], event["reason"]


def ranking(records: list[Record]) -> list[Record]:
    """Trials by validation accuracy, the highest first, of equals the one with the lowest loss."""
    scored = [record for record in records if record.epochs and record.status != "failed"]
    return sorted(
        scored, key=lambda r: (-r.at_best("validation_accuracy"), r.at_best("validation_loss"))
    )
