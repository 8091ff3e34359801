"""What all trials of a search share.

Apart from training, so that a worker process can take it over before Keras is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.backbones import Backbone
from search_spaces.experiments import BACKBONE
from tuning.data.dataset import Dataset
from tuning.data.folds import redivided
from tuning.features import FeatureCache
from tuning.training.source import Source

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
        sources: Where the frozen networks are from.
        preprocessing: `rescale` or `imagenet`, see `models.preprocessing`, for trials with VGG16
            whose hyperparameters do not say it.
        views: The number of views of an augmentation policy; epoch e trains on view e modulo this.
        seed: The seed of initial weights, dropout and the order of pictures.
        hypermodel: What is searched in place of the levers, see `hypermodel.load`.
        metric: What epochs are judged by, see `evaluation.metrics`.
        resplit: Whether each trial has a division into training and validation of its own.
    """

    dataset: Dataset
    cache: FeatureCache
    sources: tuple[Source, ...]
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

    def backbone_for(self, hyperparameters: Mapping[str, Any]) -> Backbone | None:
        """The frozen network of a trial, which may have a preprocessing of its own.

        None for the small convnet. It is read at its first use.
        """
        name = hyperparameters.get("network", self.sources[0].name)
        for source in self.sources:
            if source.name == name:
                return self._load(source, hyperparameters.get("preprocessing"))
        return None

    @property
    def backbone(self) -> Backbone:
        """The first frozen network, as most trials have it."""
        return self._load(self.sources[0])

    def _load(self, source: Source, preprocessing: str | None = None) -> Backbone:
        from tuning.training.backbones import load

        how = preprocessing or (self.preprocessing if source.name == BACKBONE else "imagenet")
        return load(source, self.dataset.image_size, how)
