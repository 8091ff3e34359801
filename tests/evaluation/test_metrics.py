"""Metrics are scikit-learn's, and which one a search goes by depends on its pictures."""

import numpy as np
import pytest
from sklearn import metrics as theirs

from tuning.errors import UserError
from tuning.evaluation import metrics


def drawn(classes, seed, pictures=200):
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, pictures)])
    strength = random.normal(0, 1, (len(labels), classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.exp(strength).round(1)  # with ties
    return probabilities / probabilities.sum(1, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_they_are_scikit_learns(classes, seed):
    said, labels = drawn(classes, seed)
    predicted = said.argmax(1)
    wanted = {
        "accuracy": theirs.accuracy_score(labels, predicted),
        "balanced_accuracy": theirs.balanced_accuracy_score(labels, predicted),
        "macro_f1": theirs.f1_score(labels, predicted, average="macro"),
        "log_loss": np.exp(-theirs.log_loss(labels, said)),
        "auc": theirs.roc_auc_score(
            labels, said[:, 1] if classes == 2 else said, multi_class="ovr"
        ),
        "recall:b": theirs.recall_score(labels == 1, predicted == 1),
    }
    assert set(wanted) - {"recall:b"} == set(metrics.NAMES)
    for name, value in wanted.items():
        assert metrics.score(name, said, labels, "abcdefg"[:classes]) == pytest.approx(
            value, abs=1e-9
        ), name


@pytest.mark.parametrize("name", [*metrics.NAMES, "recall:a"])
def test_the_better_the_higher(name):
    labels = np.array([0, 0, 0, 1])
    good = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    assert metrics.score(name, good, labels, "ab") > metrics.score(
        name, good[:, ::-1], labels, "ab"
    )


def test_always_the_commonest_class_is_no_balanced_accuracy():
    labels = np.array([0] * 95 + [1] * 5)
    always = np.tile([0.9, 0.1], (100, 1))
    assert metrics.score("accuracy", always, labels, "ab") == 0.95
    assert metrics.score("balanced_accuracy", always, labels, "ab") == 0.5
    assert metrics.score("auc", always, labels, "ab") == 0.5


def test_a_class_without_pictures_is_left_out():
    labels, said = np.array([0, 0, 2]), np.eye(3)[[0, 2, 2]]
    assert metrics.score("balanced_accuracy", said, labels, "abc") == 0.75
    assert metrics.score("auc", np.full((3, 2), 0.5), np.zeros(3, int), "ab") == 0.5


@pytest.mark.parametrize(
    ("asked", "counts", "found"),
    [
        (None, [100, 149], "accuracy"),
        (None, [100, 150], "balanced_accuracy"),
        (None, [4, 2, 3], "balanced_accuracy"),
        ("accuracy", [1, 99], "accuracy"),
        ("recall:dogs", [50, 50], "recall:dogs"),
    ],
)
def test_what_a_search_goes_by(asked, counts, found):
    classes = ["cats", "dogs", "emus"][: len(counts)]
    assert metrics.choose(asked, classes, counts) == found


def test_a_class_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match="--metric recall:cows: the classes are cats, dogs"):
        metrics.choose("recall:cows", ["cats", "dogs"], [1, 1])
