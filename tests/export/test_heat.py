"""Heat maps show what a network went by."""

import keras
import numpy as np
import pytest

from models import network
from models.head import head
from models.units import FEATURES
from tuning.export.heat import HeatMaps

SIZE = 48
POINT = {"network": "convnet", "dropout": 0.5}


def convnet(classes):
    trained = network.trainable(POINT, image_size=SIZE, classes=classes, seed=1)
    return network.whole(POINT, trained, image_size=SIZE)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_heat_is_what_each_place_adds_to_the_logit(classes, picture):
    model = convnet(classes)
    said = model.predict_on_batch(picture[None])
    features = keras.Model(model.inputs, model.get_layer(FEATURES).output)
    taken = np.asarray(features.predict_on_batch(picture[None]))[0]
    dense, bias, last, _ = model.layers[-1].get_weights()
    # By hand: through the units that are not cut off, to the logit.
    open_units = taken.ravel() @ dense + bias > 0
    for label in range(classes):
        column = last[:, 0] * (1 if label else -1) if classes == 2 else last[:, label]
        gradient = (dense * open_units @ column).reshape(taken.shape)
        spoken = np.maximum((gradient * taken).sum(axis=-1), 0)
        heat = HeatMaps(model).heat(picture, label)
        np.testing.assert_allclose(heat, spoken / spoken.max(), atol=1e-4)
    np.testing.assert_array_equal(model.predict_on_batch(picture[None]), said)


def test_a_sure_network_and_its_dropout_change_nothing(picture):
    """Where probabilities are 0 and 1 in float32 they have no gradient left; logits have."""
    model = convnet(2)
    before = HeatMaps(model).heat(picture, 1)
    network.temper(model, 1e-6)
    assert model.predict_on_batch(picture[None])[0, 0] in (0, 1)
    np.testing.assert_allclose(HeatMaps(model).heat(picture, 1), before, atol=1e-4)


def test_what_is_seen_in_a_corner_is_hot_there():
    """A network that answers by what is red: a red square is where the heat is."""
    inputs = keras.Input((None, None, 3))
    pixels = keras.layers.Resizing(SIZE, SIZE)(inputs)
    red = keras.layers.Conv2D(2, 4, strides=4, use_bias=False, activation="relu")
    x = keras.layers.Identity(name=FEATURES)(red(pixels))
    top = head(x.shape[1:], 2, pooling="average", width=1, dropout=0.0)
    model = keras.Model(inputs, top(x))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[:, :, 0], kernel[:, :, 1:] = 1, -1
    red.set_weights([kernel])
    top.set_weights([np.ones((2, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[32:, :16] = (255, 0, 0)
    maps = HeatMaps(model)
    heat = maps.heat(picture, 1)
    assert (heat[8:, :4] == 1).all()
    assert heat.sum() == 16
    assert not maps.heat(picture, 0).any()  # nothing speaks against red
    drawn = maps.drawn(picture, 1).astype(int)
    assert drawn.shape == picture.shape
    assert drawn[40, 8, 1] > drawn[8, 40, 1] + 60  # yellow there, blue elsewhere
    assert drawn[8, 40, 2] > drawn[40, 8, 2] + 30


def test_where_it_cannot_be_known_nothing_is_drawn():
    assert HeatMaps.can(convnet(2))
    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(inputs)
    assert not HeatMaps.can(keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(flat)))
    named = keras.layers.Identity(name=FEATURES)(flat)
    assert not HeatMaps.can(keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(named)))
    places = keras.layers.Identity(name=FEATURES)(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(places)
    assert not HeatMaps.can(keras.Model(inputs, keras.layers.Dense(1)(pooled)))
