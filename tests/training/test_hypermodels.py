"""HyperModels that we did not write: KerasTuner's own, and in the style of its guides."""

import functools

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
from keras_tuner.applications import (
    HyperEfficientNet,
    HyperImageAugment,
    HyperResNet,
    HyperXception,
)
from keras_tuner.engine import hyperparameters as kinds
from optuna.samplers import TPESampler

from search_spaces.constraints import ConstraintError, check_constraints, parse_constraints
from search_spaces.optuna_bridge import OptunaHyperParameters, asked, to_hyperparameters
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.scheduling.space import HyperModelSpace
from tuning.training import hypermodel_trial
from tuning.training.context import NamedHyperModel, TrialContext
from tuning.training.hypermodel import load

optuna.logging.set_verbosity(optuna.logging.WARNING)
SHAPE = (32, 32, 3)


@pytest.fixture
def offline(monkeypatch):
    """EfficientNet without the ImageNet weights that it would download."""
    from keras_tuner.src.applications import efficientnet

    bare = {
        name: functools.partial(build, weights=None)
        for name, build in efficientnet.EFFICIENTNET_MODELS.items()
    }
    monkeypatch.setattr(efficientnet, "EFFICIENTNET_MODELS", bare)


def studied(build, texts, trials):
    """HyperParameters and model of each trial."""
    study = optuna.create_study(sampler=TPESampler(seed=0, n_startup_trials=2))
    for number in range(trials):
        trial = study.ask()
        hp = OptunaHyperParameters(trial, parse_constraints(texts))
        model = build(hp)
        study.tell(trial, number % 2)
        yield hp, model, trial.params


def is_keras_tuners(hp):
    """Every active value is one that KerasTuner itself could draw."""
    for one in hp.space:
        if not hp.is_active(one):
            continue
        value = hp.values[one.name]
        if isinstance(one, (kinds.Int, kinds.Float)):
            assert one.min_value <= value <= one.max_value
            if one.step is not None and one.sampling == "linear":
                steps = (value - one.min_value) / one.step
                assert steps == pytest.approx(round(steps))
            elif one.step is not None:
                assert any(value == pytest.approx(each) for each in one.values)
            assert isinstance(value, int if isinstance(one, kinds.Int) else float)
        else:
            assert value in one.values
            assert type(value) is type(one.default)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hypermodel", "texts", "names"),
    [
        (
            lambda: HyperXception(input_shape=SHAPE, classes=2),
            ["num_residual_blocks=2", "sep_num_filters=128:256"],
            {"activation", "kernel_size", "dropout_rate", "dense_use_bn", "learning_rate"},
        ),
        (
            lambda: HyperResNet(input_shape=SHAPE, classes=2),
            ["conv3_depth=4", "conv4_depth=6", "version=v1,v2"],
            {"version", "pooling", "optimizer", "learning_rate"},
        ),
        (
            lambda: HyperImageAugment(input_shape=SHAPE, augment_layers=0),
            [],
            {"factor_rotate", "factor_translate_x", "factor_translate_y", "factor_contrast"},
        ),
        (
            lambda: HyperImageAugment(input_shape=SHAPE, augment_layers=[1, 2], contrast=None),
            ["factor_rotate=0.1:0.2"],
            {"augment_layers", "factor_rotate", "factor_translate_x", "factor_translate_y"},
        ),
        (
            lambda: HyperEfficientNet(
                input_shape=SHAPE,
                classes=2,
                augmentation_model=HyperImageAugment(input_shape=SHAPE, augment_layers=0),
            ),
            ["version=B0"],
            {"pooling", "top_dropout_rate", "learning_rate", "factor_rotate"},
        ),
    ],
    ids=["xception", "resnet", "augment", "rand_augment", "efficientnet"],
)
def test_keras_tuners_applications(hypermodel, texts, names, offline):
    hypermodel = hypermodel()
    for hp, model, params in studied(hypermodel.build, texts, trials=2):
        is_keras_tuners(hp)
        assert names <= set(params)
        assert parse_constraints(texts).allows(hp.values)
        assert {name: hp.values[name] for name in params} == params
        again = to_hyperparameters(hp.values)
        assert hypermodel.build(again).count_params() == model.count_params()
        assert again.values == hp.values
        keras.backend.clear_session()


class Mlp(keras_tuner.HyperModel):
    """A model selection with conditions, scopes, and every kind of number."""

    def build(self, hp):
        inputs = keras.Input(SHAPE)
        kind = hp.Choice("model_type", ["mlp", "cnn"])
        with hp.conditional_scope("model_type", ["mlp"]):
            if kind == "mlp":
                x = keras.layers.Flatten()(inputs)
                for index in range(hp.Int("layers", 1, 3)):
                    with hp.name_scope(f"dense_{index}"):
                        x = keras.layers.Dense(
                            hp.Int("units", 4, 64, step=2, sampling="log"),
                            activation=hp.Choice("activation", ["relu", "tanh"]),
                        )(x)
        with hp.conditional_scope("model_type", ["cnn"]):
            if kind == "cnn":
                filters = hp.Int("filters", 4, 16, sampling="reverse_log")
                x = keras.layers.Conv2D(filters, 3)(inputs)
                x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dropout(hp.Float("rate", 0, 0.5, step=0.25))(x)
        if hp.Boolean("residual"):
            x = keras.layers.Dense(hp.Fixed("width", 8))(x)
        outputs = keras.layers.Dense(2, activation="softmax")(x)
        model = keras.Model(inputs, outputs)
        momentum = hp.Float("momentum", 0.9, 0.999, sampling="reverse_log")
        rate = hp.Float("rate_of_learning", 1e-4, 1e-1, step=10, sampling="log")
        optimizer = keras.optimizers.SGD(rate, momentum=momentum)
        model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
        return model


@pytest.mark.slow
def test_a_model_in_the_style_of_the_guides():
    seen = set()
    for hp, model, params in studied(Mlp().build, [], trials=12):
        is_keras_tuners(hp)
        seen.add(hp.values["model_type"])
        assert ("filters" in hp.values) == (hp.values["model_type"] == "cnn")
        assert ("dense_0/units" in hp.values) == (hp.values["model_type"] == "mlp")
        assert params["1.899 - momentum"] == pytest.approx(1.899 - hp.values["momentum"])
        assert ("20 - filters" in params) == ("filters" in hp.values)
        again = Mlp().build(to_hyperparameters(hp.values))
        assert again.count_params() == model.count_params()
        assert again.optimizer.momentum == pytest.approx(hp.values["momentum"])
        assert asked(Mlp().build, hp.values)[0] == params
        keras.backend.clear_session()
    assert seen == {"mlp", "cnn"}


def test_it_is_narrowed_like_any_space():
    build = Mlp().build
    check_constraints(
        build, parse_constraints(["dense_2/units=8:32", "filters=6:9", "momentum=0.95:"])
    )
    with pytest.raises(ConstraintError, match="dense_1/units is one of 4, 8, 16, 32, 64, not 7"):
        check_constraints(build, parse_constraints(["dense_1/units=7"]))
    with pytest.raises(ConstraintError, match=r"no hyperparameter filter; did you mean filters\?"):
        check_constraints(build, parse_constraints(["filter=7"]))


def test_what_is_not_tunable_keeps_its_defaults():
    for hp, _, params in studied(Mlp(tunable=False).build, [], trials=1):
        assert params == hp.values == {}


@pytest.mark.slow
def test_xception_trains_on_photos(photos, cache):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(16, 8))
    context = TrialContext(data, FeatureCache(cache), ())
    hypermodel = load(NamedHyperModel("keras_tuner.applications:HyperXception", "."), data)
    constraints = parse_constraints(
        ["num_residual_blocks=2", "sep_num_filters=128", "learning_rate=0.001"]
    )
    study = optuna.create_study()
    values = HyperModelSpace(hypermodel, 2, constraints)(study.ask())
    trial = hypermodel_trial.HyperModelTrial(context, values, hypermodel)
    metrics = [trial.run_epoch() for _ in range(2)]
    assert all(np.isfinite(each["loss"]) for each in metrics)
    assert metrics[-1]["epoch"] == 2
