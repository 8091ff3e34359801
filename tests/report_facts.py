"""Facts of a made-up search, for tests of how a report is rendered."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

ARTICLE = [
    ("convnet", "Small convnet from scratch", "about 75-80 %", 0.80),
    ("bottleneck", "Bottleneck features of VGG16", "about 90 %", 0.90),
    ("fine_tune", "Fine-tuning of block 5", "about 93 %", 0.93),
]


def example(
    trials: int = 30,
    classes: Sequence[str] = ("cats", "dogs"),
    *,
    scored: bool = True,
    test: bool = True,
    note: str | None = None,
    warnings: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Builds facts; ``scored=False`` lets every trial fail before its first epoch ends."""
    generator = random.Random(seed)
    made = [_trial(number, generator, scored) for number in range(trials)]
    finished = [trial for trial in made if trial["best_accuracy"] is not None]
    best = max(finished, key=lambda trial: trial["best_accuracy"], default=None)
    if best is not None:
        best["status"], best["reason"] = "finished", None
    return {
        "schema_version": 1,
        "created": "2026-11-24T16:00:00+00:00",
        "run": {
            "name": "cats-and-dogs",
            "command": "python -m tuning.search data --name cats-and-dogs --trials 30 --seed 7",
            "seed": 7,
            "seconds": 95.5 * trials,
            "interrupted": False,
            "trials_at_once": 2,
            "gpus_per_trial": 0.5,
            "cpus_per_trial": 4,
            "epochs": 50,
        },
        "versions": {"tensorflow": "2.21.0", "keras": "3.15.1", "ray": "2.58.0"},
        "hardware": {"machine": "node-1", "cpus": 16, "gpus": ["NVIDIA H200"]},
        "data": {
            "root": "data/cats-and-dogs",
            "classes": list(classes),
            "image_size": 150,
            "counts": {
                split: dict.fromkeys(classes, count)
                for split, count in {"train": 1000, "validation": 400}.items()
            },
            "fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "warnings": list(warnings),
        },
        "weights": {"source": "imagenet", "checksum": "6d6bbae143d8", "note": note},
        "experiments": [_experiment(index, made) for index in range(len(ARTICLE))],
        "best": _best(best, test) if best is not None else None,
        "trials": made,
        "cache": {
            "entries": 38,
            "bytes": 3_456_789_012,
            "builds": 38,
            "hits": 262,
            "forward_seconds_spent": 312.4,
            "forward_seconds_saved": 2154.1,
            "multiples": 0,
        },
    }


def _trial(number: int, generator: random.Random, scored: bool) -> dict[str, Any]:
    experiment = ARTICLE[number][0] if number < len(ARTICLE) else None
    failed = not scored or (experiment is None and generator.random() < 0.08)
    stopped = experiment is None and generator.random() < 0.55
    epochs = 0 if failed else generator.choice([4, 12]) if stopped else 50
    ceiling = generator.betavariate(9, 2) * 0.25 + 0.7
    if experiment is not None:
        ceiling = ARTICLE[number][3] + 0.005
    rate = generator.uniform(2, 9)
    accuracy = [
        min(1.0, ceiling - (ceiling - 0.5) * math.exp(-e / rate) + generator.gauss(0, 0.008))
        for e in range(1, epochs + 1)
    ]
    best = max(accuracy, default=None)
    reason = "no better than the best third after 4 epochs" if stopped else None
    if failed:
        reason = (
            "ResourceExhaustedError: out of memory when allocating a tensor with shape "
            "[32, 150, 150, 64] and type float on GPU:0 by allocator GPU_0_bfc"
        )
    loss = [1.4 * (1 - a) for a in accuracy]
    return {
        "number": number,
        "status": "failed" if failed else "stopped" if stopped else "finished",
        "reason": reason,
        "experiment": experiment,
        "hyperparameters": _hyperparameters(number, generator),
        "epochs": epochs,
        "best_epoch": accuracy.index(best) + 1 if best is not None else None,
        "best_accuracy": best,
        "seconds": 3.1 + 2.2 * epochs,
        "curve": {
            "loss": loss,
            "accuracy": [min(1.0, a + 0.02) for a in accuracy],
            "validation_loss": [1.2 * x for x in loss],
            "validation_accuracy": accuracy,
        },
    }


def _hyperparameters(number: int, generator: random.Random) -> dict[str, Any]:
    network = "convnet" if number == 0 else "vgg16"
    regularization = generator.choice(["none", "l1", "l2", "both"]) if number > 2 else "none"
    values: dict[str, Any] = {
        "network": network,
        "augmentation": generator.choice(["none", "flip", "article", "medium", "strong"]),
        "dropout": round(generator.uniform(0, 0.7), 2),
        "regularization": regularization,
    }
    values |= {key: 10 ** generator.uniform(-6, -3) for key in ("l1", "l2")
               if regularization in (key, "both")}  # fmt: skip
    if network == "vgg16":
        values["unfrozen"] = {1: 0, 2: 3}.get(number, generator.randint(0, 5))
    values["head_rate"] = 10 ** generator.uniform(-4, -2)
    if values.get("unfrozen"):
        values["fine_tune_rate"] = 10 ** generator.uniform(-5, -3)
    return values | {"epochs": 50, "batch_size": 16, "optimizer": "rmsprop"}


def _experiment(index: int, trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    name, title, article, accuracy = ARTICLE[index]
    trial = trials[index] if index < len(trials) else None
    best = trial["best_accuracy"] if trial else None
    curve = trial["curve"]["validation_accuracy"] if trial else []
    return {
        "name": name,
        "title": title,
        "article": article,
        "article_accuracy": accuracy,
        "trial": index if trial else None,
        "best_accuracy": best,
        "interval": _interval(best, 800) if best is not None else None,
        "last_accuracy": curve[-1] if curve else None,
        "best_epoch": trial["best_epoch"] if trial else None,
        "epochs": trial["epochs"] if trial else None,
        "seconds": trial["seconds"] if trial else None,
    }


def _best(trial: dict[str, Any], test: bool) -> dict[str, Any]:
    return {
        "trial": trial["number"],
        "hyperparameters": trial["hyperparameters"],
        "epoch": trial["best_epoch"],
        "validation": _score(trial["best_accuracy"], 800),
        "test": _score(trial["best_accuracy"] - 0.011, 1000) if test else None,
        "model": "best/model.keras",
    }


def _score(accuracy: float, pictures: int) -> dict[str, Any]:
    interval = _interval(accuracy, pictures)
    return {"accuracy": accuracy, "interval": interval, "loss": 0.2134, "pictures": pictures}


def _interval(accuracy: float, pictures: int) -> list[float]:
    """The normal approximation is enough for an example."""
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / pictures)
    return [accuracy - half, min(1.0, accuracy + half)]
