"""Today's recipe as one optimizer: what it computes, whatever it was compiled for."""

import math

import keras
import numpy as np
import pytest

from models.optimizer import scheduled

STEPS = 24
RULES = [keras.optimizers.Adam, keras.optimizers.RMSprop, keras.optimizers.SGD]


def network(seed=0):
    draw = np.random.default_rng(seed)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.set_weights([draw.normal(0, 0.5, v.shape).astype(np.float32) for v in model.weights])
    return model


def data():
    draw = np.random.default_rng(1)
    x = draw.normal(size=(STEPS * 4, 5)).astype(np.float32)
    return x, (x[:, :1] * x[:, 1:2] > 0).astype(np.float32)


def train(rule, **settings):
    """The trained network and its optimizer, after one epoch of `STEPS` steps."""
    model, optimizer = network(), scheduled(rule)()
    model.compile(optimizer=optimizer, loss="binary_crossentropy")
    optimizer.build(model.trainable_variables)
    optimizer.restart(**{"peak": 0.01, "warmup": 0.25, "steps": STEPS} | settings)
    x, y = data()
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    return model, optimizer


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(each)) for each in variables]


class Plan(keras.optimizers.schedules.LearningRateSchedule):
    """The same, as Keras' users write it."""

    def __call__(self, step):
        done = keras.ops.cast(step, "float32")
        rise = keras.ops.minimum((done + 1) / (0.25 * STEPS), 1.0)
        return 0.01 * rise * 0.5 * (1 + keras.ops.cos(math.pi * done / STEPS))

    def get_config(self):
        return {}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_it_updates_as_keras_own_optimizers_with_a_schedule(rule):
    ours, _ = train(rule, clip=0.3)
    model = network()
    model.compile(rule(Plan(), global_clipnorm=0.3), "binary_crossentropy")
    model.fit(*data(), batch_size=4, shuffle=False, verbose=0)
    for found, wanted in zip(ours.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_kernels_decay_as_adamw_s():
    ours, _ = train(keras.optimizers.Adam, decay=0.5)
    model = network()
    adamw = keras.optimizers.AdamW(Plan(), weight_decay=0.5)
    adamw.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) == 1])
    model.compile(adamw, "binary_crossentropy")
    model.fit(*data(), batch_size=4, shuffle=False, verbose=0)
    for found, wanted in zip(ours.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_factor_is_one_of_the_rate(rule):
    before = network().get_weights()
    still, _ = train(rule, factors=[0, 0, 1, 1], decay=0.5)
    after = still.get_weights()
    for number in range(4):
        assert np.array_equal(before[number], after[number]) == (number < 2)
    whole, _ = train(rule, factors=[0.5] * 4)
    half, _ = train(rule, peak=0.005)
    for found, wanted in zip(whole.get_weights(), half.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_averages_follow_the_weights_and_forget_where_they_began():
    model, optimizer = train(keras.optimizers.SGD, average=0.0)
    for found, wanted in zip(values(optimizer.averages), model.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    before = network().get_weights()
    model, optimizer = train(keras.optimizers.SGD, average=0.9, peak=0.5)
    for start, mean, end in zip(
        before, values(optimizer.averages), model.get_weights(), strict=True
    ):
        # On the way, and most of it is done.
        assert np.abs(mean - end).mean() < 0.5 * np.abs(start - end).mean()
        assert not np.allclose(mean, end)


def test_what_was_trained_before_leaves_no_trace():
    first, _ = train(keras.optimizers.Adam, clip=1.0, decay=0.1, average=0.9)
    model, optimizer = train(keras.optimizers.Adam, peak=1.0)
    model.set_weights(network().get_weights())
    settings = {"peak": 0.01, "warmup": 0.25, "steps": STEPS}
    optimizer.restart(**settings, clip=1.0, decay=0.1, average=0.9)
    model.fit(*data(), batch_size=4, shuffle=False, verbose=0)
    for found, wanted in zip(model.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
