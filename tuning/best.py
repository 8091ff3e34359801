"""The best epoch of a trial, and its weights in the run folder."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Best:
    """The epoch with the highest validation accuracy, of equals the one with the lowest loss."""

    epoch: int = 0
    accuracy: float = -1.0
    loss: float = float("inf")
    weights: list[np.ndarray] = field(default_factory=list, repr=False)

    def beaten_by(self, accuracy: float, loss: float) -> bool:
        """Whether an epoch with these is better."""
        return (accuracy, -loss) > (self.accuracy, -self.loss)


def weights_file(number: int) -> str:
    """Where the run folder keeps the best weights of a trial."""
    return f"weights/{number}.npz"


def save_arrays(path: Path, arrays: list[np.ndarray]) -> None:
    """Writes arrays into one `.npz`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
    with os.fdopen(handle, "wb") as file:
        np.savez(file, *arrays)
    os.replace(temporary, path)


def load_arrays(path: Path) -> list[np.ndarray]:
    """Reads what `save_arrays` wrote, in its order."""
    with np.load(path, allow_pickle=False) as file:
        return [file[f"arr_{index}"] for index in range(len(file.files))]
