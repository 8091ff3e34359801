"""The small convnet and the classifier on top: sizes, penalties, dropout, seeds."""

import keras
import numpy as np
import pytest

from models import backbones, network
from models.convnet import convnet
from models.head import head

BOTTLENECK = (4, 4, 512)  # block5_pool of the article's 150 x 150 pictures


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def some(*shape):
    return np.random.default_rng(0).uniform(0, 1, shape).astype("f4")


def small_head(**levers):
    return head((2, 2, 8), 2, width=16, **levers)


def small_convnet(**levers):
    return convnet(32, 2, width=16, **levers)


def test_the_convnet_is_the_articles():
    model = convnet(150, 2)
    convolutions = (9 * 3 + 1) * 32 + (9 * 32 + 1) * 32 + (9 * 32 + 1) * 64
    # 150 - 2 = 148, 74 - 2 = 72, 36 - 2 = 34: 17 x 17 behind the third pooling.
    dense = (17 * 17 * 64 + 1) * 64 + (64 + 1)
    assert model.count_params() == convolutions + dense == 1_212_513
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "MaxPooling2D"]
    classifier = ["Flatten", "Dense", "Dropout", "Dense"]
    assert kinds == ["InputLayer", "Rescaling", *block, *block, *block, *classifier]
    assert model.get_layer("dropout").rate == 0.5


def test_the_head_is_the_articles():
    model = head(BOTTLENECK, 2)
    assert model.count_params() == (4 * 4 * 512 + 1) * 256 + 257 == 2_097_665
    assert model.get_layer("dropout").rate == 0.5


def test_average_pooling_leaves_the_channels():
    model = head(BOTTLENECK, 2, pooling="average")
    assert model.count_params() == (512 + 1) * 256 + 257
    with pytest.raises(ValueError, match="`pooling` is 'max', but must be one of"):
        head(BOTTLENECK, 2, pooling="max")


def test_fine_tuning_trains_what_the_article_trains():
    point = {"network": "vgg16", "unfrozen": 3, "dropout": 0.5}
    backbone = backbones.load("vgg16", 150, "random", "rescale")
    trained = network.trainable(point, image_size=150, classes=2, backbone=backbone)
    assert sum(np.prod(w.shape) for w in trained.trainable_weights) == 9_177_089
    whole = network.whole(point, trained, image_size=150, backbone=backbone)
    assert whole.count_params() == 16_812_353
    assert sum(np.prod(w.shape) for w in whole.trainable_weights) == 9_177_089


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize(
    ("make", "shape"), [(head, (2, 2, 8)), (convnet, 32)], ids=["head", "convnet"]
)
def test_probabilities(make, shape, classes):
    model = make(shape, classes, width=16)
    found = values(model(some(3, *(shape if make is head else (32, 32, 3)))))
    if classes == 2:
        assert found.shape == (3, 1)
        assert ((found > 0) & (found < 1)).all()
    else:
        assert found.shape == (3, classes)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("make", [small_head, small_convnet])
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (1e-3, 0.0), (0.0, 1e-2), (1e-3, 1e-2)])
def test_penalties_are_losses(make, l1, l2):
    model = make(l1=l1, l2=l2)
    kernels = [values(model.get_layer(name).kernel) for name in ("dense", "probability")]
    wanted = [l1 * np.abs(k).sum() + l2 * np.square(k).sum() for k in kernels if l1 or l2]
    np.testing.assert_allclose([float(loss) for loss in model.losses], wanted, rtol=1e-5)


def test_dropout_works_in_training_alone():
    model, features = small_head(dropout=0.5), some(64, 2, 2, 8)
    told = values(model(features))
    np.testing.assert_array_equal(values(model(features, training=False)), told)
    first, second = (values(model(features, training=True)) for _ in range(2))
    assert not np.allclose(first, told)
    assert not np.allclose(first, second)
    off = small_head(dropout=0.0)
    np.testing.assert_array_equal(values(off(features, training=True)), values(off(features)))


def test_dropout_drops_its_share():
    model = head((1, 1, 8), 2, width=4096, dropout=0.8)
    hidden = keras.Model(model.input, model.get_layer("dropout").output)
    features = some(1, 1, 1, 8)
    on = values(hidden(features)) > 0
    dropped = values(hidden(features, training=True)) == 0
    assert on.sum() > 1000
    assert dropped[on].mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("make", [small_head, small_convnet])
def test_a_seed_fixes_weights_and_dropout(make):
    first, again, other = make(seed=3), make(seed=3), make(seed=4)
    x = some(16, *first.input_shape[1:])
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(values(first(x, training=True)), values(again(x, training=True)))
    changed = [
        not np.array_equal(a, b)
        for a, b in zip(first.get_weights(), other.get_weights(), strict=True)
        if a.ndim > 1
    ]
    assert all(changed)
