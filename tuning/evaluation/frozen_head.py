"""A linear head on frozen features, fitted in a second: what pictures say without any training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np

# Of the penalty, as scikit-learn has it: the inverse of its strength.
C = 0.01
STEPS = 300


def fit(
    features: np.ndarray, labels: np.ndarray, classes: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Logistic regression with an L2 penalty on features of one common scale.

    Args:
        features: float32 (N, C), pooled.
        labels: int (N,); of one class alone it is always said.
        classes: The number of classes; one that is not there gets the probability 0.

    Returns:
        From features (M, C) to probabilities (M, classes).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(there := np.unique(labels)) == 1:
        return lambda others: np.tile(np.eye(classes)[there[0]], (len(others), 1))
    middle = features.mean(axis=0)
    # One scale for all channels: by their own, those that hardly ever fire count for as much.
    scale = np.sqrt(features.var(axis=0).mean()) or 1.0
    model = LogisticRegression(C=C, max_iter=STEPS)
    with warnings.catch_warnings():
        # A head that has not quite come to its end ranks pictures as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((features - middle) / scale, labels)

    def probabilities(others: np.ndarray) -> np.ndarray:
        found = np.zeros((len(others), classes))
        found[:, model.classes_] = model.predict_proba((others - middle) / scale)
        return found

    return probabilities


def out_of_fold(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    divisions: Iterable[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Probabilities (N, classes) of pictures, each by a head that was not shown it.

    Args:
        features: float32 (N, C), pooled.
        labels: int (N,).
        classes: The number of classes.
        divisions: Rows to train on and rows to judge, which together are all.
    """
    found = np.zeros((len(labels), classes))
    for train, judged in divisions:
        found[judged] = fit(features[train], labels[train], classes)(features[judged])
    return found
