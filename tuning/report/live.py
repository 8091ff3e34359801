"""The report while the search goes on."""

from __future__ import annotations

import time

from tuning.errors import one_line
from tuning.records.callbacks import RunCallback
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import TrialRecord
from tuning.report.gather import gather
from tuning.report.render import write

PAUSE = 30.0  # seconds between two reports, at least
SHARE = 0.02  # of the time that writing them may take


class LiveReport(RunCallback):
    """Makes the report anew when trials have ended.

    The report of a long search takes a second or two, so it is not made after every trial: trials
    that end meanwhile wait for the next one.

    Args:
        folder: The run folder; its metadata is written.
        pause: Seconds between two reports, at least.

    Attributes:
        fault: The reason why the last report could not be made, None if it could.
    """

    def __init__(self, folder: RunFolder, pause: float = PAUSE) -> None:
        self.folder = folder
        self.pause = pause
        self.fault: str | None = None
        self._stale = False
        self._due = 0.0

    def start(self, record: TrialRecord) -> None:
        """A trial begins."""
        self._write_if_due()

    def epoch(self, record: TrialRecord) -> None:
        """A trial has finished an epoch."""
        self._write_if_due()

    def end(self, record: TrialRecord) -> None:
        """A trial is over."""
        self._stale = True
        self._write_if_due()

    def _write_if_due(self) -> None:
        began = time.monotonic()
        if not self._stale or began < self._due:
            return
        self._stale = False
        try:
            write(gather(self.folder), self.folder.path)
            self.fault = None
        except Exception as error:
            # No reason to end a search; what is really wrong shows at its end.
            self.fault = one_line(error)
        took = time.monotonic() - began
        self._due = began + took + max(self.pause, took / SHARE)
