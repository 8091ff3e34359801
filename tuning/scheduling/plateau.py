"""When a search of no given length ends: what is proposed is no better than chance makes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from tuning.records.trial_log import TrialLog, TrialRecord, rank
from tuning.scheduling.optuna_private import EXPERIMENT, was_enqueued
from tuning.wording import points

WINDOW = 20  # proposals of the sampler; so many are made before all else
REPEATS = 3  # fresh seeds of the best trial, by which chance is measured


@dataclass
class Plateau:
    """Watches what the sampler's proposals gain.

    Attributes:
        study: The run's study.
        trial_log: What became of its trials.
        noise: The standard deviation of the best trial's score under fresh seeds; None as long as
            nobody has measured it.
        repeated: The trial that was trained again for that.
    """

    study: optuna.Study
    trial_log: TrialLog
    noise: float | None = None
    repeated: int | None = None

    @property
    def best(self) -> TrialRecord | None:
        """The best that was proposed so far."""
        own = [each for each in self.trial_log.trials if each.experiment is None]
        return next(iter(rank(own)), None)

    @property
    def gain(self) -> float:
        """By how much the last proposals are better than all before; infinite where it is early."""
        recent: list[float] = []
        before: list[float] = []
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        for trial in reversed(self.study.get_trials(deepcopy=False, states=states)):
            record = self.trial_log.records.get(trial.number)
            if record is None or EXPERIMENT in trial.user_attrs:
                continue
            score = record.best_score if record.status != "failed" else None
            is_recent = len(recent) < WINDOW and not was_enqueued(trial)
            (recent if is_recent else before).append(score or 0.0)
        if len(recent) < WINDOW or not before:
            return math.inf
        return max(recent) - max(before)

    @property
    def needs_noise(self) -> bool:
        """Whether it depends on what chance does, and nobody has measured that."""
        return self.noise is None and 0 < self.gain < math.inf

    @property
    def holds(self) -> bool:
        """Whether nothing more is to be expected."""
        return self.gain <= (self.noise or 0.0)

    def note(self) -> str:
        """What to say of it, a sentence or two."""
        own = sum(each.experiment is None for each in self.trial_log.trials)
        begin = f"The search ended by itself after {own} trials: the sampler's last {WINDOW} "
        again = " With --resume and --trials it goes on."
        if self.gain <= 0:
            return f"{begin}proposals were no better than those before.{again}"
        return (
            f"{begin}proposals gained {points(self.gain)}, and {REPEATS} fresh seeds of trial "
            f"{self.repeated} alone differ by {points(self.noise or 0.0)} (standard deviation)."
            f"{again}"
        )
