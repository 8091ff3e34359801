"""Points on today's recipe that are known to be good, tried before anything is proposed.

The cheapest come first: the first result is there within minutes, and is hard to beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """One of them.

    Attributes:
        point: What it fixes in the space; the rest is as by default.
        reason: Why it is here.
    """

    point: dict[str, Any]
    reason: str


PORTFOLIO = (
    Point(
        {"unfrozen": 0, "augmentation": "none"},
        "a head on the features as they are: seconds an epoch, and close to what frozen layers "
        "can give",
    ),
    Point(
        {"unfrozen": 0, "augmentation": "none", "pooling": "standardised"},
        "where there are few pictures: a head on standardised features has learned after few steps",
    ),
    Point(
        {"unfrozen": 0, "augmentation": "none", "class_weights": "inverse"},
        "where some classes have few pictures: each class counts as much as any other",
    ),
    Point(
        {"unfrozen": 0, "augmentation": "mirror"},
        "twice the pictures for one more pass of the frozen layers",
    ),
    Point(
        {"unfrozen": 0, "augmentation": "medium"},
        "the same on views, which the head cannot learn by heart",
    ),
    Point(
        {"unfrozen": 3, "augmentation": "medium", "fine_tune_rate": 3e-5},
        "the last block learns as well, gently",
    ),
    Point(
        {
            "unfrozen": 6,
            "augmentation": "medium",
            "fine_tune_rate": 5e-5,
            "layer_decay": 0.8,
            "label_smoothing": 0.1,
        },
        "two blocks learn, the deeper ones more slowly",
    ),
    Point(
        {"unfrozen": 3, "augmentation": "strong", "fine_tune_rate": 1e-4, "label_smoothing": 0.1},
        "where the pictures vary more than what the views of the others show",
    ),
    Point(
        {"network": "convnet", "augmentation": "medium"},
        "where the weights know nothing of the pictures",
    ),
)
