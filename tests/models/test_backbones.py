"""Frozen networks: their weights, what pixels go through, what a section of them does."""

import keras
import numpy as np
import pytest
from lite0 import WEIGHTS, lite0
from PIL import Image

from models import backbones
from models.graph import GraphError
from models.units import PICTURE
from models.weights import WeightsError

SIZE = 64


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def some(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def small(name="small", drop=0.0):
    """A network with all that makes trouble: normalisation, a skip, dropout, no names."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    inside = keras.layers.Conv2D(4, 3, padding="same")(x)
    inside = keras.layers.Dropout(drop, noise_shape=(None, 1, 1, 1))(inside)
    x = x + inside
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, x, name=name)


@pytest.mark.parametrize(
    "name",
    ["VGG16", "ResNet50V2", "DenseNet121", "EfficientNetV2B0", "MobileNetV3Small", "Xception"],
)
def test_pixels_go_through_what_keras_has_for_the_network(name):
    builder = getattr(keras.applications, name)
    module = __import__("sys").modules[builder.__module__]
    pictures = some(2, 8, 8, 3)
    wanted = module.preprocess_input(pictures.copy())
    found = backbones.of_application(builder, "imagenet")
    pixels = keras.Input((8, 8, 3))
    mine = values(keras.Model(pixels, found(pixels))(pictures)) if found else pictures
    np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-4)


def test_two_processes_know_a_network_by_the_same_names():
    keras.utils.set_random_seed(0)
    first = backbones.of_model(small(), "small", image_size=SIZE)
    keras.layers.Conv2D(3, 1)  # Keras counts on
    keras.utils.set_random_seed(0)
    second = backbones.of_model(small(), "small", image_size=SIZE)
    assert first.frontiers == second.frontiers == (PICTURE, "re_lu", "add", "batch_normalization_2")
    assert list(first.weights.arrays) == list(second.weights.arrays)
    assert first == second
    assert first.architecture == second.architecture


def test_what_is_computed_is_part_of_what_a_network_is_known_by():
    names = {backbones.of_model(small(drop=d), "small").architecture for d in (0.0, 0.1)}
    assert len(names) == 2
    model = small()
    plain = backbones.of_model(model, "small", image_size=SIZE)
    scaled = backbones.of_model(
        model, "small", image_size=SIZE, preprocessing=keras.layers.Rescaling(1 / 255)
    )
    assert plain.architecture != scaled.architecture
    assert plain.weights == scaled.weights
    assert plain.frontiers == scaled.frontiers  # no preprocessing lies behind one


def test_a_section_learns_but_normalises_as_before():
    """And drops out in training alone, and only where it is trained."""
    backbone = backbones.of_model(small(drop=0.5), "small", image_size=8)
    batch = some(16, 8, 8, 3)
    top = backbone.section(PICTURE, backbone.top, trainable=True)
    before = [values(each) for each in top.non_trainable_variables if each.name != "seed"]
    told = values(top(batch))
    assert not np.allclose(values(top(batch, training=True)), told)
    moments = [each for each in top.weights if "moving" in each.path]
    assert len(moments) == 4
    assert not any(each is trained for each in moments for trained in top.trainable_variables)
    assert all("gamma" not in each.path for each in top.trainable_variables)
    frozen = backbone.section(PICTURE, backbone.top)
    assert frozen.trainable_variables == []
    np.testing.assert_allclose(values(frozen(batch, training=True)), told, rtol=1e-5, atol=1e-4)
    assert len(before) >= 4


def test_sections_have_weights_of_their_own():
    backbone = backbones.of_model(small(), "small", image_size=8)
    one, other = (backbone.section(PICTURE, backbone.top, trainable=True) for _ in range(2))
    kept = [values(each) for each in other.weights]
    for each in one.trainable_variables:
        each.assign(keras.ops.zeros(each.shape))
    assert all((values(a) == b).all() for a, b in zip(other.weights, kept, strict=True))
    backbone.restore(one)
    assert all((values(a) == b).all() for a, b in zip(one.weights, kept, strict=True))


def test_another_size_and_other_weights():
    keras.utils.set_random_seed(0)
    backbone = backbones.of_model(small(), "small", image_size=8)
    larger = backbone.at(16)
    assert (larger.image_size, larger.shape(larger.top)) == (16, (8, 8, 6))
    assert larger.weights == backbone.weights
    assert larger.flops(PICTURE, larger.top) == 4 * backbone.flops(PICTURE, backbone.top)
    random = backbone.at(8, "random")
    assert random.weights.source == "random"
    assert random.weights != backbone.weights


def test_weights_of_any_network_from_a_file(tmp_path):
    model = small()
    wanted = backbones.of_model(model, "small", image_size=8).weights
    model.save_weights(tmp_path / "small.weights.h5")
    np.savez(tmp_path / "small.npz", **wanted.arrays)
    for name in ("small.weights.h5", "small.npz"):
        found = backbones.of_model(small(), "small", image_size=8, weights=str(tmp_path / name))
        assert found.weights.checksum == wanted.checksum
    with pytest.raises(WeightsError, match="has no array 'block1_conv1/kernel', so it is not of V"):
        backbones.load("vgg16", 32, str(tmp_path / "small.npz"))


def test_a_network_that_takes_one_size_says_so():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(x), name="fixed")
    assert backbones.of_model(model, "fixed").image_size == 8
    with pytest.raises(GraphError, match="fixed takes no pictures of 16 pixels a side"):
        backbones.of_model(model, "fixed", image_size=16)


@pytest.mark.soak
def test_the_usual_sizes_are_those_of_keras():
    """VGG16's is the article's; MobileNetV3 is built for any."""
    for name in dir(keras.applications):
        builder = getattr(keras.applications, name)
        if name[0].isupper() and callable(builder) and name != "VGG16":
            model = builder(weights=None)
            assert model.input_shape[1] in (backbones.usual_size(name), None), name
            keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="its weights are not here")
def test_lite0_tells_cats_from_dogs_by_its_own_classes(all_photos):
    """ImageNet's classes 281 to 285 are cats, 151 to 268 dogs; 50 photos."""
    model = lite0(top=True)
    right = []
    for number, name in enumerate(("cats", "dogs")):
        files = sorted((all_photos / "validation" / name).glob("*.jpg"))[::16]
        pictures = np.stack([_square(file) for file in files]).astype("float32")
        logits = model.predict(values(model.preprocessing(pictures)), verbose=0)
        dog = logits[:, 151:269].max(axis=1) > logits[:, 281:286].max(axis=1)
        right += [*(dog == number)]
    assert len(right) == 50
    assert np.mean(right) >= 0.9


def _square(file):
    return np.asarray(Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
