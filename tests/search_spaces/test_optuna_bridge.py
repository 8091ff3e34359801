"""An Optuna study answers every kind of KerasTuner hyperparameter, with values KerasTuner knows."""

import warnings

import keras_tuner
import optuna
import pytest
from keras_tuner.engine import hyperparameters as kinds
from optuna.samplers import RandomSampler, TPESampler

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from search_spaces.optuna_bridge import OptunaHyperParameters, asked

optuna.logging.set_verbosity(optuna.logging.WARNING)

SAMPLERS = {
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=5),
    # As the search itself uses it.
    "grouped": lambda seed: TPESampler(
        seed=seed, n_startup_trials=5, multivariate=True, group=True, constant_liar=True
    ),
}
KINDS = {
    "words": lambda hp: hp.Choice("x", ["a", "b", "c"]),
    "numbers": lambda hp: hp.Choice("x", [8, 16, 64]),
    "unordered": lambda hp: hp.Choice("x", [8, 16, 64], ordered=False),
    "fractions": lambda hp: hp.Choice("x", [0.1, 0.25, 0.9]),
    "switches": lambda hp: hp.Choice("x", [True, False]),
    "single": lambda hp: hp.Choice("x", ["only"]),
    "boolean": lambda hp: hp.Boolean("x"),
    "int": lambda hp: hp.Int("x", 1, 6),
    "int_step": lambda hp: hp.Int("x", 6, 13, step=3),
    "int_log": lambda hp: hp.Int("x", 1, 1000, sampling="log"),
    "int_log_step": lambda hp: hp.Int("x", 2, 40, step=2, sampling="log"),
    "int_negative": lambda hp: hp.Int("x", -4, 3),
    "int_alone": lambda hp: hp.Int("x", 4, 4),
    "float": lambda hp: hp.Float("x", -1, 1),
    "float_step": lambda hp: hp.Float("x", 0.0, 0.8, step=0.05),
    "float_step_short": lambda hp: hp.Float("x", 0.0, 1.0, step=0.3),
    "float_log": lambda hp: hp.Float("x", 1e-6, 1e-2, sampling="log"),
    "float_log_step": lambda hp: hp.Float("x", 1e-3, 10, step=10, sampling="log"),
    "float_alone": lambda hp: hp.Float("x", 0.5, 0.5),
    "int_reverse": lambda hp: hp.Int("x", 1, 100, sampling="reverse_log"),
    "float_reverse": lambda hp: hp.Float("x", 0.9, 0.999, sampling="reverse_log"),
    "int_reverse_step": lambda hp: hp.Int("x", 1, 16, step=2, sampling="reverse_log"),
    "float_reverse_step": lambda hp: hp.Float("x", 0.5, 8.0, step=2, sampling="reverse_log"),
}
GRIDS = {
    "words": ["a", "b", "c"],
    "numbers": [8, 16, 64],
    "unordered": [8, 16, 64],
    "fractions": [0.1, 0.25, 0.9],
    "switches": [0, 1],  # KerasTuner makes numbers of them
    "single": ["only"],
    "boolean": [False, True],
    "int": [1, 2, 3, 4, 5, 6],
    "int_step": [6, 9, 12],
    "int_log_step": [2, 4, 8, 16, 32],
    "int_negative": list(range(-4, 4)),
    "int_alone": [4],
    "float_step": [n * 0.05 for n in range(17)],
    "float_step_short": [0.0, 0.3, 0.6, 0.9],
    "float_log_step": [1e-3, 1e-2, 1e-1, 1.0, 10.0],
    "float_alone": [0.5],
    "int_reverse_step": [1, 9, 13, 15, 16],
    "float_reverse_step": [0.5, 4.5, 6.5, 7.5, 8.0],
}
# What Optuna is asked, where it is not the value under its name.
MIRRORED = {"int_reverse": ("101 - x", 101), "float_reverse": ("1.899 - x", 1.899)}


def studied(declare, sampler="tpe", trials=40, seed=0, points=()):
    """What `declare` returned in each trial, and the study."""
    study = optuna.create_study(sampler=SAMPLERS[sampler](seed))
    for point in points:
        study.enqueue_trial(point)
    seen = []

    def objective(trial):
        hp = OptunaHyperParameters(trial)
        seen.append((declare(hp), hp))
        return len(seen) % 7

    study.optimize(objective, n_trials=trials)
    return seen, study


def plain(declare, values):
    """What KerasTuner's own HyperParameters make of these values."""
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return declare(hp)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_answered_within_its_range(kind, sampler):
    declare = KINDS[kind]
    seen, study = studied(declare, sampler)
    own = keras_tuner.HyperParameters()
    default = declare(own)
    (declared,) = own.space
    for (value, hp), trial in zip(seen, study.trials, strict=True):
        assert type(value) is type(default)
        assert hp.values == {"x": value}
        assert plain(declare, hp.values) == value
        if kind in MIRRORED:
            ((name, asked_for),) = trial.params.items()
            assert name == MIRRORED[kind][0]
            assert asked_for == pytest.approx(MIRRORED[kind][1] - value)
        else:
            assert trial.params == ({} if len(GRIDS.get(kind, "ab")) == 1 else {"x": value})
        if kind in GRIDS:
            assert any(value == pytest.approx(point) for point in GRIDS[kind])
        else:
            assert declared.min_value <= value <= declared.max_value
    if kind in GRIDS and sampler == "random" and len(GRIDS[kind]) < 10:
        assert sorted({value for value, _ in seen}) == same(GRIDS[kind])


def same(values):
    return values if isinstance(values[0], str) else pytest.approx(values)


@pytest.mark.parametrize("kind", GRIDS)
def test_grids_are_keras_tuners_own(kind):
    own = keras_tuner.HyperParameters()
    KINDS[kind](own)
    (declared,) = own.space
    assert sorted(declared.values) == same(GRIDS[kind])


VALUES = {"int_reverse": [1, 70, 100], "float_reverse": [0.9, 0.98, 0.999]}


@pytest.mark.parametrize("kind", [*GRIDS, *VALUES])
def test_enqueued_values_are_honoured(kind):
    values = (GRIDS | VALUES)[kind]
    points = [asked(KINDS[kind], {"x": value})[0] for value in values]
    seen, _ = studied(KINDS[kind], trials=len(points), points=points)
    assert [value for value, _ in seen] == same(values)


@pytest.mark.parametrize("kind", ["int_reverse", "float_reverse", "float_log", "int_log"])
def test_values_are_spread_as_keras_tuner_spreads_them(kind):
    seen, _ = studied(KINDS[kind], "random", trials=1000)
    (declared,) = seen[0][1].space
    shares = sorted(declared.value_to_prob(value) for value, _ in seen)
    for part in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert shares[int(part * len(shares))] == pytest.approx(part, abs=0.1)


def test_a_step_that_leaves_a_rest_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        studied(KINDS["int_step"], "random")
        seen, _ = studied(KINDS["float_step_short"], "random", trials=80)
        tenths, _ = studied(lambda hp: hp.Float("x", 0.0, 1.0, step=0.1), "random", trials=200)
    assert max(value for value, _ in seen) == pytest.approx(0.9)
    assert max(value for value, _ in tenths) == 1.0


@pytest.mark.parametrize("value", [16, 0.5, "adam", True])
def test_fixed_values_are_not_asked_for(value):
    seen, study = studied(lambda hp: hp.Fixed("x", value), trials=3)
    assert [found for found, _ in seen] == [value] * 3
    assert all(trial.params == {} for trial in study.trials)


def nested(hp):
    """A space with conditions, names within names, and one name for two ranges."""
    values = {"kind": hp.Choice("kind", ["small", "large"])}
    with hp.conditional_scope("kind", ["large"]):
        values["layers"] = hp.Int("layers", 1, 3)
        with hp.conditional_scope("layers", [2, 3]):
            values["skip"] = hp.Boolean("skip")
        values["units"] = hp.Int("units", 100, 200)
    with hp.conditional_scope("kind", ["small"]):
        values["units"] = hp.Int("units", 1, 10) or values["units"]
    with hp.name_scope("optimizer"):
        values["rate"] = hp.Float("rate", 1e-4, 1e-1, sampling="log")
        values["name"] = hp.Choice("name", ["sgd", "adam"])
        values["momentum"] = hp.Float(
            "momentum", 0.0, 1.0, parent_name="name", parent_values=["sgd"]
        )
    return values


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_conditions_and_scopes(sampler):
    seen, study = studied(nested, sampler, trials=60)
    for (values, hp), trial in zip(seen, study.trials, strict=True):
        names = {"kind", "units", "optimizer/rate", "optimizer/name"}
        if values["kind"] == "large":
            names |= {"layers"} | ({"skip"} if values["layers"] > 1 else set())
            assert 100 <= values["units"] <= 200
        else:
            assert values["layers"] is values["skip"] is None
            assert 1 <= values["units"] <= 10
        if values["name"] == "sgd":
            names |= {"optimizer/momentum"}
        else:
            assert values["momentum"] is None
        assert set(trial.params) == names
        assert hp.values == trial.params
        assert plain(nested, trial.params) == values
    assert {values["layers"] for values, _ in seen} == {None, 1, 2, 3}


def test_a_value_is_asked_for_once():
    def twice(hp):
        assert nested(hp) == nested(hp)

    _, study = studied(twice, "random", trials=10)
    assert len(study.trials) == 10


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_repeats_a_study(sampler):
    def points(seed):
        return [trial.params for trial in studied(nested, sampler, 25, seed)[1].trials]

    assert points(1) == points(1)
    assert points(1) != points(2)


def test_one_name_may_have_other_choices_under_other_conditions():
    def declare(hp):
        values = {"kind": hp.Choice("kind", ["bare", "small", "large"])}
        with hp.conditional_scope("kind", ["small"]):
            small = hp.Choice("units", [8, 16]), hp.Int("depth", 1, 2)
        with hp.conditional_scope("kind", ["large", "huge"]):
            large = hp.Choice("units", [128, 256]), hp.Float("depth", 0.5, 0.9)
        return values | dict(zip(("units", "depth"), small if any(small) else large, strict=True))

    seen, study = studied(declare, "grouped", trials=60)
    for (values, hp), trial in zip(seen, study.trials, strict=True):
        where = " (kind=large|huge)" if values["kind"] == "large" else ""
        names = {f"units{where}", f"depth{where}"} if values["kind"] != "bare" else set()
        assert set(trial.params) == {"kind"} | names
        assert hp.values == {name: value for name, value in values.items() if value is not None}
        assert plain(declare, hp.values) == values
        assert asked(declare, hp.values)[0] == trial.params
    assert {values["units"] for values, _ in seen} == {None, 8, 16, 128, 256}


def test_an_unknown_kind_is_named():
    class Strange(kinds.HyperParameter):
        pass

    with pytest.raises(ValueError, match="kind of 'x' is Strange, which is not known"):
        studied(lambda hp: hp._retrieve(Strange("x")), trials=1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_searches_the_levers(sampler):
    seen, study = studied(lambda hp: levers.declare(hp, 20), sampler, trials=60)
    for (values, _), trial in zip(seen, study.trials, strict=True):
        assert values == trial.params | {"epochs": 20, "batch_size": 16}
        assert levers.complete(values, 20) == values
    assert {values["network"] for values, _ in seen} == {"vgg16", "convnet"}


@pytest.mark.parametrize("epochs", [1, 8, 50])
def test_the_experiments_are_trials(epochs):
    points = [experiment.hyperparameters(epochs) for experiment in EXPERIMENTS]
    seen, _ = studied(lambda hp: levers.declare(hp, epochs), "grouped", 3, points=points)
    assert [values for values, _ in seen] == points
