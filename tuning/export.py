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


def export(
    setting: Setting, hyperparameters: dict[str, Any], weights: list[np.ndarray], folder: Path
) -> tuple[keras.Model, Path]:
    """Writes `model.keras` and `classes.json` into `folder`.

    The model takes pictures (B, height, width, 3) of any size, in 0..255, and gives probabilities:
    (B, 1) of the second class for two classes, else (B, classes). It loads with
    `keras.saving.load_model` in safe mode, without this project. `classes.json` names the classes
    in order and the side, in pixels, of the pictures that the trial saw.

    Args:
        setting: What all trials share.
        hyperparameters: Of the trial.
        weights: That it kept, see `training.Trial.weights`.
        folder: Is made.

    Returns:
        The model and its path.
    """
    dataset = setting.dataset
    # The small convnet must not ask for weights that nobody has.
    frozen = setting.frozen.weights.arrays if hyperparameters["network"] == "vgg16" else {}
    trained = network.trainable(
        hyperparameters,
        image_size=dataset.image_size,
        classes=len(dataset.classes),
        weights=frozen,
        preprocessing=setting.preprocessing,
    )
    trained.set_weights(weights)
    model = network.whole(
        hyperparameters,
        trained,
        image_size=dataset.image_size,
        weights=frozen,
        preprocessing=setting.preprocessing,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.keras"
    draft = folder / ".model.keras"  # Keras chooses the format by this ending
    model.save(draft)
    os.replace(draft, path)
    facts = {"classes": dataset.classes, "image_size": dataset.image_size}
    (folder / "classes.json").write_text(json.dumps(facts, indent=1) + "\n")
    return model, path
