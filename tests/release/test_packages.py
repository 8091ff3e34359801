"""A user's own packages called as ours are: found, or refused in a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuning.errors import UserError
from tuning.training.context import NamedHyperModel
from tuning.training.hypermodel import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

NET = """
import keras, keras_tuner

class Net(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(),
                                  keras.layers.Dense(1, "sigmoid")])
        hp.Int("width", 1, 4)
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
        return model
"""


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])


def search(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and what was said; run as a script, or as the command that is installed."""
    done = subprocess.run(
        [sys.executable, *words, "--cache", str(folder / "cache"), "--image-size", "32"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("package", "entry"),
    [("models", [str(ROOT / "tuning" / "search.py")]), ("search_spaces", ["-m", "tuning"])],
)
def test_a_users_package_of_our_name_is_found(photos, tmp_path, package, entry):
    folder = tmp_path / package
    folder.mkdir()
    (folder / "resnet.py").write_text(NET)
    (folder / "__init__.py").touch()
    # What is wrong is found when the model was built, so ours and theirs were found.
    wrong = ("--hypermodel", f"{package}.resnet:Net", "--set", "nothing=1")
    code, error = search(tmp_path, *entry, *wrong, "--data", str(photos), "--per-class", "4", "2")
    assert code == 2
    assert error == "error: --set nothing=1: there is no hyperparameter nothing; there are width\n"


def test_a_module_of_our_name_is_refused_in_a_line(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vgg16.py").write_text(NET)
    with pytest.raises(UserError, match=r"both have a module models.vgg16; rename yours\.$"):
        load(NamedHyperModel("models.vgg16:Net", str(tmp_path)), None)


def test_a_module_that_ours_hides_is_refused_in_a_line(tmp_path):
    (tmp_path / "models.py").write_text(NET)
    with pytest.raises(UserError, match="has a package models too, which hides yours: rename it"):
        load(NamedHyperModel("models:Net", str(tmp_path)), None)
