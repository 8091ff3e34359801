"""Proof that the exported model is one that everybody can load: a fresh process loads it.

That is a process that knows nothing of the search and of a user's module, with Keras' safe mode,
which runs no Python code out of a file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from tuning.process.backend import spared

if TYPE_CHECKING:
    import keras

PICTURES = 16  # that it is tried on
TOLERANCE = 1e-4  # of a probability; two processes may add up in another order
PROGRAM = """
import gc, os, sys
gc.disable()
file, pictures, target, *unseen = sys.argv[1:]
sys.modules |= dict.fromkeys(unseen)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # trials may fill the GPU
import keras, numpy
try:
    model = keras.saving.load_model(file, compile=False, safe_mode=True)
    said = model.predict_on_batch(numpy.load(pictures))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
numpy.save(target, numpy.asarray(said))
"""


class Proof:
    """The proof of one model; it begins at once, in a process beside this one.

    Args:
        file: The model's file.
        model: The model that was written into it.
        pictures: uint8 (N, S, S, 3), some `PICTURES`.
    """

    def __init__(self, file: Path, model: keras.Model, pictures: np.ndarray) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._target = Path(self._folder.name) / "said.npy"
        given = Path(self._folder.name) / "pictures.npy"
        self._model, self._pictures = model, pictures
        np.save(given, self._pictures)
        import keras

        unseen = spared(keras.backend.backend())
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(file), str(given), str(self._target), *unseen],
            cwd=self._folder.name,  # where no module of a user's lies
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Proof:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process, self._folder:
            self._process.kill()

    def fault(self) -> str | None:
        """What is wrong with the file, once the process is over; None for nothing."""
        _, complaints = self._process.communicate()
        if self._process.returncode:
            lines = complaints.strip().splitlines() or [f"exit code {self._process.returncode}"]
            return lines[-1]
        difference = np.abs(np.load(self._target) - self._model.predict_on_batch(self._pictures))
        if not difference.max() <= TOLERANCE:
            return f"its probabilities are {difference.max():.1g} off those of the trial"
        return None
