"""Intervals of what was measured on a number of pictures."""

from __future__ import annotations

import math


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927), 209-212.

    Args:
        successes: The number of `trials` that went right.
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
