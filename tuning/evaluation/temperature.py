"""One number that makes a model's probabilities mean what they say."""

from __future__ import annotations

import numpy as np

RANGE = (0.1, 10.0)  # of temperatures
FEWEST = 50  # pictures that say anything of it
LEAST = 1e-7  # probability, as where losses are computed


def fit(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with which probabilities fit labels best: above 1 a model was too sure.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2. A model that is
    right on all pictures would be made ever surer; as in Platt's scaling (1999) a label is believed
    as far as so many pictures can be.

    Args:
        probabilities: (N, classes), rows add up to 1.
        labels: int (N,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logs = np.log(np.clip(probabilities.astype(np.float64), LEAST, 1.0))
    number, classes = logs.shape
    doubt = 1 / (number + 2)
    believed = np.full(logs.shape, doubt / (classes - 1))
    believed[np.arange(number), labels] = 1 - doubt

    def loss(exponent: float) -> float:
        scaled = logs / np.exp(exponent)
        said = scaled - logsumexp(scaled, axis=1, keepdims=True)
        return float(-(believed * said).sum(axis=1).mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded")
    return float(np.exp(found.x))


def better(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature to put on a model; 1 where none helps, or too few pictures say so."""
    if len(labels) < FEWEST:
        return 1.0
    found = fit(probabilities, labels)
    rows = np.arange(len(labels))
    before, after = (
        -np.log(np.clip(each[rows, labels], LEAST, 1.0)).mean()
        for each in (probabilities.astype(np.float64), apply(probabilities, found))
    )
    return found if after < before else 1.0


def apply(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """What a model says at a temperature (N, classes); 1 changes nothing."""
    logs = np.log(np.clip(probabilities.astype(np.float64), LEAST, 1.0)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    scaled: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return scaled
