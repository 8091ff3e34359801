"""From what a run wrote down to the facts of its report."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces import experiments
from tuning import evaluation
from tuning.dataset import Dataset
from tuning.options import Options
from tuning.records import Manner, Record
from tuning.report.facts import SCHEMA_VERSION, Facts
from tuning.setting import Setting

PACKAGES = ("keras", "tensorflow", "jax", "ray", "optuna", "keras-tuner", "numpy", "pillow")


@dataclass(frozen=True)
class Outcome:
    """How the run went as a whole.

    Attributes:
        command: What the user typed.
        seconds: Wall time of the trials.
        manner: How they were run.
        test: Loss and accuracy of the best model on the test split, None where there is none.
        model: The exported model's path in the run folder.
    """

    command: str
    seconds: float
    manner: Manner
    test: tuple[float, float] | None
    model: str | None


def facts(
    options: Options,
    setting: Setting,
    records: list[Record],
    best: Record | None,
    cache: dict[str, Any],
    outcome: Outcome,
) -> Facts:
    """Everything the report tells; see `tuning.report.facts` for the schema."""
    dataset = setting.dataset
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "run": {
            "name": options.name,
            "command": outcome.command,
            "settings": "settings.toml",
            "seed": options.seed,
            "began": None,
            "seconds": outcome.seconds,
            "running": False,
            "interrupted": outcome.manner.interrupted,
            "planned": len(options.experiments or ()) or options.trials,
            "trials_at_once": outcome.manner.at_once,
            "gpus_per_trial": outcome.manner.gpus,
            "cpus_per_trial": outcome.manner.cpus,
            "epochs": options.epochs,
            "objectives": ["accuracy"],
        },
        "versions": _versions(),
        "hardware": {
            "machine": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count() or 1,
            "gpus": _gpus(),
        },
        "data": {
            "root": str(options.data) if options.data else "embedded demo",
            "classes": list(dataset.classes),
            "image_size": dataset.image_size,
            "counts": dataset.counts(),
            "fingerprint": dataset.fingerprint,
            "warnings": list(dataset.warnings),
        },
        "weights": _weights(setting, records),
        "experiments": [
            _experiment(experiment, records, dataset, options.epochs)
            for experiment in experiments.EXPERIMENTS
        ],
        "best": None if best is None else _best(best, dataset, outcome),
        "confirmation": None,
        "cross_validation": None,
        "importances": None,
        "trials": [_trial(record, options.epochs) for record in records],
        "failures": [],
        "warnings": [],
        "cache": {"passes_computed": None, "passes_saved": None, **cache},  # type: ignore[typeddict-item]
        "cost": {
            "seconds": outcome.seconds,
            "trial_seconds": sum(record.seconds for record in records),
            "gpu_hours": None,
            "price": None,
        },
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _gpus() -> list[str]:
    """Names of this machine's GPUs, as the backend in use sees them."""
    import keras

    return [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]


def _weights(setting: Setting, records: list[Record]) -> Any:
    if all(record.hyperparameters["network"] == "convnet" for record in records):
        return {"source": "none", "checksum": "", "note": None}
    notes = {
        "imagenet": None,
        "random": "VGG16 carried random weights. What it was shown before decides most of what it "
        "can do, so these accuracies say nothing of what ImageNet weights would reach.",
    }
    other = (
        f"VGG16 started from {Path(setting.weights).name}, not from ImageNet's weights: compare "
        "the article's figures with care."
    )
    return {
        "source": setting.weights,
        "checksum": setting.frozen.weights.checksum,
        "note": notes.get(setting.weights, other),
    }


def _experiment(
    experiment: experiments.Experiment, records: list[Record], dataset: Dataset, epochs: int
) -> Any:
    wanted = experiment.hyperparameters(epochs)
    record = next((r for r in records if r.hyperparameters == wanted and r.epochs), None)
    told: dict[str, Any] = {
        "name": experiment.name,
        "title": experiment.title,
        "article": experiment.article,
        "article_accuracy": experiment.article_accuracy,
    }
    if record is None or record.best_accuracy is None:
        names = (
            "trial",
            "best_accuracy",
            "interval",
            "last_accuracy",
            "best_epoch",
            "epochs",
            "seconds",
        )
        return told | dict.fromkeys(names)
    return told | {
        "trial": record.number,
        "best_accuracy": record.best_accuracy,
        "interval": list(evaluation.interval(record.best_accuracy, len(dataset.validation))),
        "last_accuracy": record.curve["validation_accuracy"][-1],
        "best_epoch": record.best_epoch,
        "epochs": record.epochs,
        "seconds": record.seconds,
    }


def _best(record: Record, dataset: Dataset, outcome: Outcome) -> Any:
    return {
        "trial": record.number,
        "hyperparameters": record.hyperparameters,
        "epoch": record.best_epoch,
        "validation": _score(
            record.at_best("validation_loss"),
            record.at_best("validation_accuracy"),
            len(dataset.validation),
        ),
        "test": _score(*outcome.test, len(dataset.test)) if outcome.test and dataset.test else None,
        "mistakes": None,
        "model": outcome.model,
    }


def _score(loss: float, accuracy: float, pictures: int) -> dict[str, Any]:
    low, high = evaluation.interval(accuracy, pictures)
    return {
        "accuracy": accuracy,
        "interval": [low, high],
        "loss": loss,
        "pictures": pictures,
        "auc": None,
        "recall": None,
        "confusion": None,
        "calibration": None,
    }


def _trial(record: Record, epochs: int) -> Any:
    return {
        "number": record.number,
        "status": "interrupted" if record.status == "running" else record.status,
        "reason": record.reason,
        "experiment": experiments.named(record.hyperparameters, epochs),
        "hyperparameters": record.hyperparameters,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "best_accuracy": record.best_accuracy,
        "seconds": record.seconds,
        "started": None,
        "ended": None,
        "worker": None,
        "curve": record.curve,
    }
