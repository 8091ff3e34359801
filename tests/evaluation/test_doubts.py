"""Doubtful labels and learning curves, on features with known answers."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from tuning.evaluation import doubts
from tuning.evaluation.frozen_head import fit, out_of_fold
from tuning.evaluation.learning import learning_curve, next_gain


def features(pictures, classes=2, seed=0, apart=4.0, channels=64):
    """Classes about so many standard deviations apart, among channels that say nothing."""
    random = np.random.default_rng(seed)
    labels = np.arange(pictures) % classes
    middles = np.zeros((classes, channels))
    middles[:, :classes] = apart / np.sqrt(2) * np.eye(classes)
    return (random.normal(0, 1, (pictures, channels)) + middles[labels]).astype("float32"), labels


def folds(labels):
    return list(StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels))


@pytest.mark.parametrize("pictures", [200, 2000])  # of 200 the head could memorise all
@pytest.mark.parametrize("classes", [2, 5])
def test_most_of_the_labels_that_were_flipped_are_the_most_doubtful(pictures, classes):
    random = np.random.default_rng(1)
    known, labels = features(pictures, classes, apart=6.0, channels=512)
    flipped = random.choice(pictures, round(0.03 * pictures), replace=False)
    given = labels.copy()
    given[flipped] = (given[flipped] + random.integers(1, classes, len(flipped))) % classes
    said = out_of_fold(known, given, classes, folds(given))
    order = np.argsort(doubts.margins(said, given))
    first = order[: round(0.05 * pictures)]
    assert np.isin(flipped, first).mean() >= 0.6
    if pictures == 2000:
        suggested = doubts.confident_classes(said, given)
        assert (suggested[flipped] == labels[flipped]).mean() >= 0.6
        assert (suggested != given).mean() < 0.06
    # By heads that were shown the picture, few of them would be.
    memorised = fit(known, given, classes)(known)
    seen = np.argsort(doubts.margins(memorised, given))[: len(first)]
    assert np.isin(flipped, seen).mean() <= np.isin(flipped, first).mean() + 0.1


def test_a_class_is_as_probable_as_it_is_for_its_own_pictures():
    said = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.55, 0.45]])
    labels = np.array([0, 0, 1, 1])
    # The thresholds are 0.8 and 0.425. Only the last comes to one of them but by its label's, and
    # is counted to its own class though another is more probable.
    assert doubts.confident_classes(said, labels).tolist() == [0, 0, 1, 1]
    # 0.45 and 0.2 now: the second pair is counted to the class that it seems.
    turned = np.array([[0.2, 0.8], [0.7, 0.3], [0.6, 0.4], [1.0, 0.0]])
    assert doubts.confident_classes(turned, labels).tolist() == [1, 0, 0, 0]
    assert doubts.margins(said, labels).tolist() == pytest.approx([0.8, 0.4, -0.2, -0.1])


def test_a_class_that_was_not_shown_has_no_probability():
    known, labels = features(90, 3)
    said = fit(known[labels < 2], labels[labels < 2], 3)(known)
    assert said[:, 2].max() == 0
    assert fit(known[labels == 1], labels[labels == 1], 3)(known).tolist() == [[0, 1, 0]] * 90
    assert said.sum(axis=1) == pytest.approx(1)


def test_a_learning_curve_rises_where_pictures_help_and_is_flat_where_they_do_not():
    hard, flat = (features(2800, 2, 2, apart, 300) for apart in (2.0, 12.0))
    found = {}
    for name, (known, labels) in (("hard", hard), ("flat", flat)):
        train, validation = (known[:2000], labels[:2000]), (known[2000:], labels[2000:])
        found[name] = learning_curve(train, validation, ("a", "b"))
    assert found["hard"]["pictures"] == [250, 500, 1000, 2000]
    assert [len(each) for each in found["hard"]["scores"]] == [3, 3, 3, 1]
    means = [np.mean(each) for each in found["hard"]["scores"]]
    assert means == sorted(means)
    assert found["hard"]["gain"] > 0
    low, high = found["hard"]["gain_interval"]
    assert low <= found["hard"]["gain"] <= high
    assert found["flat"]["gain"] == pytest.approx(0, abs=0.002)


def test_of_few_pictures_there_is_no_curve():
    known, labels = features(60)
    assert learning_curve((known, labels), (known, labels), ("a", "b")) is None


def test_what_is_foretold_is_no_more_than_the_last_doubling_gained():
    sizes = [100, 200, 400, 800]
    power = [1 - 0.4 * 2.0**-each for each in range(4)]  # half of it with each doubling
    assert next_gain(sizes, power, 10_000) == pytest.approx(0.025)
    assert next_gain(sizes, [0.8, 0.9, 0.95, 0.951], 10_000) == pytest.approx(0.001)
    assert next_gain(sizes, [0.9, 0.9, 0.9, 0.89], 10_000) < 0
    assert next_gain(sizes, [1.0, 1.0, 1.0, 1.0], 10_000) == pytest.approx(0)
