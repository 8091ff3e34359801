"""What happened to every trial: written down as it happens, read back for the report.

`trials.jsonl` in the run folder is the truth; the live view and the report both follow it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tuning.journal import Journal

CURVES = ("loss", "accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Manner:
    """How the trials of a run were run.

    Attributes:
        interrupted: Whether the user ended it.
        at_once: How many ran side by side.
        gpus: Of each trial.
        cpus: Of each trial.
    """

    interrupted: bool
    at_once: int
    gpus: float
    cpus: int


@dataclass
class Record:
    """One trial so far.

    Attributes:
        number: In the order in which trials were proposed, from 0.
        hyperparameters: As `search_spaces.levers.declare` returns them.
        status: `running`, `finished` (all its epochs), `stopped` (early, by the scheduler),
            `interrupted` (the search ended first) or `failed`.
        reason: Why it failed, one line.
        curve: Per epoch, the metrics of `CURVES`.
        seconds: From its start to its last epoch.
        started: Seconds since the epoch of Unix.
    """

    number: int
    hyperparameters: dict[str, Any]
    started: float
    status: str = "running"
    reason: str | None = None
    curve: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CURVES})
    seconds: float = 0.0

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

    def start(self, number: int, hyperparameters: dict[str, Any]) -> None:
        """A trial begins (or begins again)."""
        self._event(event="start", number=number, hyperparameters=hyperparameters, at=time.time())

    def epoch(self, number: int, metrics: dict[str, Any]) -> None:
        """A trial has finished an epoch."""
        self._event(
            event="epoch",
            number=number,
            metrics={name: metrics[name] for name in CURVES},
            at=time.time(),
        )

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


def _apply(records: dict[int, Record], event: dict[str, Any]) -> None:
    number = event["number"]
    if event["event"] == "start":
        records[number] = Record(number, event["hyperparameters"], event["at"])
        return
    record = records[number]
    if event["event"] == "epoch":
        for name in CURVES:
            record.curve[name].append(event["metrics"][name])
    else:
        record.status, record.reason = event["status"], event["reason"]
    record.seconds = event["at"] - record.started


def ranking(records: list[Record]) -> list[Record]:
    """Trials by validation accuracy, the highest first, of equals the one with the lowest loss."""
    scored = [record for record in records if record.epochs and record.status != "failed"]
    return sorted(
        scored, key=lambda r: (-r.at_best("validation_accuracy"), r.at_best("validation_loss"))
    )
