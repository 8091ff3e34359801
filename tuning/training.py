"""One trial of the levers: hyperparameters and cached features in, metrics and best weights out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models import network, vgg16
from models.augmentation import draw
from tuning.dataset import Split
from tuning.epochs import EpochByEpoch, TrialError, save_best, score
from tuning.features import PLAIN, View
from tuning.heads import trained_head
from tuning.learner import Batches, Shape, learner
from tuning.setting import Setting

__all__ = ["Trial", "TrialError", "save_best", "score"]


class Trial(EpochByEpoch):
    """One network with its hyperparameters, trained epoch by epoch.

    With unfrozen layers it starts from a trained head, as the article insists ("in order to
    perform fine-tuning, all layers should start with properly trained weights"): the head is
    trained on bottleneck features first, once for all trials whose heads are alike.

    A process has one network of each shape, so a trial that begins takes it from the one before.

    Args:
        setting: What all trials share.
        hyperparameters: As `search_spaces.levers.declare` returns them.
    """

    def __init__(self, setting: Setting, hyperparameters: dict[str, Any]) -> None:
        super().__init__(setting, hyperparameters)
        setting.cache.release()
        head = trained_head(setting, hyperparameters) if hyperparameters.get("unfrozen") else None
        shape = _shape(setting, hyperparameters)
        self.start = shape.start
        self._frozen = shape.frozen
        self._learner = learner(shape)
        rate = hyperparameters["fine_tune_rate" if head else "head_rate"]
        self._learner.begin(self, hyperparameters, rate, setting.seed)
        if head:
            self._learner.set_head(head)

    @property
    def weights(self) -> list[np.ndarray]:
        """Of what is trained, as they are now, in the order of `network.trainable`."""
        return self._learner.weights

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return self._learner.parameters

    @property
    def state(self) -> list[np.ndarray]:
        """Copies of all that training changes."""
        return self._learner.state

    @state.setter
    def state(self, arrays: Sequence[np.ndarray]) -> None:
        self._learner.restore(arrays)

    def fit(self) -> dict[str, float]:
        """Trains one epoch; returns `loss` and `accuracy` of training."""
        if self._learner.user is not self:
            raise RuntimeError("Another trial of this process has taken the network over.")
        size = self.hyperparameters["batch_size"]
        labels = self.setting.dataset.train.labels
        return self._learner.epoch(Batches(self._columns(), labels, self.order(size), size))

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
    large = hyperparameters["network"] == "vgg16"
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
        frozen=setting.frozen_for(hyperparameters) if large else None,
    )
