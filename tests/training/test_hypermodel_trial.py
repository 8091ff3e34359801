"""Any KerasTuner HyperModel: a trial has the levers' face, its faults are one line each."""

import dataclasses
import json
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest

from search_spaces.constraints import ConstraintError, check_constraints, parse_constraints
from search_spaces.points import complete
from tuning.data import dataset
from tuning.errors import UserError
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.records.event_log import EventLog
from tuning.scheduling.space import HyperModelSpace
from tuning.training import hypermodel_trial
from tuning.training.context import NamedHyperModel, TrialContext
from tuning.training.hypermodel import backbone_of, load
from tuning.training.source import Source
from tuning.training.trial import TrialError, score

pytestmark = pytest.mark.slow

optuna.logging.set_verbosity(optuna.logging.WARNING)
ROOT = Path(__file__).resolve().parents[2]
# What a user may have: in the styles of KerasTuner's guides.
MODULE = '''
import keras
import keras_tuner

class Small(keras_tuner.HyperModel):
    """Layers by number, a condition, every way to say a loss."""

    def __init__(self, input_shape, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.input_shape, self.num_classes = input_shape, num_classes

    def build(self, hp):
        x = inputs = keras.Input(self.input_shape)
        x = keras.layers.Rescaling(1 / 255)(x)
        for index in range(hp.Int("layers", 1, 2)):
            units = hp.Int(f"units_{index}", 4, 8, step=4)
            x = keras.layers.Conv2D(units, 3, strides=2, activation="relu")(x)
        if hp.Boolean("norm", default=True):
            x = keras.layers.BatchNormalization()(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.2))(x)
        loss = hp.Choice("loss", ["sparse", "categorical", "logits", "binary"])
        hp.Choice("batch_size", [8, 16])
        with hp.name_scope("optimizer"):
            kind = hp.Choice("kind", ["adam", "sgd"])
            rate = hp.Float("rate", 1e-3, 1e-1, sampling="log", default=1e-2)
        optimizer = keras.optimizers.get({"class_name": kind, "config": {"learning_rate": rate}})
        units = 1 if loss == "binary" else self.num_classes
        activation = {"logits": None, "binary": "sigmoid"}.get(loss, "softmax")
        x = keras.layers.Dense(units, activation=activation)(x)
        model = keras.Model(inputs, x)
        model.compile(optimizer, {
            "sparse": "sparse_categorical_crossentropy",
            "categorical": keras.losses.categorical_crossentropy,
            "logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "binary": "binary_crossentropy",
        }[loss], metrics=["accuracy"] if loss != "categorical" else [])
        return model

def build(hp):
    return Small((32, 32, 3), 2).build(hp)

class OwnFit(Small):
    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", [8, 16]), **kwargs)

class Broken(keras_tuner.HyperModel):
    def build(self, hp):
        raise RuntimeError("two\\nlines")

class Bare(keras_tuner.HyperModel):
    def build(self, hp):
        return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])

class Wide(Bare):
    def build(self, hp):
        model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(7)])
        model.compile(loss="mse")
        return model

class Needy(Small):
    def __init__(self, input_shape, num_classes, secret):
        super().__init__(input_shape, num_classes)

ready = Small((32, 32, 3), 2)
number = 3
'''


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "users_models.py").write_text(MODULE)
    (folder / "wrong_models.py").write_text("import nowhere_to_be_found")
    return str(folder)


@pytest.fixture(scope="module")
def context(photos, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(24, 10))
    return TrialContext(data, FeatureCache(cache), ())


@pytest.fixture
def small(module, context):
    return load(NamedHyperModel("users_models:Small", module), context.dataset)


def point(small, **values):
    return complete(hypermodel_trial.declare(small, 3), values)


@pytest.mark.parametrize("loss", ["sparse", "categorical", "logits", "binary"])
def test_a_trial_trains_and_its_whole_model_says_the_same(context, small, loss, tmp_path):
    values = point(small, loss=loss, layers=2, dropout=0.0)
    trial = hypermodel_trial.HyperModelTrial(context, values, small)
    metrics = [trial.run_epoch() for _ in range(4)]
    validation = context.dataset.validation
    found = trial.probabilities(validation)
    assert found.shape == (len(validation), 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert [each["epoch"] for each in metrics] == [1, 2, 3, 4]
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert 0 <= metrics[-1]["accuracy"] <= 1
    assert metrics[-1]["parameters"] == sum(np.prod(w.shape) for w in trial.model.trainable_weights)
    best = metrics[metrics[-1]["best_epoch"] - 1]
    assert trial.best.accuracy == best["validation_accuracy"] == metrics[-1]["best_accuracy"]

    hypermodel_trial.whole(small, values, trial.best.weights, context.dataset).save(
        tmp_path / "model.keras"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    said = loaded.predict(np.asarray(validation.pictures), verbose=0)
    said = np.concatenate([1 - said, said], axis=1) if said.shape[1] == 1 else said
    loss, accuracy = score(said, validation.labels)
    assert accuracy == best["validation_accuracy"]
    assert loss == pytest.approx(best["validation_loss"], rel=1e-3)
    assert len(loaded.predict(np.zeros((1, 50, 70, 3), "uint8"), verbose=0)) == 1


def test_trains_as_fit_does(context, small):
    """Two epochs of Keras' own `fit` from the same weights, in the same order."""
    values = point(small, dropout=0.0)
    trial = hypermodel_trial.HyperModelTrial(context, values, small)
    start = trial.weights
    ours = [trial.run_epoch()["loss"] for _ in range(2)]
    own = small.build(hypermodel_trial.to_hyperparameters(values))
    own.set_weights(start)
    train = context.dataset.train
    for epoch in range(2):
        rows = np.random.default_rng((0, epoch)).permutation(len(train))
        pictures = np.asarray(train.pictures, "float32")[rows]
        history = own.fit(pictures, train.labels[rows], batch_size=8, shuffle=False, verbose=0)
        assert ours[epoch] == pytest.approx(history.history["loss"][0], rel=1e-4)


def test_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(context, small, tmp_path):
    values = point(small, dropout=0.5, layers=2)
    whole = hypermodel_trial.HyperModelTrial(context, values, small)
    unbroken = [whole.run_epoch() for _ in range(4)]
    begun = hypermodel_trial.HyperModelTrial(context, values, small)
    for _ in range(2):
        begun.run_epoch()
    begun.save(tmp_path / "checkpoint.npz")
    other = dataclasses.replace(context, seed=3)
    assert (
        hypermodel_trial.HyperModelTrial(other, values, small).run_epoch()["loss"]
        != unbroken[0]["loss"]
    )
    resumed = hypermodel_trial.HyperModelTrial(context, values, small)
    resumed.restore(tmp_path / "checkpoint.npz")
    for metrics in unbroken[2:]:
        found = resumed.run_epoch()
        for name in ("epoch", "loss", "validation_loss", "best_accuracy", "best_epoch"):
            assert found[name] == pytest.approx(metrics[name], rel=1e-4)
    for one, two in zip(resumed.best.weights, whole.best.weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_optuna_searches_it(small):
    constraints = parse_constraints(["layers=2", "optimizer/rate=1e-3:1e-2", "loss=sparse,binary"])
    check_constraints(hypermodel_trial.declare(small, 5), constraints)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    propose = HyperModelSpace(small, 5, constraints)
    for _ in range(6):
        trial = study.ask()
        values = propose(trial)
        assert values == {"epochs": 5, "layers": 2, **trial.params}
        assert {"units_0", "units_1", "optimizer/kind"} < set(values)
        assert constraints.allows(values)
        assert json.loads(json.dumps(values)) == values
        study.tell(trial, 0.5)
    with pytest.raises(ConstraintError, match=r"no hyperparameter unist_1; did you mean units_1"):
        check_constraints(hypermodel_trial.declare(small, 5), parse_constraints(["unist_1=4"]))


def test_a_class_an_instance_and_a_function_will_do(module, context):
    for name in ("Small", "ready", "build"):
        model = load(NamedHyperModel(f"users_models:{name}", module), context.dataset)
        hypermodel_trial.check(model, context.dataset)
        assert point(model)["units_0"] == 4
    xception = load(
        NamedHyperModel("keras_tuner.applications:HyperXception", module), context.dataset
    )
    assert xception.input_shape == (32, 32, 3)
    assert xception.classes == 2


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("users_models", "is not of the form package.module:Name"),
        ("no_such_module:Small", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("wrong_models:Small", "No module named 'nowhere_to_be_found'"),
        ("users_models:Smal", "has no attribute 'Smal'"),
        ("users_models:number", "is int, but must be a keras_tuner.HyperModel"),
        ("users_models:Needy", "cannot be made: TypeError: .*secret"),
        ("users_models:OwnFit", "has a `fit` of its own, which is not supported: ask for what"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(module, context, spec, says):
    with pytest.raises(UserError, match=says) as caught:
        load(NamedHyperModel(spec, module), context.dataset)
    assert "\n" not in str(caught.value)
    assert spec in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Broken", "the model cannot be built: RuntimeError: two lines"),
        ("Bare", "returns a model that is not compiled"),
        ("Wide", r"output for a 32 x 32 picture has the shape \(7,\), but there are 2 classes"),
    ],
)
def test_what_is_no_classifier_is_said_in_one_line(module, context, name, says):
    model = load(NamedHyperModel(f"users_models:{name}", module), context.dataset)
    with pytest.raises(UserError, match=says) as caught:
        hypermodel_trial.check(model, context.dataset)
    assert "\n" not in str(caught.value)
    # In a search such a point is proposed, and the trial fails.
    values = hypermodel_trial.declare(model, 3)(hypermodel_trial.to_hyperparameters({}))
    with pytest.raises(TrialError, match=says):
        hypermodel_trial.HyperModelTrial(context, values, model)


def test_a_trial_that_diverges_says_so(context, small):
    trial = hypermodel_trial.HyperModelTrial(
        context, point(small) | {"optimizer/rate": 1e30}, small
    )
    with pytest.raises(TrialError, match=r"loss of epoch \d is (nan|inf)"):
        any(trial.run_epoch() is None for _ in range(4))


def test_more_classes_than_two(three_classes, cache, module):
    data = dataset.load(three_classes, cache=cache, image_size=32)
    context = TrialContext(data, FeatureCache(cache), ())
    small = load(NamedHyperModel("users_models:Small", module), data)
    for loss in ("sparse", "categorical", "logits"):
        trial = hypermodel_trial.HyperModelTrial(context, point(small, loss=loss), small)
        assert np.isfinite(trial.run_epoch()["validation_loss"])
        assert trial.probabilities(data.validation).shape == (len(data.validation), 3)
    with pytest.raises(TrialError, match=r"has the shape \(1,\), but there are 3 classes"):
        hypermodel_trial.HyperModelTrial(context, point(small, loss="binary"), small)


MANY = """
import json, os, resource, sys
from pathlib import Path
from tuning.process.backend import follow

follow(os.environ.get("KERAS_BACKEND", "tensorflow"))
from search_spaces.points import complete
from tuning.data import dataset
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.records.event_log import EventLog
from tuning.training import hypermodel_trial
from tuning.training.context import NamedHyperModel, TrialContext
from tuning.training.source import Source
from tuning.training.hypermodel import backbone_of, load

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

photos, cache, module = map(Path, sys.argv[1:])
data = dataset.load(photos, cache=cache, image_size=32, per_class=(8, 8))
context = TrialContext(data, FeatureCache(cache), ())
small = load(NamedHyperModel("users_models:Small", str(module)), data)
declared, sizes = hypermodel_trial.declare(small, 1), []
for number in range(16):
    values = complete(declared, {"layers": 1 + number % 2, "norm": number % 3 == 0})
    hypermodel_trial.HyperModelTrial(context, values, small).run_epoch()
    sizes.append(resident())
print(json.dumps(sizes))
"""


@pytest.mark.soak
def test_memory_does_not_grow_from_trial_to_trial(photos, cache, module):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MANY), str(photos), str(cache), module],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout.splitlines()[-1])
    assert sizes[-1] < 1.1 * sizes[5], [size // 2**20 for size in sizes]


def test_models_of_features_read_them_from_the_cache_and_are_taken_home_whole(
    photos, cache, tmp_path
):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(12, 6))
    tests = str(ROOT / "tests")
    source = Source("network", "users_networks:network", "own", tests)
    named = NamedHyperModel("users_networks:OnFeatures", tests)
    assert backbone_of(named) == "users_networks:network"
    events = EventLog(tmp_path / "cache.jsonl")
    features = FeatureCache(tmp_path, "float32", events=events)
    context = TrialContext(data, features, (source,), hypermodel=named)
    shape = context.backbone.shape(context.backbone.top)
    model = load(named, data, shape)
    values = complete(hypermodel_trial.declare(model, 2), {"units": 8})
    trial = hypermodel_trial.HyperModelTrial(context, values)
    for _ in range(2):
        trial.run_epoch()
    built = [each["split"] for each in events.read() if each["event"] == "build"]
    assert sorted(built) == ["train", "validation"]
    prefix = context.backbone.section("picture", context.backbone.top)
    pictures = np.asarray(data.validation.pictures)
    wanted = trial.model.predict(prefix.predict(pictures, verbose=0), verbose=0)
    said = trial.probabilities(data.validation)
    np.testing.assert_allclose(said, wanted, atol=1e-5)
    whole, _ = export(context, values, trial.weights, tmp_path / "best")
    np.testing.assert_allclose(whole.predict(pictures, verbose=0), said, atol=1e-4)


def test_a_backbone_that_is_no_name_is_said_in_a_line():
    with pytest.raises(UserError, match="its attribute `backbone` is int, but must be text"):
        backbone_of(NamedHyperModel("users_networks:OnNothing", str(ROOT / "tests")))
