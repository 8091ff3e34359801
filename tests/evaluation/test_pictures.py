"""Small pictures for the report: what augmentation makes of training pictures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from models.augmentation import augment
from tuning.data import dataset
from tuning.evaluation.pictures import COLUMNS, ROWS, THUMBNAIL, sheets
from tuning.records.trial_log import TrialRecord


def trial(**hyperparameters):
    return TrialRecord(0, hyperparameters, started=0.0)


@pytest.fixture
def split(photos, cache):
    return dataset.load(photos, cache=cache, image_size=192, per_class=(4, 2)).train


def test_a_sheet_for_each_policy_the_best_first(split):
    ranking = [trial(augmentation=name) for name in ("strong", "none", "mirror", "strong")]
    found = sheets([*ranking, trial(units=3), trial(augmentation="a user's own")], split, views=8)
    assert [each["policy"] for each in found] == ["strong", "mirror"]
    strong, mirror = (Image.open(io.BytesIO(base64.b64decode(each["image"]))) for each in found)
    assert (strong.format, strong.size) == ("JPEG", (COLUMNS * THUMBNAIL, ROWS * THUMBNAIL))
    assert mirror.size == (2 * THUMBNAIL, ROWS * THUMBNAIL)


def test_what_mixup_blends_has_a_sheet_too(split):
    blended = trial(augmentation="none", mixup=0.4)
    (found,) = sheets([trial(augmentation="none", mixup=0.0), blended], split, views=8)
    assert found["policy"] == "mixup 0.4"
    image = Image.open(io.BytesIO(base64.b64decode(found["image"])))
    sheet = np.asarray(image, np.float64)
    cells = sheet.reshape(ROWS, THUMBNAIL, COLUMNS, THUMBNAIL, 3).swapaxes(1, 2)
    plain, others = cells[:, 0], np.roll(cells[:, 0], -1, axis=0)
    for column in range(1, COLUMNS):
        for cell, one, other in zip(cells[:, column], plain, others, strict=True):
            share = np.sum((cell - other) * (one - other)) / np.sum((one - other) ** 2)
            assert -0.05 < share < 1.05
            assert np.abs(cell - (share * one + (1 - share) * other)).mean() < 8


def test_rows_are_pictures_of_every_class_and_columns_their_views(split):
    (found,) = sheets([trial(augmentation="medium")], split, views=3)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["image"]))), np.float64)
    assert sheet.shape == (ROWS * THUMBNAIL, 4 * THUMBNAIL, 3)
    rows = [0, 1, int(np.flatnonzero(split.labels == 1)[0])]
    for place, row in enumerate(rows):
        wanted = [split.pictures[row]]
        wanted += [
            augment(split.pictures[[row]], "medium", view, split.digests[[row]])[0]
            for view in range(3)
        ]
        for column, each in enumerate(wanted):
            cell = sheet[THUMBNAIL * place :, THUMBNAIL * column :][:THUMBNAIL, :THUMBNAIL]
            halved = each.reshape(THUMBNAIL, 2, THUMBNAIL, 2, 3).mean((1, 3))
            assert np.abs(cell - halved).mean() < 8
