"""What watches a run while its trials go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuning.records.trial_log import TrialRecord


class RunCallback:
    """Told what happens to trials, each time after it was written down; does nothing by itself."""

    def start(self, record: TrialRecord) -> None:
        """A trial begins, or goes on."""

    def epoch(self, record: TrialRecord) -> None:
        """A trial has finished an epoch, or goes on elsewhere after its process died."""

    def end(self, record: TrialRecord) -> None:
        """A trial is over."""

    def close(self) -> None:
        """No more trials are run; called once, whatever ended them."""


Callbacks = Sequence[RunCallback]
