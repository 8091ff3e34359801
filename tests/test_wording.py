"""Configurations of every space as a reader likes to see them."""

import pytest

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from tuning.wording import in_words, label


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_the_articles_experiments_read_alike_in_both_spaces(experiment):
    article = in_words(experiment.hyperparameters(20))
    assert in_words(experiment.hyperparameters(20, "full")) == article


@pytest.mark.parametrize(
    ("point", "phrase"),
    [
        (
            {"regularization": "decay", "weight_decay": 0.03, "width": 64, "pooling": "average"},
            "weight decay 0.03, a head of 64 units, average pooling",
        ),
        (
            {"unfrozen": 2, "optimizer": "adam", "batch_size": 8, "label_smoothing": 0.1},
            "no penalty, Adam, batches of 8, label smoothing 0.1",
        ),
        ({"unfrozen": 2, "optimizer": "rmsprop"}, "no penalty, RMSprop"),
        ({"preprocessing": "imagenet"}, "no penalty, preprocessing imagenet"),
        ({"network": "convnet", "width": 256}, "no penalty, a head of 256 units"),
    ],
)
def test_what_is_not_as_in_the_article_is_named(point, phrase):
    assert in_words(levers.complete(point, 20, space="full")).endswith(f", {phrase}")


def test_all_values_of_a_foreign_model_are_named():
    values = {"epochs": 5, "layers": 2, "optimizer/rate": 1e-5, "norm": True, "network": "resnet"}
    assert in_words(values) == "layers 2, optimizer/rate 1e-5, norm yes, network resnet"
    assert in_words({"batch_size": 8}) == "batch_size 8"


def test_every_lever_has_a_label():
    point = levers.complete({"regularization": "decay", "unfrozen": 1}, 20, space="full")
    labels = [label(name) for name in point]
    assert len(set(labels)) == len(labels)
    assert "Units of the head" in labels
    assert all("_" not in each for each in labels)
