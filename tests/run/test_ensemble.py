"""Several trials that answer together."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from models import network
from models.units import FEATURES
from tuning.data import dataset
from tuning.evaluation import temperature
from tuning.export import classifier
from tuning.export.heat import HeatMaps
from tuning.export.model import build, write
from tuning.features import FeatureCache
from tuning.options import Options
from tuning.records.run_folder import RunFolder
from tuning.run import ensemble
from tuning.training.best import load_arrays, save_arrays
from tuning.training.context import TrialContext
from tuning.training.networks import probabilities
from tuning.training.source import vgg16_from
from tuning.training.trial import score

SIZE = 32
HEAD = {"network": "vgg16", "dropout": 0.5, "pooling": "average"}
POINTS = (
    HEAD | {"unfrozen": 0, "width": 32},
    HEAD | {"unfrozen": 2, "width": 16},
    {"network": "convnet", "dropout": 0.5},
    HEAD | {"unfrozen": 0, "width": 64},
)


@pytest.fixture(scope="module")
def context(photos, tmp_path_factory):
    cache = tmp_path_factory.mktemp("ensemble")
    data = dataset.load(photos, cache=cache, image_size=SIZE, per_class=(30, 30), holdout=0.2)
    return TrialContext(data, FeatureCache(cache), vgg16_from("random"))


@pytest.fixture(scope="module")
def run(context, tmp_path_factory):
    """A run whose trials were networks with random weights, some of them far too sure."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "three")
    (folder.path / "weights").mkdir(parents=True)
    for number, point in enumerate(POINTS):
        model = network.trainable(
            point,
            image_size=SIZE,
            classes=2,
            backbone=context.backbone_for(point),
            seed=number,
        )
        weights = [np.asarray(each) for each in network.kept(model)]
        weights[-2] = weights[-2] * (1 + 5 * number)
        save_arrays(folder.weights(number), weights)
    return SimpleNamespace(context=context, folder=folder, options=Options(ensemble=3))


def record(number):
    return SimpleNamespace(number=number, hyperparameters=POINTS[number])


def alone(run, number):
    """A trial's own model, calibrated, and what it says of the validation pictures."""
    model = build(run.context, POINTS[number], load_arrays(run.folder.weights(number)))
    split = run.context.dataset.validation
    said = probabilities(model, split.pictures)
    fitted = temperature.better(said, split.labels)
    network.temper(model, fitted)
    return model, temperature.apply(said, fitted)


@pytest.mark.slow
def test_the_mean_answers_where_it_is_better(run, tmp_path):
    """A mean of probabilities has a lower loss than the worst of them, whatever they are."""
    data = run.context.dataset
    models, said = zip(*(alone(run, number) for number in range(3)), strict=True)
    losses = [score(each, data.validation.labels)[0] for each in said]
    order = sorted(range(3), key=lambda number: -losses[number])
    winner, *others = [record(number) for number in order]
    joined = ensemble.join(run, winner, [others[0], winner, others[1], record(3)])
    assert list(joined.trials) == order
    pictures = np.asarray(data.validation.pictures)
    wanted = np.mean(said, axis=0)
    np.testing.assert_allclose(joined.validation.mean(axis=0), wanted, atol=1e-5)
    path = write(joined.model, data, tmp_path / "run" / "best")
    loaded = keras.saving.load_model(path, safe_mode=True)
    np.testing.assert_allclose(loaded.predict(pictures, verbose=0)[:, 0], wanted[:, 1], atol=1e-5)
    told = ensemble.facts(joined, models[order[0]], run)
    assert told["trials"] == order
    assert told["validation"]["loss"] == pytest.approx(losses[order[0]], abs=1e-4)
    assert told["test"] is not None
    assert 0 < told["milliseconds_alone"] < 10 * told["milliseconds"]
    assert [each.name for each in joined.model.layers].count(FEATURES) == 1
    assert not HeatMaps.can(joined.model)
    assert classifier.load(tmp_path / "run").heat_maps is None


def test_what_several_have_frozen_is_there_once(run):
    backbone = run.context.backbone
    members = []
    for point in (POINTS[0], POINTS[1], POINTS[3]):
        trained = network.trainable(point, image_size=SIZE, classes=2, backbone=backbone)
        members.append(network.Member(point, trained, backbone))
    model = network.side_by_side(members, image_size=SIZE)
    frozen = sum(unit.parameters for unit in backbone.units)
    assert model.count_params() == frozen + sum(each.trained.count_params() for each in members)


def test_the_best_answers_alone_where_the_mean_is_worse(run):
    """Beside one that is beyond all temperatures sure, and wrong half the time."""
    sure = load_arrays(run.folder.weights(0))
    sure[-2], sure[-1] = sure[-2] * 1e6, sure[-1] * 0
    save_arrays(run.folder.weights(4), sure)
    wrong = SimpleNamespace(number=4, hyperparameters=POINTS[0])
    told = ensemble.join(run, record(0), [record(0), wrong])
    assert told.startswith("The mean of the 2 best trials is no better than the best alone")


def test_a_trial_that_is_alone_answers_alone(run):
    gone = SimpleNamespace(number=77, hyperparameters=POINTS[0])  # its weights are not there
    told = ensemble.join(run, record(1), [record(1), gone])
    assert told == "There are no trials to make an ensemble of; the best answers alone."
