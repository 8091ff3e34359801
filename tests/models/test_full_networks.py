"""Networks of space `full`: shapes of the head, smoothed losses, own preprocessing."""

import keras
import numpy as np
import pytest

from models import backbones, network
from models.adjustable import AdjustableDropout
from models.units import PICTURE

BACKBONE = backbones.load("vgg16", 64, "random", "rescale")
HEAD = {"network": "vgg16", "unfrozen": 0, "dropout": 0.0}


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def trained(model):
    return sum(np.prod(weight.shape) for weight in model.trainable_weights)


def built(point, **options):
    backbone = None if point["network"] == "convnet" else BACKBONE
    return network.trainable(point, image_size=64, classes=2, **{"backbone": backbone, **options})


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_smoothed_loss_is_kerass(classes, smoothing):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, (20, 1))
    layer = AdjustableDropout(0, classes)
    layer.restart(0, 0.0, 0.0, 0.0, smoothing)
    if classes == 2:
        said = generator.random((20, 1), np.float32)
        own = keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
        truth = labels.astype("float32")
    else:
        said = generator.dirichlet(np.ones(classes), 20).astype("float32")
        own = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        truth = np.eye(classes, dtype="float32")[labels[:, 0]]
    tensors = [keras.ops.convert_to_tensor(each) for each in (labels, said)]
    ours = values(layer.cross_entropy(*tensors))
    assert ours.shape == (20,)
    assert ours.mean() == pytest.approx(float(own(truth, said)), rel=1e-5)
    # Keras weighs pictures, by the class that each is of.
    weights = generator.random(classes).astype("float32")
    layer.restart(0, 0.0, 0.0, 0.0, smoothing, weights)
    weighed = float(own(truth, said, sample_weight=weights[labels[:, 0]]))
    assert values(layer.cross_entropy(*tensors)).mean() == pytest.approx(weighed, rel=1e-5)


@pytest.mark.parametrize("adjustable", [False, True])
def test_the_heads_shape(adjustable):
    side = 64 // 32
    flat = built(HEAD | {"width": 32}, adjustable=adjustable)
    assert trained(flat) == (side * side * 512 + 1) * 32 + 33
    pooled = built(HEAD | {"pooling": "average"}, adjustable=adjustable)
    assert trained(pooled) == (512 + 1) * 256 + 257
    small = built({"network": "convnet", "dropout": 0.0, "width": 128}, adjustable=adjustable)
    assert small.get_layer("dense").units == 128


def test_other_shapes_start_again_as_if_they_were_new():
    point = HEAD | {"width": 32, "pooling": "average", "unfrozen": 1}
    again = built(point, adjustable=True)
    network.restart(again, point | {"label_smoothing": 0.1}, BACKBONE, seed=5)
    fresh = built(point, seed=5)
    for one, other in zip(again.trainable_variables, fresh.trainable_variables, strict=True):
        np.testing.assert_array_equal(values(one), values(other))
    assert float(values(network.levers(again).smoothing)) == pytest.approx(0.1)


def test_where_frozen_layers_are_computed_again_they_stand_in_front_of_what_is_trained():
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    backbone = backbones.load("vgg16", 64, "random", "imagenet")
    trained = built(HEAD, backbone=backbone)
    prefix = backbone.section(PICTURE, backbone.top)
    wanted = values(trained(prefix(pictures)))
    whole = network.whole(HEAD, trained, image_size=64, backbone=backbone)
    np.testing.assert_allclose(values(whole(pictures)), wanted, atol=1e-5)
    recomputed = built(HEAD, backbone=backbone, start=PICTURE)
    recomputed.set_weights([*prefix.get_weights(), *trained.get_weights()])
    np.testing.assert_allclose(values(recomputed(pictures)), wanted, atol=1e-5)
