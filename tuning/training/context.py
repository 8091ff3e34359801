"""What all trials of a search share.

Apart from training, so that a worker process can take it over before Keras is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from models.backbones import Backbone
from models.weights import load as load_weights
from tuning.data.dataset import Dataset
from tuning.data.folds import redivided
from tuning.features import FeatureCache
from tuning.files.shared_folder import fetch_file

DIVISION = 10_000  # what tells the seeds of trials' divisions from those of others


@dataclass(frozen=True)
class NamedHyperModel:
    """A HyperModel by its name.

    Attributes:
        name: `package.module:Name`.
        folder: The folder where the module may lie, beside installed ones.
    """

    name: str
    folder: str


@dataclass(frozen=True)
class PickledHyperModel:
    """A HyperModel object or class, by value: a worker need not have the module that it is of.

    Attributes:
        content: The pickle; it is read when a trial begins, since it imports Keras.
    """

    content: bytes


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a search share. Travels to worker processes; holds paths, not pixels.

    Attributes:
        dataset: The pictures and their splits.
        cache: The feature cache.
        weights: The source of VGG16's weights, see `models.weights.load`.
        preprocessing: `rescale` or `imagenet`, see `models.vgg16.preprocess`, for trials whose
            hyperparameters do not say it.
        views: The number of views of an augmentation policy; epoch e trains on view e modulo this.
        seed: The seed of initial weights, dropout and the order of pictures.
        hypermodel: What is searched in place of the levers, see `hypermodel.load`.
        metric: What epochs are judged by, see `evaluation.metrics`.
        resplit: Whether each trial has a division into training and validation of its own.
    """

    dataset: Dataset
    cache: FeatureCache
    weights: str
    preprocessing: str = "rescale"
    views: int = 8
    seed: int = 0
    hypermodel: NamedHyperModel | PickledHyperModel | None = None
    metric: str = "accuracy"
    resplit: bool = False

    def of_trial(self, number: int, experiment: str | None = None) -> TrialContext:
        """What a trial is trained on and validated by.

        Args:
            number: The trial's.
            experiment: The article's experiment that it is; these keep to the search's division.
        """
        if not self.resplit or experiment:
            return self
        return replace(self, dataset=redivided(self.dataset, self.seed + DIVISION + number))

    @cached_property
    def backbone(self) -> Backbone:
        """The frozen network of most trials, see `backbone_for`; reads the weights at first use."""
        weights = load_weights(fetch_file(self.weights))
        return Backbone("vgg16", weights, self.preprocessing, self.dataset.image_size)

    def backbone_for(self, hyperparameters: Mapping[str, Any]) -> Backbone:
        """The frozen network of a trial, which may have a preprocessing of its own."""
        preprocessing = hyperparameters.get("preprocessing", self.preprocessing)
        if preprocessing == self.preprocessing:
            return self.backbone
        return replace(self.backbone, preprocessing=preprocessing)

    def __getstate__(self) -> dict[str, Any]:
        # The weights are read again, by each worker once.
        return {name: value for name, value in self.__dict__.items() if name != "backbone"}
