"""The one place that touches what is private in Optuna (5.0).

That is `Study._storage` and `Trial._trial_id`.
"""

from __future__ import annotations

import optuna
from optuna.trial import BaseTrial, FrozenTrial, TrialState


def set_waiting(study: optuna.Study, trial: BaseTrial | FrozenTrial) -> None:
    """Lets a trial that runs no longer wait to be asked for again; it keeps its values."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)  # type: ignore[union-attr]
