"""What space `full` varies beside the levers trains as Keras' own, and compiles nothing anew."""

import dataclasses

import keras
import numpy as np
import pytest

from models import network
from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.training import networks
from tuning.training.context import TrialContext
from tuning.training.networks import probabilities
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

pytestmark = pytest.mark.slow

ARTICLE = {"label_smoothing": 0.0, "optimizer": "rmsprop"}
VGG16 = ARTICLE | {"width": 256, "pooling": "flatten", "preprocessing": "rescale"}
CONVNET = EXPERIMENTS[0].hyperparameters(2) | ARTICLE | {"width": 64}
BOTTLENECK = EXPERIMENTS[1].hyperparameters(2) | VGG16
FINE_TUNE = EXPERIMENTS[2].hyperparameters(2) | VGG16 | {"optimizer": "sgd"}
FINE_TUNE |= {"unfrozen": 1}  # compiled in half the time
HEAD = levers.complete({"unfrozen": 0, "augmentation": "none"}, 2, space="full")
MIXED = levers.complete({"network": "convnet", "mixup": 0.4}, 2, space="full")


@pytest.fixture
def context(photos, cache):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(16, 6))
    return TrialContext(data, FeatureCache(cache, "float32"), vgg16_from("random"), views=2)


@pytest.fixture
def context_of_three(three_classes, cache):
    data = dataset.load(three_classes, cache=cache, image_size=32)
    return TrialContext(data, FeatureCache(cache, "float32"), vgg16_from("random"))


def losses(context, point, epochs=2):
    trial = TransferTrial(context, point)
    return [trial.run_epoch()["loss"] for _ in range(epochs)], trial.weights


def kerass_own(context, point, epochs=2):
    """The head of `point` trained by `fit`, with Keras' optimizer, loss and layers."""
    classes = len(context.dataset.classes)
    model = network.trainable(
        point,
        image_size=32,
        classes=classes,
        backbone=context.backbone_for(point),
        seed=context.seed,
    )
    rate = point["head_rate"]
    optimizer = {
        "rmsprop": lambda: keras.optimizers.RMSprop(rate),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9),
    }[point["optimizer"]]()
    smoothing = point["label_smoothing"]
    train = context.dataset.train
    labels = train.labels
    if classes == 2:
        loss = keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
    else:
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        labels = np.eye(classes, dtype="float32")[labels]
    model.compile(optimizer, loss)
    features = context.cache.features(train, context.backbone_for(point), "block5_pool")
    size, found = point["batch_size"], []
    for epoch in range(epochs):
        order = np.random.default_rng((context.seed, epoch)).permutation(len(train))
        rows = order[: len(order) // size * size]
        x, y = np.asarray(features[rows]), labels[rows]
        y = y[:, None] if classes == 2 else y
        history = model.fit(x, y, batch_size=size, shuffle=False, verbose=0).history
        found.append(history["loss"][0])
    return found, [np.asarray(v) for v in model.trainable_variables]


@pytest.mark.parametrize(("optimizer", "l2"), [("rmsprop", 0.0), ("sgd", 1e-2)])
def test_optimizers_and_smoothing_are_kerass(context, optimizer, l2):
    point = BOTTLENECK | {"optimizer": optimizer, "dropout": 0.0, "label_smoothing": 0.1}
    point |= {"width": 32, "batch_size": 8, "head_rate": 3e-3, "pooling": "average"}
    point |= {"regularization": "l2", "l2": l2} if l2 else {}
    # Another trial before it leaves nothing behind.
    losses(context, point | {"label_smoothing": 0.2, "head_rate": 1e-2}, 1)
    ours, weights = losses(context, point)
    wanted, kept = kerass_own(context, point)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)
    for one, other in zip(weights, kept, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_more_classes_are_smoothed_as_well(context_of_three):
    point = BOTTLENECK | {"dropout": 0.0, "label_smoothing": 0.2}
    ours, _ = losses(context_of_three, point)
    wanted, _ = kerass_own(context_of_three, point)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)


@pytest.mark.parametrize("name", ["convnet", "bottleneck"])
def test_what_is_as_in_the_article_need_not_be_said(context, name):
    experiment = next(each for each in EXPERIMENTS if each.name == name)
    article, _ = losses(context, experiment.hyperparameters(1), 1)
    full, _ = losses(context, {"convnet": CONVNET, "bottleneck": BOTTLENECK}[name], 1)
    np.testing.assert_allclose(full, article, rtol=1e-6)


def test_strengths_compile_nothing_and_shapes_do(context, traces):
    networks._compiled.clear()
    point = HEAD | {"batch_size": 16}
    found = [losses(context, point, 1)[1]]
    seen = len(traces)
    for other in ({"label_smoothing": 0.1}, {"weight_decay": 1.0}, {"head_rate": 1e-4}):
        found.append(losses(context, point | other, 1)[1])
    assert len(traces) == seen
    # By the weights: where a head says the same of all pictures, losses may be alike.
    assert len({float(np.abs(weights[0]).sum()) for weights in found}) == 4
    for other in ({"width": 64}, {"pooling": "flatten"}, {"batch_size": 8}, {"optimizer": "sgd"}):
        losses(context, point | other, 1)
    assert len(networks._compiled) == 5


@pytest.mark.parametrize(
    "point",
    [BOTTLENECK, HEAD | {"optimizer": "sgd"}, FINE_TUNE, MIXED],
    ids=["article", "full", "fine-tune", "mixed"],
)
def test_a_trial_goes_on_from_a_checkpoint(context, point, tmp_path):
    point = point | {"label_smoothing": 0.05, "width": 32, "epochs": 4, "batch_size": 8}
    whole = TransferTrial(context, point)
    unbroken = [whole.run_epoch() for _ in range(4)]
    begun = TransferTrial(context, point)
    for _ in range(2):
        begun.run_epoch()
    begun.save(tmp_path / "checkpoint.npz")
    TransferTrial(context, point | {"dropout": 0.1, "label_smoothing": 0.2}).run_epoch()
    resumed = TransferTrial(context, point)
    resumed.restore(tmp_path / "checkpoint.npz")
    for metrics in unbroken[2:]:
        found = resumed.run_epoch()
        for name in ("epoch", "loss", "validation_loss", "best_accuracy", "best_epoch"):
            assert found[name] == pytest.approx(metrics[name], rel=1e-5)


def test_a_trial_may_have_a_preprocessing_of_its_own(context, tmp_path):
    point = FINE_TUNE | {"preprocessing": "imagenet", "width": 32, "pooling": "average"}
    trial = TransferTrial(context, point)
    own = [trial.run_epoch() for _ in range(2)]
    other = dataclasses.replace(context, preprocessing="imagenet")
    theirs, _ = losses(other, {k: v for k, v in point.items() if k != "preprocessing"})
    np.testing.assert_allclose([metrics["loss"] for metrics in own], theirs, rtol=1e-6)
    rescaled, _ = losses(context, point | {"preprocessing": "rescale"})
    assert abs(rescaled[0] - theirs[0]) > 1e-3

    # What is exported is the whole network, with this preprocessing.
    validation = context.dataset.validation
    model, _ = export(context, point, trial.best.weights, tmp_path)
    trial = TransferTrial(context, point)
    for _ in range(own[-1]["best_epoch"]):
        trial.run_epoch()
    wanted = trial.probabilities(validation)
    np.testing.assert_allclose(probabilities(model, validation.pictures), wanted, atol=1e-4)
    hidden = [layer for layer in model._flatten_layers() if layer.name == "dense"]
    assert hidden[0].units == 32


def test_another_seed_is_another_trial(context, tmp_path):
    """As in confirmation runs: `dataclasses.replace(context, seed=…)`."""
    context = dataclasses.replace(context, cache=FeatureCache(tmp_path, "float32"))
    point = FINE_TUNE | {"width": 32}
    curves = {}
    for seed in (0, 1, 0):
        curves.setdefault(seed, []).append(
            losses(dataclasses.replace(context, seed=seed), point)[0]
        )
    np.testing.assert_allclose(curves[0][0], curves[0][1], rtol=1e-5)
    assert abs(curves[0][0][0] - curves[1][0][0]) > 1e-4
    assert len(list((tmp_path / "heads").glob("*.npz"))) == 2


@pytest.mark.parametrize("kind", ["context", "context_of_three"])
def test_mixup_changes_the_training_and_compiles_once(kind, request, traces):
    context = request.getfixturevalue(kind)
    networks.forget()
    found = {alpha: losses(context, MIXED | {"mixup": alpha, "batch_size": 8}) for alpha in (0.0,)}
    seen = len(traces)
    for alpha in (0.2, 0.4):
        found[alpha] = losses(context, MIXED | {"mixup": alpha, "batch_size": 8})
    assert len(traces) == seen
    assert len({values[0][0] for values in found.values()}) == 3
    # Without a share nothing is blended: as if the lever were not there.
    networks.forget()
    plain = {name: value for name, value in MIXED.items() if name != "mixup"}
    without, weights = losses(context, plain | {"batch_size": 8})
    np.testing.assert_allclose(found[0.0][0], without, rtol=1e-5)
    for one, other in zip(found[0.0][1], weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_metrics_say_what_a_trial_costs(context):
    trial = TransferTrial(context, BOTTLENECK | {"width": 32})
    metrics = [trial.run_epoch() for _ in range(3)]
    assert [each["epoch"] for each in metrics] == [1, 2, 3]
    assert metrics[0]["parameters"] == 512 * 32 + 32 + 32 + 1
    seconds = sorted(each["seconds"] for each in metrics)
    assert metrics[-1]["epoch_seconds"] == pytest.approx(seconds[1])
    best = metrics[metrics[-1]["best_epoch"] - 1]
    assert metrics[-1]["best_loss"] == best["validation_loss"]
