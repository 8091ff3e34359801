"""Configurations of every space as a reader likes to see them."""

import pytest

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from tuning.wording import in_words, label


@pytest.mark.parametrize(
    ("point", "phrase"),
    [
        ({"width": 64, "pooling": "flatten"}, "a head of 64 units, flatten pooling"),
        (
            {"unfrozen": 2, "optimizer": "sgd", "batch_size": 8, "label_smoothing": 0.1},
            "SGD, batches of 8, label smoothing 0.1, rates falling by 0.8 a layer",
        ),
        ({"preprocessing": "rescale", "optimizer": "rmsprop"}, "preprocessing rescale, RMSprop"),
        ({"network": "convnet", "width": 32}, "a head of 32 units"),
        ({"network": "convnet", "width": 64, "mixup": 0.2}, "a head of 64 units, mixup 0.2"),
    ],
)
def test_what_is_not_as_on_todays_recipe_is_named(point, phrase):
    said = in_words(levers.complete(point, 20, space="full"))
    assert said.endswith(f", no penalty, today's recipe, {phrase}")


def test_what_is_as_usual_is_not_named():
    for experiment in EXPERIMENTS:
        assert in_words(experiment.hyperparameters(20)).endswith(", dropout 0.5, no penalty")
    assert in_words(levers.complete({}, 20, space="levers")).endswith(", today's recipe")


def test_a_run_of_the_first_full_space_can_be_read():
    point = {"network": "vgg16", "unfrozen": 2, "optimizer": "adam", "regularization": "decay"}
    assert in_words(point | {"weight_decay": 0.03, "pooling": "average"}) == (
        "VGG16, 2 conv layers unfrozen, weight decay 0.03, average pooling, Adam"
    )


def test_all_values_of_a_foreign_model_are_named():
    values = {"epochs": 5, "layers": 2, "optimizer/rate": 1e-5, "norm": True, "network": "resnet"}
    assert in_words(values) == "layers 2, optimizer/rate 1e-5, norm yes, network resnet"
    assert in_words({"batch_size": 8}) == "batch_size 8"


def test_every_lever_has_a_label():
    point = levers.complete({"regularization": "both", "unfrozen": 1}, 20, space="full")
    labels = [label(name) for name in point]
    assert len(set(labels)) == len(labels)
    assert "Units of the head" in labels
    assert all("_" not in each for each in labels)
