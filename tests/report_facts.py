"""Facts of a made-up search, for tests of how a report is rendered."""

from __future__ import annotations

import base64
import io
import math
import random
import statistics
from collections.abc import Sequence
from typing import Any

from PIL import Image

ARTICLE = [
    ("convnet", "Small convnet from scratch", "about 75-80 %", 0.80),
    ("bottleneck", "Bottleneck features of VGG16", "about 90 %", 0.90),
    ("fine_tune", "Fine-tuning of block 5", "about 93 %", 0.93),
]
VALIDATION, TEST = 800, 1000  # pictures


def example(
    trials: int = 30,
    classes: Sequence[str] = ("cats", "dogs"),
    *,
    scored: bool = True,
    test: bool = True,
    looked: bool = True,
    running: bool = False,
    note: str | None = None,
    warnings: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Builds facts.

    Args:
        trials: How many.
        classes: Names.
        scored: False lets every trial fail before its first epoch ends.
        test: Whether there is a test split.
        looked: Whether the end of the run looked into mistakes, repeats and importances.
        running: Whether the search still goes on.
        note: The weights' note.
        warnings: The data's warnings.
        seed: The seed of all that is made up.
    """
    generator = random.Random(seed)
    made = [_trial(number, generator, scored) for number in range(trials)]
    finished = [trial for trial in made if trial["best_accuracy"] is not None]
    best = max(finished, key=lambda trial: trial["best_accuracy"], default=None)
    if best is not None:
        best["status"], best["reason"] = "finished", None
    if running and made:
        made[-1] |= {"status": "running", "reason": None}
    seconds = _schedule(made)
    looked = looked and not running and best is not None
    failed = [str(trial["number"]) for trial in made if trial["status"] == "failed"]
    return {
        "schema_version": 2,
        "created": "2026-11-24T16:00:00+00:00",
        "run": {
            "name": "cats-and-dogs",
            "command": "python tuning/search.py --data pictures --name cats-and-dogs --seed 7",
            "settings": "settings.toml",
            "seed": 7,
            "began": "2026-11-24T14:00:00+00:00",
            "seconds": seconds,
            "running": running,
            "interrupted": False,
            "ended": None,
            "earlier_looks": 0,
            "planned": 2 * trials if running else trials,
            "trials_at_once": None if running else 2,
            "gpus_per_trial": None if running else 0.5,
            "cpus_per_trial": None if running else 4,
            "epochs": 50,
            "objectives": ["accuracy"],
        },
        "versions": {"tensorflow": "2.21.0", "keras": "3.15.1", "ray": "2.58.0"},
        "hardware": {
            "machine": "Linux x86_64",
            "cpus": 16,
            "gpus": ["NVIDIA H200"],
            "backend": "jax",
        },
        "data": {
            "root": "data/cats-and-dogs",
            "classes": list(classes),
            "image_size": 150,
            "counts": {
                split: dict.fromkeys(classes, count // len(classes))
                for split, count in _splits(test).items()
            },
            "fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "warnings": list(warnings),
        },
        "weights": {"source": "imagenet", "checksum": "6d6bbae143d8", "note": note},
        "experiments": [_experiment(index, made) for index in range(len(ARTICLE))],
        "best": _best(best, classes, test and not running, looked, generator) if best else None,
        "confirmation": _confirmation(finished, generator) if looked and trials > 3 else None,
        "cross_validation": _cross_validation(best, generator) if looked and trials > 3 else None,
        "importances": _importances(made, generator) if looked else None,
        "front": None,
        "shown": [_sheet(each, generator) for each in ("medium", "mirror")] if looked else [],
        "doubts": _doubts(classes, generator) if looked else None,
        "learning_curve": _learning_curve() if looked else None,
        "trials": made,
        "failures": [f"out of memory (trials {', '.join(failed)})"] if failed else [],
        "warnings": [],
        "cache": {
            "entries": 38,
            "bytes": 3_456_789_012,
            "builds": 38,
            "hits": 262,
            "passes_computed": 76_000,
            "passes_saved": 524_000,
            "forward_seconds_spent": 312.4,
            "forward_seconds_saved": 2154.1,
            "multiples": 0,
        },
        "cost": {
            "seconds": seconds,
            "trial_seconds": sum(trial["seconds"] for trial in made),
            "repeat_seconds": 1234.5 if looked else 0.0,
            "gpu_hours": sum(trial["seconds"] for trial in made) / 7200,
            "price": 1.23 if looked else None,
            **(_spent() if looked else {}),
        },
        "kept": KEPT if looked else None,
    }


def _spent() -> dict[str, Any]:
    kinds = ("building", "training", "evaluating", "compiling", "waiting", "other")
    workers = (("node-1 101", 0.71, 0.66), ("node-1 102", 0.68, 0.61), ("node-2 77", 0.82, None))
    return {
        "spent": dict(zip(kinds, (212.4, 1534.2, 61.3, 88.1, 190.7, 40.2), strict=True)),
        "workers": [
            {"worker": name, "seconds": 709.0, "busy": busy, "gpu_busy": card}
            for name, busy, card in workers
        ],
    }


KEPT = {
    "forward": 310e12,
    "disk": 2.1e9,
    "precision": "bfloat16",
    "copied": 25e9,
    "worth": 307_638.0,
    "from_layer": {"vgg16": "block5_pool"},
}


def with_front(facts: dict[str, Any], objectives: Sequence[str]) -> dict[str, Any]:
    """The same for a search by several objectives, accuracy the first."""
    generator = random.Random(1)
    points = {}
    for trial in facts["trials"]:
        if trial["status"] == "finished":
            other = [round(1e6 * trial["best_accuracy"] ** 9 * generator.uniform(0.3, 1)) for _ in
                     objectives[1:]]  # fmt: skip
            points[trial["number"]] = [trial["best_accuracy"], *other]
    best = [
        number
        for number, one in points.items()
        if not any(
            two is not one
            and two[0] >= one[0]
            and all(a <= b for a, b in zip(two[1:], one[1:], strict=True))
            for two in points.values()
        )
    ]
    directions = ["max", *["min"] * (len(objectives) - 1)]
    facts["run"]["objectives"] = list(objectives)
    facts["front"] = {
        "objectives": list(objectives),
        "directions": directions,
        "values": {str(number): values for number, values in points.items()},
        "best": best,
    }
    return facts


def _splits(test: bool) -> dict[str, int]:
    splits = {"train": 2000, "validation": VALIDATION}
    return splits | {"test": TEST} if test else splits


def _schedule(trials: Sequence[dict[str, Any]]) -> float:
    """Gives the trials to four processes on two machines; returns when the last one ends."""
    free = dict.fromkeys(("node-1 101", "node-1 102", "node-2 77", "node-2 78"), 4.0)
    for trial in trials:
        worker = min(free, key=lambda each: free[each])
        trial["worker"] = worker if trial["epochs"] else None
        trial["started"] = free[worker]
        trial["ended"] = free[worker] + trial["seconds"]
        free[worker] = trial["ended"] + 0.5
    return max(free.values())


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
        "retries": 0,
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
        values["head_epochs"] = generator.choice([5, 10, 25, 50])
    return values | {"epochs": 50, "batch_size": 16, "optimizer": "rmsprop"}


def _experiment(index: int, trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    name, title, article, accuracy = ARTICLE[index]
    trial = trials[index] if index < len(trials) and trials[index]["epochs"] else None
    best = trial["best_accuracy"] if trial else None
    return {
        "name": name,
        "title": title,
        "article": article,
        "article_accuracy": accuracy,
        "trial": index if trial else None,
        "best_accuracy": best,
        "interval": _interval(best, VALIDATION) if best is not None else None,
        "last_accuracy": trial["curve"]["validation_accuracy"][-1] if trial else None,
        "best_epoch": trial["best_epoch"] if trial else None,
        "epochs": trial["epochs"] if trial else None,
        "seconds": trial["seconds"] if trial else None,
    }


def _best(
    trial: dict[str, Any],
    classes: Sequence[str],
    test: bool,
    looked: bool,
    generator: random.Random,
) -> dict[str, Any]:
    accuracy = trial["best_accuracy"]
    split = "test" if test else "validation"
    pictures = TEST if test else VALIDATION
    return {
        "trial": trial["number"],
        "hyperparameters": trial["hyperparameters"],
        "epoch": trial["best_epoch"],
        "validation": _score(accuracy, VALIDATION, classes, looked, generator),
        "test": _score(accuracy - 0.011, TEST, classes, looked, generator) if test else None,
        "mistakes": _mistakes(split, pictures, classes, generator) if looked else None,
        "model": "best/model.keras" if looked else None,
    }


def _score(
    accuracy: float,
    pictures: int,
    classes: Sequence[str],
    looked: bool,
    generator: random.Random,
) -> dict[str, Any]:
    score: dict[str, Any] = {
        "accuracy": accuracy,
        "interval": _interval(accuracy, pictures),
        "loss": 0.2134,
        "pictures": pictures,
    }
    if not looked:
        return score | dict.fromkeys(("auc", "recall", "confusion", "calibration"))
    each = pictures // len(classes)
    confusion = [[0] * len(classes) for _ in classes]
    for row in range(len(classes)):
        for _ in range(each):
            others = [column for column in range(len(classes)) if column != row]
            taken = row if generator.random() < accuracy else generator.choice(others)
            confusion[row][taken] += 1
    bins = [
        {
            "confidence": min(0.99, (index + 0.5) / 10),
            "accuracy": max(0.0, min(1.0, (index + 0.5) / 10 - generator.uniform(-0.03, 0.09))),
            "pictures": 4**index // 4**4 + 9,
        }
        for index in range(10 // len(classes), 10)
    ]
    return score | {
        "auc": 0.9876,
        "recall": {
            name: numbers[row] / each
            for row, (name, numbers) in enumerate(zip(classes, confusion, strict=True))
        },
        "confusion": confusion,
        "calibration": {"error": 0.0345, "bins": bins},
        "answered": [
            {
                "min_probability": 0.99 - 0.45 * (n / 20) ** 3,
                "share": n / 20,
                "accuracy": 1 - (1 - accuracy) * (n / 20) ** 2,
            }
            for n in range(1, 21)
        ],
    }


def _mistakes(
    split: str, pictures: int, classes: Sequence[str], generator: random.Random
) -> dict[str, Any]:
    shown = []
    for index in range(12):
        truth, predicted = generator.sample(list(classes), 2)
        shown.append(
            {
                "file": f"{split}/{truth}/{truth}.{1000 + 7 * index}.jpg",
                "truth": truth,
                "predicted": predicted,
                "probability": 0.9995 - 0.02 * index,
                "thumbnail": _thumbnail(generator),
                "heat": _thumbnail(generator),
            }
        )
    return {"split": split, "wrong": 63, "pictures": pictures, "most_confident": shown}


def _doubts(classes: Sequence[str], generator: random.Random) -> dict[str, Any]:
    most = []
    for index in range(12):
        label, suggested = generator.sample(list(classes), 2)
        most.append(
            {
                "file": f"train/{label}/{label}.{7 * index}.jpg",
                "label": label,
                "suggested": suggested,
                "probability": 0.9995 - 0.01 * index,
                "thumbnail": _thumbnail(generator),
            }
        )
    return {
        "pictures": 2800,
        "accuracy": 0.962,
        "counted": 74,
        "sure": 21,
        "most": most,
        "file": "doubts.csv",
    }


def _learning_curve() -> dict[str, Any]:
    return {
        "pictures": [250, 500, 1000, 2000],
        "scores": [[0.90, 0.91, 0.905], [0.93, 0.925, 0.932], [0.945, 0.942, 0.944], [0.955]],
        "gain": 0.01,
        "gain_interval": [0.003, 0.014],
    }


def _thumbnail(generator: random.Random) -> str:
    colours = [tuple(generator.randrange(256) for _ in range(3)) for _ in range(2)]
    picture = Image.linear_gradient("L").resize((96, generator.randint(60, 96)))
    picture = Image.composite(*(Image.new("RGB", picture.size, c) for c in colours), picture)
    target = io.BytesIO()
    picture.save(target, "JPEG")
    return base64.b64encode(target.getvalue()).decode()


def _sheet(policy: str, generator: random.Random) -> dict[str, Any]:
    return {"policy": policy, "pictures": 3, "image": _thumbnail(generator)}


def _confirmation(trials: Sequence[dict[str, Any]], generator: random.Random) -> dict[str, Any]:
    ranked = sorted(trials, key=lambda trial: -trial["best_accuracy"])[:3]
    candidates = []
    for place, trial in enumerate(ranked):
        mean = ranked[0]["best_accuracy"] - 0.008 - 0.004 * place
        accuracies = [mean + generator.gauss(0, 0.004) for _ in range(5)]
        candidates.append({"trial": trial["number"], **_told(accuracies)})
    return {
        "repeats": 5,
        "seeds": [1001, 1002, 1003, 1004, 1005],
        "candidates": candidates,
        "winner": ranked[0]["number"],
    }


def _cross_validation(trial: dict[str, Any] | None, generator: random.Random) -> Any:
    if trial is None:
        return None
    accuracies = [trial["best_accuracy"] - 0.01 + generator.gauss(0, 0.01) for _ in range(5)]
    return {"folds": 5, **_told(accuracies)}


def _told(accuracies: list[float]) -> dict[str, Any]:
    return {
        "accuracies": accuracies,
        "mean": statistics.mean(accuracies),
        "sd": statistics.stdev(accuracies),
    }


def _importances(trials: Sequence[dict[str, Any]], generator: random.Random) -> dict[str, Any]:
    names = ["unfrozen", "augmentation", "head_rate", "network", "dropout", "regularization"]
    methods = {}
    for method in ("fanova", "ped_anova"):
        shares = [generator.random() / (1 + place) for place in range(len(names))]
        methods[method] = {n: s / sum(shares) for n, s in zip(names, shares, strict=True)}
    return {"trials": len(trials), "methods": methods}


def _interval(accuracy: float, pictures: int) -> list[float]:
    """The normal approximation is enough for an example."""
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / pictures)
    return [accuracy - half, min(1.0, accuracy + half)]
