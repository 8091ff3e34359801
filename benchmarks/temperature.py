"""Whether one temperature, fitted on validation pictures, makes probabilities more honest.

And whether vector scaling, a factor and an offset for each class, does better.

Heads of the portfolio and of the article on frozen features of the article's photos, with fresh
seeds. Half of the validation pictures choose the epoch and the temperature, the other half, which
no fit has read, judge it: expected calibration error and log loss before and after.

    python -m benchmarks.temperature --backbone tests.lite0:lite0 [--weights FILE] [--seeds 3]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))

import numpy as np

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.evaluation import scores, temperature
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.source import Source
from tuning.training.transfer import TransferTrial

PER_CLASS, SIZE, EPOCHS = (1000, 400), 224, 15


def points(network: str, depth: int) -> dict[str, dict[str, Any]]:
    """Heads by what they are called in the table."""
    recipe = {"network": network, "unfrozen": 0, "augmentation": "none"}
    complete = {
        name: levers.complete(
            {**recipe, **more}, epochs=EPOCHS, depths={network: depth}, space="levers"
        )
        for name, more in {"recipe": {}, "smoothed": {"label_smoothing": 0.1}}.items()
    }
    bottleneck = next(each for each in EXPERIMENTS if each.name == "bottleneck")
    return {**complete, "article": {**bottleneck.hyperparameters(EPOCHS), "network": network}}


def judged(context: TrialContext, point: dict[str, Any], halves: np.ndarray) -> list[float]:
    """Temperature; the other half's calibration error and log loss without, with it, by vector."""
    data = context.dataset
    trial, best, kept = TransferTrial(context, point), np.inf, None
    first, second = np.flatnonzero(halves), np.flatnonzero(~halves)
    labels = data.validation.labels
    for _ in range(point["epochs"]):
        trial.train_epoch()
        said = trial.probabilities(data.validation)
        loss = scores.measure(said[first], labels[first], data.classes)["loss"] or 0.0
        if loss < best:
            best, kept = loss, said
    assert kept is not None
    fitted = temperature.fit(kept[first], labels[first])
    found = [fitted]
    scaled = vector(kept[first], labels[first], kept[second])
    for said in (kept[second], temperature.apply(kept[second], fitted), scaled):
        score = scores.measure(said, labels[second], data.classes)
        found += [score["calibration"]["error"], score["loss"]]  # type: ignore[index, list-item]
    return found


def vector(said: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What vector scaling that fits `said` (N, classes) makes of `others`.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2, with labels
    believed as far as for a temperature.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    logs, unseen = (np.log(np.clip(each.astype(float), 1e-7, 1)) for each in (said, others))
    number, classes = logs.shape
    believed = np.full(logs.shape, 1 / (number + 2) / (classes - 1))
    believed[np.arange(number), labels] = 1 - 1 / (number + 2)

    def loss(x: np.ndarray) -> float:
        factors, offsets = x.reshape(2, classes)
        return float(-(believed * log_softmax(logs * factors + offsets, axis=1)).sum(1).mean())

    found = minimize(loss, np.repeat([1.0, 0.0], classes)).x.reshape(2, classes)
    return np.asarray(np.exp(log_softmax(unseen * found[0] + found[1], axis=1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--weights", default=str(SURROGATE))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        data = dataset.load(PHOTOS, cache=cache, image_size=SIZE, per_class=PER_CLASS)
        own = ":" in options.backbone
        name = "own" if own else options.backbone
        source = Source(name, options.backbone, options.weights, os.getcwd())
        base = TrialContext(data, FeatureCache(cache), (source,), preprocessing="imagenet")
        depth = len(base.backbone.units)
        head = ["head", "temperature", "error without", "with it", "by vector"]
        rows = [[*head, "log loss without", "with it", "by vector"]]
        for kind, point in points(name, depth).items():
            found = []
            for seed in range(options.seeds):
                context = TrialContext(data, base.cache, (source,), "imagenet", seed=seed)
                halves = np.random.default_rng(seed).permutation(len(data.validation)) % 2 == 0
                found.append(judged(context, point, halves))
            fitted, *both = np.mean(found, axis=0)
            errors, losses = both[::2], both[1::2]
            percent = [f"{100 * each:.1f} %" for each in errors]
            rows.append([kind, f"{fitted:.2f}", *percent, *(f"{each:.4f}" for each in losses)])
        print(table(rows[0], rows[1:]))


if __name__ == "__main__":
    main()
