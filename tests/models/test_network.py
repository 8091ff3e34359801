"""The whole network that is exported says what the trained part says, anywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from stranger import AWAY

from models import backbones, network

SHARED = Path(__file__).resolve().parents[3] / "shared"
SIZE = 64
POINTS = {
    "convnet": {"network": "convnet", "dropout": 0.5, "l1": 1e-5},
    "bottleneck": {"network": "vgg16", "dropout": 0.5, "unfrozen": 0, "l2": 1e-4},
    "fine_tune": {"network": "vgg16", "dropout": 0.5, "unfrozen": 3, "l1": 1e-5, "l2": 1e-4},
}
CASES = [
    ("convnet", "rescale", 2),
    ("bottleneck", "rescale", 2),
    ("bottleneck", "imagenet", 5),
    ("fine_tune", "rescale", 5),
    ("fine_tune", "imagenet", 2),
]
# Loads a model where this project is not, and writes what it says.
STRANGER = (
    AWAY
    + """
import json, keras, numpy as np
pictures = np.load("pictures.npy")
for name in sys.argv[1:]:
    model = keras.saving.load_model(name + ".keras", safe_mode=True)
    np.save(name + ".npy", keras.ops.convert_to_numpy(model(pictures)))
print(json.dumps([keras.backend.backend(), [m for m in sys.modules if m.startswith("models")]]))
"""
)


@pytest.fixture(scope="module")
def networks():
    # By preprocessing, with outputs that neither vanish nor saturate.
    surrogate = str(SHARED / "weights" / "vgg16_surrogate.npz")
    return {
        "rescale": backbones.load("vgg16", SIZE, "random", "rescale"),
        "imagenet": backbones.load("vgg16", SIZE, surrogate, "imagenet"),
    }


@pytest.fixture(scope="module")
def pictures(photos):
    files = sorted((photos / "validation" / "cats").glob("*.jpg"))[:3]
    return np.stack([np.asarray(Image.open(f).resize((SIZE, SIZE))) for f in files])


def build(networks, point, preprocessing, classes):
    point = POINTS[point]
    backbone = None if point["network"] == "convnet" else networks[preprocessing]
    trained = network.trainable(point, image_size=SIZE, classes=classes, backbone=backbone, seed=1)
    whole = network.whole(point, trained, image_size=SIZE, backbone=backbone)
    return trained, whole


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_frontiers():
    used = [None, *[backbones.load("vgg16", SIZE, "random", "rescale")] * 2]
    points = zip(POINTS.values(), used, strict=True)
    assert [network.frontier(point, backbone) for point, backbone in points] == [
        "picture",
        "block5_pool",
        "block4_pool",
    ]


@pytest.mark.parametrize(("point", "preprocessing", "classes"), CASES)
def test_whole_is_prefix_then_trained(point, preprocessing, classes, networks, pictures):
    trained, whole = build(networks, point, preprocessing, classes)
    features = pictures.astype("f4")
    if point != "convnet":
        backbone = networks[preprocessing]
        end = network.frontier(POINTS[point], backbone)
        features = backbone.section("picture", end)(features)
    assert trained.input_shape[1:] == features.shape[1:]
    wanted = values(trained(features))
    assert pictures.dtype == np.uint8
    np.testing.assert_allclose(values(whole(pictures)), wanted, atol=1e-4)
    assert wanted.std() > 1e-3, "the pictures make no difference"


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (200, 150), (47, 300), (1, 1)])
def test_whole_takes_pictures_of_any_size(shape, networks, pictures):
    _, whole = build(networks, "convnet", "rescale", 2)
    resized = np.stack([np.asarray(Image.fromarray(p).resize(shape[::-1])) for p in pictures])
    found = values(whole(resized))
    assert found.shape == (3, 1)
    np.testing.assert_allclose(values(whole(resized.astype("f4"))), found, atol=1e-5)
    np.testing.assert_allclose(whole.predict(resized, verbose=0), found, atol=1e-5)


def test_whole_drops_nothing_unless_it_trains(networks, pictures):
    # Keras' Resizing layer would switch dropout on in a plain call.
    _, whole = build(networks, "convnet", "rescale", 2)
    told = whole.predict(pictures, verbose=0)
    np.testing.assert_allclose(values(whole(pictures)), told, atol=1e-6)
    assert not np.allclose(values(whole(pictures, training=True)), told, atol=1e-6)


@pytest.mark.parametrize("shape", [(200, 150), (50, 31)])
def test_whole_resizes_as_keras_layer_does(shape, networks, pictures):
    trained, whole = build(networks, "convnet", "rescale", 2)
    resized = np.stack([np.asarray(Image.fromarray(p).resize(shape[::-1])) for p in pictures])
    layer = keras.layers.Resizing(SIZE, SIZE, antialias=True)
    # To whole numbers, which trials saw.
    wanted = values(trained(np.round(values(layer(resized.astype("f4"))))))
    np.testing.assert_allclose(values(whole(resized)), wanted, atol=1e-5)


def test_whole_trains_what_was_trained(networks):
    trained, whole = build(networks, "fine_tune", "rescale", 2)
    assert len(whole.trainable_weights) == len(trained.trainable_weights) == 2 * (3 + 2)


@pytest.mark.slow
def test_loads_safely_where_this_project_is_not(networks, pictures, tmp_path):
    np.save(tmp_path / "pictures.npy", pictures)
    wanted = {}
    for point, preprocessing, classes in CASES:
        name = f"{point}-{preprocessing}"
        _, whole = build(networks, point, preprocessing, classes)
        whole.save(tmp_path / f"{name}.keras")
        wanted[name] = values(whole(pictures))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, *wanted],
        cwd=tmp_path,
        env=environment | {"KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [keras.backend.backend(), []]
    for name, probabilities in wanted.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), probabilities, atol=1e-5)
