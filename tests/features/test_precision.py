"""What goes to the device, in which batches, and in which precision it is computed."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from models.units import PICTURE
from tuning.cluster import rate
from tuning.data import dataset
from tuning.features import PLAIN, FeatureCache, View, forward
from tuning.features.__main__ import main as tend

VIEW = View("article", 0)


@pytest.fixture
def many(photos, cache):
    return dataset.load(photos, cache=cache, image_size=32, per_class=(33, 2)).train


@pytest.mark.parametrize(("transforms", "numbers"), [(False, 0), (True, 3)])
def test_pictures_go_to_the_device_as_bytes(backbone, transforms, numbers):
    model = forward._model(backbone, PICTURE, ("block5_pool",), transforms, "float32")
    first, *others = model.inputs
    assert first.dtype == "uint8"
    assert len(others) == numbers


@pytest.mark.parametrize("view", [PLAIN, VIEW], ids=str)
def test_on_a_gpu_a_batch_is_several_blocks(many, backbone, features, tmp_path, monkeypatch, view):
    wanted = features.features(many, backbone, "block3_pool", view)
    sizes = []
    predict = keras.Model.predict_on_batch

    def spied(self, x):
        sizes.append(len(x[0] if isinstance(x, list) else x))
        return predict(self, x)

    monkeypatch.setattr(forward, "has_gpu", lambda: True)
    monkeypatch.setattr(forward, "AT_ONCE", 2)
    monkeypatch.setattr(keras.Model, "predict_on_batch", spied)
    found = FeatureCache(tmp_path / "gpu", "float32").features(many, backbone, "block3_pool", view)
    assert sizes == [128]
    assert found.shape == (66, 4, 4, 256)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * wanted.max())
    assert tend(["--cache", str(tmp_path / "gpu"), "verify"]) == 0  # by blocks, as ever


@pytest.mark.parametrize(("size", "blocks"), [(32, 4), (256, 4), (300, 2), (800, 1)])
def test_large_pictures_come_in_smaller_batches(size, blocks):
    assert forward._blocks(SimpleNamespace(shape=lambda frontier: (size, size, 3))) == blocks


def test_in_bfloat16_features_are_nearly_the_same_under_another_name(
    many, backbone, features, tmp_path
):
    exact = features.features(many, backbone, "block3_pool", VIEW)
    half = FeatureCache(tmp_path / "half", "float32", precision="bfloat16")
    found = half.features(many, backbone, "block3_pool", VIEW)
    assert found.dtype == np.float32
    apart = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert 1e-4 < apart < 0.02
    here, there = (each.entry(many, backbone, "block3_pool", VIEW) for each in (features, half))
    assert here.key != there.key


def test_weights_stay_in_float32(backbone):
    section = backbone.section(PICTURE, "block5_pool", precision="bfloat16")
    assert {each.dtype for each in section.weights} == {"float32"}
    assert section.output.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("bfloat16", "chosen"), [(1.9, ("bfloat16", 1.9)), (1.1, ("tf32", 1.0)), (0.1, ("tf32", 1.0))]
)
def test_what_a_gpu_is_quicker_in_is_measured(monkeypatch, bfloat16, chosen):
    monkeypatch.setattr(rate, "_product", {"float32": 1.0, "bfloat16": bfloat16}.get)
    assert rate._on_gpu() == chosen


def test_a_product_is_measured_in_both(monkeypatch):
    monkeypatch.setitem(rate.SIDES, "gpu", 256)
    assert all(rate._product(each) > 0 for each in ("float32", "bfloat16"))


def test_the_way_into_a_gpus_memory_is_measured():
    assert 1e7 < rate._copied() < 1e13
