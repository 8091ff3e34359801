"""What Ray Tune reports, written into the run's own log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from ray import tune

from tuning.files.shared_folder import SharedFolder
from tuning.records.run_folder import checkpoint_file
from tuning.records.trial_log import TrialLog
from tuning.scheduling.searcher import TrialEndings
from tuning.scheduling.step import epochs_of
from tuning.scheduling.stopping import Failures

log = logging.getLogger(__name__)


@dataclass
class LogCallback(tune.Callback):  # type: ignore[misc]
    """Notes in the trial log what Ray Tune reports.

    Attributes:
        trial_log: The log.
        endings: The trials that the scheduler knows more about.
        folder: The run folder that holds checkpoints.
        failures: The failures in a row so far.
        full: The word of a trial that found no room on a disk, None so far.
        again: Whether Tune has counted a trial that is yet to be run.
    """

    trial_log: TrialLog
    endings: TrialEndings
    folder: SharedFolder
    failures: Failures = field(default_factory=Failures)
    full: str | None = None
    again: bool = False

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its set-up; the view of a terminal is no part of it

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune, as all methods."""
        self._start(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Some epochs are over."""
        for line in result.get("warnings", ()):
            log.warning(line)
        for epoch in epochs_of(result):
            self.trial_log.epoch(trial.config["number"], epoch)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial goes on elsewhere."""
        self._make_known(trial)
        number = trial.config["number"]
        self.trial_log.retry(number, self.endings.failed[number])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has come to an end of its own, or was stopped."""
        number = trial.config["number"]
        failed = trial.last_result.get("failed")
        self.full = self.full or trial.last_result.get("full")
        if failed:
            self._end(number, "failed", failed)
        elif trial.last_result.get("over"):
            self._end(number, "finished")
        elif number in self.endings.stopped:
            self._end(number, "stopped")
        else:
            self.trial_log.end(number, "interrupted")  # its checkpoint stays

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process or machine has died once too often, or before it began."""
        self._make_known(trial)
        number = trial.config["number"]
        if number in self.endings.lost:
            self.endings.lost.discard(number)
            self.again = True
            self.trial_log.end(number, "interrupted")
        else:
            self._end(number, "failed", self.endings.failed[number])

    def _make_known(self, trial: Any) -> None:
        # A worker may be lost before Ray tells that its trial has started.
        if trial.config["number"] not in self.trial_log.records:
            self._start(trial)

    def _start(self, trial: Any) -> None:
        config = trial.config
        self.trial_log.start(config["number"], config["hyperparameters"], config.get("experiment"))

    def _end(self, number: int, status: str, reason: str | None = None) -> None:
        self.trial_log.end(number, status, reason)
        self.failures.add(reason)
        self.folder.remove(checkpoint_file(number))
