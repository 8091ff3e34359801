"""Labels that may be wrong."""

from __future__ import annotations

import numpy as np


def confident_classes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The class that each picture is counted to by confident learning.

    A picture is counted to a class that is at least as probable as it is, on average, for pictures
    of this label; to the most probable of several, and to its label where there is none. Northcutt,
    Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (Journal of
    Artificial Intelligence Research 70, 2021), equation 1.

    Args:
        probabilities: (N, classes), each row by a model that was not shown the picture.
        labels: int (N,).

    Returns:
        int (N,).
    """
    classes = probabilities.shape[1]
    thresholds = np.array(
        [
            probabilities[labels == each, each].mean() if (labels == each).any() else np.inf
            for each in range(classes)
        ]
    )
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    found: np.ndarray = np.where(confident.max(axis=1) < 0, labels, confident.argmax(axis=1))
    return found


def margins(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability of each label less that of the most probable other class, (N,).

    The lower, the more doubtful; the paper's "normalized margin".

    Args:
        probabilities: (N, classes).
        labels: int (N,).
    """
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    found: np.ndarray = probabilities[rows, labels] - others.max(axis=1)
    return found
