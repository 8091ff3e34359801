"""The exported model is loaded by a process that knows nothing of this project."""

import keras
import numpy as np
import pytest
from exported import run_folder

from tuning.export import classifier
from tuning.export.proof import Proof

pytestmark = pytest.mark.slow


@keras.saving.register_keras_serializable("tests")
class Own(keras.layers.Layer):
    def call(self, inputs):
        return inputs


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("proof"), photos)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)


def test_a_model_that_everybody_can_load_is_proved(run, pictures):
    model = classifier.load(run).model
    with Proof(run / "best" / "model.keras", model, pictures) as proof:
        assert proof.fault() is None


def test_a_file_that_says_something_else_than_the_model_is_none(run, pictures):
    model = classifier.load(run).model
    model.set_weights([1.5 * each for each in model.get_weights()])
    with Proof(run / "best" / "model.keras", model, pictures) as proof:
        assert "its probabilities are" in proof.fault()


@pytest.mark.parametrize("layer", [Own(), keras.layers.Lambda(lambda x: x)], ids=["own", "lambda"])
def test_what_this_process_alone_can_load_is_none(layer, pictures, tmp_path):
    model = keras.Sequential([keras.Input((48, 48, 3)), layer, keras.layers.Flatten()])
    model.save(tmp_path / "model.keras")
    if isinstance(layer, Own):  # here it can be
        keras.saving.load_model(tmp_path / "model.keras")
    with Proof(tmp_path / "model.keras", model, pictures) as proof:
        told = proof.fault()
    assert "Own" in told or "ambda" in told


def test_a_proof_that_nobody_asks_for_leaves_nothing_behind(run, pictures):
    with Proof(run / "best" / "model.keras", classifier.load(run).model, pictures) as proof:
        folder = proof._target.parent
        assert folder.exists()
    assert not folder.exists()
    assert proof._process.returncode is not None
