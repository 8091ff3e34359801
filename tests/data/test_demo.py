"""The embedded demo: drawn by seed, once, and neither trivial nor hopeless."""

import numpy as np
import pytest

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset, demo
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial


@pytest.fixture(scope="module")
def folder(shared_cache):
    return demo.make(shared_cache / "little-data-tuner")  # where searches have it


def test_it_has_the_articles_layout(folder):
    for split, count in demo.COUNTS.items():
        for name in demo.CLASSES:
            assert len(list((folder / split / name).iterdir())) == count


def test_it_is_drawn_once_and_the_same_each_time(folder, tmp_path):
    before = folder.stat().st_mtime_ns
    assert demo.make(folder.parent) == folder
    assert folder.stat().st_mtime_ns == before
    again = demo.draw(True, np.random.default_rng((0, 0, 1, 7)))
    with open(folder / "train" / "dogs" / "dog.0007.png", "rb") as file:
        stored = file.read()
    again.save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == stored


def test_colour_alone_does_not_tell_the_classes_apart(folder, cache):
    data = dataset.load(folder, cache=cache, image_size=32)
    means = [np.asarray(split.pictures).mean((1, 2)) for split in (data.train, data.validation)]
    centres = np.stack([means[0][data.train.labels == label].mean(0) for label in (0, 1)])
    nearest = np.linalg.norm(means[1][:, None] - centres, axis=2).argmin(1)
    assert (nearest == data.validation.labels).mean() < 0.65


@pytest.mark.slow
def test_the_small_convnet_learns_it_but_not_perfectly(folder, cache):
    data = dataset.load(folder, cache=cache, image_size=64)
    trial = TransferTrial(
        TrialContext(data, FeatureCache(cache), vgg16_from("random")),
        EXPERIMENTS[0].hyperparameters(8),
    )
    best = max(trial.run_epoch()["validation_accuracy"] for _ in range(8))
    assert 0.7 < best < 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        pytest.param(EXPERIMENTS[1].hyperparameters(8), marks=pytest.mark.soak),
        levers.complete({}, 8, space="levers"),
        levers.complete({"pooling": "standardised"}, 8, space="levers"),
        pytest.param(levers.complete({"unfrozen": 3}, 3, space="levers"), marks=pytest.mark.soak),
    ],
    ids=["the bottleneck experiment", "a head", "a standardised head", "3 layers"],
)
def test_random_frozen_layers_tell_it_apart_at_any_depth(point, folder):
    cache = folder.parent
    data = dataset.load(folder, cache=cache, image_size=64)
    trial = TransferTrial(TrialContext(data, FeatureCache(cache), vgg16_from("random")), point)
    best = max(trial.run_epoch()["validation_accuracy"] for _ in range(point["epochs"]))
    assert 0.6 < best < 0.99  # of 120 pictures: by chance one time in sixty
