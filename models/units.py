"""Frontiers and units: where a network is cut, and what lies between; without Keras."""

from __future__ import annotations

from dataclasses import dataclass

PICTURE = "picture"  # the frontier before the first layer: nothing is frozen
FEATURES = "features"  # the layer of a whole network that has what its head takes


@dataclass(frozen=True)
class Unit:
    """What is frozen or trained as a whole: what lies between two frontiers.

    Attributes:
        start: The frontier before it.
        end: The frontier behind it.
        shape: The shape of one picture at its end.
        parameters: The number of numbers in its layers; one shared with an earlier unit has none.
        flops: Floating point operations of one picture.
    """

    start: str
    end: str
    shape: tuple[int, ...]
    parameters: int
    flops: int
