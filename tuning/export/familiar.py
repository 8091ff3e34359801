"""Whether a picture is like those that a model was trained on.

Its features, averaged over all places and of length 1, lie near those of training pictures. Sun et
al., "Out-of-Distribution Detection with Deep Nearest Neighbors" (ICML 2022,
https://arxiv.org/abs/2204.06507).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.errors import UserError

if TYPE_CHECKING:
    import keras

    from tuning.data.dataset import Split
    from tuning.data.parts import Part
    from tuning.training.context import TrialContext

FILE = "familiar.npz"
MOST = 2_000  # training pictures that are kept
NEAREST = 5  # of them, the farthest of which is how far away a picture is
FALSE_ALARMS = 0.01  # of validation pictures
FEWEST = 50  # pictures that can say where such a border lies
ROWS = 64  # at a time


@dataclass(frozen=True)
class Familiar:
    """What a model has been shown.

    Attributes:
        shown: Features of training pictures, (N, C) of length 1.
        border: The distance that so few validation pictures have, in 0..2.
    """

    shown: np.ndarray
    border: float

    def unlike(self, features: np.ndarray) -> np.ndarray:
        """Whether pictures are unlike all that was shown, bool (B,).

        Args:
            features: Averaged over all places, (B, C).
        """
        return distances(self.shown, features) > self.border


def distances(shown: np.ndarray, features: np.ndarray) -> np.ndarray:
    """How far (B, C) lie from (N, C), which have length 1: (B,) in 0..2."""
    given = _of_length_one(features)
    squared = 2 - 2 * np.sort(given @ shown.astype(np.float32).T, axis=1)[:, ::-1]
    place = min(NEAREST, len(shown)) - 1
    found: np.ndarray = np.sqrt(np.clip(squared[:, place], 0, None))
    return found


def _of_length_one(features: np.ndarray) -> np.ndarray:
    rows = features.astype(np.float32)
    scaled: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled


def measure(
    context: TrialContext, hyperparameters: dict[str, Any], model: keras.Model
) -> Familiar | None:
    """What a whole model of a trial has been shown; None without frozen layers, or of too little.

    Args:
        context: What all trials share.
        hyperparameters: The trial's.
        model: What `export.model.build` made of it.
    """
    data = context.dataset
    if context.hypermodel or context.backbone_for(hyperparameters) is None:
        return None
    if min(len(data.train), len(data.validation)) < FEWEST:
        return None
    shown = _of_length_one(_features(context, hyperparameters, model, data.train))
    validation = distances(shown, _features(context, hyperparameters, model, data.validation))
    return Familiar(shown, float(np.quantile(validation, 1 - FALSE_ALARMS)))


def _features(
    context: TrialContext, hyperparameters: dict[str, Any], model: keras.Model, split: Split | Part
) -> np.ndarray:
    """What the head takes of some of a split's pictures, averaged over all places, (N, C)."""
    from models.network import frontier
    from models.units import FEATURES, PICTURE
    from tuning.features import PLAIN

    backbone = context.backbone_for(hyperparameters)
    assert backbone is not None
    cut = frontier(hyperparameters, backbone)
    start = context.cache.start(backbone, cut)
    parts = [backbone.section(start, cut)] if start != cut else []
    if cut != backbone.top:
        names = [each.name for each in model.layers]
        parts.append(model.layers[names.index(FEATURES) - 1])
    given = split.pictures
    if start != PICTURE:
        given = context.cache.features(split, backbone, start, PLAIN)
    chosen = np.random.default_rng(context.seed).permutation(len(given))[:MOST]
    found = []
    for first in range(0, len(chosen), ROWS):
        rows: Any = np.asarray(given[np.sort(chosen[first : first + ROWS])]).astype(np.float32)
        for part in parts:
            rows = part(rows, training=False)
        found.append(np.asarray(rows).mean(axis=(1, 2)))
    return np.concatenate(found)


def write(familiar: Familiar | None, folder: Path) -> None:
    """Puts it beside the model; what was there of another model goes."""
    path = folder / FILE
    path.unlink(missing_ok=True)
    if familiar is not None:
        np.savez(path, shown=familiar.shown.astype(np.float16), border=familiar.border)


def read(folder: Path) -> Familiar | None:
    """What `write` wrote; None where a model has none.

    Raises:
        UserError: If it is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            shown, border = np.asarray(file["shown"], np.float32), float(file["border"])
        if shown.ndim != 2 or not len(shown) or not np.isfinite(shown).all():
            raise ValueError(f"features of the shape {shown.shape}")
    except Exception as error:  # NumPy's and zipfile's words for damage are many
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {error}).") from None
    return Familiar(shown, border)
