"""Every benchmark runs, at sizes that measure nothing, and prints its tables."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_spaces import levers
from tuning.cluster.joining import connected
from tuning.data import dataset
from tuning.data.demo import CLASSES, draw
from tuning.features import FeatureCache, View
from tuning.process.surroundings import put_back
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
COUNTS = {"train": 16, "validation": 8, "test": 2}  # of each class

Table = list[tuple[str, ...]]
Run = Callable[..., list[Table]]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of the article's photos."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                picture = draw(name == "dogs", generator)
                picture.save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray that several benchmarks use: it takes seconds to start."""
    with put_back(), connected(None):
        yield


@pytest.fixture
def benchmark(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a benchmark's command line in this process; returns the tables that it printed."""
    # Set here to be put back: some benchmarks set it for Ray's workers.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # Of the demo and of what is drawn small, which several benchmarks share.
    monkeypatch.setattr("tuning.data.demo.COUNTS", COUNTS)
    monkeypatch.setattr("benchmarks.portfolio.SMALL", 32)

    def run(name: str, arguments: str, constants: Mapping[str, Any]) -> list[Table]:
        module = importlib.import_module(f"benchmarks.{name}")
        own = {"PHOTOS": pictures, "SURROGATE": Path("random")}
        for constant, value in {**own, **constants}.items():
            monkeypatch.setattr(module, constant, value, raising=constant not in own)
        monkeypatch.setattr("sys.argv", [name, *arguments.split()])
        module.main()
        return tables(capsys.readouterr().out)

    return run


def tables(text: str) -> list[Table]:
    """Lines with as many cells as their neighbours; cells are two spaces apart."""
    found: list[Table] = [[]]
    for line in text.splitlines():
        cells = tuple(re.split(r" {2,}", line))
        if len(cells) < 3:
            found.append([])
        else:
            found[-1].append(cells)
    return [each for each in found if each]


def first_cells(table: Table) -> list[str]:
    return [row[0] for row in table]


SHORT = ("kept in float16", "computed in bfloat16")
# Arguments, constants that have other values than usual, first cells of the table.
BENCHMARKS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "accuracy": (
        "--pictures 8 --seeds 1 --epochs 1 --unfrozen 1",
        {"SIZE": 32, "VALIDATION": 2, "RECIPE": {"all": {}, "not averaged": {"average": 0.0}}},
        ["trained on", "all", "not averaged", "the article's recipe"],
    ),
    "cache_build": (
        "--pictures 4 --rounds 1",
        {"SIZE": 32},
        ["", "bare forward loop", "build, view none", "build, view article"],
    ),
    "convnet_epoch": ("--rounds 1", {}, ["", "plain Keras", "this project"]),
    "feature_dtype": (
        "--per-class 2 2 --seeds 2",
        {"SIZE": 32, "TRIALS": {"a head": (0, 1), "a layer": (1, 1)}},
        ["best accuracy", *(f"{kind}, {how}" for kind in ("a head", "a layer") for how in SHORT)],
    ),
    "first_rung": (
        "--trials 4 --epochs 4",
        {"SIZE": 32, "PER_CLASS": (8, 2)},
        ["space", "levers", "article"],
    ),
    "portfolio": (
        "--trials 4 --epochs 1 --seeds 1 --only 240",
        {},
        ["pictures", *["240 drawings"] * 4],
    ),
    "resplit": (
        "--trials 2 --divisions 2 --epochs 1 --only 240",
        {},
        ["pictures", *["240 drawings"] * 2],
    ),
    "predict": (
        "--pictures 4 --rounds 1",
        {},
        ["", "decode a batch, model.predict", "tuning.predict", "model.predict, pixels in memory"],
    ),
    "temperature": (
        "--seeds 1 --weights random",
        {"SIZE": 32, "EPOCHS": 1, "PER_CLASS": (16, 8)},
        ["head", "recipe", "smoothed", "article"],
    ),
    "search_quality": (
        "--seeds 2 --epochs 30",
        {},
        ["", "TPE, told truly", "random", "stock OptunaSearch"],
    ),
    "together": (
        "--seeds 1 --trials 2 --train 16 --size 32 --weights random",
        {"EPOCHS": 1, "VALIDATION": 8},
        [
            *("", "the best", "the best, and of mirror images", "the mean of 5"),
            *("the mean of 5, each calibrated", "the mean of 5, by logits", "of 5, greedily"),
            *("the mean of 5, and of mirror images", "one of averaged weights"),
            "the best on 5 folds, their mean",
        ],
    ),
    "trial_limit": (
        "--pictures 16 --rounds 1",
        {"SIZE": 32, "SIDE": 64, "FLOATS": 2**10},
        ["", *(f"{depth} unfrozen" for depth in (0, 1, 3, 6, 0))],
    ),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_prints_its_table(benchmark, name):
    arguments, constants, rows = BENCHMARKS[name]
    (table,) = benchmark(name, arguments, constants)
    assert first_cells(table) == rows


@pytest.mark.soak
def test_scale_prints_its_table(benchmark):
    """With a Ray of its own, before the one that others share."""
    (table,) = benchmark("scale", "--gpus 2 --epochs 1 --rounds 1", {})
    assert first_cells(table) == ["GPUs", "2"]


def test_growing_prints_both_of_its_tables(benchmark):
    constants = {"FOLDS": 2, "VIEWS": (View(), View("article", 0))}
    changes, epochs = benchmark("growing", "--pictures 16 --more 4 --size 32 --rounds 1", constants)
    computed = dict(row[:2] for row in changes)
    assert [*computed] == [
        "",
        "16 pictures",
        "4 more",
        "4 less",
        "1 with another label",
        "another split seed",
        "another fold",
    ]
    _, first, *later = computed.values()
    assert first == "16"
    assert 0 < sum(map(float, later)) <= 4  # each of the new ones at most once in each view
    assert first_cells(epochs) == ["an epoch of a head", "1 segment", "2 segments", "8 segments"]


def test_labels_prints_both_of_its_tables(benchmark):
    constants = {"SIZE": 32, "PER_CLASS": (16, 4), "NUMBERS": (40,), "SIZES": (12,)}
    found, foretold = benchmark("labels", "--draws 2", constants)
    assert first_cells(found) == ["labels", "40", "40"]
    assert first_cells(foretold) == ["pictures", "12"]


def test_accuracy_compares_numbers_of_views(benchmark):
    constants = {"SIZE": 32, "VALIDATION": 2}
    (table,) = benchmark("accuracy", "--views 1 2 --pictures 8 --seeds 2 --epochs 2", constants)
    assert first_cells(table) == ["trained on", "as they are", "1 views", "2 views"]


@pytest.mark.soak
def test_overhead_prints_its_table(benchmark, cluster):
    (table,) = benchmark("overhead", "--trials 3", {})
    assert first_cells(table) == ["seconds beyond training", "this project", "bare"]


@pytest.mark.soak
def test_all_four_ways_are_compared(benchmark, cluster):
    kinds = {"KINDS": [(0, "none"), (1, "article")], "SIZE": 32}
    seconds, accuracies, hours = benchmark("compute_once", "--per-class 2 2 --epochs 1", kinds)
    rows = ["0 unfrozen, not augmented", "1 unfrozen, augmented"]
    assert first_cells(seconds) == ["seconds per trial", *rows]
    assert first_cells(accuracies) == ["last validation accuracy", *rows]
    assert first_cells(hours) == ["", "(a) ours", "(b)", "(c)"]


def test_a_failed_trial_ends_a_benchmark_with_its_reason(cluster, pictures, tmp_path):
    from benchmarks.listed import run, run_points

    data = dataset.load(pictures, cache=tmp_path, per_class=(2, 2), image_size=32)
    context = TrialContext(data, FeatureCache(tmp_path), vgg16_from("nowhere.npz"))
    point = levers.complete({"network": "vgg16", "unfrozen": 0, "augmentation": "none"}, 1)
    with pytest.raises(SystemExit, match=r"A trial failed: .*nowhere\.npz"):
        run_points(context, [point, point], tmp_path / "ours", 1)
    with pytest.raises(ZeroDivisionError):
        run(lambda config: 1 / 0, tmp_path / "plain", 1, 1)


def test_a_failed_trial_ends_keras_tuner(tmp_path):
    import keras

    from benchmarks.others import HyperModel, Point

    tuner = HyperModel([Point(0, "none", 0.5)], None, {}, 1)
    tuner.build = lambda hp: keras.Sequential()
    with pytest.raises(RuntimeError, match="'HyperModel' object has no attribute"):
        tuner.search(tmp_path)
