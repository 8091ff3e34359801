"""VGG16 in two sections is Keras' VGG16, and its table tells the truth."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from models import backbones, vgg16
from models.preprocessing import PREPROCESSINGS
from models.units import PICTURE

ROOT = Path(__file__).resolve().parents[2]
SIZE = 75  # odd on the way, where pooling floors


@pytest.fixture(scope="module")
def backbone():
    return backbones.load("vgg16", SIZE, "random", "rescale")


@pytest.fixture(scope="module")
def pictures(photos):
    files = sorted((photos / "validation" / "dogs").glob("*.jpg"))[:2]
    return np.stack([np.asarray(Image.open(f).resize((SIZE, SIZE))) for f in files]).astype("f4")


def keras_vgg16(size):
    return keras.applications.VGG16(include_top=False, weights=None, input_shape=(size, size, 3))


@pytest.fixture(scope="module")
def wanted(pictures, backbone):
    model, weights = keras_vgg16(SIZE), backbone.weights.arrays
    for name in vgg16.CONVS:
        model.get_layer(name).set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])
    return keras.ops.convert_to_numpy(model(pictures / 255))


@pytest.mark.parametrize("unfrozen", range(14))
def test_prefix_then_suffix_is_keras_vgg16(unfrozen, pictures, wanted, backbone):
    cut = backbone.frontier(unfrozen)
    features = backbone.section(PICTURE, cut)(pictures)
    assert features.shape[1:] == vgg16.output_shape(cut, SIZE)
    suffix = backbone.section(cut, backbone.top, trainable=True)
    found = keras.ops.convert_to_numpy(suffix(features))
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("size", [32, 64, 75, 150])
def test_table_agrees_with_keras_layers(size):
    layers = keras_vgg16(size).layers[1:]
    assert ("picture", *(layer.name for layer in layers)) == vgg16.FRONTIERS
    total = 0
    for below, layer in zip(vgg16.FRONTIERS, layers, strict=False):
        assert vgg16.output_shape(layer.name, size) == tuple(layer.output.shape[1:])
        height, width = layer.output.shape[1:3]
        # Every number of the kernel is multiplied and added once for each output pixel.
        conv = isinstance(layer, keras.layers.Conv2D)
        flops = 2 * height * width * int(np.prod(layer.kernel.shape)) if conv else 0
        assert vgg16.flops(below, layer.name, size) == flops
        total += flops
    assert vgg16.flops(PICTURE, vgg16.TOP, size) == total


def test_sections_hold_the_layers_between(backbone):
    def convs(model):
        return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]

    prefix = backbone.section(PICTURE, "block4_pool")
    suffix = backbone.section("block4_pool", vgg16.TOP, trainable=True)
    assert (*convs(prefix), *convs(suffix)) == vgg16.CONVS
    assert convs(suffix) == ["block5_conv1", "block5_conv2", "block5_conv3"]
    assert prefix.trainable_weights == []
    assert suffix.non_trainable_weights == []
    assert suffix.count_params() == 7_079_424
    assert prefix.count_params() + suffix.count_params() == 14_714_688
    assert backbone.parameters() == 14_714_688


@pytest.mark.parametrize(
    ("unfrozen", "name"),
    [
        (0, "block5_pool"),
        (1, "block5_conv2"),
        (2, "block5_conv1"),
        (3, "block4_pool"),
        (4, "block4_conv2"),
        (6, "block3_pool"),
        (9, "block2_pool"),
        (13, "picture"),
    ],
)
def test_frontier_of_unfrozen_layers(unfrozen, name):
    assert vgg16.frontier(unfrozen) == name
    assert vgg16.unfrozen_at(name) == unfrozen


@pytest.mark.parametrize("unfrozen", range(14))
def test_a_cut_leaves_so_many_conv_layers(unfrozen):
    cut = vgg16.FRONTIERS.index(vgg16.frontier(unfrozen))
    assert sum(name in vgg16.CONVS for name in vgg16.FRONTIERS[cut + 1 :]) == unfrozen


def test_no_number_of_layers_cuts_before_a_pooling():
    # The cut is as high as it can be: a pooling has nothing to learn.
    nowhere = {name for name in vgg16.FRONTIERS if vgg16.unfrozen_at(name) is None}
    assert nowhere == {f"block{n}_conv{2 if n < 3 else 3}" for n in range(1, 6)}


@pytest.mark.parametrize("unfrozen", [-1, 14])
def test_refuses_numbers_of_layers_that_are_not_there(unfrozen):
    with pytest.raises(ValueError, match=rf"`unfrozen` is {unfrozen}, but must be 0 to 13"):
        vgg16.frontier(unfrozen)


def test_refuses_unknown_names_and_orders(backbone):
    with pytest.raises(ValueError, match="'block6_pool', but must be one of"):
        vgg16.output_shape("block6_pool", 64)
    with pytest.raises(ValueError, match="'block5_pool' lies behind 'block4_pool'"):
        backbone.section("block5_pool", "block4_pool")
    with pytest.raises(ValueError, match="`preprocessing` is 'caffe', but must be"):
        backbones.load("vgg16", SIZE, "random", "caffe")
    with pytest.raises(ValueError, match="`unfrozen` is 14, but must be 0 to 13"):
        backbone.frontier(14)


def test_imagenet_preprocessing_is_keras_own(pictures):
    backbone = backbones.load("vgg16", SIZE, "random", "imagenet")
    model = backbone.section(PICTURE, "block1_conv1")
    found = keras.Model(model.input, model.get_layer("block1_conv1").input)(pictures)
    wanted = keras.applications.vgg16.preprocess_input(pictures.copy())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), wanted, atol=1e-4)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_a_section_loads_in_safe_mode(preprocessing, pictures, tmp_path):
    backbone = backbones.load("vgg16", SIZE, "random", preprocessing)
    model = backbone.section(PICTURE, "block2_pool")
    model.save(tmp_path / "section.keras")
    loaded = keras.saving.load_model(tmp_path / "section.keras", safe_mode=True)
    found, wanted = (keras.ops.convert_to_numpy(m(pictures)) for m in (loaded, model))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert loaded.trainable_weights == []


def table(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "models.vgg16", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_prints_the_table():
    done = table()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert set(rows) >= {*vgg16.FRONTIERS, "total"}
    # The figures of the design, for 150 pixels.
    for name, kib in {
        "picture": 66,
        "block1_pool": 703,
        "block2_pool": 342,
        "block3_pool": 162,
        "block4_pool": 81,
        "block5_pool": 16,
    }.items():
        assert float(rows[name].rsplit(maxsplit=2)[1].replace(",", "")) == pytest.approx(kib, abs=1)
    assert "9 x 9 x 512" in rows["block4_pool"]
    assert "2,359,808" in rows["block5_conv1"]
    assert "14,714,688" in rows["total"]
    assert "13,231.0" in rows["total"]


def test_the_table_follows_the_image_size():
    done = table("--image-size", "224")
    assert "7 x 7 x 512" in done.stdout


@pytest.mark.parametrize(
    ("value", "reason"),
    [("20", "20 is too small, VGG16 needs at least 32"), ("big", "invalid int")],
)
def test_the_table_refuses_impossible_sizes(value, reason):
    done = table("--image-size", value)
    assert done.returncode == 2
    assert done.stdout == ""
    assert reason in done.stderr.splitlines()[-1]
