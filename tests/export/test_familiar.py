"""What a model was never shown is told apart from what it was."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lite0 import WEIGHTS
from PIL import Image, ImageDraw

from search_spaces import levers
from tuning.data import dataset
from tuning.errors import UserError
from tuning.export import classifier, familiar
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.source import Source
from tuning.training.transfer import TransferTrial

pytestmark = pytest.mark.slow

SIZE = 128
PHOTOS = (
    *("astronaut", "brick", "camera", "coffee", "coins", "grass", "gravel", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "page", "rocket", "text", "clock"),
)


@pytest.mark.parametrize("unfrozen", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_photos_of_neither_class_shapes_and_noise_are_flagged(
    photos, shared_cache, tmp_path, unfrozen
):
    """By EfficientNet-Lite0 with its real weights; threshold at 1 % of validation."""
    assert WEIGHTS.is_file()
    data = dataset.load(photos, cache=shared_cache, image_size=SIZE, per_class=(50, 50))
    source = Source("own", "lite0:lite0", "own", str(Path(__file__).parents[1]))
    context = TrialContext(data, FeatureCache(shared_cache), (source,))
    given = {"network": "own", "unfrozen": unfrozen, "augmentation": "none", "head_epochs": 2}
    given = {name: value for name, value in given.items() if unfrozen or name != "head_epochs"}
    depths = {"own": len(context.backbone.units)}
    point = levers.complete(given, epochs=2, depths=depths, space="levers")
    trial = TransferTrial(context, point)
    for _ in range(2):
        trial.run_epoch()
    best = tmp_path / "run" / "best"
    model, _ = export(context, point, trial.best.weights, best)
    familiar.write(familiar.measure(context, point, model), best)
    loaded = classifier.load(tmp_path / "run")
    assert (best / familiar.FILE).stat().st_size < 3e6

    def unlike(pictures):
        return np.array([each.unlike for each in loaded.judge(pictures)])

    strange = [*_samples(), *_shapes(), *_noise()]
    flagged = unlike([np.asarray(each.convert("RGB").resize((SIZE, SIZE))) for each in strange])
    assert flagged.mean() >= 0.9
    assert unlike(list(np.asarray(data.validation.pictures[:]))).mean() <= 0.03
    said = loaded.judge(list(np.asarray(data.validation.pictures[:4])))
    alone = model.predict(np.asarray(data.validation.pictures[:4]), verbose=0)[:, 0]
    np.testing.assert_allclose([each.probabilities[1] for each in said], alone, atol=1e-5)


def _samples():
    from skimage import data
    from sklearn.datasets import load_sample_images

    for name in PHOTOS:
        yield Image.fromarray(np.asarray(getattr(data, name)()))
    for picture in load_sample_images().images:
        yield Image.fromarray(picture)


def _shapes():
    generator = np.random.default_rng(0)
    for number in range(10):
        picture = Image.new("RGB", (SIZE, SIZE), tuple(generator.integers(0, 256, 3).tolist()))
        draw = ImageDraw.Draw(picture)
        for _ in range(1 + number % 4):
            box = sorted(generator.integers(0, SIZE, 2)), sorted(generator.integers(0, SIZE, 2))
            (left, right), (top, bottom) = box
            shape = draw.ellipse if number % 2 else draw.rectangle
            shape((left, top, right, bottom), fill=tuple(generator.integers(0, 256, 3).tolist()))
        yield picture


def _noise():
    generator = np.random.default_rng(1)
    for _ in range(5):
        yield Image.fromarray(generator.integers(0, 256, (SIZE, SIZE, 3)).astype("uint8"))
        grey = np.clip(generator.normal(128, 40, (SIZE, SIZE)), 0, 255).astype("uint8")
        yield Image.fromarray(grey)


def test_the_border_is_what_so_few_validation_pictures_are_beyond():
    generator = np.random.default_rng(0)
    shown = familiar._of_length_one(generator.normal(1, 0.3, (500, 16)))
    fresh = generator.normal(1, 0.3, (400, 16))
    border = float(np.quantile(familiar.distances(shown, fresh), 1 - familiar.FALSE_ALARMS))
    known = familiar.Familiar(shown, border)
    assert known.unlike(fresh).mean() == pytest.approx(familiar.FALSE_ALARMS, abs=0.005)
    assert known.unlike(-fresh).all()
    np.testing.assert_array_equal(known.unlike(3 * fresh), known.unlike(fresh))  # a direction


def test_it_comes_back_as_it_was_and_damage_is_one_line(tmp_path):
    known = familiar.Familiar(np.eye(4, dtype=np.float32), 0.25)
    familiar.write(known, tmp_path)
    read = familiar.read(tmp_path)
    assert (read.shown == known.shown).all()
    assert read.border == known.border
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY"):
        (tmp_path / familiar.FILE).write_bytes(content)
        with pytest.raises(UserError, match=r"familiar\.npz cannot be read"):
            familiar.read(tmp_path)
    familiar.write(None, tmp_path)
    assert familiar.read(tmp_path) is None


def test_without_frozen_layers_or_with_few_pictures_nothing_is_said():
    context = SimpleNamespace(
        dataset=None, hypermodel=None, backbone_for=lambda hyperparameters: None
    )
    assert familiar.measure(context, {}, None) is None
