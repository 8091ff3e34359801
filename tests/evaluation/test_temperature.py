"""One temperature makes probabilities mean what they say."""

import keras
import numpy as np
import pytest

from models import head, network
from tuning.evaluation import scores, temperature


def drawn(number, classes, sharper, seed=0):
    """Probabilities of an honest model made surer by a factor, and labels drawn by the honest."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (number, classes))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([generator.choice(classes, p=row) for row in honest])
    return temperature.apply(honest, 1 / sharper), labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_it_finds_by_how_much_a_model_is_too_sure(classes, sharper):
    said, labels = drawn(4000, classes, sharper)
    found = temperature.fit(said, labels)
    assert found == pytest.approx(sharper, rel=0.1)
    names = [str(each) for each in range(classes)]
    before, after = (
        scores.measure(each, labels, names) for each in (said, temperature.apply(said, found))
    )
    assert after["accuracy"] == before["accuracy"]
    assert after["calibration"]["error"] < 0.03
    if sharper != 1:
        assert after["loss"] < before["loss"] - 0.02


def test_of_few_pictures_or_where_it_helps_nothing_it_is_one():
    said, labels = drawn(4000, 2, 3.0)
    assert temperature.better(said[:49], labels[:49]) == 1
    assert temperature.better(said, labels) == pytest.approx(3, rel=0.1)


def test_who_is_always_right_does_not_become_infinitely_sure():
    said = np.tile([[0.2, 0.8]], (100, 1))
    found = temperature.apply(said, temperature.fit(said, np.ones(100, int)))
    assert 0.95 < found[0, 1] < 0.995


@pytest.mark.parametrize("classes", [2, 3])
def test_it_goes_into_the_last_layers_weights(classes):
    inputs = keras.Input((4, 4, 3))
    top = head.head((4, 4, 3), classes, pooling="average", width=8, dropout=0.0)
    model = keras.Model(inputs, top(inputs))
    pictures = np.random.default_rng(0).normal(0, 3, (16, 4, 4, 3)).astype("float32")

    def said():
        found = model.predict(pictures, verbose=0)
        return np.concatenate([1 - found, found], 1) if classes == 2 else found

    before = said()
    assert network.temper(model, 2.5)
    np.testing.assert_allclose(said(), temperature.apply(before, 2.5), atol=1e-5)


def test_a_model_that_ends_otherwise_stays_as_it_is():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(2)(inputs)))
    weights = [each.copy() for each in model.get_weights()]
    assert not network.temper(model, 2.5)
    assert all(map(np.array_equal, weights, model.get_weights()))
