"""Pictures for the report: small, as JPEG in base64."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.augmentation import POLICIES, augment
from models.mixup import Mixup
from tuning.data.dataset import Split
from tuning.data.parts import Part
from tuning.records.facts import Sheet
from tuning.records.trial_log import TrialRecord

THUMBNAIL = 96  # pixels
ROWS, COLUMNS = 3, 7  # of a sheet: pictures, and each as it is with six of its views


def thumbnail(picture: np.ndarray) -> str:
    """A picture, uint8 (S, S, 3), at most 96 pixels a side."""
    return jpeg(_small(picture))


def sheets(ranking: Sequence[TrialRecord], split: Split | Part, views: int) -> list[Sheet]:
    """What augmentation makes of some pictures, a sheet for each policy that trials had, and mixup.

    Args:
        ranking: The trials, the best first; so are the sheets.
        split: The training pictures.
        views: Number of views of each picture that are kept.
    """
    policies = dict.fromkeys(str(each.hyperparameters.get("augmentation")) for each in ranking)
    rows = _of_each_class(split.labels)
    found: list[Sheet] = []
    for name in policies:
        if name not in POLICIES or name == "none":
            continue
        # The first of `mirror` is the picture as it is, which is there already.
        numbers = (1,) if name == "mirror" else range(min(views, COLUMNS - 1))
        plain = split.pictures[rows]
        columns = [plain] + [augment(plain, name, each, split.digests[rows]) for each in numbers]
        found.append(_sheet(name, columns))
    alpha = next((a for each in ranking if (a := each.hyperparameters.get("mixup"))), None)
    if alpha and len(rows) > 1:
        found.append(_sheet(f"mixup {alpha:g}", _blended(split.pictures[rows], alpha)))
    return found


def _blended(plain: np.ndarray, alpha: float) -> list[np.ndarray]:
    """Pictures (N, S, S, 3) as they are, then blended with the next one by shares drawn anew."""
    random, layer = np.random.default_rng(0), Mixup()
    columns = [plain]
    for _ in range(COLUMNS - 1):
        pairs = np.stack([plain, np.roll(plain, -1, axis=0)], axis=1).astype(np.float32)
        shares = random.beta(alpha, alpha, len(plain)).astype(np.float32)
        both = [
            layer([pair, np.full((2, 1), share)]) for pair, share in zip(pairs, shares, strict=True)
        ]
        columns.append(np.stack([np.asarray(each)[0] for each in both]))
    return columns


def _sheet(name: str, columns: Sequence[np.ndarray]) -> Sheet:
    """One picture from columns of pictures, (N, S, S, 3) each."""
    sheet = np.concatenate(
        [np.concatenate([_small(each) for each in column]) for column in columns], axis=1
    )
    return {"policy": name, "pictures": len(columns[0]), "image": jpeg(sheet)}


def _of_each_class(labels: np.ndarray) -> np.ndarray:
    """Rows of some pictures, of as many classes as there is room for."""
    _, firsts = np.unique(labels, return_index=True)
    rest = np.setdiff1d(np.arange(len(labels)), firsts)
    return np.sort(np.concatenate([firsts, rest])[:ROWS])


def _small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.asarray(picture).round().astype(np.uint8))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(image)


def jpeg(picture: np.ndarray) -> str:
    """A picture, uint8 (height, width, 3), as JPEG in base64."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()
