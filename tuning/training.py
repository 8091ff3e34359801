"""One trial without Ray: hyperparameters and cached features in, metrics and best weights out."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np

from models import network, vgg16
from models.augmentation import Augment, draw
from tuning.dataset import Split
from tuning.features import View
from tuning.setting import Setting

EVALUATION_BATCH = 128  # pictures; larger ones were no faster


class TrialError(Exception):
    """A trial that cannot go on; the reason in one line."""


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


class Trial:
    """One network with its hyperparameters, trained epoch by epoch.

    With unfrozen layers it starts from a trained head, as the article insists ("in order to
    perform fine-tuning, all layers should start with properly trained weights"): the head is
    trained on bottleneck features first, once for all trials whose heads are alike.

    Args:
        setting: What all trials share.
        hyperparameters: As `search_spaces.levers.declare` returns them.

    Raises:
        TrialError: From `run_epoch`, when the loss is not finite.
    """

    def __init__(self, setting: Setting, hyperparameters: dict[str, Any]) -> None:
        self.setting = setting
        self.hyperparameters = hyperparameters
        self.epoch = 0
        self.best = Best()
        self.frontier = network.frontier(hyperparameters)
        image_size, classes = setting.dataset.image_size, len(setting.dataset.classes)
        keras.utils.set_random_seed(setting.seed)
        self.model = network.trainable(
            hyperparameters,
            image_size=image_size,
            classes=classes,
            weights={} if self.on_pictures else setting.frozen.weights.arrays,
            seed=setting.seed,
        )
        if hyperparameters.get("unfrozen"):
            self.model.layers[-1].set_weights(_trained_head(setting, hyperparameters))
        self._compiled = self._training_model()
        self._compiled.compile(
            optimizer=_optimizer(hyperparameters),
            loss="binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=_jit(self.frontier),
        )

    @property
    def on_pictures(self) -> bool:
        """Whether nothing is frozen below: every epoch then has a view of its own."""
        return self.frontier == vgg16.PICTURE

    def run_epoch(self) -> dict[str, float]:
        """Trains one epoch and evaluates it.

        Returns:
            `loss` (with penalties) and `accuracy` of training, `validation_loss` (without) and
            `validation_accuracy`, `best_accuracy` and `best_epoch` so far, `seconds`.
        """
        began = time.perf_counter()
        metrics = self._train()
        validation = self.setting.dataset.validation
        probabilities = predict(self.setting, self.hyperparameters, self.model, validation)
        loss, accuracy = score(probabilities, validation.labels)
        if not np.isfinite(loss):
            raise TrialError(f"the validation loss of epoch {self.epoch} is {loss}")
        if self.best.beaten_by(accuracy, loss):
            self.best = Best(self.epoch, accuracy, loss, self.model.get_weights())
        return {
            **metrics,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "best_accuracy": self.best.accuracy,
            "best_epoch": self.best.epoch,
            "seconds": time.perf_counter() - began,
        }

    def _train(self) -> dict[str, float]:
        train = self.setting.dataset.train
        policy = self.hyperparameters["augmentation"]
        order = np.random.default_rng((self.setting.seed, self.epoch)).permutation(len(train))
        columns: tuple[np.ndarray, ...]
        if self.on_pictures:
            columns = (train.pictures,)
            if policy != "none":
                size = self.setting.dataset.image_size
                columns += tuple(draw(policy, self.epoch, train.digests, size))
        else:
            view = View(policy, self.epoch % self.setting.views) if policy != "none" else View()
            cache, frozen = self.setting.cache, self.setting.frozen
            columns = (cache.features(train, frozen, self.frontier, view),)
        size = self.hyperparameters["batch_size"]
        whole = len(order) // size * size  # the article's generator drops the remainder as well
        batches = Batches(columns, train.labels, order[:whole] if whole else order, size)
        history = self._compiled.fit(batches, epochs=1, shuffle=False, verbose=0).history
        self.epoch += 1
        loss = float(history["loss"][0])
        if not np.isfinite(loss):
            raise TrialError(f"the training loss of epoch {self.epoch} is {loss}")
        return {"loss": loss, "accuracy": float(history["accuracy"][0])}

    def _training_model(self) -> keras.Model:
        """The network as it is trained: on pictures, augmentation comes in front."""
        if not self.on_pictures or self.hyperparameters["augmentation"] == "none":
            return self.model
        pictures = keras.Input(self.model.input_shape[1:], name="pictures")
        affine, colour = keras.Input((8,), name="affine"), keras.Input((3,), name="colour")
        views = Augment(name="augment")([pictures, affine, colour])
        return keras.Model([pictures, affine, colour], self.model(views), name="augmented")


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Rows of arrays, or of memory maps, in a given order.

    Args:
        columns: Inputs of the network, (N, …) each; read batch by batch, never whole.
        labels: Class of each row, (N,).
        order: Rows to take, in this order.
        size: Rows in a batch.
    """

    def __init__(
        self, columns: Sequence[np.ndarray], labels: np.ndarray, order: np.ndarray, size: int
    ) -> None:
        super().__init__()
        self.columns, self.labels, self.order, self.size = columns, labels, order, size

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        rows = self.order[index * self.size : (index + 1) * self.size]
        inputs = tuple(column[rows] for column in self.columns)
        return inputs if len(inputs) > 1 else inputs[0], self.labels[rows][:, None]


def predict(
    setting: Setting, hyperparameters: dict[str, Any], model: keras.Model, split: Split
) -> np.ndarray:
    """Probabilities (N, classes) of a split's pictures as they are, without augmentation.

    Args:
        setting: What all trials share.
        hyperparameters: Of the trial.
        model: Its trained part, from the frontier to probabilities.
        split: The pictures.
    """
    frontier = network.frontier(hyperparameters)
    if frontier == vgg16.PICTURE:
        inputs = split.pictures
    else:
        inputs = setting.cache.features(split, setting.frozen, frontier)
    batches = Batches((inputs,), split.labels, np.arange(len(split)), EVALUATION_BATCH)
    found = model.predict(batches, verbose=0)
    return np.concatenate([1 - found, found], axis=1) if found.shape[1] == 1 else found


def score(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy (natural logarithm) and accuracy of probabilities (N, classes)."""
    right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    # Keras clips by the same amount (keras.config.epsilon()).
    loss = float(-np.log(np.clip(right, 1e-7, 1.0)).mean())
    # A sigmoid's 0.5 counts as the first class, as in Keras' BinaryAccuracy.
    return loss, float((probabilities.argmax(axis=1) == labels).mean())


def _optimizer(hyperparameters: dict[str, Any]) -> keras.optimizers.Optimizer:
    # The article's: RMSprop for what is trained from scratch, SGD with momentum 0.9 to fine-tune.
    if hyperparameters.get("unfrozen"):
        return keras.optimizers.SGD(hyperparameters["fine_tune_rate"], momentum=0.9)
    return keras.optimizers.RMSprop(hyperparameters["head_rate"])


def _jit(frontier: str) -> bool | str:
    # Compiling (XLA) halves a head's epoch on CPU, and doubles that of convolutions; TensorFlow
    # cannot compile the affine transform at all.
    if keras.backend.backend() == "tensorflow":
        return frontier == vgg16.TOP
    return "auto"


def _trained_head(setting: Setting, hyperparameters: dict[str, Any]) -> list[np.ndarray]:
    """The weights of a head trained on bottleneck features, from the cache when they are there."""
    shared = {
        name: value
        for name, value in hyperparameters.items()
        if name not in ("fine_tune_rate", "head_epochs")
    }
    shared |= {"unfrozen": 0, "augmentation": "none", "epochs": hyperparameters["head_epochs"]}
    identity = {
        "features": setting.cache.key(setting.dataset.train, setting.frozen, vgg16.TOP),
        "labels": hashlib.sha256(setting.dataset.train.labels.tobytes()).hexdigest(),
        "hyperparameters": shared,
        "seed": setting.seed,
        "backend": keras.backend.backend(),
    }
    canonical = json.dumps(identity, sort_keys=True)
    path = setting.cache.root / "heads" / f"{hashlib.sha256(canonical.encode()).hexdigest()}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock")):
        if not path.exists():
            trial = Trial(setting, shared)
            for _ in range(shared["epochs"]):
                trial._train()
            save_arrays(path, trial.model.get_weights())
    return load_arrays(path)


def weights_file(folder: Path, number: int) -> Path:
    """Where the run folder keeps the best weights of a trial."""
    return folder / "weights" / f"{number}.npz"


def save_best(trial: Trial, folder: Path, number: int) -> None:
    """Keeps the trial's weights if its last epoch was its best."""
    if trial.best.epoch == trial.epoch:
        save_arrays(weights_file(folder, number), trial.best.weights)


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
