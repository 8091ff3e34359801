"""What every trial does: train an epoch, evaluate it, keep the best, stop and go on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuning.data.dataset import Split
from tuning.data.parts import Part
from tuning.evaluation import metrics
from tuning.files.shared_folder import SharedFolder
from tuning.process.spent import clock
from tuning.records.run_folder import weights_file
from tuning.training.best import Best, load_arrays, save_arrays
from tuning.training.context import TrialContext

FALLEN = 0.6  # share of the epochs of a trial whose rates fall: a cosine is at a third of its peak


class TrialError(Exception):
    """A trial that cannot go on; the reason in one line."""


class Trial(ABC):
    """A network with its hyperparameters, trained epoch by epoch.

    Args:
        context: What all trials share.
        hyperparameters: The trial's, by name.

    Attributes:
        epoch: The number of epochs trained so far.
        best: The best of these epochs.
    """

    def __init__(self, context: TrialContext, hyperparameters: dict[str, Any]) -> None:
        self.context = context
        self.hyperparameters = hyperparameters
        self.epoch = 0
        self.best = Best()
        self._seconds: list[float] = []

    @property
    @abstractmethod
    def weights(self) -> list[np.ndarray]:
        """Copies of what the best epoch's network is made again of."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """How many numbers are trained."""

    @property
    @abstractmethod
    def state(self) -> list[np.ndarray]:
        """Copies of all that training changes."""

    @state.setter
    @abstractmethod
    def state(self, arrays: Sequence[np.ndarray]) -> None: ...

    @abstractmethod
    def fit(self) -> dict[str, float]:
        """Trains one epoch; returns `loss` and `accuracy` of training."""

    @abstractmethod
    def probabilities(self, split: Split | Part) -> np.ndarray:
        """Probabilities (N, classes) of a split's pictures as they are, without augmentation."""

    @property
    def has_constant_rates(self) -> bool:
        """Whether its learning rates are the same from first to last."""
        return False

    def is_over(self, patience: int | None = None) -> bool:
        """Whether there is nothing left to train.

        Args:
            patience: The epochs without a better one after which it is not worth going on; where
                rates fall, from `FALLEN` of the epochs on, since until then the best is yet to
                come. None or 0: all epochs are trained.
        """
        epochs = self.hyperparameters["epochs"]
        if self.epoch >= epochs or not patience:
            return bool(self.epoch >= epochs)
        began = 0.0 if self.has_constant_rates else FALLEN * epochs
        return self.epoch >= max(began, self.best.epoch + patience)

    def run_epoch(self) -> dict[str, float]:
        """Trains one epoch and evaluates it.

        Returns:
            `epoch` (epochs trained, this one counted), `loss` (with all that the training adds to
            it) and `accuracy` of training, `validation_loss` (mean cross-entropy alone),
            `validation_accuracy` and `validation_score` (of the search's metric), `best_score`,
            `best_accuracy` and `best_loss` (of the same epoch) and `best_epoch` so far, `seconds`,
            `epoch_seconds` (the median so far in this process: the first epoch compiles) and
            `parameters` (numbers that are trained).

        Raises:
            TrialError: If a loss is not finite.
        """
        began = time.perf_counter()
        trained = self.train_epoch()
        data, validation = self.context.dataset, self.context.dataset.validation
        with clock.on("evaluating"):
            said = self.probabilities(validation)
        loss, accuracy = score(said, validation.labels)
        if not np.isfinite(loss):
            raise TrialError(f"the validation loss of epoch {self.epoch} is {loss}")
        value = metrics.score(self.context.metric, said, validation.labels, data.classes)
        if self.best.beaten_by(value, loss):
            self.best = Best(self.epoch, value, accuracy, loss, self.weights)
        self._seconds.append(time.perf_counter() - began)
        return {
            **trained,
            "epoch": self.epoch,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "validation_score": value,
            "best_score": self.best.score,
            "best_accuracy": self.best.accuracy,
            "best_loss": self.best.loss,
            "best_epoch": self.best.epoch,
            "seconds": self._seconds[-1],
            "epoch_seconds": float(np.median(self._seconds)),
            "parameters": self.parameters,
        }

    def train_epoch(self) -> dict[str, float]:
        """Trains one epoch and evaluates nothing; returns `loss` and `accuracy` of training."""
        with clock.on("training"):
            trained = self.fit()
        self.epoch += 1
        if not np.isfinite(trained["loss"]):
            raise TrialError(f"the training loss of epoch {self.epoch} is {trained['loss']}")
        return trained

    def order(self, batch_size: int) -> np.ndarray:
        """The rows of the next epoch's training pictures: in another order each, full batches."""
        pictures = len(self.context.dataset.train)
        order = np.random.default_rng((self.context.seed, self.epoch)).permutation(pictures)
        whole = len(order) // batch_size * batch_size
        # The article's generator drops the remainder as well.
        return order[:whole] if whole else order

    def save(self, path: Path) -> None:
        """Writes what `restore` needs to go on after the last epoch, whole or not at all."""
        best = self.best
        scalars = np.array([self.epoch, best.epoch, best.accuracy, best.loss, best.score])
        save_arrays(path, [scalars, *best.weights, *self.state])

    def restore(self, path: Path) -> None:
        """Goes on where the trial of the same hyperparameters stood that wrote `path`."""
        scalars, *arrays = load_arrays(path)
        self.epoch, best_epoch = int(scalars[0]), int(scalars[1])
        kept = len(self.weights) if best_epoch else 0
        # Earlier versions went by accuracy, and wrote it alone.
        accuracy, loss, value = map(float, (*scalars[2:], scalars[2])[:3])
        self.best = Best(best_epoch, value, accuracy, loss, arrays[:kept])
        self.state = arrays[kept:]


def score(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy (natural logarithm) and accuracy of probabilities (N, classes)."""
    right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    # Keras clips by the same amount (keras.config.epsilon()).
    loss = float(-np.log(np.clip(right, 1e-7, 1.0)).mean())
    # A sigmoid's 0.5 counts as the first class, as in Keras' BinaryAccuracy.
    return loss, float((probabilities.argmax(axis=1) == labels).mean())


def save_best(trial: Trial, folder: SharedFolder, number: int) -> None:
    """Keeps the weights of the trial's best epoch in the run folder."""
    file = weights_file(number)
    save_arrays(folder.here / file, trial.best.weights)
    folder.send(file)
