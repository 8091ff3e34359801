"""What may honestly be claimed: accuracies with intervals, a test split that is used once."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import optuna

    from tuning.dataset import Split

SHOWN = 12  # of the mistakes
THUMBNAIL = 96  # pixels
FEWEST = 10  # trials that ran to their end, for importances


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927), 209-212.

    Args:
        successes: How many of `trials` went right.
        trials: At least 1.
        z: Standard normal quantile; the default gives 95 %.

    Returns:
        Lower and upper bound, both in 0..1.

    Raises:
        ValueError: If `trials` is below 1 or `successes` is outside 0 to `trials`.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no proportion.")
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def interval(accuracy: float, pictures: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy measured on so many pictures."""
    return wilson(round(accuracy * pictures), pictures)


def measure(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Any:
    """How well a model does on one split, as `report.facts.Score` has it.

    Args:
        probabilities: (N, classes), rows add up to 1.
        labels: int (N,).
        classes: Their names; every class has a picture.
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
        "interval": list(interval(accuracy, len(labels))),
        "loss": float(-np.log(right).mean()),
        "pictures": len(labels),
        "auc": float(auc),
        "recall": dict(zip(classes, map(float, recall), strict=True)),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=numbers).tolist(),
        "calibration": calibration(probabilities.max(axis=1), predicted == labels),
    }


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> dict[str, Any]:
    """Expected calibration error over bins of equal width, with the bins that are not empty.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.

    Args:
        confidence: Probability of the predicted class, (N,).
        right: Whether it was the true one, bool (N,).
        bins: Of equal width in 0..1.
    """
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    found = []
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


def mistakes(probabilities: np.ndarray, split: Split, classes: Sequence[str]) -> Any:
    """The pictures that are taken for something else, as `report.facts.Mistakes` has them.

    Args:
        probabilities: (N, classes), of the split's pictures.
        split: `test` or `validation`.
        classes: Their names.
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != split.labels)
    confidence = probabilities.max(axis=1)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:SHOWN]
    return {
        "split": split.name,
        "wrong": len(wrong),
        "pictures": len(split),
        "most_confident": [
            {
                "file": split.paths[row],
                "truth": classes[split.labels[row]],
                "predicted": classes[predicted[row]],
                "probability": float(confidence[row]),
                "thumbnail": thumbnail(split.pictures[row]),
            }
            for row in surest
        ],
    }


def thumbnail(picture: np.ndarray) -> str:
    """A picture, uint8 (S, S, 3), as a JPEG of at most 96 pixels a side, in base64."""
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def importances(study: optuna.Study) -> Any:
    """Which lever decided the first objective, as `report.facts.Importances` has it.

    fANOVA (Hutter et al., ICML 2014) and PED-ANOVA (Watanabe et al., IJCAI 2023), as Optuna has
    them, over the trials that ran to their end. A lever that exists in some trials alone (of VGG16,
    say, or of a penalty) is judged by neither.

    Returns:
        None where there are too few trials to say anything.
    """
    import optuna

    states = (optuna.trial.TrialState.COMPLETE,)
    over = study.get_trials(deepcopy=False, states=states)
    if len(over) < FEWEST or len({trial.values[0] for trial in over}) < 2:
        return None
    evaluators = {
        "fanova": optuna.importance.FanovaImportanceEvaluator(seed=0),
        "ped_anova": optuna.importance.PedAnovaImportanceEvaluator(),
    }
    several = len(study.directions) > 1
    methods = {}
    for name, evaluator in evaluators.items():
        found = optuna.importance.get_param_importances(
            study,
            evaluator=evaluator,
            target=(lambda trial: trial.values[0]) if several else None,
        )
        total = sum(found.values())
        methods[name] = {lever: share / total for lever, share in found.items()} if total else {}
    return {"trials": len(over), "methods": methods}
