"""Run folders with a best model in them, without the search that leads there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models import network
from tuning.data import dataset
from tuning.data.decoding import AS_IN_THE_ARTICLE, DecodeSettings
from tuning.export.model import export
from tuning.features import FeatureCache
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from

SIZE = 48
CONVNET = {"network": "convnet", "dropout": 0.5}


def run_folder(
    folder: Path,
    photos: Path,
    classes: Sequence[str] = ("cats", "dogs"),
    point: dict[str, Any] = CONVNET,
    settings: DecodeSettings = AS_IN_THE_ARTICLE,
) -> Path:
    """Exports a network with random weights that tells pictures apart, if not rightly."""
    data = dataset.load(
        pictures(folder / "data", photos, classes),
        cache=folder / "cache",
        image_size=SIZE,
        settings=settings,
    )
    context = TrialContext(data, FeatureCache(folder / "cache"), vgg16_from("random"))
    backbone = context.backbone_for(point)
    trained = network.trainable(
        point, image_size=SIZE, classes=len(classes), backbone=backbone, seed=3
    )
    values = trained.get_weights()
    # Of random weights every probability is near one half.
    outputs = trained.predict(np.asarray(data.train.pictures), verbose=0) if not backbone else None
    if outputs is not None:
        logits = np.log(outputs / (1 - outputs)) if len(classes) == 2 else np.log(outputs)
        scale = 2 / logits.std(axis=0).mean()
        values[-2] = values[-2] * scale
        values[-1] = -scale * logits.mean(axis=0)
    export(context, point, values, folder / "run" / "best")
    return folder / "run"


def pictures(folder: Path, photos: Path, classes: Sequence[str], count: int = 6) -> Path:
    """A data folder with some photos in each class, whatever the classes are called."""
    sources = sorted((photos / "train" / "cats").iterdir())[:50]
    sources += sorted((photos / "train" / "dogs").iterdir())[:50]
    for index, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            source = sources[(index * 50 + number) % 100 + index // 2]
            shutil.copy(source, folder / name / f"{number}.jpg")
    return folder
