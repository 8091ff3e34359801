"""What happened to every trial: written down as it happens, read back for the report.

`trials.jsonl` in the run folder is the truth; the live view and the report both follow it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tuning.records.callbacks import Callbacks
from tuning.records.event_log import CURVES, SCORE, EventLog

ACCURACY = "validation_accuracy"
SPENT = ("spent", "gpu_busy")  # with the last epoch of a step: `process.spent`, `process.card`
OVER = ("finished", "stopped", "failed")  # statuses of trials that are never run again


@dataclass(frozen=True)
class RunEnding:
    """How the trials of a run were run.

    Attributes:
        ended: What ended it before all trials were over, None if they are.
        failing: Whether that was one cause that failed trial after trial.
        at_once: The number of trials that ran side by side.
        gpus: The GPUs of each trial.
        cpus: The CPUs of each trial.
        notes: What a budget made of the article's experiments, a sentence each.
        full: What a trial said that found no room on a disk, None where none did.
    """

    ended: str | None
    failing: bool
    at_once: int
    gpus: float
    cpus: int
    notes: Sequence[str] = ()
    full: str | None = None

    @property
    def interrupted(self) -> bool:
        """Whether it ended before all trials were over."""
        return self.ended is not None

    def device_hours(self, records: Iterable[TrialRecord]) -> float:
        """See `device_hours`."""
        return device_hours(records, self.gpus)


def device_hours(records: Iterable[TrialRecord], gpus: float) -> float:
    """GPU hours of trials of so many GPUs each; where they have none, hours of a trial."""
    return sum(record.seconds for record in records) * (gpus or 1.0) / 3600


@dataclass
class TrialRecord:
    """One trial so far.

    Attributes:
        number: Its place in the order in which trials were proposed, from 0.
        hyperparameters: The trial's, as `search_spaces.levers.declare` returns them.
        status: `running`, `finished` (all its epochs), `stopped` (early, by the scheduler),
            `interrupted` (the search ended first; resumed, it goes on) or `failed`.
        reason: The reason why it failed, one line.
        curve: Per epoch, the metrics of `CURVES`, and `SCORE`.
        seconds: Its time up to its last event, waiting for a search to be resumed not counted.
        experiment: The name of the article's experiment that it is; None for others, and in runs of
            earlier versions.
        started: Seconds since the epoch of Unix.
        worker: The machine and process that ran its last epoch.
        retries: The number of times it went on after its process or its machine had died.
    """

    number: int
    hyperparameters: dict[str, Any]
    started: float
    status: str = "running"
    reason: str | None = None
    curve: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in (*CURVES, SCORE)}
    )
    seconds: float = 0.0
    worker: str | None = None
    retries: int = 0
    experiment: str | None = None
    last: float = 0.0  # time of its last event

    @property
    def epochs(self) -> int:
        """The number of epochs trained so far."""
        return len(self.curve[ACCURACY])

    @property
    def best_epoch(self) -> int | None:
        """The best epoch, from 1; of equals the one with the lowest loss, as `training.best`."""
        if not self.epochs:
            return None
        score, loss = self.curve[SCORE], self.curve["validation_loss"]
        return 1 + max(range(self.epochs), key=lambda epoch: (score[epoch], -loss[epoch]))

    @property
    def best_score(self) -> float | None:
        """What it is ranked by: the search's metric at the best epoch, None before the first."""
        return None if self.best_epoch is None else self.at_best(SCORE)

    @property
    def best_accuracy(self) -> float | None:
        """Validation accuracy of the best epoch, None before the first."""
        return None if self.best_epoch is None else self.at_best(ACCURACY)

    def at_best(self, name: str) -> float:
        """A metric of `CURVES` at the best epoch."""
        assert self.best_epoch is not None
        return self.curve[name][self.best_epoch - 1]


class TrialLog:
    """Writes down what happens to trials, then tells the callbacks.

    Args:
        events: The log to write to, `trials.jsonl` of the run; its trials so far are known.
        callbacks: The watchers, told in this order.

    Attributes:
        records: The trials so far, by number.
    """

    def __init__(self, events: EventLog, callbacks: Callbacks = ()) -> None:
        self.events = events
        self.callbacks = callbacks
        self._closed = False
        self.records = {record.number: record for record in read_trials(events)}

    @property
    def elapsed(self) -> float:
        """Seconds that the run took so far, see `elapsed`."""
        return elapsed(self.events)

    @property
    def trials(self) -> list[TrialRecord]:
        """The trials so far, in the order of their numbers."""
        return [self.records[number] for number in sorted(self.records)]

    def session(self) -> None:
        """Notes that the run begins, or is resumed."""
        self.events.write(event="session", at=time.time())

    def start(
        self, number: int, hyperparameters: dict[str, Any], experiment: str | None = None
    ) -> None:
        """Notes that a trial begins, or goes on after its search or its worker was interrupted."""
        facts: dict[str, Any] = {"hyperparameters": hyperparameters}
        if experiment:
            facts["experiment"] = experiment
        record = self._event("start", number, **facts)
        for each in self.callbacks:
            each.start(record)

    def epoch(self, number: int, metrics: dict[str, Any]) -> None:
        """Notes that a trial has finished an epoch.

        Args:
            number: The trial's.
            metrics: What `training.Trial.run_epoch` returns.
        """
        record = self._event(
            "epoch",
            number,
            epoch=metrics["epoch"],
            metrics={name: metrics[name] for name in (*CURVES, SCORE) if name in metrics},
            worker=metrics.get("worker"),
            **{name: metrics[name] for name in SPENT if metrics.get(name) is not None},
        )
        for each in self.callbacks:
            each.epoch(record)

    def retry(self, number: int, reason: str) -> None:
        """Notes that a trial goes on elsewhere: its process died, or a disk was out of reach."""
        record = self._event("retry", number, reason=reason)
        for each in self.callbacks:
            each.epoch(record)

    def end(self, number: int, status: str, reason: str | None = None) -> None:
        """Notes that a trial is over."""
        record = self._event("end", number, status=status, reason=reason)
        for each in self.callbacks:
            each.end(record)

    def close(self) -> None:
        """Tells the callbacks that no more trials are run, once."""
        if not self._closed:
            self._closed = True
            for each in self.callbacks:
                each.close()

    def _event(self, kind: str, number: int, **facts: Any) -> TrialRecord:
        event = {"event": kind, "number": number, **facts, "at": time.time()}
        self.events.write(**event)
        _apply(self.records, event)
        return self.records[number]


def read_trials(events: EventLog) -> list[TrialRecord]:
    """All trials of a run, by number."""
    records: dict[int, TrialRecord] = {}
    for event in events.read():
        _apply(records, event)
    return [records[number] for number in sorted(records)]


def elapsed(events: EventLog) -> float:
    """Seconds that the run took so far, the time between its sessions not counted."""
    known = events.read()
    return sum(
        (after["at"] - before["at"] for before, after in pairwise(known) if not _begins(after)),
        0.0,
    )


def _begins(event: dict[str, Any]) -> bool:
    return bool(event["event"] == "session")


def _apply(records: dict[int, TrialRecord], event: dict[str, Any]) -> None:
    if _begins(event):
        return
    number, at = event["number"], event["at"]
    if event["event"] != "start" and number not in records:
        return  # the line that said how it began is damaged
    if event["event"] == "start":
        record = records.setdefault(number, TrialRecord(number, event["hyperparameters"], at))
        record.status, record.reason = "running", None
        record.experiment = event.get("experiment")
    else:
        record = records[number]
        record.seconds += at - record.last
    record.last = at
    if event["event"] == "epoch":
        for name in CURVES:
            # One that was trained again, because its search or its worker ended after it.
            del record.curve[name][event["epoch"] - 1 :]
            record.curve[name].append(event["metrics"][name])
        del record.curve[SCORE][event["epoch"] - 1 :]
        # Earlier versions went by accuracy.
        record.curve[SCORE].append(event["metrics"].get(SCORE, record.curve[ACCURACY][-1]))
        record.worker = event.get("worker")
    elif event["event"] == "retry":
        record.retries += 1
    elif event["event"] == "end":
        record.status, record.reason = event["status"], event.get("reason")


def rank(records: list[TrialRecord]) -> list[TrialRecord]:
    """Trials by their score, the highest first, of equals the one with the lowest loss."""
    scored = [record for record in records if record.epochs and record.status != "failed"]
    return sorted(scored, key=lambda r: (-r.at_best(SCORE), r.at_best("validation_loss")))
