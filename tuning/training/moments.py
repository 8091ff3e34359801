"""Features averaged over height and width, and what a head that standardises goes by."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from tuning.data.parts import Rows

KEPT = 8  # in a process
ROWS = 256  # at a time
FLOOR = 1e-3  # of all channels' deviation, that a channel which is hardly ever seen has as well

_known: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()


def pooled(features: np.ndarray | Rows) -> np.ndarray:
    """Features (N, …, C) averaged over all places, float32 (N, C)."""
    blocks, places = range(0, len(features), ROWS), tuple(range(1, len(features.shape) - 1))
    return np.concatenate(
        [features[at : at + ROWS].astype(np.float32).mean(axis=places) for at in blocks]
    )


def pooled_moments(features: np.ndarray | Rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (C,) of features (N, H, W, C), averaged over height and width.

    Args:
        features: The features.
        name: The name of their content.
    """
    if name not in _known:
        while len(_known) >= KEPT:
            _known.popitem(last=False)
        averages = pooled(features)
        deviation = averages.std(axis=0) + FLOOR * averages.std()
        _known[name] = averages.mean(axis=0), np.square(deviation)
    _known.move_to_end(name)
    return _known[name]
