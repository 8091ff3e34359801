"""The space of levers: every point is whole, in range, and holds nothing that does not matter."""

import json
import random

import keras_tuner
import pytest

from search_spaces import levers

ALWAYS = {"network", "augmentation", "dropout", "regularization", "head_rate"}
FIXED = {"epochs": 20, "batch_size": 16}  # in space `article`


def sampled(seed, epochs=20, **space):
    """A point that KerasTuner itself draws."""
    rng = random.Random(seed)
    hp = keras_tuner.HyperParameters()
    # A first pass declares what there is; values that are drawn make other conditions active.
    levers.declare(hp, epochs, **space)
    for one in hp.space:
        hp.values[one.name] = one.random_sample(rng.randrange(2**31))
    hp.ensure_active_values()
    return levers.declare(hp, epochs, **space)


POINTS = [sampled(seed) for seed in range(400)]
FULL = [sampled(seed, space="full") for seed in range(400)]
LEVERS = [sampled(seed, space="levers") for seed in range(400)]


def expected(point):
    names = ALWAYS | set(FIXED)
    names |= {penalty for penalty in ("l1", "l2") if point["regularization"] in (penalty, "both")}
    if point["network"] == "vgg16":
        names |= {"unfrozen"}
        if point["unfrozen"]:
            names |= {"fine_tune_rate", "head_epochs"}
    return names


def test_points_hold_what_matters_and_no_more():
    for point in POINTS:
        assert set(point) == expected(point), point
        assert point.items() >= FIXED.items()
        assert json.loads(json.dumps(point)) == point


def test_points_are_in_range():
    ranges = {
        "dropout": (0, 0.8),
        "head_rate": (1e-5, 1e-2),
        "fine_tune_rate": (1e-6, 1e-3),
        "l1": (1e-7, 1e-3),
        "l2": (1e-6, 1e-2),
        "unfrozen": (0, 13),
    }
    for point in POINTS:
        assert point["network"] in ("vgg16", "convnet")
        assert point["augmentation"] in levers.AUGMENTATIONS
        assert point["regularization"] in levers.REGULARIZATIONS
        assert round(point["dropout"] * 20) == pytest.approx(point["dropout"] * 20)
        assert point.get("head_epochs", 20) in (2, 4, 10, 20)
        for name, (low, high) in ranges.items():
            assert low <= point.get(name, low) <= high, (name, point)
        if "unfrozen" in point:
            assert isinstance(point["unfrozen"], int)


def test_every_kind_of_point_occurs():
    for name, values in [
        ("network", ("vgg16", "convnet")),
        ("augmentation", levers.AUGMENTATIONS),
        ("regularization", levers.REGULARIZATIONS),
        ("unfrozen", range(14)),
        ("head_epochs", (2, 4, 10, 20)),
    ]:
        assert {point[name] for point in POINTS if name in point} == set(values)


def test_augmentations_are_the_policies_there_are():
    from models.augmentation import POLICIES

    assert {*levers.AUGMENTATIONS, *levers.AUGMENTATIONS_TODAY} < set(POLICIES)
    assert set(levers.augmentations("full")) == set(POLICIES)


def test_completes_a_point_with_defaults():
    assert levers.complete({}, 20) == {
        "network": "vgg16",
        "augmentation": "none",
        "dropout": 0.5,
        "regularization": "none",
        "head_rate": 1e-3,
        "unfrozen": 0,
        **FIXED,
    }


def test_a_value_brings_what_depends_on_it():
    point = levers.complete({"regularization": "both", "unfrozen": 2}, 20)
    assert point["l1"] == 1e-7
    assert point["l2"] == 1e-6
    assert point["fine_tune_rate"] == 1e-4
    assert point["head_epochs"] == 20
    assert levers.complete({"regularization": "l1"}, 20).keys() & {"l1", "l2"} == {"l1"}
    assert levers.complete({"regularization": "l2"}, 20).keys() & {"l1", "l2"} == {"l2"}


def test_completing_keeps_what_was_given():
    for point in POINTS:
        assert levers.complete(point, 20) == point


def test_completing_drops_what_does_not_matter():
    point = levers.complete({"network": "convnet", "unfrozen": 3, "l1": 1e-5}, 20)
    assert set(point) == ALWAYS | set(FIXED)


@pytest.mark.parametrize(
    ("epochs", "shares"),
    [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (20, [2, 4, 10, 20]), (50, [5, 10, 25, 50])],
)
def test_heads_train_for_few_different_times(epochs, shares):
    assert levers._shares(epochs) == shares
    assert levers.complete({"unfrozen": 1}, epochs)["head_epochs"] == epochs


def on_todays_recipe(point):
    """The names of a point of the other spaces."""
    names = expected(point) | {"label_smoothing", *levers.RECIPE}
    if point["network"] == "vgg16":
        names |= {"pooling", "preprocessing"}
        if point["unfrozen"]:
            names |= {"layer_decay"}
    return names


def test_points_on_todays_recipe_hold_what_matters_and_no_more():
    for point in LEVERS:
        assert set(point) == on_todays_recipe(point), point
        assert point.items() >= levers.RECIPE.items()
        assert json.loads(json.dumps(point)) == point
        assert levers.complete(point, 20, space="levers") == point
    for point in FULL:
        convnet = {"mixup"} if point["network"] == "convnet" else set()
        assert set(point) == on_todays_recipe(point) | {"width"} | convnet, point
        assert json.loads(json.dumps(point)) == point
        assert levers.complete(point, 20, space="full") == point


@pytest.mark.parametrize(
    ("space", "points"), [("article", POINTS), ("levers", LEVERS), ("full", FULL)]
)
def test_every_space_has_its_augmentations(space, points):
    assert {point["augmentation"] for point in points} == set(levers.augmentations(space))


def test_every_point_of_the_levers_is_one_of_the_full_space():
    for point in LEVERS:
        more = {"mixup": 0.0} if point["network"] == "convnet" else {}
        assert levers.complete(point, 20, space="full") == point | {"width": 256} | more


def test_preprocessing_is_what_the_weights_were_trained_with_but_in_the_full_space():
    assert {point["preprocessing"] for point in LEVERS if "unfrozen" in point} == {"imagenet"}
    assert not any("preprocessing" in point for point in POINTS)


def test_the_levers_may_do_without_the_small_convnet():
    points = [sampled(seed, space="levers", convnet=False) for seed in range(40)]
    assert {point["network"] for point in points} == {"vgg16"}


def test_every_kind_of_full_point_occurs():
    for name, values in [
        ("network", ("vgg16", "convnet")),
        ("batch_size", levers.BATCH_SIZES),
        ("width", levers.WIDTHS),
        ("pooling", (*levers.POOLINGS, "flatten")),
        ("preprocessing", levers.PREPROCESSINGS),
        ("optimizer", levers.OPTIMIZERS),
        ("mixup", levers.MIXUPS),
    ]:
        assert {point[name] for point in FULL if name in point} == set(values)
    assert {round(point["label_smoothing"], 9) for point in FULL} == {0, 0.05, 0.1, 0.15, 0.2}
    assert all(1e-4 <= point["weight_decay"] <= 1 for point in FULL)


def test_the_names_are_those_that_the_networks_know():
    from models import head, vgg16
    from models.preprocessing import PREPROCESSINGS
    from tuning.training import networks

    assert set(levers.PREPROCESSINGS) == set(PREPROCESSINGS)
    assert {*levers.POOLINGS, "flatten"} == set(head.POOLINGS)
    assert tuple(networks.SCHEDULED) == levers.OPTIMIZERS
    assert {"vgg16": len(vgg16.CONVS)} == levers.ARTICLES
    assert levers.RECIPE["optimizer"] in levers.OPTIMIZERS


@pytest.mark.parametrize("space", levers.SPACES)
def test_nothing_may_be_unfrozen(space):
    for seed in range(20):
        assert sampled(seed, space=space, depths={"vgg16": 0}).get("unfrozen", 0) == 0
    point = levers.complete({}, 20, depths={"vgg16": 0}, space=space)
    assert not {"fine_tune_rate", "layer_decay", "head_epochs"} & point.keys()
