"""Whether more pictures would help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuning.evaluation.frozen_head import fit
from tuning.evaluation.metrics import score
from tuning.records.facts import LearningCurve

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)  # of the training pictures
DRAWS = 3
FEWEST = 4  # pictures of a class at the smallest share; below, a curve is chance
RESAMPLED = 200  # times, for the interval


def learning_curve(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    classes: Sequence[str],
    metric: str = "accuracy",
) -> LearningCurve | None:
    """How well a linear head does that was shown a part of the training pictures.

    Args:
        train: Pooled features float32 (N, C) and labels int (N,).
        validation: Likewise.
        classes: The names of the classes.
        metric: What it is judged by, see `evaluation.metrics`.

    Returns:
        None where there are too few pictures to say anything.
    """
    features, labels = train
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() * SHARES[0] < FEWEST:
        return None
    random = np.random.default_rng(0)
    sizes: list[int] = []
    said: list[np.ndarray] = []  # (draws, M, classes) each
    for share in SHARES:
        draws = []
        for _ in range(DRAWS if share < 1 else 1):
            rows = _drawn(labels, share, random)
            draws.append(fit(features[rows], labels[rows], len(classes))(validation[0]))
        sizes.append(len(rows))
        said.append(np.stack(draws))
    everyone = np.arange(len(validation[1]))
    scores = [[score(metric, each, validation[1], classes) for each in draws] for draws in said]
    # All pictures are one draw as well, and so will twice as many be: their luck is taken to be
    # that of the draws of a half (of so few, the deviation is larger than it seems).
    luck = np.sqrt(DRAWS / (DRAWS - 1)) * (np.asarray(scores[-2]) - np.mean(scores[-2]))
    gains = []
    for _ in range(RESAMPLED):
        # All sizes are judged by the same pictures, so what these pictures have in common goes.
        rows = random.choice(everyone, len(everyone))
        picked = [draws[random.integers(len(draws))][rows] for draws in said]
        again = [score(metric, each, validation[1][rows], classes) for each in picked]
        again[-1] += random.choice(luck)
        gains.append(next_gain(sizes, again, len(everyone)) + random.choice(luck))
    low, high = np.quantile(gains, (0.025, 0.975))
    return {
        "pictures": sizes,
        "scores": scores,
        "gain": next_gain(sizes, [float(np.mean(each)) for each in scores], len(everyone)),
        "gain_interval": (float(low), float(high)),
    }


def _drawn(labels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Rows of a share of each class."""
    found = []
    for each in np.unique(labels):
        rows = np.flatnonzero(labels == each)
        found.append(random.permutation(rows)[: round(share * len(rows))])
    return np.sort(np.concatenate(found))


def next_gain(sizes: Sequence[int], scores: Sequence[float], pictures: int) -> float:
    """What twice the pictures would add, if what is missing went on to fall by a power law.

    Hestness et al., "Deep Learning Scaling is Predictable, Empirically" (2017). It is rather too
    high where a curve flattens, since the law knows no floor, so the last doubling's gain is the
    most that is foretold.

    Args:
        sizes: Numbers of training pictures.
        scores: What was reached with each, in 0..1.
        pictures: The number of validation pictures; what is missing is at least half of one's.
    """
    missing = np.maximum(1 - np.asarray(scores), 0.5 / pictures)
    slope = float(np.polyfit(np.log2(sizes), np.log2(missing), 1)[0])
    foretold = float(missing[-1] * (1 - 2**slope))
    return min(foretold, scores[-1] - scores[-2])
