"""What a picture counts in the loss, by its class, where some classes have few."""

from __future__ import annotations

import numpy as np

BETA = 0.999  # of Cui et al., whose data sets had thousands of pictures


def class_weights(kind: str, labels: np.ndarray, classes: int) -> np.ndarray | None:
    """The weights of classes, (classes,), of mean 1 over the pictures; None: all alike.

    Args:
        kind: `none`, `inverse` (of the number of pictures), or `effective`: of the effective
            number, by which the second of two similar pictures counts less than the first; Cui et
            al., "Class-Balanced Loss" (arXiv 1901.05555), equation 2.
        labels: Training labels, int (N,).
        classes: The number of classes.
    """
    if kind == "none":
        return None
    number = np.maximum(np.bincount(labels, minlength=classes), 1).astype(float)
    weights = 1 / number if kind == "inverse" else (1 - BETA) / (1 - BETA**number)
    return np.asarray(weights / weights[labels].mean())
