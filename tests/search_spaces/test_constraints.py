"""`--set`: what is pinned or narrowed stays so; what is not there is said at once."""

import warnings

import keras_tuner
import optuna
import pytest
from optuna.samplers import RandomSampler, TPESampler

from search_spaces import levers, points
from search_spaces.constraints import ConstraintError, check_constraints, parse_constraints
from search_spaces.experiments import EXPERIMENTS
from search_spaces.optuna_bridge import OptunaHyperParameters, asked

optuna.logging.set_verbosity(optuna.logging.WARNING)
CONVNET, BOTTLENECK, FINE_TUNE = (each.hyperparameters(20) for each in EXPERIMENTS)


def article(hp):
    return levers.declare(hp, 20)


def full(hp):
    return levers.declare(hp, 20, space="full")


def studied(space, *texts, trials=60, sampler=None, enqueue=()):
    """What `space` returned in each trial, and the trials."""
    constraints = parse_constraints(texts)
    check_constraints(space, constraints)
    study = optuna.create_study(sampler=sampler or RandomSampler(seed=0))
    for point in enqueue:
        study.enqueue_trial(point)
    found = []
    for _ in range(trials):
        trial = study.ask()
        found.append(space(OptunaHyperParameters(trial, constraints)))
        study.tell(trial, len(found) % 5)
    return found, study.trials


def layered(hp):
    """Names that depend on a number, and one name under two conditions."""
    values = {"layers": hp.Int("layers", 1, 4)}
    for index in range(values["layers"]):
        values[f"units_{index}"] = hp.Int(f"units_{index}", 8, 64, step=8)
    values["kind"] = hp.Choice("kind", ["small", "large"])
    with hp.conditional_scope("kind", ["small"]):
        values["size"] = hp.Int("size", 1, 10)
    with hp.conditional_scope("kind", ["large"]):
        values["size"] = hp.Int("size", 100, 200) or values["size"]
    values["bias"] = hp.Boolean("bias")
    values["pool"] = hp.Choice("pool", ["1:2", "2:2"])
    return values


def test_what_is_pinned_is_not_asked_for():
    found, trials = studied(
        article, "dropout=0.35", "network=vgg16", "unfrozen=3", "l1=1e-5", "augmentation=flip"
    )
    for values, trial in zip(found, trials, strict=True):
        assert values["dropout"] == 0.35
        assert values["network"] == "vgg16"
        assert values["unfrozen"] == 3
        assert values.get("l1", 1e-5) == 1e-5
        assert set(trial.params) <= {
            *("regularization", "l2", "head_rate", "fine_tune_rate", "head_epochs")
        }
    assert {values["regularization"] for values in found} == set(levers.REGULARIZATIONS)


def test_ranges_and_values_are_kept_to():
    found, trials = studied(
        article,
        *("dropout=0.12:0.32", "unfrozen=2:", "augmentation=none, flip", "head_rate=1e-4:1e-3"),
        *("head_epochs=2,20", "fine_tune_rate=:1e-5"),
        trials=200,
    )
    assert {round(values["dropout"], 9) for values in found} == {0.15, 0.2, 0.25, 0.3}
    assert {values["unfrozen"] for values in found if "unfrozen" in values} == {*range(2, 14)}
    assert {values["augmentation"] for values in found} == {"none", "flip"}
    assert {values["head_epochs"] for values in found if "head_epochs" in values} == {2, 20}
    for values, trial in zip(found, trials, strict=True):
        assert 1e-4 <= values["head_rate"] <= 1e-3
        assert 1e-6 <= values.get("fine_tune_rate", 1e-6) <= 1e-5
        assert trial.params.items() <= values.items()


def test_one_value_that_is_left_is_not_asked_for():
    _, trials = studied(article, "dropout=0.79:0.8", "unfrozen=6:6", "head_epochs=20")
    assert not any({"dropout", "unfrozen", "head_epochs"} & set(trial.params) for trial in trials)


@pytest.mark.parametrize("sampler", [RandomSampler, TPESampler])
def test_every_kind_can_be_narrowed(sampler):
    def space(hp):
        return {
            "whole": hp.Int("whole", -3, 12, step=3),
            "log": hp.Int("log", 1, 1000, sampling="log"),
            "mirrored": hp.Int("mirrored", 1, 100, sampling="reverse_log"),
            "momentum": hp.Float("momentum", 0.9, 0.999, sampling="reverse_log"),
            "powers": hp.Int("powers", 2, 64, step=2, sampling="log"),
            "batch": hp.Choice("batch", [8, 16, 32, 64]),
            "on": hp.Boolean("on"),
            "switch": hp.Choice("switch", [True, False]),
        }

    found, _ = studied(
        space,
        *("whole=-1:7", "log=10:20", "mirrored=90:95", "momentum=0.95:0.96", "powers=3:20"),
        *("batch=9:40", "on=true", "switch=false"),
        trials=100,
        sampler=sampler(seed=1),
    )
    assert {values["whole"] for values in found} == {0, 3, 6}
    assert {values["log"] for values in found} <= set(range(10, 21))
    assert {values["mirrored"] for values in found} <= set(range(90, 96))
    assert all(0.95 <= values["momentum"] <= 0.96 for values in found)
    assert {values["powers"] for values in found} == {4, 8, 16}
    assert {values["batch"] for values in found} == {16, 32}
    assert all(values["on"] is True and values["switch"] == 0 for values in found)


def test_what_only_some_branches_have():
    found, _ = studied(layered, "units_3=16:24", "kind=small", "size=4", "pool=1:2", "bias=false")
    assert {values["units_3"] for values in found if "units_3" in values} == {16, 24}
    assert all(values["size"] == 4 and values["pool"] == "1:2" for values in found)
    assert len({values["units_0"] for values in found}) == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dropuot=0.5", "there is no hyperparameter dropuot; did you mean dropout?"),
        ("x=1", "there is no hyperparameter x; there are network, augmentation, dropout, "),
        ("dropout=0.9", "dropout is a number from 0 to 0.8 in steps of 0.05, not 0.9"),
        ("dropout=0.33", "in steps of 0.05, not 0.33"),
        ("dropout=high", "dropout is a number from 0 to 0.8 in steps of 0.05, not high"),
        ("dropout=0.2:0.9", "in steps of 0.05, not 0.9"),
        ("dropout=0.12:0.13", "in steps of 0.05, not 0.12:0.13"),
        ("dropout=nan", "not nan"),
        ("unfrozen=2.5", "unfrozen is a whole number from 0 to 13, not 2.5"),
        ("unfrozen=true", "unfrozen is a whole number from 0 to 13, not true"),
        ("unfrozen=-1:3", "unfrozen is a whole number from 0 to 13, not -1"),
        ("unfrozen=1,2,19", "unfrozen is a whole number from 0 to 13, not 19"),
        ("head_rate=1", "head_rate is a number from 1e-05 to 0.01, not 1"),
        ("augmentation=none,flop", "one of none, flip, article, medium, strong, not flop"),
        ("augmentation=0:1", "one of none, flip, article, medium, strong, not 0"),
        ("head_epochs=3", "head_epochs is one of 2, 4, 10, 20, not 3"),
        ("epochs=30", "epochs is 20, not 30"),
        ("batch_size=32", "batch_size is 16, not 32"),
        ("dropout", "not of the form NAME=VALUE"),
        ("=0.5", "not of the form NAME=VALUE"),
        ("dropout=", "a value is missing"),
        ("augmentation=none,,flip", "a value is missing"),
        ("unfrozen=4:0", "unfrozen=4:0: 4 is above 0"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(text, says):
    with pytest.raises(ConstraintError) as caught:
        check_constraints(article, parse_constraints([text]))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert text.split("=")[0] in str(caught.value)


def test_names_are_found_wherever_they_are_asked_for():
    check_constraints(layered, parse_constraints(["units_3=8", "size=150", "kind=large"]))
    with pytest.raises(ConstraintError, match=r"no hyperparameter units_9; did you mean units_\d"):
        check_constraints(layered, parse_constraints(["units_9=8"]))
    with pytest.raises(ConstraintError, match="size is a whole number from 1 to 10 or a whole"):
        check_constraints(layered, parse_constraints(["size=50"]))
    # One of the two kinds would have no size at all.
    with pytest.raises(
        ConstraintError, match="size is a whole number from 1 to 10 where kind is sm"
    ):
        check_constraints(layered, parse_constraints(["size=150"]))


def test_of_two_on_one_name_the_later_counts():
    texts = ["dropout=0.5", "unfrozen=0:4", "augmentation=none,flip", "on=true"]
    assert parse_constraints(["dropout=0.1", "dropout=0.5"]) == parse_constraints(["dropout=0.5"])
    assert not parse_constraints([]).by_name
    assert parse_constraints(texts).fixed == {"dropout": 0.5, "on": True}


def test_knows_which_points_lie_inside():
    assert parse_constraints(["dropout=0.5"]).allows(CONVNET)
    assert not parse_constraints(["dropout=0.2"]).allows(CONVNET)
    assert parse_constraints(["unfrozen=0:2"]).allows(BOTTLENECK)
    assert not parse_constraints(["unfrozen=0:2"]).allows(FINE_TUNE)
    assert parse_constraints(["unfrozen=0:2"]).allows(CONVNET)  # it has none
    assert not parse_constraints(["augmentation=none,flip"]).allows(CONVNET)
    assert parse_constraints(["dropout=0.15"]).allows({"dropout": 3 * 0.05})
    assert parse_constraints([]).allows(FINE_TUNE)


def test_an_enqueued_value_does_not_slip_through():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, which lets it pass
        with pytest.raises(
            ConstraintError, match="unfrozen=5: unfrozen is a whole number from 0 to"
        ):
            studied(article, "unfrozen=0:4", "network=vgg16", trials=1, enqueue=[{"unfrozen": 5}])
        with pytest.raises(ValueError, match="strong"):
            studied(article, "augmentation=none,flip", enqueue=[{"augmentation": "strong"}])
    found, _ = studied(article, "dropout=0.5", trials=1, enqueue=[{"dropout": 0.1}])
    assert found[0]["dropout"] == 0.5


def test_a_point_is_completed_inside():
    constraints = parse_constraints(
        ["dropout=0.1:0.3", "network=vgg16", "unfrozen=1:", "augmentation=flip"]
    )
    point = levers.complete({"regularization": "l1"}, 20, constraints=constraints)
    assert point == levers.complete(
        {"regularization": "l1", "dropout": 0.1, "unfrozen": 1, "augmentation": "flip"}, 20
    )
    assert constraints.allows(point)
    with pytest.raises(ConstraintError, match=r"dropout=0.5: dropout is a number from 0.1 to 0.3"):
        levers.complete({"dropout": 0.5}, 20, constraints=constraints)
    with pytest.raises(ConstraintError, match="network=convnet: network is vgg16"):
        levers.complete({"network": "convnet"}, 20, constraints=constraints)


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ({"droput": 0.5}, "no hyperparameter droput; did you mean dropout?"),
        ({"dropout": "0.5"}, "dropout=0.5: dropout is a number"),
        ({"dropout": None}, "dropout=None: dropout is a number"),
        ({"dropout": [0.5]}, "dropout is a number"),
        ({"unfrozen": 17}, "unfrozen=17: unfrozen is a whole number from 0 to 13"),
        ({"unfrozen": 3.0}, "unfrozen=3: unfrozen is a whole number"),
        ({"unfrozen": True}, "unfrozen=true: unfrozen is a whole number"),
        ({"epochs": 5}, "epochs=5: epochs is 20"),
        ({"augmentation": "flop"}, "augmentation=flop: augmentation is one of none, flip"),
        ({"optimizer": "adam"}, "no hyperparameter optimizer"),
    ],
)
def test_a_point_that_is_not_there_is_refused(point, says):
    with pytest.raises(ConstraintError, match=says.replace("?", r"\?")):
        levers.complete(point, 20)


@pytest.mark.parametrize("space", [article, full, layered])
def test_a_point_becomes_the_parameters_of_a_trial(space):
    """What one search found is a trial of a narrower one, with its distributions."""
    wide = optuna.create_study(sampler=RandomSampler(seed=3))
    texts = ["kind=large"] if space is layered else ["augmentation=none,flip", "dropout=0.1:0.6"]
    constraints = parse_constraints(texts)
    narrow = optuna.create_study(sampler=TPESampler(seed=0, n_startup_trials=3))
    taken = []
    for _ in range(40):
        trial = wide.ask()
        hp = OptunaHyperParameters(trial)
        values = space(hp)
        assert asked(space, hp.values)[0] == trial.params
        if constraints.allows(hp.values):
            params, distributions = asked(space, hp.values, constraints)
            narrow.add_trial(
                optuna.create_trial(params=params, distributions=distributions, value=1.0)
            )
            taken.append(params)
            replayed = OptunaHyperParameters(optuna.trial.FixedTrial(params), constraints)
            assert space(replayed) == values
            narrow.enqueue_trial(params)
            again = narrow.ask()
            assert space(OptunaHyperParameters(again, constraints)) == values
            narrow.tell(again, 0.5)
    assert len(taken) > 3
    for _ in range(10):
        trial = narrow.ask()
        assert constraints.allows(space(OptunaHyperParameters(trial, constraints)))
        narrow.tell(trial, 0.1)


def test_completes_a_point_of_any_space():
    values = points.complete(layered, {"layers": 2, "units_1": 16, "kind": "large"})
    assert values["units_1"] == 16
    assert values["size"] == 100
    with pytest.raises(ConstraintError, match=r"no hyperparameter units_3; did you mean units_\d"):
        points.complete(layered, {"layers": 2, "units_3": 16})
    hp = keras_tuner.HyperParameters()
    hp.values.update(layers=2, units_1=16, kind="large")
    assert layered(hp) == values
