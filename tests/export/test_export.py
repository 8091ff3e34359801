"""What the user takes home says what the trial said, and needs nothing of this project."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from exported import SIZE, run_folder
from report_facts import example
from stranger import AWAY

from models import network
from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.errors import UserError
from tuning.export import card, classifier, formats, integers
from tuning.export.model import export, refresh_card
from tuning.features import FeatureCache
from tuning.options import Options, settings
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from
from tuning.training.transfer import TransferTrial

# Loads models where this project is not, and writes what they say of pictures of two sizes.
STRANGER = (
    AWAY
    + """
import json, keras, numpy as np
pictures, others = np.load("pictures.npy"), np.load("others.npy")
for name in sys.argv[1:]:
    model = keras.saving.load_model(f"{name}/model.keras", safe_mode=True)
    classes = json.load(open(f"{name}/classes.json"))["classes"]
    said, of_others = model.predict(pictures, verbose=0), model.predict(others, verbose=0)
    assert classes == ["cats", "dogs"] and said.shape == (len(pictures), 1), (classes, said.shape)
    assert of_others.shape == (len(others), 1) and 0 <= of_others.min() <= of_others.max() <= 1
    np.save(f"{name}/said.npy", said)
"""
)


@pytest.mark.slow
def test_the_exported_model_says_what_the_trial_said_where_this_project_is_not(
    photos, all_photos, cache, tmp_path
):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(24, 10))
    features = FeatureCache(cache, "float32")
    surrogate = str(all_photos.parent.parent / "weights" / "vgg16_surrogate.npz")
    wanted = {}
    points = {each.name: each.hyperparameters(1) for each in EXPERIMENTS}
    own = {"preprocessing": "imagenet", "pooling": "average", "width": 32, "unfrozen": 1}
    points["full_space"] = points["fine_tune"] | own
    for name, point in points.items():
        # By preprocessing, with outputs that neither vanish nor saturate.
        weights = surrogate if "preprocessing" in point else "random"
        context = TrialContext(data, features, vgg16_from(weights))
        trial = TransferTrial(context, point | {"augmentation": "none"})
        trial.run_epoch()
        wanted[name] = trial.probabilities(data.validation)
        export(context, trial.hyperparameters, trial.weights, tmp_path / name)
    np.save(tmp_path / "pictures.npy", np.asarray(data.validation.pictures))
    others = np.random.default_rng(0).integers(0, 256, (2, 37, 120, 3), np.uint8)
    np.save(tmp_path / "others.npy", others)
    hidden = {"PYTHONPATH", "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, *wanted],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in hidden}
        | {"KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    for name, probabilities in wanted.items():
        said = np.load(tmp_path / name / "said.npy")
        np.testing.assert_allclose(said[:, 0], probabilities[:, 1], atol=1e-4)
        assert said.std() > 1e-3, "the pictures make no difference"


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run folder with all formats of its best model, of three classes."""
    folder = tmp_path_factory.mktemp("export")
    run = run_folder(folder, photos, ("<b>", "cats", "dogs"))
    facts = example()
    (run / "report.json").write_text(json.dumps(facts))
    settings.write(run / "settings.toml", Options(data=folder / "data", cache=folder / "cache"))
    card.write(facts, run)
    formats.export(run, list(formats.FORMATS))
    return run


EXACT = [name for name in formats.FORMATS if name != integers.NAME]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_each_format_says_what_the_keras_model_says(run, name, photos):
    form = formats.FORMATS[name]
    said = form.runner(run / "best" / form.file)
    model = classifier.load(run)
    split = dataset.load(photos, cache=run / "cache", image_size=SIZE, per_class=(5, 5)).validation
    batches = [np.asarray(split.pictures)]
    if form.any_size:
        batches.append(np.random.default_rng(0).integers(0, 256, (3, 211, 64, 3), np.uint8))
    for pictures in batches:
        wanted = model.model.predict(pictures, verbose=0)
        np.testing.assert_allclose(said(pictures), wanted, atol=1e-4)
    assert wanted.std() > 1e-3, "the pictures make no difference"


def test_the_card_names_the_formats_that_were_added(run, tmp_path, capsys):
    text = (run / "best" / "card.md").read_text()
    for form in formats.FORMATS.values():
        assert f"| {form.file} | {form.title} |" in text
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "card.md").write_text("mine")
    refresh_card(tmp_path)
    assert "card stays as it was" in capsys.readouterr().err
    assert (tmp_path / "best" / "card.md").read_text() == "mine"


def test_nothing_is_left_behind_and_a_new_model_removes_the_formats_of_the_old(run, photos):
    best = run / "best"
    assert {file.name for file in best.iterdir()} == {
        "model.keras",
        "classes.json",
        "card.md",
        integers.FACTS,
        *(form.file for form in formats.FORMATS.values()),
    }
    assert formats.written(best) == list(formats.FORMATS)
    data = dataset.load(photos, cache=run / "cache", image_size=SIZE, per_class=(5, 5))
    context = TrialContext(data, FeatureCache(run / "cache"), vgg16_from("random"))
    point = {"network": "convnet", "dropout": 0.5}
    trained = network.trainable(point, image_size=SIZE, classes=2)
    other = run.parent / "other"
    (other / "savedmodel").mkdir(parents=True)
    (other / "model.onnx").touch()
    (other / "model-int8.tflite").touch()
    (other / integers.FACTS).touch()
    export(context, point, trained.get_weights(), other)
    assert sorted(file.name for file in other.iterdir()) == ["classes.json", "model.keras"]


def test_a_format_that_says_something_else_is_not_kept(run, tmp_path, monkeypatch):
    right = formats.FORMATS["savedmodel"]

    def liar(path):
        said = right.runner(path)
        return lambda pictures: said(pictures) + 2e-4

    monkeypatch.setitem(
        formats.FORMATS, "savedmodel", dataclasses.replace(right, runner=liar, file="other")
    )
    model = classifier.load(run)
    with pytest.raises(UserError, match=r"savedmodel model gives probabilities that are 0\.0002"):
        formats.convert(tmp_path, "savedmodel", model.model, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_formats_are_checked_before_anything_is_done(monkeypatch):
    formats.check_formats(list(formats.FORMATS))
    with pytest.raises(UserError, match=r"'coreml' is unknown; there are savedmodel, onnx, tflite"):
        formats.check_formats(["coreml"])
    form = dataclasses.replace(formats.FORMATS["onnx"], needs=("onnxruntime", "no_such_package"))
    monkeypatch.setitem(formats.FORMATS, "onnx", form)
    with pytest.raises(UserError, match=r"pip install no_such_package, or leave onnx out") as told:
        formats.check_formats(["savedmodel", "onnx"])
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.slow
def test_an_export_that_fails_is_one_line(tmp_path):
    with pytest.raises(UserError, match=f"No model in {re.escape(str(tmp_path))}"):
        formats.export(tmp_path, ["savedmodel"])
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "model.keras").write_bytes(b"nothing")
    (tmp_path / "best" / "classes.json").write_text(
        json.dumps({"classes": ["a", "b"], "image_size": 9})
    )
    with pytest.raises(UserError, match=r"model\.keras cannot be loaded") as told:
        formats.export(tmp_path, ["savedmodel"])
    assert len(str(told.value).splitlines()) == 1
