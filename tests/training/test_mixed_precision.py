"""Layers that learn in bfloat16, as on GPUs, with weights in float32."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from search_spaces import levers
from tuning.data import dataset
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.training import networks
from tuning.training.context import TrialContext
from tuning.training.networks import probabilities
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial


def point(unfrozen):
    """At rates that leave losses where a small difference is one."""
    whole = levers.complete({"unfrozen": unfrozen, "augmentation": "none"}, 2, space="levers")
    whole |= {"fine_tune_rate": 1e-4} if unfrozen else {}
    return whole | {"preprocessing": "rescale", "head_rate": 1e-5}


@pytest.fixture
def exact(photos, cache):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(8, 6))
    return TrialContext(data, FeatureCache(cache, "float32"), vgg16_from("random"))


@pytest.fixture
def mixed(exact):
    cache = replace(exact.cache, precision="bfloat16")
    yield replace(exact, cache=cache)
    networks.forget()


def losses(context, point):
    trial = TransferTrial(context, point)
    return trial, [trial.run_epoch()["validation_loss"] for _ in range(2)]


@pytest.mark.slow
def test_it_learns_nearly_the_same(exact, mixed, tmp_path):
    _, wanted = losses(exact, point(2))
    trial, found = losses(mixed, point(2))
    assert found != wanted
    assert max(wanted) < 2
    np.testing.assert_allclose(found, wanted, rtol=0.03)
    model = trial._network.model
    variables = [*model.variables, *trial._network._training.optimizer.variables]
    assert "bfloat16" not in {keras.backend.standardize_dtype(each.dtype) for each in variables}
    convolutions = [each for each in model._flatten_layers() if hasattr(each, "kernel_size")]
    assert {each.compute_dtype for each in convolutions} == {"bfloat16"}
    assert model.outputs[0].dtype == "float32"
    # What is taken home computes as all others do.
    validation = mixed.dataset.validation
    whole, _ = export(mixed, point(2), trial.weights, tmp_path)
    assert {each.compute_dtype for each in whole._flatten_layers()} <= {"float32", "uint8", "int32"}
    said = probabilities(whole, validation.pictures)
    np.testing.assert_allclose(said, trial.probabilities(validation), atol=0.03)


def test_a_head_alone_is_trained_in_float32(mixed):
    trial, _ = losses(mixed, point(0))
    assert {each.compute_dtype for each in trial._network.model.layers} == {"float32"}
