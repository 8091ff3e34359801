"""What a head that standardises goes by: mean and variance of pooled features."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from tuning.data.parts import Rows

KEPT = 8  # in a process
ROWS = 256  # at a time
FLOOR = 1e-3  # of all channels' deviation, that a channel which is hardly ever seen has as well

_known: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()


def pooled_moments(features: np.ndarray | Rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (C,) of features (N, H, W, C), averaged over height and width.

    Args:
        features: The features.
        name: The name of their content.
    """
    if name not in _known:
        while len(_known) >= KEPT:
            _known.popitem(last=False)
        blocks = range(0, len(features), ROWS)
        pooled = np.concatenate(
            [features[at : at + ROWS].astype(np.float32).mean(axis=(1, 2)) for at in blocks]
        )
        deviation = pooled.std(axis=0) + FLOOR * pooled.std()
        _known[name] = pooled.mean(axis=0), np.square(deviation)
    _known.move_to_end(name)
    return _known[name]
