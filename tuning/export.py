"""The best trial as one whole Keras model that takes pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models import network
from tuning.setting import Setting


def rebuild(
    setting: Setting, hyperparameters: dict[str, Any], weights: list[np.ndarray]
) -> keras.Model:
    """The trained part of a trial, from its hyperparameters and the weights it kept."""
    model = network.trainable(
        hyperparameters,
        image_size=setting.dataset.image_size,
        classes=len(setting.dataset.classes),
        weights=_vgg16(setting, hyperparameters),
        seed=setting.seed,
    )
    model.set_weights(weights)
    return model


def export(
    setting: Setting, hyperparameters: dict[str, Any], trained: keras.Model, folder: Path
) -> Path:
    """Writes `model.keras` and `classes.json` into `folder`.

    The model takes pictures (B, height, width, 3) of any size, in 0..255, and gives probabilities:
    (B, 1) of the second class for two classes, else (B, classes). It loads with
    `keras.saving.load_model` in safe mode, without this project. `classes.json` names the classes
    in order and the side, in pixels, of the pictures that the trial saw.

    Returns:
        The model's path.
    """
    dataset = setting.dataset
    model = network.whole(
        hyperparameters,
        trained,
        image_size=dataset.image_size,
        weights=_vgg16(setting, hyperparameters),
        preprocessing=setting.preprocessing,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.keras"
    draft = folder / ".model.keras"  # Keras chooses the format by this ending
    model.save(draft)
    os.replace(draft, path)
    facts = {"classes": dataset.classes, "image_size": dataset.image_size}
    (folder / "classes.json").write_text(json.dumps(facts, indent=1) + "\n")
    return path


def _vgg16(setting: Setting, hyperparameters: dict[str, Any]) -> Any:
    # The small convnet must not ask for weights that nobody has.
    if hyperparameters["network"] == "convnet":
        return {}
    return setting.frozen.weights.arrays
