"""The report while the search goes on."""

from __future__ import annotations

import time
from pathlib import Path

from tuning import report, summary
from tuning.records import Record

PAUSE = 30.0  # seconds between two reports, at least
SHARE = 0.02  # of the time that writing them may take


class LiveReport:
    """Makes the report anew when trials have ended; pass `update` to a `records.Ledger`.

    The report of a long search takes a second or two, so it is not made after every trial: trials
    that end meanwhile wait for the next one.

    Args:
        folder: The run folder; `opening.write` has been there.
        pause: Seconds between two reports, at least.

    Attributes:
        fault: Why the last report could not be made, None if it could.
    """

    def __init__(self, folder: Path, pause: float = PAUSE) -> None:
        self.folder = folder
        self.pause = pause
        self.fault: str | None = None
        self._stale = False
        self._due = 0.0

    def update(self, record: Record, event: str) -> None:
        """Takes in what has just happened to a trial."""
        self._stale = self._stale or event == "end"
        began = time.monotonic()
        if not self._stale or began < self._due:
            return
        self._stale = False
        try:
            report.write(summary.gather(self.folder), self.folder)
            self.fault = None
        except Exception as error:
            # No reason to end a search; what is really wrong shows at its end.
            self.fault = f"{type(error).__name__}: {error}"
        took = time.monotonic() - began
        self._due = began + took + max(self.pause, took / SHARE)
