"""Trials on today's recipe: what is averaged and standardised comes out of the export as well."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from search_spaces import levers
from search_spaces.portfolio import PORTFOLIO
from tuning.data import dataset
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.networks import probabilities
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial
from tuning.training.trial import score

pytestmark = pytest.mark.slow

HEAD = PORTFOLIO[0].point
BLOCK = next(each.point for each in PORTFOLIO if each.point.get("unfrozen"))


@pytest.fixture
def context(photos, cache):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(16, 6))
    return TrialContext(data, FeatureCache(cache, "float32"), vgg16_from("random"), views=2)


def point(given, epochs=3, **more):
    whole = levers.complete({**given, "augmentation": "none"}, epochs, space="levers")
    return whole | {"batch_size": 8, "pooling": "standardised", **more}


@pytest.mark.parametrize("given", [HEAD, BLOCK | {"unfrozen": 1}], ids=["head", "a layer"])
def test_the_exported_model_is_as_right_as_the_best_epoch(context, tmp_path, given):
    trial = TransferTrial(context, point(given))
    metrics = [trial.run_epoch() for _ in range(3)]
    assert np.isfinite(metrics[-1]["loss"])
    best = max(metrics, key=lambda m: (m["validation_accuracy"], -m["validation_loss"]))
    validation = context.dataset.validation
    export(context, trial.hyperparameters, trial.best.weights, tmp_path)
    model = keras.saving.load_model(tmp_path / "model.keras")
    said = probabilities(model, validation.pictures)
    loss, accuracy = score(said, validation.labels)
    assert accuracy == best["validation_accuracy"]
    assert loss == pytest.approx(best["validation_loss"], rel=1e-4)


def test_without_rates_below_only_head_and_top_layer_move(context):
    given = point({"unfrozen": 3}, layer_decay=0.0)
    trial = TransferTrial(context, given)
    before = trial.weights
    trial.run_epoch()
    moved = [not np.array_equal(*each) for each in zip(before, trial.weights, strict=True)]
    # Kernel and bias of three conv layers from the lowest, of two dense ones; mean and variance.
    assert moved == [False] * 4 + [True] * 2 + [True] * 4 + [False] * 2


@pytest.mark.parametrize("given", [HEAD, BLOCK | {"unfrozen": 1}], ids=["head", "a layer"])
def test_it_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(context, tmp_path, given):
    unbroken = TransferTrial(context, point(given))
    wanted = [unbroken.run_epoch() for _ in range(3)]
    begun = TransferTrial(context, point(given))
    begun.run_epoch()
    begun.save(tmp_path / "checkpoint.npz")
    TransferTrial(context, point(given, dropout=0.1)).run_epoch()  # the network is another's now
    resumed = TransferTrial(context, point(given))
    resumed.restore(tmp_path / "checkpoint.npz")
    for metrics in wanted[1:]:
        found = resumed.run_epoch()
        for name in ("loss", "validation_loss", "best_accuracy"):
            assert found[name] == pytest.approx(metrics[name], rel=1e-5)


def test_the_head_takes_features_of_no_mean_and_one_deviation(context):
    trial = TransferTrial(context, point(HEAD))
    *_, mean, variance = trial.weights
    assert trial.reads.backbone.preprocessing == "imagenet"
    features = context.cache.features(context.dataset.train, trial.reads.backbone, "block5_pool")
    pooled = np.asarray(features).mean(axis=(1, 2))
    standard = (pooled - mean) / np.sqrt(variance)
    assert np.abs(standard.mean(axis=0)).max() < 1e-3
    lively = pooled.std(axis=0) > 0.1 * pooled.std()
    assert np.abs(standard.std(axis=0)[lively] - 1).max() < 0.02


def test_trials_of_one_head_share_its_training(context, tmp_path):
    context = replace(context, cache=FeatureCache(tmp_path, "float32"))
    TransferTrial(context, point(BLOCK))
    TransferTrial(context, point(BLOCK, layer_decay=0.5, fine_tune_rate=1e-4))
    assert len(list((tmp_path / "heads").glob("*.npz"))) == 1


@pytest.mark.parametrize(
    ("epochs", "patience", "falling", "last"),
    [
        (20, 3, True, 12),  # not before the rates have fallen, though the best was the second
        (20, 12, True, 14),
        (20, 3, False, 5),
        (20, 0, False, 20),
        (20, None, True, 20),
        (4, 3, True, 4),
    ],
)
def test_a_trial_is_over_when_patience_is(context, epochs, patience, falling, last):
    point = levers.complete({"unfrozen": 0}, epochs, space="levers" if falling else "article")
    trial = TransferTrial(context, point)
    trial.best.epoch = 2
    for trial.epoch in range(1, epochs + 1):
        if trial.is_over(patience):
            break
    assert trial.epoch == last


def test_mirrored_pictures_cost_one_more_pass(context):
    trial = TransferTrial(context, point({}) | {"augmentation": "mirror"})
    views = [reading.view for epoch in range(4) if (reading := trial.reads.training(epoch))]
    assert [str(view) for view in views] == ["none", "mirror/1", "none", "mirror/1"]
    losses = [trial.run_epoch()["loss"] for _ in range(4)]
    assert np.isfinite(losses).all()
    assert len({str(reading.view) for reading in trial.reads.all()}) == 2
