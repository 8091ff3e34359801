"""Heads that are trained on bottleneck features, for fine-tuning to start from, and shared."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from models import vgg16
from tuning.best import load_arrays, save_arrays
from tuning.features.entry import digest
from tuning.setting import Setting


def trained_head(setting: Setting, hyperparameters: dict[str, Any]) -> list[np.ndarray]:
    """The weights of a head trained alone, computed once for all trials whose heads are alike.

    Args:
        setting: What all trials share.
        hyperparameters: Of a trial with unfrozen layers; its `head_epochs` are trained here.
    """
    from tuning.training import Trial

    alone = {
        name: value
        for name, value in hyperparameters.items()
        if name not in ("fine_tune_rate", "head_epochs")
    }
    alone |= {"unfrozen": 0, "augmentation": "none", "epochs": hyperparameters["head_epochs"]}
    if "optimizer" in alone:
        # The lever is that of the fine-tuning; heads train as the article's do, and are shared.
        alone["optimizer"] = "rmsprop"
    frozen = setting.frozen_for(alone)
    name = digest(
        {
            "features": setting.cache.key(setting.dataset.train, frozen, vgg16.TOP),
            "labels": hashlib.sha256(setting.dataset.train.labels.tobytes()).hexdigest(),
            "hyperparameters": alone,
            "seed": setting.seed,
            "backend": keras.backend.backend(),
        }
    )
    heads, file = setting.cache.shared / "heads", f"{name}.npz"
    if not heads.fetch(file).exists():
        with setting.cache.right(name):
            if not heads.fetch(file).exists():
                trial = Trial(setting, alone)
                for _ in range(alone["epochs"]):
                    trial.train_epoch()
                save_arrays(heads.here / file, trial.weights)
                heads.send(file)
    return load_arrays(heads.here / file)
