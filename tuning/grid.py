"""The sampler that tries every point of a space once."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.study import Study


class Grid(optuna.samplers.BruteForceSampler):
    """Every point of the space once; `exhausted` when there is none left.

    Optuna's own ends `Study.optimize` then, which is not what runs here.
    """

    exhausted = False

    def after_trial(self, study: Study, trial: Any, state: Any, values: Any) -> None:
        """Called by Optuna when a trial is told."""
        try:
            super().after_trial(study, trial, state, values)
        except RuntimeError:  # of Study.stop
            self.exhausted = True
