"""HyperParameters that somebody answers; the one place that touches KerasTuner's inner parts.

These are `HyperParameters._retrieve`, `._conditions_are_active` and `._hps` (KerasTuner 1.4).
"""

from __future__ import annotations

from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds


class Answers(keras_tuner.HyperParameters):  # type: ignore[misc]
    """HyperParameters whose values are answered, each when first asked for and active."""

    def answer(self, hp: kinds.HyperParameter) -> Any:
        """The value of a hyperparameter."""
        raise NotImplementedError

    def _retrieve(self, hp: kinds.HyperParameter) -> Any:
        if hp.name not in self.values and self._conditions_are_active(hp.conditions):
            self.values[hp.name] = self.answer(hp)
        return super()._retrieve(hp)

    def declared(self, name: str) -> list[kinds.HyperParameter]:
        """All hyperparameters asked for so far under a name, in order."""
        found: list[kinds.HyperParameter] = self._hps.get(name, [])
        return found
