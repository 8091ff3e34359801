"""What a run knows of itself before its first trial."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import keras

from models.backbones import Backbone
from models.weights import IMAGENET
from search_spaces import experiments
from search_spaces.experiments import BACKBONE
from tuning.data import decoded
from tuning.data.dataset import Dataset
from tuning.features import FeatureCache
from tuning.features.cost import Rates
from tuning.options import Options
from tuning.options.settings import FILE as SETTINGS
from tuning.records.facts import DEMO, Data, Kept, Screened, Space, Weights
from tuning.records.metadata import Experiment, RunMetadata
from tuning.scheduling.warm_start import known_as
from tuning.training.context import TrialContext

PACKAGES = ("keras", "tensorflow", "jax", "ray", "optuna", "keras-tuner", "numpy", "pillow")


def describe(
    options: Options,
    context: TrialContext,
    searched: Sequence[Backbone],
    networks: Sequence[Backbone],
    space: Space | None,
    rates: Rates | None,
    screening: list[Screened],
    command: str,
    earlier: RunMetadata | None,
) -> RunMetadata:
    """What is known now; a run that is resumed keeps how and when it began.

    Args:
        options: What the user asked for.
        context: What all trials share.
        searched: The frozen networks that are searched.
        networks: These, and VGG16 where the article's experiments have it beside them.
        space: What the study chooses from; None where a version began it that did not say.
        rates: What decides which features are kept on disk; None where nothing is chosen by it.
        screening: What was seen of the networks that might be searched.
        command: What the user typed, without passwords.
        earlier: What was written when the run began, None for a new one.
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {
        "name": options.name,
        "command": earlier["command"] if earlier else command,
        "settings": SETTINGS,
        "seed": options.seed,
        "began": earlier["began"] if earlier else now,
        "planned": options.planned,
        "epochs": options.epochs,
        "objectives": list(options.objective),
        "price": options.price,
        "versions": _versions(),
        "hardware": {
            "machine": _machine(),
            "cpus": os.cpu_count() or 1,
            "gpus": _gpus(),
            "backend": keras.backend.backend(),
        },
        "data": _data(options, context.dataset, earlier),
        "weights": weights_of(searched, networks),
        **({"space": space} if space else {}),  # type: ignore[typeddict-item]
        "metric": context.metric,
        "resplit": context.resplit,
        "kept": _kept(context.cache, networks, rates),
        "screening": screening,
        "experiments": earlier["experiments"] if earlier else _experiments(options),
    }


def _data(options: Options, dataset: Dataset, earlier: RunMetadata | None) -> Data:
    levels = dataset.settings.levels
    return {
        "root": str(options.data) if options.data else DEMO,
        "classes": list(dataset.classes),
        "image_size": dataset.image_size,
        "counts": dataset.counts(),
        "fingerprint": dataset.fingerprint,
        "decoding": decoded.FORMAT,
        "levels": list(astuple(levels)) if levels else None,
        "keep_aspect": dataset.settings.keep_aspect,
        "warnings": list(earlier["data"]["warnings"] if earlier else dataset.warnings),
    }


def _kept(cache: FeatureCache, networks: Sequence[Backbone], rates: Rates | None) -> Kept | None:
    if rates is None:
        return None
    return {
        "forward": rates.forward,
        "disk": rates.disk,
        "copied": rates.copied,
        "precision": cache.precision,
        "worth": cache.worth,
        "from_layer": {each.name: cache.stored(each)[0] for each in networks},
    }


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
            "hyperparameters": each.hyperparameters(options.epochs),
        }
        for each in experiments.EXPERIMENTS
    ]


def weights_of(searched: Sequence[Backbone], networks: Sequence[Backbone]) -> Weights:
    """What the report says of the backbones' weights.

    Args:
        searched: The networks that are searched; none where no trial has one.
        networks: These, and VGG16 where the article's experiments have it beside them.
    """
    # A file that holds ImageNet's is as good as Keras' own.
    sources = {
        each.name: "imagenet" if each.weights.checksum == IMAGENET else each.weights.source
        for each in networks
    }
    notes = []
    for each in searched:
        if sources[each.name] == "random":
            notes.append(
                f"{each.title} carried random weights. What it was shown before decides most of "
                "what it can do, so these accuracies say nothing of what ImageNet weights would "
                "reach."
            )
        elif each.name == BACKBONE and sources[each.name] != "imagenet":
            notes.append(
                f"{each.title} started from {Path(each.weights.source).name}, not from ImageNet's "
                "weights: compare the article's figures with care."
            )
    known = known_as(searched)
    return {
        "source": ", ".join(sources[each.name] for each in searched) or "none",
        "checksum": known["weights"],
        "note": " ".join(notes) or None,
        "backbone": known["backbone"],
        "title": ", ".join(each.title for each in searched) or "VGG16",
        "sources": sources,
    }
