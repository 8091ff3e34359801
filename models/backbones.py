"""The frozen network: which one, its weights, and what its pictures are."""

from __future__ import annotations

from dataclasses import dataclass

from models.weights import Weights


@dataclass(frozen=True)
class Backbone:
    """A network of known weights, with the pictures that it takes.

    Attributes:
        name: `vgg16`.
        weights: Its weights.
        preprocessing: What pixels go through before it, see `models.vgg16.preprocess`.
        image_size: Side of the pictures in pixels.
    """

    name: str
    weights: Weights
    preprocessing: str
    image_size: int
