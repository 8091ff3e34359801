"""Pictures and labels blended in pairs."""

import keras
import numpy as np
import pytest

from models.adjustable import AdjustableDropout
from models.mixup import Mixup, accuracy, draw

LABELS = np.array([0, 1, 1, 0, 1, 0, 0])


def drawn(alpha, classes=2, order=(6, 2, 0, 5, 1), batch_size=2, labels=LABELS):
    random = np.random.default_rng(3)
    return draw(alpha, labels, classes, np.array(order), batch_size, random)


def test_labels_are_blended_as_their_pictures_are():
    shares, labels = drawn(0.4)
    assert shares.shape == labels.shape == (7, 1)
    assert shares.dtype == labels.dtype == np.float32
    pairs = {6: 2, 2: 6, 0: 5, 5: 0, 1: 1}  # the last batch has one picture
    for row, partner in pairs.items():
        share = shares[row, 0]
        assert 0 <= share <= 1
        assert labels[row, 0] == pytest.approx(share * LABELS[row] + (1 - share) * LABELS[partner])
    for row in (3, 4):  # which are not of this epoch
        assert shares[row, 0] == 1
        assert labels[row, 0] == LABELS[row]


def test_partners_are_those_of_the_layer():
    shares, _ = drawn(0.4, batch_size=3, order=(6, 2, 0, 5))
    pictures = np.arange(7.0, dtype="float32").reshape(7, 1, 1, 1)
    batch = np.array([6, 2, 0])
    found = np.asarray(Mixup()([pictures[batch], shares[batch]])).ravel()
    given = shares[batch, 0]
    np.testing.assert_allclose(found, given * [6, 2, 0] + (1 - given) * [0, 2, 6], rtol=1e-5)


def test_without_alpha_nothing_is_blended():
    shares, labels = drawn(0.0)
    assert (shares == 1).all()
    np.testing.assert_array_equal(labels[:, 0], LABELS)
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 3, 3, 3)).astype("float32")
    np.testing.assert_array_equal(np.asarray(Mixup()([pictures, shares[:2]])), pictures)


def test_shares_are_of_the_beta_distribution():
    labels = np.zeros(20_000, int)
    shares, _ = drawn(0.2, order=np.arange(20_000), batch_size=32, labels=labels)
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.01)


def test_more_classes_have_a_share_each():
    _, labels = drawn(0.4, classes=3, labels=np.array([0, 1, 2, 0, 1, 2, 0]))
    assert labels.shape == (7, 3)
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
    assert labels[6, 0] + labels[6, 2] == pytest.approx(1)


@pytest.mark.parametrize("units", [1, 3])
def test_loss_and_accuracy_take_shares(units):
    random = np.random.default_rng(1)
    truth = random.dirichlet(np.ones(3), 5).astype("float32")
    said = random.dirichlet(np.ones(3), 5).astype("float32")
    levers = AdjustableDropout(0, classes=max(2, units))
    levers.build((None, 4))
    if units == 1:
        truth, said = truth[:, :1], said[:, :1]
        wanted = -truth * np.log(said) - (1 - truth) * np.log(1 - said)
        right = (truth > 0.5) == (said > 0.5)
    else:
        wanted = -truth * np.log(said)
        right = truth.argmax(1)[:, None] == said.argmax(1)[:, None]
    found = keras.ops.convert_to_numpy(levers.cross_entropy(truth, said))
    np.testing.assert_allclose(found, wanted.sum(1), rtol=1e-5)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(accuracy(truth, said)), right[:, 0])
