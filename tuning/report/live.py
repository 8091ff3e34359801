"""Keeps the report of a running search up to date."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from tuning import summary
from tuning.records import Record
from tuning.report.render import write

SHARE = 0.05  # of the search's time that writing may take


@dataclass
class Live:
    """Writes the report again when a trial has ended; pass `update` to a `records.Ledger`.

    Attributes:
        folder: The run folder.
    """

    folder: Path
    _due: float = field(default=0.0, repr=False)

    def update(self, record: Record, event: str) -> None:
        """Takes in what has just happened to a trial."""
        began = time.monotonic()
        if event == "end" and began >= self._due:
            write(summary.gather(self.folder), self.folder)
            over = time.monotonic()
            self._due = over + (over - began) / SHARE
