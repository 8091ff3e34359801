"""What all trials of a search share.

Apart from training, so that a worker process can take it over before Keras is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from models.weights import load as load_weights
from tuning.copies import copied
from tuning.dataset import Dataset
from tuning.features import FeatureCache, Frozen


@dataclass(frozen=True)
class Setting:
    """What all trials of a search share. Travels to worker processes; holds paths, not pixels.

    Attributes:
        dataset: The pictures and their splits.
        cache: The feature cache.
        weights: Where VGG16's weights come from, see `models.weights.load`.
        preprocessing: `rescale` or `imagenet`, see `models.vgg16.preprocess`; of the trials whose
            hyperparameters do not say it.
        views: Number of views of an augmentation policy; epoch e trains on view e modulo this.
        seed: Of initial weights, dropout and the order of pictures.
        hypermodel: What is searched in place of the levers: the name of a HyperModel, see
            `hypermodel.load`, and the folder where its module may lie.
    """

    dataset: Dataset
    cache: FeatureCache
    weights: str
    preprocessing: str = "rescale"
    views: int = 8
    seed: int = 0
    hypermodel: tuple[str, str] | None = None

    @cached_property
    def frozen(self) -> Frozen:
        """The frozen network of most trials, see `frozen_for`; reads the weights at first use."""
        return Frozen(
            load_weights(copied(self.weights)), self.preprocessing, self.dataset.image_size
        )

    def frozen_for(self, hyperparameters: Mapping[str, Any]) -> Frozen:
        """The frozen network of a trial, which may have a preprocessing of its own."""
        preprocessing = hyperparameters.get("preprocessing", self.preprocessing)
        if preprocessing == self.preprocessing:
            return self.frozen
        return replace(self.frozen, preprocessing=preprocessing)

    def __getstate__(self) -> dict[str, Any]:
        # The weights are read again, by each worker once.
        return {name: value for name, value in self.__dict__.items() if name != "frozen"}
