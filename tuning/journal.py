"""What the feature cache did in a run: one JSON line an event, from every process."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Events(Protocol):
    """Takes events."""

    def write(self, **event: Any) -> None:
        """One of them."""
        ...


@dataclass(frozen=True)
class Journal:
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
        """All events so far, in order; empty when nothing was written."""
        if not self.path.exists():
            return []
        events = []
        for line in self.path.read_text().splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue  # cut off by a full disk or the end of a machine
        return events

    def statistics(self) -> dict[str, Any]:
        """The run's use of the cache, as the report tells it.

        Returns:
            `entries` and `bytes` that this run built or used; `builds`, forward passes' entries
            computed; `hits`, epochs that found features there; `forward_seconds_spent` building;
            `forward_seconds_saved`, what these epochs would have spent computing from the picture;
            `multiples`, entries computed more than once though undamaged.
        """
        events = self.read()
        builds = Counter(event["key"] for event in events if event["event"] == "build")
        damaged = Counter(event["key"] for event in events if event["event"] == "damaged")
        sizes = {event["key"]: event["bytes"] for event in events if "bytes" in event}
        hits = [event for event in events if event["event"] == "use" and event["hit"]]
        return {
            "entries": len(sizes),
            "bytes": sum(sizes.values()),
            "builds": builds.total(),
            "hits": len(hits),
            "forward_seconds_spent": sum(e["seconds"] for e in events if e["event"] == "build"),
            "forward_seconds_saved": sum(e["seconds"] for e in hits),
            "multiples": sum(max(0, n - 1 - damaged[key]) for key, n in builds.items()),
        }
