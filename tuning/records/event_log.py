"""Events of a run, one JSON line each, appended by any process."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Protocol

CURVES = ("loss", "accuracy", "validation_loss", "validation_accuracy")  # metrics of an epoch
SCORE = "validation_score"  # of the search's metric, in 0..1, the higher the better
STATUSES = ("finished", "stopped", "failed", "interrupted")  # of a trial that has ended
# Kinds of events with the keys that readers rely on, and the types of their values.
Keys = Mapping[str, Mapping[str, tuple[type, ...]]]
NUMBER, WHOLE, TEXT = (int, float), (int,), (str,)
TRIAL_EVENTS: Keys = {
    "session": {"at": NUMBER},
    "start": {"at": NUMBER, "number": WHOLE, "hyperparameters": (dict,)},
    "epoch": {"at": NUMBER, "number": WHOLE, "epoch": WHOLE, "metrics": (dict,)},
    "retry": {"at": NUMBER, "number": WHOLE, "reason": TEXT},
    "end": {"at": NUMBER, "number": WHOLE, "status": TEXT, "reason": (str, NoneType)},
}
CACHE_EVENTS: Keys = {
    "building": {"key": TEXT, "split": TEXT, "pictures": WHOLE, "frontier": TEXT, "view": TEXT},
    "build": {"key": TEXT, "pictures": WHOLE, "seconds": NUMBER, "bytes": WHOLE},
    "use": {"key": TEXT, "pictures": WHOLE, "seconds": NUMBER, "bytes": WHOLE, "hit": (bool,)},
    "damaged": {"key": TEXT},
    "overflow": {"key": TEXT},
}


class EventSink(Protocol):
    """Takes events."""

    def write(self, **event: Any) -> None:
        """One of them."""
        ...


@dataclass(frozen=True)
class EventLog:
    """A file that many processes append to; a line is written whole or not at all.

    Attributes:
        path: The file.
        kinds: The events that may stand in it; any other line counts as damaged.
    """

    path: Path
    kinds: Keys = field(default_factory=lambda: {**TRIAL_EVENTS, **CACHE_EVENTS}, compare=False)

    def write(self, **event: Any) -> None:
        """Appends one event."""
        line = json.dumps(event, separators=(",", ":")) + "\n"
        # POSIX appends a short write to a local file in one piece, whoever else is writing.
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            end = os.fstat(handle).st_size
            if end and os.pread(handle, 1, end - 1) != b"\n":
                line = "\n" + line  # the one before was cut off
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def read(self) -> list[dict[str, Any]]:
        """All events so far, in order, without damaged lines; empty when nothing was written."""
        return [event for _, event in self._lines() if event is not None]

    def since(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Events behind the first `offset` bytes, without damaged lines, and where they end.

        For who follows a log: a line that is still being written comes next time.
        """
        if not self.path.exists():
            return [], offset
        with self.path.open("rb") as file:
            file.seek(offset)
            whole = file.read().rpartition(b"\n")[0]
        lines = whole.decode(errors="replace").split("\n")
        events = [event for line in lines if (event := self._event(line)) is not None]
        return events, offset + len(whole) + bool(whole)

    def damaged(self) -> list[int]:
        """The numbers, from 1, of lines that are no events: cut off, foreign, or incomplete."""
        return [number for number, event in self._lines() if event is None]

    def _lines(self) -> list[tuple[int, dict[str, Any] | None]]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        return [(n, self._event(line)) for n, line in enumerate(lines, 1) if line.strip()]

    def _event(self, line: str) -> dict[str, Any] | None:
        try:
            event = json.loads(line)
            keys = self.kinds[event["event"]]
            whole = all(_is(event.get(key), types) for key, types in keys.items())
            return event if whole and _holds(event) else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def _is(value: object, types: tuple[type, ...]) -> bool:
    # Python's truth values are numbers.
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _holds(event: Mapping[str, Any]) -> bool:
    """Whether what lies deeper in an event is as readers expect it."""
    if event["event"] == "use":
        sizes = event.get("segments", {}).values()  # earlier versions wrote none
        return math.isfinite(event["seconds"]) and all(_is(size, WHOLE) for size in sizes)
    if event["event"] == "build":
        return math.isfinite(event["seconds"])
    if event["event"] == "start":
        named = _is(event.get("experiment"), (str, NoneType))
        values = event["hyperparameters"]
        scalars = not any(isinstance(each, list | dict) for each in values.values())
        return named and scalars and _is(values.get("epochs"), WHOLE)
    if event["event"] == "epoch":
        metrics = event["metrics"]
        shares = 0 <= metrics["validation_accuracy"] <= 1
        shares = shares and 0 <= metrics.get(SCORE, 0) <= 1
        return shares and all(_is(metrics[name], NUMBER) for name in CURVES)
    return event["event"] != "end" or event["status"] in STATUSES
