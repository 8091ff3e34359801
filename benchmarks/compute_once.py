"""The same trials by four ways of running them: what does a trial cost, and what a whole search?

(a) This project. (b) Ray Tune and Keras as their documentation has it: every trial builds VGG16,
freezes its lower layers and fits, augmentation drawn anew in each epoch. (c) KerasTuner's own
tuner with the same model. (d) For heads alone the article's own way: features to `.npy` once, then
Keras fits.

Trials: 0, 1 and 3 unfrozen conv layers, without and with the article's augmentation, two
dropouts; 3 epochs, after as many of the head alone where layers are unfrozen. One at a time, with
all cores. This project runs the list before and after the others; what it spends beyond the
second dropout's trials is one-off: features, networks compiled, processes started. The others'
trials cost the same whatever the dropout, so they run one dropout. Weights are surrogates for
ImageNet's.

    python -m benchmarks.compute_once [--per-class 100 40] [--epochs 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.process.backend import import_keras

os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)  # for Ray's workers
import_keras(Path(os.devnull))
from ray import tune

from benchmarks import others
from benchmarks.listed import Outcome, run, run_points
from benchmarks.others import Point
from models import backbones
from search_spaces import levers
from tuning.cluster.joining import connected
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.records.event_log import EventLog
from tuning.report.gather import cache_statistics
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from

SIZE = 150
DROPOUTS = (0.5, 0.3)
# The first is a head alone.
KINDS = [(unfrozen, policy) for policy in ("none", "article") for unfrozen in (0, 1, 3)]
# The search that is projected: trials of these kinds in equal parts. 4 policies of 8 views.
TRIALS, EPOCHS, PICTURES, POLICIES, VIEWS = 50, 20, 2800, 4, 8


def hyperparameters(point: Point, epochs: int) -> dict[str, Any]:
    """The point as this project has it."""
    values: dict[str, Any] = {"network": "vgg16", "unfrozen": point.unfrozen}
    values |= {"augmentation": point.augmentation, "dropout": point.dropout}
    if point.unfrozen:
        values |= {"head_epochs": epochs, "fine_tune_rate": 1e-4}
    return levers.complete(values, epochs)


def projected(outcome: Outcome, epochs: int, scale: float) -> float:
    """Seconds of the trial with `EPOCHS` epochs and `scale` times the pictures.

    Its epochs grow with both; what it spends beside them does not, but for a head trained first.
    """
    stages = len(outcome.epochs) // epochs
    per_epoch = sum(statistics.median(_part(outcome.epochs, n, stages)) for n in range(stages))
    return outcome.seconds - sum(outcome.epochs) + EPOCHS * scale * per_epoch


def _part(values: Sequence[float], number: int, parts: int) -> Sequence[float]:
    size = len(values) // parts
    return values[number * size : (number + 1) * size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--per-class", type=int, nargs=2, default=(100, 40))
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    first, second = ([Point(*kind, dropout) for kind in KINDS] for dropout in DROPOUTS)
    cpus = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name, connected(None):
        folder = Path(name)
        data = dataset.load(
            PHOTOS, cache=folder, per_class=tuple(options.per_class), image_size=SIZE
        )
        weights = backbones.load("vgg16", SIZE, str(SURROGATE)).weights.arrays
        events = EventLog(folder / "cache.jsonl")
        cache = FeatureCache(folder / "cache", events=events)
        context = TrialContext(data, cache, vgg16_from(str(SURROGATE)), "imagenet")
        points = [hyperparameters(point, options.epochs) for point in first + second]
        ways = {}

        def report(name: str, way: Callable[[], list[Outcome]]) -> None:
            ways[name] = way()
            print(f"{name}: {sum(each.seconds for each in ways[name]):.0f} s", flush=True)

        report("ours", lambda: run_points(context, points, folder / "ours", cpus))
        function = tune.with_parameters(
            others.ray_tune, data=data, weights=weights, epochs=options.epochs
        )
        space = {"point": tune.grid_search(first)}
        report("plain", lambda: run(function, folder / "b", 1, cpus, param_space=space))
        tuner = others.HyperModel(first, data, weights, options.epochs)
        report("keras_tuner", lambda: tuner.search(folder / "c"))
        heads = [first[0], second[0]]
        once, article = others.article(heads, data, weights, options.epochs, folder)
        building = cache_statistics(events)["forward_seconds_spent"]
        report("again", lambda: run_points(context, points, folder / "again", cpus))
    print(f"\n{describe()}\n{data.train.pictures.shape[0]} + {len(data.validation)} photos\n")
    scale = PICTURES / (len(data.train) + len(data.validation))
    _show(ways, building, once, article, options.epochs, scale)


def _show(
    ways: dict[str, list[Outcome]],
    building: float,
    once: float,
    article: list[Outcome],
    epochs: int,
    scale: float,
) -> None:
    kinds = [Point(*kind, DROPOUTS[0]).kind for kind in KINDS]
    half = len(kinds)
    first, warm = ways["ours"][:half], (ways["ours"][half:], ways["again"][half:])
    marginal = [statistics.mean(each.seconds for each in pair) for pair in zip(*warm, strict=True)]
    starting = sum(each.seconds for each in first) - sum(marginal) - building
    others_by = {"(b)": ways["plain"], "(c)": ways["keras_tuner"]}
    rows = []
    for index, kind in enumerate(kinds):
        b, c = (way[index].seconds for way in others_by.values())
        d = article[-1].seconds if index == 0 else "-"
        rows.append((kind, marginal[index], b, c, d, b / marginal[index], c / marginal[index]))
    header = ("seconds per trial", "(a) ours", "(b) Tune", "(c) KerasTuner", "(d) .npy")
    print(table((*header, "(b)/(a)", "(c)/(a)"), rows))
    print(
        f"\none-off: (a) {building:.0f} s of features, {starting:.0f} s of starting and compiling"
    )
    print(f"         (d) {once:.0f} s of features\n")
    accuracies = [
        (kind, *(way[index].accuracy for way in (ways["ours"], *others_by.values())))
        for index, kind in enumerate(kinds)
    ]
    print(table(("last validation accuracy", "(a)", "(b)", "(c)"), accuracies))
    # Building grows with pictures and views; measured were the view `none` and `epochs` views of
    # one policy.
    views = (1 + POLICIES * VIEWS) / (1 + epochs)
    hours = {
        "(a) ours": (
            starting
            + building * scale * views
            + TRIALS * statistics.mean(projected(each, epochs, scale) for each in warm[0])
        )
        / 3600
    }
    for name, way in others_by.items():
        hours[name] = TRIALS * statistics.mean(projected(e, epochs, scale) for e in way) / 3600
    print(
        f"\nprojected: {TRIALS} trials of {EPOCHS} epochs, {PICTURES} pictures, "
        f"{POLICIES} policies of {VIEWS} views"
    )
    ours = hours["(a) ours"]
    print(table(("", "hours", "of ours"), [(n, h, h / ours) for n, h in hours.items()]))


if __name__ == "__main__":
    main()
