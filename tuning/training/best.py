"""The best epoch of a trial, and files of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tuning.files import atomic


@dataclass
class Best:
    """The epoch with the highest score, of equals the one with the lowest loss.

    Attributes:
        epoch: Its number, from 1; 0 for none.
        score: Its value of the search's metric, the higher the better.
        accuracy: Its validation accuracy.
        loss: Its validation loss.
        weights: What its network is made again of.
    """

    epoch: int = 0
    score: float = -1.0
    accuracy: float = -1.0
    loss: float = float("inf")
    weights: list[np.ndarray] = field(default_factory=list, repr=False)

    def beaten_by(self, score: float, loss: float) -> bool:
        """Whether an epoch with these is better."""
        return (score, -loss) > (self.score, -self.loss)


def save_arrays(path: Path, arrays: list[np.ndarray]) -> None:
    """Writes arrays into one `.npz`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as draft:
        np.savez(draft, *arrays)


def load_arrays(path: Path) -> list[np.ndarray]:
    """Reads what `save_arrays` wrote, in its order."""
    with np.load(path, allow_pickle=False) as file:
        return [file[f"arr_{index}"] for index in range(len(file.files))]
