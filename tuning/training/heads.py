"""Heads that are trained on bottleneck features, for fine-tuning to start from, and shared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tuning.features.entry import digest
from tuning.training.best import load_arrays, save_arrays
from tuning.training.context import TrialContext


def trained_head(
    context: TrialContext,
    hyperparameters: dict[str, Any],
    train: Callable[[dict[str, Any]], list[np.ndarray]],
) -> list[np.ndarray]:
    """The weights of a head trained alone, computed once for all trials whose heads are alike.

    Args:
        context: What all trials share.
        hyperparameters: A trial's with unfrozen layers; its head has `head_epochs` epochs.
        train: The training of a head alone, from its hyperparameters to its weights.
    """
    alone = {
        name: value
        for name, value in hyperparameters.items()
        if name not in ("fine_tune_rate", "head_epochs", "layer_decay")
    }
    alone |= {"unfrozen": 0, "augmentation": "none", "epochs": hyperparameters["head_epochs"]}
    backbone = context.backbone_for(alone)
    assert backbone is not None
    name = digest(
        {
            "features": context.cache.entry(context.dataset.train, backbone, backbone.top).content,
            "labels": hashlib.sha256(context.dataset.train.labels.tobytes()).hexdigest(),
            "hyperparameters": alone,
            "seed": context.seed,
            "backend": keras.backend.backend(),
        }
    )
    heads, file = context.cache.shared / "heads", f"{name}.npz"
    if not heads.fetch(file).exists():
        with context.cache.lock(name):
            if not heads.fetch(file).exists():
                save_arrays(heads.here / file, train(alone))
                heads.send(file)
    return load_arrays(heads.here / file)
