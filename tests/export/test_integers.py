"""The model in whole numbers of 8 bits: as good, smaller, or not kept."""

import shutil

import keras
import numpy as np
import pytest
from exported import SIZE, run_folder
from PIL import Image

from models.units import FEATURES
from tuning.data import dataset
from tuning.errors import UserError
from tuning.export import classifier, formats, integers
from tuning.export.model import main
from tuning.options import Options, settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Noise that is more red, or more blue."""
    folder, random = tmp_path_factory.mktemp("integers"), np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 30)):
        for band, name in ((0, "red"), (2, "blue")):
            (folder / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                picture = random.integers(0, 200, (SIZE, SIZE, 3), np.uint8)
                picture[:, :, band] += np.uint8(random.integers(40, 56))
                file = folder / "data" / split / name / f"{number}.png"
                Image.fromarray(picture).save(file)
    return dataset.load(folder / "data", cache=folder / "cache", image_size=SIZE)


def learned(data, channels=16):
    """A small network that tells them apart."""
    inputs = keras.Input((None, None, 3), name="pictures")
    x = keras.ops.image.resize(inputs, (SIZE, SIZE), antialias=True)
    x = keras.layers.Rescaling(1 / 255)(keras.ops.round(x))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.Conv2D(channels, 3, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Identity(name=FEATURES)(x))
    x = keras.layers.Dense(channels, activation="relu", name="dense")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="said")(x))
    keras.utils.set_random_seed(0)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    model.fit(np.asarray(data.train.pictures), data.train.labels, epochs=15, verbose=0)
    return model


def right(said, data):
    return ((said[:, 0] > 0.5) == data.validation.labels).mean()


def test_it_is_as_good_and_a_quarter_of_the_size(data, tmp_path):
    import tensorflow as tf

    model = learned(data, channels=256)
    path, found = integers.convert(tmp_path, model, data)
    pictures = np.asarray(data.validation.pictures)
    said = formats.open_tflite(path)(pictures)
    accuracy = right(model.predict(pictures, verbose=0), data)
    assert accuracy > 0.8, "it has learned nothing"
    assert found.keras_accuracy == accuracy
    assert found.accuracy == right(said, data) >= accuracy - integers.MOST_LOST
    assert found.in_floats == []
    assert "All layers compute in whole numbers" in found.in_words()
    assert integers.read(tmp_path) == found
    assert sorted(each.name for each in tmp_path.iterdir()) == [integers.FACTS, integers.FILE]
    interpreter = tf.lite.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    kinds = {each["dtype"] for each in interpreter.get_tensor_details()}
    assert np.float32 not in kinds
    whole = formats.convert(tmp_path, "tflite", model, SIZE)
    assert path.stat().st_size < 0.4 * whole.stat().st_size


def test_layers_that_would_lose_too_much_stay_in_floating_point(data, tmp_path):
    """One channel has ten thousand times the range of others: of these nothing would be left."""
    model = learned(data)
    features, dense = model.get_layer(FEATURES), model.get_layer("dense")
    kernel, bias = dense.get_weights()
    kernel[0] = 0
    dense.set_weights([kernel, bias])
    wide = np.ones(features.output.shape[-1])
    wide[0] = 1e4
    x = keras.layers.Rescaling(wide.tolist(), name="widened")(features.output)
    for layer in model.layers[model.layers.index(features) + 1 :]:
        x = layer(x)
    model = keras.Model(model.inputs, x)
    before = right(model.predict(np.asarray(data.validation.pictures), verbose=0), data)
    path, found = integers.convert(tmp_path, model, data)
    assert found.keras_accuracy == before > 0.8
    assert found.accuracy >= before - integers.MOST_LOST
    assert "widened" in found.in_floats
    assert len(found.in_floats) < len(model.layers) - 2  # neither input nor resizing are among them
    assert f"still compute in floating point: {found.in_floats[0]}" in found.in_words()
    said = formats.open_tflite(path)(np.asarray(data.validation.pictures))
    assert right(said, data) == found.accuracy


def test_layers_are_left_out_at_both_ends_never_all():
    assert list(integers.ends(list("abcde"))) == [
        *(["e"], ["a"], ["d", "e"], ["a", "b"]),
        *(["c", "d", "e"], ["a", "b", "c"], ["b", "c", "d", "e"], ["a", "b", "c", "d"]),
    ]
    assert list(integers.ends(["a"])) == []


def test_outputs_are_called_as_their_layers():
    outputs = ("model_1/head_1/dense_1/Relu;model_1/head_1/dense_1/BiasAdd", "StatefulCall_1:0")
    assert [integers._layer(each) for each in outputs] == ["head/dense", "output"]


def test_what_loses_too_much_is_not_kept(data, tmp_path, monkeypatch):
    model = learned(data)
    monkeypatch.setattr(integers._Quantiser, "_operations", lambda self: [])
    monkeypatch.setattr(integers, "_right", lambda run, split: 0.5 + 0.4 * ("_keras" in str(run)))
    with pytest.raises(
        UserError, match=r"gets 50\.0 % of the validation pictures right, whichever .* before 90"
    ):
        integers.convert(tmp_path, model, data)
    assert not list(tmp_path.iterdir())


def test_pictures_that_are_gone_are_one_line(photos, tmp_path, capsys):
    run = run_folder(tmp_path, photos)
    settings.write(run / "settings.toml", Options(data=tmp_path / "data", cache=tmp_path / "c"))
    shutil.rmtree(tmp_path / "data")
    assert main([str(run), "--to", integers.NAME]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "data" in error
    assert error.count("\n") == 1
    assert classifier.load(run).classes == ("cats", "dogs")
