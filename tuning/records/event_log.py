"""Events of a run, one JSON line each, appended by any process."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class EventSink(Protocol):
    """Takes events."""

    def write(self, **event: Any) -> None:
        """One of them."""
        ...


@dataclass(frozen=True)
class EventLog:
    """A file that many processes append to; a line is written whole or not at all."""

    path: Path

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

    def damaged(self) -> list[int]:
        """The numbers, from 1, of lines that are no events: cut off, foreign, or incomplete."""
        return [number for number, event in self._lines() if event is None]

    def _lines(self) -> list[tuple[int, dict[str, Any] | None]]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8", errors="replace")
        return [(n, _event(line)) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


CURVES = ("loss", "accuracy", "validation_loss", "validation_accuracy")  # metrics of an epoch
# The keys that readers rely on, with the types of their values.
Number = (int, float)
KEYS: dict[str, dict[str, Any]] = {
    "session": {"at": Number},
    "start": {"at": Number, "number": int, "hyperparameters": dict},
    "epoch": {"at": Number, "number": int, "epoch": int, "metrics": dict},
    "retry": {"at": Number, "number": int, "reason": str},
    "end": {"at": Number, "number": int, "status": str},
    "building": {"key": str, "split": str, "pictures": int, "frontier": str, "view": str},
    "build": {"key": str, "pictures": int, "seconds": Number, "bytes": int},
    "use": {"key": str, "pictures": int, "seconds": Number, "bytes": int, "hit": bool},
    "damaged": {"key": str},
    "overflow": {"key": str},
}


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
        keys = KEYS[event["event"]]
        whole = all(isinstance(event[key], kind) for key, kind in keys.items())
        if event["event"] == "start":
            whole = whole and isinstance(event["hyperparameters"]["epochs"], int)
        if event["event"] == "epoch":
            whole = whole and all(isinstance(event["metrics"][name], Number) for name in CURVES)
    except (ValueError, KeyError, TypeError):
        return None
    return event if whole else None
