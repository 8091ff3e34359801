"""What a search goes by: one number for how well probabilities fit labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuning.errors import UserError
from tuning.options.choices import METRICS

NAMES = METRICS
RECALL = "recall:"  # before the name of a class
# Where the largest class is so many times the smallest, an accuracy can be had without looking.
IMBALANCED = 1.5


def score(
    metric: str, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> float:
    """A metric's value in 0..1, the higher the better.

    Of `log_loss` it is e to the minus log loss: the geometric mean of the probability that each
    picture's class was given.

    Args:
        metric: One of `NAMES`, or `recall:` and the name of a class.
        probabilities: (N, classes), rows add up to 1.
        labels: int (N,).
        classes: The names of the classes.
    """
    if metric == "auc":
        return _auc(probabilities, labels)
    if metric == "log_loss":
        right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
        return float(np.exp(np.log(np.clip(right, 1e-7, 1.0)).mean()))
    predicted = probabilities.argmax(axis=1)
    if metric == "accuracy":
        return float((predicted == labels).mean())
    confusion = np.zeros((len(classes), len(classes)))
    np.add.at(confusion, (labels, predicted), 1)
    hits, there, said = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    if metric == "macro_f1":
        # A class that is neither there nor said has no part in it, as in scikit-learn.
        used = there + said > 0
        return float((2 * hits[used] / (there + said)[used]).mean())
    recall = hits / np.maximum(there, 1)
    if metric == "balanced_accuracy":
        return float(recall[there > 0].mean())
    return float(recall[list(classes).index(metric.removeprefix(RECALL))])


def _auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve; of several classes the mean of each against the rest."""
    classes = probabilities.shape[1]
    numbers = [1] if classes == 2 else range(classes)
    areas = [_area(probabilities[:, each], labels == each) for each in numbers]
    return float(np.mean([each for each in areas if each is not None] or [0.5]))


def _area(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """By ranks, ties counted half; Mann and Whitney (1947). None where there is one kind only."""
    yes = int(positive.sum())
    no = len(positive) - yes
    if not yes or not no:
        return None
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def is_imbalanced(counts: Sequence[int]) -> bool:
    """Whether some classes, of so many training pictures, have few."""
    return bool(max(counts) >= IMBALANCED * min(counts))


def choose(asked: str | None, classes: Sequence[str], counts: Sequence[int]) -> str:
    """The metric of a search.

    Args:
        asked: The one that the user asked for; None for none.
        classes: The names of the classes.
        counts: Their training pictures.

    Raises:
        UserError: If there is no such class.
    """
    if asked is None:
        return "balanced_accuracy" if is_imbalanced(counts) else "accuracy"
    if asked.startswith(RECALL) and asked.removeprefix(RECALL) not in classes:
        raise UserError(f"--metric {asked}: the classes are {', '.join(classes)}.")
    return asked
