"""What a trial reads of the feature cache: one answer, for training and for what builds ahead.

Imports no Keras: whoever builds ahead must choose its cores first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from models.backbones import Backbone
from models.units import PICTURE
from tuning.data.dataset import Split
from tuning.data.parts import Part
from tuning.features import PLAIN, View
from tuning.training.context import TrialContext

MIRROR = "mirror"  # of `models.augmentation`: the pictures as they are, then mirrored


@dataclass(frozen=True, eq=False)
class Reading:
    """One entry of the cache.

    Attributes:
        split: The pictures.
        backbone: The frozen network.
        frontier: The frontier whose output is read.
        view: The view of the pictures.
    """

    split: Split | Part
    backbone: Backbone
    frontier: str
    view: View


@dataclass(frozen=True)
class TrialReads:
    """What one trial of the levers reads.

    Attributes:
        context: What all trials share.
        hyperparameters: The trial's.
    """

    context: TrialContext
    hyperparameters: Mapping[str, Any]

    @cached_property
    def start(self) -> str:
        """The frontier where the trial's network begins; at the picture nothing is read."""
        if self.backbone is None:
            return PICTURE
        cut = self.backbone.frontier(self.hyperparameters["unfrozen"])
        return self.context.cache.start(self.backbone, cut)

    @cached_property
    def backbone(self) -> Backbone | None:
        """The frozen network, None for the small convnet."""
        return self.context.backbone_for(self.hyperparameters)

    @property
    def augmented(self) -> bool:
        """Whether the trial's training pictures are transformed."""
        return bool(self.hyperparameters["augmentation"] != "none")

    def training(self, epoch: int) -> Reading | None:
        """The entry of an epoch, from 0."""
        return self._reading(self.context.dataset.train, self._view(epoch))

    @property
    def validation(self) -> Reading | None:
        """The entry of each evaluation."""
        return self._reading(self.context.dataset.validation, PLAIN)

    @property
    def head(self) -> Reading | None:
        """The entry on which the head is trained alone, and by which it standardises."""
        standardised = self.hyperparameters.get("pooling") == "standardised"
        if self.backbone is None or not (self.hyperparameters["unfrozen"] or standardised):
            return None
        return Reading(self.context.dataset.train, self.backbone, self.backbone.top, PLAIN)

    def all(self) -> Iterator[Reading]:
        """Each entry; one may come twice."""
        epochs = range(min(self.context.views, self.hyperparameters["epochs"]))
        for each in (self.head, self.validation, *map(self.training, epochs)):
            if each is not None:
                yield each

    def _view(self, epoch: int) -> View:
        policy = self.hyperparameters["augmentation"]
        if policy == MIRROR:
            return View(policy, 1) if epoch % 2 else PLAIN
        return View(policy, epoch % self.context.views) if self.augmented else PLAIN

    def _reading(self, split: Split | Part, view: View) -> Reading | None:
        if self.start == PICTURE or self.backbone is None:
            return None
        return Reading(split, self.backbone, self.start, view)
