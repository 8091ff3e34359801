"""How well a model does on a split, and what it gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tuning.evaluation.intervals import interval
from tuning.evaluation.metrics import score
from tuning.evaluation.pictures import thumbnail
from tuning.records.facts import Answered, Bin, Calibration, Mistakes, Score

if TYPE_CHECKING:
    from tuning.data.dataset import Split
    from tuning.data.parts import Part

SHOWN = 12  # of the mistakes


def measure(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], metric: str = "accuracy"
) -> Score:
    """How well a model does on one split.

    Args:
        probabilities: (N, classes), rows add up to 1.
        labels: int (N,).
        classes: Their names; every class has a picture.
        metric: What the search went by, see `evaluation.metrics`.
    """
    from sklearn import metrics

    numbers = range(len(classes))
    predicted = probabilities.argmax(axis=1)
    accuracy = float((predicted == labels).mean())
    if len(classes) == 2:
        auc = metrics.roc_auc_score(labels, probabilities[:, 1])
    else:
        # Of each class against the rest; scikit-learn wants rows that add up exactly.
        scores = probabilities / probabilities.sum(axis=1, keepdims=True)
        auc = metrics.roc_auc_score(labels, scores, multi_class="ovr", labels=list(numbers))
    recall = metrics.recall_score(labels, predicted, labels=numbers, average=None, zero_division=0)
    right = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), 1e-7, 1.0)
    return {
        "accuracy": accuracy,
        "interval": interval(accuracy, len(labels)),
        "loss": float(-np.log(right).mean()),
        "pictures": len(labels),
        "auc": float(auc),
        "recall": dict(zip(classes, map(float, recall), strict=True)),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=numbers).tolist(),
        "calibration": calibration(probabilities.max(axis=1), predicted == labels),
        "score": score(metric, probabilities, labels, classes),
        "answered": answered(probabilities.max(axis=1), predicted == labels),
        "commonest": float(np.bincount(labels).max() / len(labels)),
    }


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> Calibration:
    """Expected calibration error over bins of equal width, with the bins that are not empty.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.

    Args:
        confidence: Probability of the predicted class, (N,).
        right: Whether it was the true one, bool (N,).
        bins: The number of bins, of equal width in 0..1.
    """
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    found: list[Bin] = []
    for each in range(bins):
        inside = number == each
        if inside.any():
            found.append(
                {
                    "confidence": float(confidence[inside].mean()),
                    "accuracy": float(right[inside].mean()),
                    "pictures": int(inside.sum()),
                }
            )
    gaps = sum(abs(b["confidence"] - b["accuracy"]) * b["pictures"] for b in found)
    return {"error": gaps / len(right), "bins": found}


def answered(confidence: np.ndarray, right: np.ndarray, points: int = 20) -> list[Answered]:
    """Accuracy against the share of pictures that are answered: the risk-coverage curve.

    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification" (JMLR 2010).

    Args:
        confidence: Probability of the predicted class, (N,).
        right: Whether it was the true one, bool (N,).
        points: The number of shares, evenly up to all pictures; where many pictures are as sure as
            each other, there are fewer.
    """
    order = np.sort(confidence)[::-1]
    places = np.unique(np.ceil(np.linspace(0, 1, points + 1)[1:] * len(order)).astype(int) - 1)
    found: list[Answered] = []
    for least in sorted({float(order[place]) for place in places}, reverse=True):
        these = confidence >= least
        share, accuracy = float(these.mean()), float(right[these].mean())
        found.append({"min_probability": least, "share": share, "accuracy": accuracy})
    return found


def mistakes(
    probabilities: np.ndarray,
    split: Split | Part,
    classes: Sequence[str],
    heated: Callable[[np.ndarray, int], np.ndarray] | None = None,
) -> Mistakes:
    """The pictures that are taken for something else.

    Args:
        probabilities: (N, classes), of the split's pictures.
        split: `test` or `validation`.
        classes: Their names.
        heated: What makes of a picture and the number of a class the picture with its heat over
            it, both uint8 (S, S, 3); None where that is not known.
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != split.labels)
    confidence = probabilities.max(axis=1)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:SHOWN]
    return {
        "split": "test" if split.name == "test" else "validation",
        "wrong": len(wrong),
        "pictures": len(split),
        "most_confident": [
            {
                "file": split.paths[row],
                "truth": classes[split.labels[row]],
                "predicted": classes[predicted[row]],
                "probability": float(confidence[row]),
                "thumbnail": thumbnail(split.pictures[row]),
                "heat": thumbnail(heated(split.pictures[row], predicted[row])) if heated else None,
            }
            for row in surest
        ],
    }
