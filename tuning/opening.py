"""What is known of a run before its first trial: `opening.json` in the run folder.

With `trials.jsonl` and `cache.jsonl` it is all that a report needs, also while the search goes on.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, TypedDict

from search_spaces import experiments
from tuning import settings
from tuning.errors import UserError
from tuning.options import Options
from tuning.report.facts import Data, Hardware, Weights
from tuning.report.render import replace
from tuning.setting import Setting

FILE = "opening.json"
PACKAGES = ("keras", "tensorflow", "jax", "ray", "optuna", "keras-tuner", "numpy", "pillow")


class Experiment(TypedDict):
    """One of the article's, as a trial of this run."""

    name: str
    title: str
    article: str
    article_accuracy: float
    hyperparameters: dict[str, Any]


class Opening(TypedDict):
    """The whole of ``opening.json``."""

    name: str
    command: str
    settings: str
    seed: int
    began: str
    planned: int
    epochs: int
    objectives: list[str]
    price: float | None
    versions: dict[str, str]
    hardware: Hardware
    data: Data
    weights: Weights
    experiments: list[Experiment]


def write(options: Options, setting: Setting, command: str, folder: Path) -> Opening:
    """Writes down what is known now; a run that is resumed keeps how and when it began.

    Args:
        options: What the user asked for.
        setting: What all trials share.
        command: What the user typed.
        folder: The run folder.
    """
    dataset = setting.dataset
    earlier = read(folder) if (folder / FILE).exists() else None
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    opening: Opening = {
        "name": options.name,
        "command": earlier["command"] if earlier else _masked(command),
        "settings": settings.FILE,
        "seed": options.seed,
        "began": earlier["began"] if earlier else now,
        "planned": len(options.experiments or ()) or options.trials,
        "epochs": options.epochs,
        "objectives": list(options.objective),
        "price": options.price,
        "versions": _versions(),
        "hardware": {"machine": _machine(), "cpus": os.cpu_count() or 1, "gpus": _gpus()},
        "data": {
            "root": str(options.data) if options.data else "embedded demo",
            "classes": list(dataset.classes),
            "image_size": dataset.image_size,
            "counts": dataset.counts(),
            "fingerprint": dataset.fingerprint,
            "warnings": list(dataset.warnings),
        },
        "weights": _weights(options, setting),
        "experiments": _experiments(options),
    }
    replace(folder / FILE, json.dumps(opening, ensure_ascii=False, indent=1) + "\n")
    return opening


def read(folder: Path) -> Opening:
    """What `write` wrote.

    Raises:
        UserError: The folder is none of a run that came to its first trial.
    """
    path = folder / FILE
    try:
        opening: Opening = json.loads(path.read_text(encoding="utf-8"))
        return opening
    except FileNotFoundError:
        reason = f"it has no {FILE}" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder} is not a run folder: {reason}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _masked(command: str) -> str:
    """A storage's URL may have a password in it."""
    return shlex.join(settings.masked(word) for word in shlex.split(command))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _machine() -> str:
    """System and processor, as in `Linux x86_64, Intel(R) Xeon(R) Processor`."""
    system = f"{platform.system()} {platform.machine()}"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return system
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{system}, {names[0]}" if names else system


def _gpus() -> list[str]:
    """Names of this machine's GPUs."""
    # Not through Keras where it can be helped: TensorFlow would take hold of the GPUs to name them.
    if shutil.which("nvidia-smi"):
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout.strip().splitlines()
    import keras

    return [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]


def _experiments(options: Options) -> list[Experiment]:
    """Written down because KerasTuner, which knows the defaults, takes seconds to import."""
    if options.hypermodel is not None:
        return []
    return [
        {
            "name": each.name,
            "title": each.title,
            "article": each.article,
            "article_accuracy": each.article_accuracy,
            "hyperparameters": each.hyperparameters(
                options.epochs, options.space, options.preprocessing
            ),
        }
        for each in experiments.EXPERIMENTS
    ]


def _weights(options: Options, setting: Setting) -> Weights:
    if options.hypermodel is not None or options.experiments == ("convnet",):
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
