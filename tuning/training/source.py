"""Where a frozen network is from; what travels to workers in its place."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.experiments import BACKBONE

FILE = ".keras"


@dataclass(frozen=True)
class Source:
    """Where a frozen network is from.

    Attributes:
        name: The name that hyperparameters have for it.
        network: A name of `keras.applications`, `package.module:function`, or a `.keras` file.
        weights: The source of its weights, see `models.weights.load`.
        folder: The folder where the module may lie, beside installed ones.
        identity: What it must turn out to be, see `Backbone.identity`; None where nobody knows yet.
    """

    name: str
    network: str
    weights: str
    folder: str = "."
    identity: str | None = None


def is_users(network: str) -> bool:
    """Whether a network is no name of `keras.applications`."""
    return ":" in network or network.endswith(FILE)


def vgg16_from(weights: str) -> tuple[Source, ...]:
    """The article's frozen network alone."""
    return (Source(BACKBONE, "VGG16", weights),)
