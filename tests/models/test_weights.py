"""VGG16's weights come from wherever they are, unchanged, or not at all."""

import functools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from models import backbones
from models.vgg16 import CONVS
from models.weights import IMAGENET, IMAGENET_FILE, WeightsError
from tuning.run.describe import weights_of

ROOT = Path(__file__).resolve().parents[2]
SURROGATE = ROOT.parent / "shared" / "weights" / "vgg16_surrogate.npz"
REAL = SURROGATE.with_name("vgg16_imagenet.npz")
RANDOM = "f9afbcb02f1888cdde95c23c70e6a3f714e584ca0573fd8a20835f0859aa5dca"


def load(source):
    return backbones.load("vgg16", 32, source).weights


@functools.cache
def shapes():
    return {name: array.shape for name, array in load("random").arrays.items()}


@pytest.fixture(autouse=True)
def _no_memory_of_other_tests():
    backbones.load.cache_clear()
    backbones._loaded.cache_clear()


@pytest.fixture(scope="module")
def arrays():
    return load("random").arrays


@pytest.fixture(scope="module")
def network(arrays):
    """Keras' own VGG16 without its top, with these weights."""
    model = keras.applications.VGG16(include_top=False, weights=None)
    for name in CONVS:
        model.get_layer(name).set_weights([arrays[f"{name}/kernel"], arrays[f"{name}/bias"]])
    return model


def test_random_numbers_are_the_same_everywhere():
    # Cached features are found again by this checksum: it may not change with the backend.
    assert load("random").checksum == RANDOM


def test_random_kernels_keep_the_scale(arrays):
    for name, array in arrays.items():
        if name.endswith("bias"):
            assert not array.any()
        else:
            wanted = np.sqrt(2 / np.prod(array.shape[:-1]))
            assert array.std() == pytest.approx(wanted, rel=0.05)


def test_reads_npz():
    found = load(str(SURROGATE))
    assert found.source == str(SURROGATE)
    assert {name: array.shape for name, array in found.arrays.items()} == shapes()
    assert sum(array.size for array in found.arrays.values()) == 14_714_688
    with np.load(SURROGATE) as file:
        for name, array in found.arrays.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, file[name])


def _legacy(network, path):
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)


def _legacy_model(network, path):
    legacy_h5_format.save_model_to_hdf5(network, str(path), include_optimizer=False)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("old.h5", _legacy),
        ("model.h5", _legacy_model),
        ("new.weights.h5", lambda network, path: network.save_weights(path)),
        ("arrays.npz", None),
    ],
)
def test_same_numbers_same_checksum_whatever_the_file(name, write, network, arrays, tmp_path):
    path = tmp_path / name
    if write:
        write(network, path)
    else:
        np.savez(path, **arrays)
    found = load(str(path))
    assert found.checksum == RANDOM
    for key, array in found.arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays[key])


def test_other_numbers_other_checksum(arrays, tmp_path):
    changed = dict(arrays)
    changed["block5_conv3/bias"] = np.full(512, 1e-6, np.float32)
    np.savez(tmp_path / "changed.npz", **changed)
    assert load(str(tmp_path / "changed.npz")).checksum != RANDOM


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def _zeros():
    return {name: np.zeros(shape, np.float16) for name, shape in shapes().items()}


def _truncated(path):
    path.write_bytes(SURROGATE.read_bytes()[:1_000_000])


def _damaged(path):
    content = bytearray(SURROGATE.read_bytes())
    content[20_000_000:20_001_000] = b"\x55" * 1000
    path.write_bytes(content)


def _single_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _pickled_array(path):
    arrays = _zeros() | {"block1_conv1/kernel": np.array([Bomb(path.with_name("exploded"))])}
    np.savez_compressed(path, **arrays)


def _pickle(path):
    path.write_bytes(pickle.dumps(Bomb(path.with_name("exploded"))))


def _changed(**changes):
    def write(path):
        arrays = _zeros()
        for name, array in changes.items():
            if array is None:
                del arrays[name]
            else:
                arrays[name] = array
        np.savez_compressed(path, **arrays)

    return write


def _another_model(path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(inputs))
    keras.Model(inputs, keras.layers.Dense(1)(x)).save_weights(path)


def _another_legacy_model(path):
    inputs = keras.Input((8, 8, 3))
    _legacy(keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)), path)


def _part(path):
    whole = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    keras.Model(whole.input, whole.get_layer("block3_pool").output).save_weights(path)


def _text(path):
    path.write_text("These are not the weights that you are looking for.\n" * 100)


def _nan_kernel():
    kernel = np.zeros((3, 3, 3, 64), np.float32)
    kernel[1, 1, 1, 1] = np.nan
    return kernel


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("missing.npz", None, "No such weights file"),
        ("folder.npz", Path.mkdir, "No such weights file"),
        ("weights.pt", _text, "must end in one of .h5, .npz"),
        ("empty.npz", Path.touch, "is no NumPy archive"),
        ("truncated.npz", _truncated, "is no NumPy archive"),
        ("damaged.npz", _damaged, "block5_conv1/bias cannot be read"),
        ("text.npz", _text, "is no NumPy archive"),
        ("single.npz", _single_array, "is no NumPy archive"),
        ("objects.npz", _pickled_array, "cannot be read"),
        ("pickle.npz", _pickle, "is no NumPy archive"),
        (
            "lacking.npz",
            _changed(**{"block3_conv2/bias": None}),
            "has no array 'block3_conv2/bias'",
        ),
        (
            "shape.npz",
            _changed(**{"block1_conv1/kernel": np.zeros((64, 3, 3, 3))}),
            r"block1_conv1/kernel has shape \(64, 3, 3, 3\), but must have \(3, 3, 3, 64\)",
        ),
        (
            "text_inside.npz",
            _changed(**{"block1_conv1/bias": np.full(64, "zero")}),
            "cannot be read",
        ),
        (
            "nan.npz",
            _changed(**{"block1_conv1/kernel": _nan_kernel()}),
            "not finite, in block1_conv1/kernel",
        ),
        ("empty.h5", Path.touch, "does not hold VGG16 without its top"),
        ("text.h5", _text, "does not hold VGG16 without its top"),
        ("text.weights.h5", _text, "does not hold VGG16 without its top"),
        ("other.weights.h5", _another_model, "13 objects could not be loaded"),
        ("part.weights.h5", _part, "6 objects could not be loaded"),
        ("other.h5", _another_legacy_model, "expected 13 layers, found 1"),
    ],
)
def test_says_in_one_line_what_is_wrong(name, write, reason, tmp_path):
    path = tmp_path / name
    if write:
        write(path)
    with pytest.raises(WeightsError, match=reason) as caught:
        load(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message.replace(str(path), "")) < 200
    assert not (tmp_path / "exploded").exists()


def test_refuses_a_keras_file_with_nan(network, tmp_path):
    layer = network.get_layer("block5_conv3")
    before = layer.get_weights()
    layer.set_weights([np.full_like(before[0], np.inf), before[1]])
    try:
        network.save_weights(tmp_path / "inf.weights.h5")
    finally:
        layer.set_weights(before)
    with pytest.raises(WeightsError, match="not finite, in block5_conv3/kernel"):
        load(str(tmp_path / "inf.weights.h5"))


@pytest.mark.slow
def test_names_the_ways_out_without_imagenet(tmp_path):
    # Nobody listens at this proxy, so the download fails on every machine.
    environment = os.environ | {
        "KERAS_HOME": str(tmp_path),
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
        "KERAS_BACKEND": "numpy",  # starts fastest
    }
    code = """
from models import backbones
from models.weights import WeightsError
try:
    backbones.load("vgg16", 32, "imagenet")
except WeightsError as error:
    print("said:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("said: ", 1)[1]
    assert said.count("\n") == 1
    for way_out in (
        f"{IMAGENET_FILE} into {tmp_path}/models",
        "--weights vgg16=PATH",
        "--weights vgg16=random",
    ):
        assert way_out in said


def test_imagenet_s_are_known_whatever_file_holds_them(tmp_path):
    found = load(str(REAL))
    assert found.checksum == IMAGENET
    model = keras.applications.VGG16(include_top=False, weights=None)
    for name in CONVS:
        kernel, bias = found.arrays[f"{name}/kernel"], found.arrays[f"{name}/bias"]
        model.get_layer(name).set_weights([kernel, bias])
    model.save_weights(tmp_path / "same.weights.h5")
    source = str(tmp_path / "same.weights.h5")
    assert load(source).checksum == IMAGENET
    told = weights_of(*[[backbones.load("vgg16", 32, source)]] * 2)
    assert (told["source"], told["note"]) == ("imagenet", None)
    other = weights_of(*[[backbones.load("vgg16", 32, str(SURROGATE))]] * 2)
    assert "not from ImageNet's weights" in other["note"]
