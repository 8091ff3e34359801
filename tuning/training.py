"""One trial without Ray: hyperparameters and cached features in, metrics and best weights out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from models import network, vgg16
from models.augmentation import draw
from tuning.best import Best, load_arrays, save_arrays, weights_file
from tuning.dataset import Split
from tuning.features import PLAIN, View
from tuning.heads import trained_head
from tuning.learner import Batches, Shape, learner
from tuning.setting import Setting


class TrialError(Exception):
    """A trial that cannot go on; the reason in one line."""


class Trial:
    """One network with its hyperparameters, trained epoch by epoch.

    With unfrozen layers it starts from a trained head, as the article insists ("in order to
    perform fine-tuning, all layers should start with properly trained weights"): the head is
    trained on bottleneck features first, once for all trials whose heads are alike.

    A process has one network of each shape, so a trial that begins takes it from the one before.

    Args:
        setting: What all trials share.
        hyperparameters: As `search_spaces.levers.declare` returns them.

    Attributes:
        epoch: Epochs trained so far.
        best: The best of them.
    """

    def __init__(self, setting: Setting, hyperparameters: dict[str, Any]) -> None:
        self.setting = setting
        self.hyperparameters = hyperparameters
        self.epoch = 0
        self.best = Best()
        setting.cache.release()
        head = trained_head(setting, hyperparameters) if hyperparameters.get("unfrozen") else None
        shape = _shape(setting, hyperparameters)
        self.start = shape.start
        self._frozen = shape.frozen
        self._seconds: list[float] = []
        self._learner = learner(shape)
        rate = hyperparameters["fine_tune_rate" if head else "head_rate"]
        self._learner.begin(self, hyperparameters, rate, setting.seed)
        if head:
            self._learner.set_head(head)

    @property
    def weights(self) -> list[np.ndarray]:
        """Of what is trained, as they are now, in the order of `network.trainable`."""
        return self._learner.weights

    def run_epoch(self) -> dict[str, float]:
        """Trains one epoch and evaluates it.

        Returns:
            `epoch` (epochs trained, this one counted), `loss` (with penalties and label smoothing)
            and `accuracy` of training, `validation_loss` (without) and `validation_accuracy`,
            `best_accuracy`, `best_loss` (of the same epoch) and `best_epoch` so far, `seconds`,
            `epoch_seconds` (the median so far in this process: the first epoch compiles) and
            `parameters` (numbers that are trained).

        Raises:
            TrialError: If a loss is not finite.
        """
        began = time.perf_counter()
        metrics = self.train_epoch()
        validation = self.setting.dataset.validation
        loss, accuracy = score(self.probabilities(validation), validation.labels)
        if not np.isfinite(loss):
            raise TrialError(f"the validation loss of epoch {self.epoch} is {loss}")
        if self.best.beaten_by(accuracy, loss):
            self.best = Best(self.epoch, accuracy, loss, self.weights)
        self._seconds.append(time.perf_counter() - began)
        return {
            **metrics,
            "epoch": self.epoch,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "best_accuracy": self.best.accuracy,
            "best_loss": self.best.loss,
            "best_epoch": self.best.epoch,
            "seconds": self._seconds[-1],
            "epoch_seconds": float(np.median(self._seconds)),
            "parameters": self._learner.parameters,
        }

    def save(self, path: Path) -> None:
        """Writes what `restore` needs to go on after the last epoch, whole or not at all."""
        best = self.best
        scalars = np.array([self.epoch, best.epoch, best.accuracy, best.loss])
        save_arrays(path, [scalars, *best.weights, *self._learner.state])

    def restore(self, path: Path) -> None:
        """Goes on where the trial of the same hyperparameters stood that wrote `path`."""
        scalars, *arrays = load_arrays(path)
        self.epoch, best_epoch = int(scalars[0]), int(scalars[1])
        kept = len(self.weights) if best_epoch else 0
        self.best = Best(best_epoch, float(scalars[2]), float(scalars[3]), arrays[:kept])
        self._learner.restore(arrays[kept:])

    def train_epoch(self) -> dict[str, float]:
        """Trains one epoch and evaluates nothing; returns `loss` and `accuracy` of training."""
        if self._learner.user is not self:
            raise RuntimeError("Another trial of this process has taken the network over.")
        train = self.setting.dataset.train
        order = np.random.default_rng((self.setting.seed, self.epoch)).permutation(len(train))
        size = self.hyperparameters["batch_size"]
        whole = len(order) // size * size  # the article's generator drops the remainder as well
        order = order[:whole] if whole else order
        metrics = self._learner.epoch(Batches(self._columns(), train.labels, order, size))
        self.epoch += 1
        if not np.isfinite(metrics["loss"]):
            raise TrialError(f"the training loss of epoch {self.epoch} is {metrics['loss']}")
        return metrics

    def probabilities(self, split: Split) -> np.ndarray:
        """Probabilities (N, classes) of a split's pictures as they are, without augmentation."""
        if self.start == vgg16.PICTURE:
            return self._learner.probabilities(split.pictures)
        assert self._frozen is not None
        features = self.setting.cache.features(split, self._frozen, self.start)
        return self._learner.probabilities(features)

    def _columns(self) -> tuple[np.ndarray, ...]:
        """What the network takes in this epoch, a row for each picture."""
        train, setting = self.setting.dataset.train, self.setting
        policy = self.hyperparameters["augmentation"]
        if self.start == vgg16.PICTURE:
            if policy == "none":
                return (train.pictures,)
            # Nothing is stored, so every epoch has a view of its own.
            size = setting.dataset.image_size
            return (train.pictures, *draw(policy, self.epoch, train.digests, size))
        assert self._frozen is not None
        view = View(policy, self.epoch % setting.views) if policy != "none" else PLAIN
        return (setting.cache.features(train, self._frozen, self.start, view),)


def _shape(setting: Setting, hyperparameters: dict[str, Any]) -> Shape:
    start = setting.cache.start(network.frontier(hyperparameters))
    unfrozen = hyperparameters.get("unfrozen", 0)
    kinds = {"l1": "l1", "l2": "l2", "weight_decay": "decay"}
    return Shape(
        network=hyperparameters["network"],
        unfrozen=unfrozen,
        start=start,
        augmented=start == vgg16.PICTURE and hyperparameters["augmentation"] != "none",
        penalties=tuple(kind for name, kind in kinds.items() if name in hyperparameters),
        width=hyperparameters.get("width"),
        pooling=hyperparameters.get("pooling", "flatten"),
        # The article's: RMSprop for what is trained from scratch, SGD to fine-tune.
        optimizer=hyperparameters.get("optimizer", "sgd" if unfrozen else "rmsprop"),
        batch_size=hyperparameters["batch_size"],
        image_size=setting.dataset.image_size,
        classes=len(setting.dataset.classes),
        frozen=setting.frozen_for(hyperparameters)
        if hyperparameters["network"] == "vgg16"
        else None,
    )


def score(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy (natural logarithm) and accuracy of probabilities (N, classes)."""
    right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    # Keras clips by the same amount (keras.config.epsilon()).
    loss = float(-np.log(np.clip(right, 1e-7, 1.0)).mean())
    # A sigmoid's 0.5 counts as the first class, as in Keras' BinaryAccuracy.
    return loss, float((probabilities.argmax(axis=1) == labels).mean())


def save_best(trial: Trial, folder: Path, number: int) -> None:
    """Keeps the trial's weights in the run folder if its last epoch was its best."""
    if trial.best.epoch == trial.epoch:
        save_arrays(weights_file(folder, number), trial.best.weights)
