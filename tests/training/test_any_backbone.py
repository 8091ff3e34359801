"""Any backbone is trained on cached features as it is without them, and exported as it was."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from stranger import AWAY

from models.units import PICTURE
from search_spaces import levers
from tuning.data import dataset
from tuning.errors import UserError
from tuning.export import formats
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.training import backbones
from tuning.training.context import TrialContext
from tuning.training.source import Source
from tuning.training.transfer import TransferTrial

NETWORKS = (
    *("VGG16", "ResNet50V2", "MobileNetV2", "EfficientNetV2B0"),
    *("ConvNeXtTiny", "Xception", "DenseNet121", "MobileNetV3Small", "MobileNet"),
)
IN_EVERY_RUN = ("MobileNet",)  # VGG16: test_networks.py, test_transfer.py, test_export.py
STRANGER = (
    AWAY
    + """
import keras, numpy as np
model = keras.saving.load_model("model.keras", safe_mode=True)
np.save("said.npy", model.predict(np.load("pictures.npy"), verbose=0))
"""
)


class Uncached(FeatureCache):
    """Stores nothing: every step begins at the pictures."""

    def start(self, backbone, frontier):
        return PICTURE


def context_of(photos, folder, network, kind=FeatureCache, weights="random", pictures=(16, 8)):
    size = 71 if network == "Xception" else 32
    data = dataset.load(photos, cache=folder, image_size=size, per_class=pictures)
    # All frontiers are stored, whether they are worth it or not.
    features = kind(folder / "features", "float32")
    source = Source("own", network, weights, os.path.dirname(__file__))
    context = TrialContext(data, features, (source,))
    features.store_from = context.backbone.frontiers[1]
    return context


def point(context, unfrozen, epochs=2, **more):
    depths = {"own": len(context.backbone.units)}
    given = {"network": "own", "unfrozen": unfrozen, "augmentation": "none", "head_epochs": 1}
    given |= {"fine_tune_rate": 1e-4, "pooling": "average"} if unfrozen else {}
    space = {"depths": depths, "space": "levers", "convnet": False}
    whole = levers.complete({n: v for n, v in given.items() if n != "head_epochs"}, epochs, **space)
    return whole | {"batch_size": 8, **more}


def losses(context, hyperparameters):
    trial = TransferTrial(context, hyperparameters)
    curve = [trial.run_epoch() for _ in range(hyperparameters["epochs"])]
    return [each[name] for each in curve for name in ("loss", "validation_loss")], trial


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "few"),
    [
        *((name, True) for name in IN_EVERY_RUN),
        *(pytest.param(name, False, marks=pytest.mark.soak) for name in NETWORKS),
    ],
)
def test_trained_on_cached_features_and_taken_home_it_is_the_same(network, few, photos, tmp_path):
    """At one depth or three; exported where this project is not, and as ONNX."""
    context = context_of(photos, tmp_path, network)
    uncached = context_of(photos, tmp_path, network, Uncached)
    units = len(context.backbone.units)
    third = units // 3
    for unfrozen in (third,) if few else (0, third, units - 1):
        cached, trial = losses(context, point(context, unfrozen))
        found, _ = losses(uncached, point(uncached, unfrozen))
        np.testing.assert_allclose(cached, found, rtol=1e-4, atol=1e-6)
        if unfrozen == third:
            said = trial.probabilities(context.dataset.validation)
            export(context, trial.hyperparameters, trial.weights, tmp_path / "best")
    pictures = np.asarray(context.dataset.validation.pictures)
    np.save(tmp_path / "best" / "pictures.npy", pictures)
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER],
        cwd=tmp_path / "best",
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        | {"KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    wanted = said[:, 1]
    # Random weights may make logits of tens, to which float32 is exact by so much less.
    close = 1e-4 * max(1.0, (-np.log(np.clip(wanted, 1e-30, 1))).max())
    np.testing.assert_allclose(np.load(tmp_path / "best" / "said.npy")[:, 0], wanted, atol=close)
    if keras.backend.backend() == "tensorflow":  # whose graph Keras' converters take
        model = keras.saving.load_model(tmp_path / "best" / "model.keras", safe_mode=True)
        size = context.dataset.image_size
        onnx = formats.FORMATS["onnx"].runner(
            formats.convert(tmp_path / "best", "onnx", model, size)
        )
        np.testing.assert_allclose(onnx(pictures)[:, 0], wanted, atol=close)


@pytest.fixture
def module():
    """The folder of `users_networks`."""
    return str(Path(__file__).resolve().parents[1])


def source(module, name, weights="own"):
    return Source(name, f"users_networks:{name}", weights, module)


def test_a_users_network_comes_with_its_size_and_preprocessing(module):
    assert backbones.usual_size(source(module, "network")) == 48
    assert backbones.usual_size(source(module, "backbone")) == 32
    found = backbones.load(source(module, "network"), 64)
    assert (found.name, found.image_size, found.preprocessing) == ("network", 64, "own")
    assert [type(layer).__name__ for layer in found.section(PICTURE, found.top).layers][1] == (
        "Rescaling"
    )
    other = backbones.load(source(module, "backbone"), 48)
    assert (other.name, other.image_size) == ("backbone", 48)


def test_a_keras_file_is_a_network(module, tmp_path):
    model = backbones._users(source(module, "network"))
    model.save(path := str(tmp_path / "mine.keras"))
    found = backbones.load(Source("mine", path, "own"), 48)
    assert len(found.units) == 3
    assert found.weights.checksum == backbones.load(source(module, "network"), 48).weights.checksum


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("users_networks:number", "is int, but must be, or return, a keras.Model"),
        ("users_networks:broken", "cannot be made: ZeroDivisionError: no network today"),
        ("users_networks:nothing", "cannot be imported: AttributeError"),
        ("efficientnet-b99", "the nearest is EfficientNetB"),
        ("nowhere.keras", "there is no such file"),
    ],
)
def test_what_is_no_network_is_said_in_a_line(network, told, module):
    with pytest.raises(UserError, match=told) as error:
        backbones.load(Source("x", network, "own", module), 48)
    assert "\n" not in str(error.value)
    assert network in str(error.value)


def test_a_network_that_is_another_in_each_process_is_refused(module):
    """Its features would be of no use to who trains on them, and the exported model wrong."""
    restless = source(module, "restless")
    first = backbones.load(restless, 48)
    known = Source(restless.name, restless.network, "own", module, first.identity)
    assert backbones.load(known, 48) == first
    backbones._load.cache_clear()
    backbones._users.cache_clear()
    with pytest.raises(UserError, match="has other weights, or computes something else"):
        backbones.load(known, 48)


@pytest.mark.slow
def test_what_a_network_drops_is_the_same_again_and_after_a_pause(photos, tmp_path, module):
    """Dropout of the network itself; a trial that goes on from its state draws what it would."""
    data = dataset.load(photos, cache=tmp_path, image_size=32, per_class=(16, 8))
    features = FeatureCache(tmp_path / "features", "float32")
    context = TrialContext(data, features, (source(module, "network"),))
    depths = {"network": 3}
    given = {"network": "network", "unfrozen": 3, "augmentation": "none"}
    levers_of = levers.complete(given, 3, depths=depths, space="levers", convnet=False)
    first, _ = losses(context, levers_of)
    second, _ = losses(context, levers_of)
    np.testing.assert_allclose(first, second, rtol=1e-5)
    paused = TransferTrial(context, levers_of)
    paused.run_epoch()
    paused.save(tmp_path / "paused.npz")
    losses(context, levers_of | {"dropout": 0.1})  # another trial in between
    again = TransferTrial(context, levers_of)
    again.restore(tmp_path / "paused.npz")
    rest = [again.run_epoch() for _ in range(2)]
    for name, place in (("loss", 2), ("validation_loss", 3)):
        assert rest[0][name] == pytest.approx(first[place], rel=1e-4)
