"""One trial of the levers: hyperparameters and cached features in, metrics and best weights out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models import mixup
from models.augmentation import draw
from models.units import PICTURE
from tuning.data.dataset import Split
from tuning.data.parts import Part, Rows
from tuning.features import PLAIN
from tuning.training.class_weights import class_weights
from tuning.training.context import TrialContext
from tuning.training.heads import trained_head
from tuning.training.moments import pooled_moments
from tuning.training.networks import Batches, NetworkSpec, compiled_network
from tuning.training.reads import Reading, TrialReads
from tuning.training.trial import Trial

MIXUP = 1  # what tells its random numbers from those of an epoch's order


class TransferTrial(Trial):
    """One network with its hyperparameters, trained epoch by epoch.

    With unfrozen layers it starts from a trained head, as the article insists ("in order to
    perform fine-tuning, all layers should start with properly trained weights"): the head is
    trained on bottleneck features first, once for all trials whose heads are alike.

    A process has one network of each spec, so a trial that begins takes it from the one before.

    Args:
        context: What all trials share.
        hyperparameters: What `search_spaces.levers.declare` returns.
    """

    def __init__(self, context: TrialContext, hyperparameters: dict[str, Any]) -> None:
        super().__init__(context, hyperparameters)
        context.cache.release()
        self.reads = TrialReads(context, hyperparameters)
        head = None
        if hyperparameters.get("unfrozen"):
            head = trained_head(context, hyperparameters, self._train_head)
        self._network = compiled_network(_spec(self.reads))
        rate = hyperparameters["fine_tune_rate" if head else "head_rate"]
        steps = -(-len(self.order(size := hyperparameters["batch_size"])) // size)
        self._network.begin(
            self,
            hyperparameters,
            rate,
            context.seed,
            steps=steps * hyperparameters["epochs"],
            moments=self._moments(),
            head=head or (),
            class_weights=class_weights(
                hyperparameters.get("class_weights", "none"),
                context.dataset.train.labels,
                len(context.dataset.classes),
            ),
        )

    def _moments(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of pooled features as they are, where the head standardises them."""
        if self.hyperparameters.get("pooling") != "standardised":
            return None
        backbone = self.reads.backbone
        assert backbone is not None
        plain = Reading(self.context.dataset.train, backbone, backbone.top, PLAIN)
        return pooled_moments(self._features(plain), self._name(plain))

    def _train_head(self, hyperparameters: dict[str, Any]) -> list[np.ndarray]:
        trial = TransferTrial(self.context, hyperparameters)
        for _ in range(hyperparameters["epochs"]):
            trial.train_epoch()
        return trial.weights

    @property
    def has_constant_rates(self) -> bool:
        """As in the article, but not on today's recipe."""
        return "warmup" not in self.hyperparameters

    @property
    def weights(self) -> list[np.ndarray]:
        """Copies of what the network is made again of; see `CompiledNetwork.weights`."""
        return self._network.weights

    @property
    def parameters(self) -> int:
        """The number of numbers that are trained."""
        return self._network.parameters

    @property
    def state(self) -> list[np.ndarray]:
        """Copies of all that training changes."""
        return self._network.state

    @state.setter
    def state(self, arrays: Sequence[np.ndarray]) -> None:
        self._network.restore(arrays)

    def fit(self) -> dict[str, float]:
        """Trains one epoch; returns `loss` and `accuracy` of training."""
        if self._network.user is not self:
            raise RuntimeError("Another trial of this process has taken the network over.")
        size, labels = self.hyperparameters["batch_size"], self.context.dataset.train.labels
        order = self.order(size)
        columns, names = self._columns()
        if (alpha := self.hyperparameters.get("mixup")) is not None:
            random = np.random.default_rng((self.context.seed, self.epoch, MIXUP))
            classes = len(self.context.dataset.classes)
            shares, labels = mixup.draw(alpha, labels, classes, order, size, random)
            columns, names = (*columns, shares), (*names, None)
        return self._network.epoch(Batches(columns, labels, order, size, names))

    def probabilities(self, split: Split | Part) -> np.ndarray:
        """Probabilities (N, classes) of a split's pictures as they are, without augmentation."""
        if self.reads.start == PICTURE:
            return self._network.probabilities(split.pictures, split.fingerprint)
        assert self.reads.backbone is not None
        plain = Reading(split, self.reads.backbone, self.reads.start, PLAIN)
        return self._network.probabilities(self._features(plain), self._name(plain))

    def _columns(self) -> tuple[tuple[np.ndarray | Rows, ...], tuple[str | None, ...]]:
        """What the network takes in this epoch, a row for each picture; the contents' names."""
        reading = self.reads.training(self.epoch)
        if reading is not None:
            return (self._features(reading),), (self._name(reading),)
        train, policy = self.context.dataset.train, self.hyperparameters["augmentation"]
        if not self.reads.augmented:
            return (train.pictures,), (train.fingerprint,)
        # Nothing is stored, so every epoch has a view of its own.
        transforms = draw(policy, self.epoch, train.digests, self.context.dataset.image_size)
        return (train.pictures, *transforms), (train.fingerprint, *[None] * len(transforms))

    def _features(self, reading: Reading) -> np.ndarray | Rows:
        return self.context.cache.features(
            reading.split, reading.backbone, reading.frontier, reading.view
        )

    def _name(self, reading: Reading) -> str:
        return self.context.cache.entry(
            reading.split, reading.backbone, reading.frontier, reading.view
        ).content


def _spec(reads: TrialReads) -> NetworkSpec:
    hyperparameters, context = reads.hyperparameters, reads.context
    unfrozen = hyperparameters.get("unfrozen", 0)
    on_todays_recipe = "warmup" in hyperparameters
    return NetworkSpec(
        unfrozen=unfrozen,
        start=reads.start,
        augmented=reads.start == PICTURE and reads.augmented,
        mixed="mixup" in hyperparameters,
        penalties=tuple(name for name in ("l1", "l2") if name in hyperparameters),
        width=hyperparameters.get("width"),
        pooling=hyperparameters.get("pooling", "flatten"),
        # The article's: RMSprop for what is trained from scratch, SGD to fine-tune.
        optimizer=hyperparameters.get("optimizer", "sgd" if unfrozen else "rmsprop"),
        scheduled=on_todays_recipe,
        batch_size=hyperparameters["batch_size"],
        image_size=context.dataset.image_size,
        classes=len(context.dataset.classes),
        backbone=reads.backbone,
        precision=context.cache.precision,
    )
