"""The article's three experiments, to the digit."""

import pytest

from search_spaces.experiments import EXPERIMENTS, NAMES

ARTICLE = {
    # RMSprop's own rate, as compile(optimizer='rmsprop') takes it.
    "convnet": {
        "network": "convnet",
        "augmentation": "article",
        "dropout": 0.5,
        "regularization": "none",
        "head_rate": 1e-3,
        "epochs": 50,
        "batch_size": 16,
    },
    "bottleneck": {
        "network": "vgg16",
        "augmentation": "none",
        "dropout": 0.5,
        "regularization": "none",
        "head_rate": 1e-3,
        "unfrozen": 0,
        "epochs": 50,
        "batch_size": 16,
    },
    # SGD(lr=1e-4, momentum=0.9) on block 5, from experiment 2's head of 50 epochs.
    "fine_tune": {
        "network": "vgg16",
        "augmentation": "article",
        "dropout": 0.5,
        "regularization": "none",
        "head_rate": 1e-3,
        "unfrozen": 3,
        "fine_tune_rate": 1e-4,
        "head_epochs": 50,
        "epochs": 50,
        "batch_size": 16,
    },
}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=NAMES)
def test_is_the_articles(experiment):
    assert experiment.hyperparameters(50) == ARTICLE[experiment.name]


def test_there_are_three():
    assert NAMES == ("convnet", "bottleneck", "fine_tune")
    # The best epochs of the printed runs, see shared/facts.md.
    assert [e.article_accuracy for e in EXPERIMENTS] == [0.810, 0.91, 0.941]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 8, 20, 50])
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=NAMES)
def test_shorter_ones_are_still_the_same(experiment, epochs):
    short = experiment.hyperparameters(epochs)
    assert short == ARTICLE[experiment.name] | {
        name: epochs for name in ("epochs", "head_epochs") if name in short
    }


def test_asking_changes_nothing():
    experiment = EXPERIMENTS[2]
    before = dict(experiment.point)
    experiment.hyperparameters(7)["unfrozen"] = 5
    assert experiment.point == before
