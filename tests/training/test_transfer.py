"""A trial: the same losses as without the cache, the article's stages, its best epoch."""

import pickle
from dataclasses import replace

import keras
import numpy as np
import pytest

from models.head import head
from models.units import PICTURE
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.networks import Batches, probabilities
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial
from tuning.training.trial import TrialError, score

pytestmark = pytest.mark.slow

CONVNET, BOTTLENECK, FINE_TUNE = EXPERIMENTS


@pytest.fixture
def context(photos, cache):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(24, 10))
    return TrialContext(data, FeatureCache(cache, "float32"), vgg16_from("random"), views=2)


def test_cached_features_train_as_the_uncached_network_does(photos, cache):
    """The whole of VGG16 in Keras' own fit, block 5 and head trainable, fed with pictures."""
    data = dataset.load(photos, cache=cache, image_size=64, per_class=(16, 8))
    context = TrialContext(data, FeatureCache(cache, "float32"), vgg16_from("random"))
    hyperparameters = FINE_TUNE.hyperparameters(2) | {"augmentation": "none", "head_epochs": 1}
    trial = TransferTrial(context, hyperparameters)
    start = trial.weights
    ours = [trial.run_epoch() for _ in range(2)]

    backbone = context.backbone
    prefix = backbone.section(PICTURE, "block4_pool")
    suffix = backbone.section("block4_pool", "block5_pool", trainable=True)
    top = head((2, 2, 512), 2, dropout=0.5, adjustable=True)
    trained = keras.Sequential([suffix, top])
    for variable, value in zip(trained.trainable_variables, start, strict=True):
        variable.assign(value)
    full = keras.Sequential([prefix, suffix, top])
    full.compile(keras.optimizers.SGD(1e-4, momentum=0.9), "binary_crossentropy")
    train, validation = data.train, data.validation
    for epoch in range(2):
        order = np.random.default_rng((context.seed, epoch)).permutation(len(train))
        order = order[: len(order) // 16 * 16]
        batches = Batches((np.asarray(train.pictures),), train.labels, order, 16)
        loss = full.fit(batches, shuffle=False, verbose=0).history["loss"][0]
        assert ours[epoch]["loss"] == pytest.approx(loss, rel=1e-4)
        pixels = np.asarray(validation.pictures, np.float32)
        found = full.predict(pixels, verbose=0)
        wanted, _ = score(np.concatenate([1 - found, found], 1), validation.labels)
        assert ours[epoch]["validation_loss"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_a_trial_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(context, experiment, tmp_path):
    hyperparameters = experiment.hyperparameters(4)
    whole = TransferTrial(context, hyperparameters)
    unbroken = [whole.run_epoch() for _ in range(4)]
    begun = TransferTrial(context, hyperparameters)
    for _ in range(2):
        begun.run_epoch()
    begun.save(tmp_path / "checkpoint.npz")
    TransferTrial(
        context, hyperparameters | {"dropout": 0.1}
    ).run_epoch()  # the network is another's now
    resumed = TransferTrial(context, hyperparameters)
    resumed.restore(tmp_path / "checkpoint.npz")
    for metrics in unbroken[2:]:
        found = resumed.run_epoch()
        for name in ("loss", "validation_loss", "best_accuracy", "best_epoch"):
            assert found[name] == pytest.approx(metrics[name], rel=1e-5)
    for found, wanted in zip(resumed.best.weights, whole.best.weights, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_the_same_trial_gives_the_same_curve(context, experiment):
    hyperparameters = experiment.hyperparameters(2)
    curves = []
    for _ in range(2):
        trial = TransferTrial(context, hyperparameters)
        curve = [trial.run_epoch() for _ in range(2)]
        curves.append([(m["loss"], m["validation_loss"], m["accuracy"]) for m in curve])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)


def test_fine_tuning_starts_from_the_head_of_the_bottleneck_experiment(context):
    first = TransferTrial(context, BOTTLENECK.hyperparameters(2))
    for _ in range(2):
        first.run_epoch()
    head = first.weights
    second = TransferTrial(context, FINE_TUNE.hyperparameters(2))
    for ours, theirs in zip(second.weights[-len(head) :], head, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_head_is_trained_once_for_all_that_share_it(context, tmp_path):
    context = replace(context, cache=FeatureCache(tmp_path, "float32"))
    heads = tmp_path / "heads"
    point = FINE_TUNE.hyperparameters(1)
    TransferTrial(context, point)
    TransferTrial(context, point | {"fine_tune_rate": 3e-4, "augmentation": "flip", "unfrozen": 1})
    assert len(list(heads.glob("*.npz"))) == 1
    TransferTrial(context, point | {"dropout": 0.2})
    assert len(list(heads.glob("*.npz"))) == 2


def test_epochs_go_through_the_views_in_turn(context, tmp_path):
    context = replace(context, cache=FeatureCache(tmp_path, "float32"))
    trial = TransferTrial(context, BOTTLENECK.hyperparameters(3) | {"augmentation": "flip"})
    for _ in range(3):
        trial.run_epoch()
    identities = [path.read_text() for path in (tmp_path / "features").glob("*/*/entry.json")]
    views = {text for text in identities if '"flip"' in text and "block5_pool" in text}
    assert len(views) == 2


def test_the_best_epoch_is_kept(context, tmp_path):
    trial = TransferTrial(context, CONVNET.hyperparameters(4))
    metrics = [trial.run_epoch() for _ in range(4)]
    best = max(metrics, key=lambda m: (m["validation_accuracy"], -m["validation_loss"]))
    assert trial.best.epoch == 1 + metrics.index(best)
    validation = context.dataset.validation
    model, _ = export(context, trial.hyperparameters, trial.best.weights, tmp_path)
    loss, accuracy = score(probabilities(model, validation.pictures), validation.labels)
    assert accuracy == best["validation_accuracy"]
    assert loss == pytest.approx(best["validation_loss"], rel=1e-4)


def test_more_classes_than_two(three_classes, cache):
    data = dataset.load(three_classes, cache=cache, image_size=32)
    context = TrialContext(data, FeatureCache(cache), vgg16_from("random"))
    for experiment in EXPERIMENTS:
        trial = TransferTrial(context, experiment.hyperparameters(1))
        assert np.isfinite(trial.run_epoch()["validation_loss"])
        found = trial.probabilities(data.validation)
        assert found.shape == (len(data.validation), 3)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_a_trial_that_diverges_says_so(context):
    trial = TransferTrial(context, BOTTLENECK.hyperparameters(3) | {"head_rate": 1e30})
    with pytest.raises(TrialError, match=r"loss of epoch \d is (nan|inf)"):
        any(trial.run_epoch() is None for _ in range(3))


def test_the_weights_do_not_travel_with_the_context(context):
    read = context.backbone.weights.arrays
    sent = pickle.dumps(context)
    assert len(sent) < 1e6
    again = pickle.loads(sent).backbone.weights.arrays
    assert all((again[name] == read[name]).all() for name in read)


def test_score_is_kerass():
    generator = np.random.default_rng(0)
    second = generator.random(50).astype(np.float32)
    labels = generator.integers(0, 2, 50)
    loss, accuracy = score(np.stack([1 - second, second], 1), labels)
    wanted = keras.losses.BinaryCrossentropy()(labels.astype("float32"), second)
    assert loss == pytest.approx(float(wanted), rel=1e-5)
    assert accuracy == ((second > 0.5) == labels).mean()
