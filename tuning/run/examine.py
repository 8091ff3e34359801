"""What frozen features alone say of the pictures: doubtful labels, and whether more would help."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.backbones import Backbone
from tuning.data import labels
from tuning.data.dataset import Dataset, Split
from tuning.data.folds import divisions, most_folds
from tuning.evaluation import doubts
from tuning.evaluation.frozen_head import out_of_fold
from tuning.evaluation.learning import learning_curve
from tuning.evaluation.pictures import thumbnail
from tuning.records.facts import Doubt, Doubts
from tuning.records.trial_log import TrialRecord
from tuning.scheduling.tune import Run
from tuning.training.moments import pooled

FOLDS = 5
SHOWN = 12  # doubtful labels with their pictures
SURE = 0.95


def examine(run: Run, ranking: list[TrialRecord]) -> dict[str, Any]:
    """`doubts` and `learning_curve` of an outcome; nothing where it would take a pass of pictures.

    By a linear head on the top features of the best trial whose features are all in the cache. The
    test pictures are not looked at.

    Args:
        run: The run, whose trials are over.
        ranking: The trials, the best first.
    """
    context, data = run.context, run.context.dataset
    backbone = _backbone(run, ranking)
    if backbone is None:
        return {}
    train, validation = (
        pooled(context.cache.features(split, backbone, backbone.top))
        for split in (data.train, data.validation)
    )
    return {
        "doubts": _doubts(run, np.concatenate([train, validation])),
        "learning_curve": learning_curve(
            (train, data.train.labels),
            (validation, data.validation.labels),
            data.classes,
            context.metric,
        ),
    }


def _backbone(run: Run, ranking: list[TrialRecord]) -> Backbone | None:
    context, data = run.context, run.context.dataset
    for record in ranking if context.sources else ():
        if context.hypermodel is None:
            found = context.backbone_for(record.hyperparameters)
        else:
            found = context.backbone
        if found is not None:
            whole = {each.name: each for each in (*data.train.whole, *data.validation.whole)}
            if not any(context.cache.missing(each, found, found.top) for each in whole.values()):
                return found
    return None


def _doubts(run: Run, features: np.ndarray) -> Doubts | None:
    data = run.context.dataset
    folds = min(FOLDS, most_folds(data))
    if folds < 2:
        return None
    given = np.concatenate([data.train.labels, data.validation.labels])
    said = out_of_fold(features, given, len(data.classes), divisions(data, folds))
    suggested, margins = doubts.confident_classes(said, given), doubts.margins(said, given)
    doubted = suggested != given
    # Those that are counted to another class first; of these the least probable of their own.
    order = np.lexsort((margins, ~doubted))
    probabilities = said[np.arange(len(given)), suggested]
    _write(run, order, suggested, doubted, probabilities)
    most: list[Doubt] = []
    for row in order[: min(SHOWN, int(doubted.sum()))]:
        split, place = _place(data, row)
        most.append(
            {
                "file": split.paths[place],
                "label": data.classes[given[row]],
                "suggested": data.classes[suggested[row]],
                "probability": float(probabilities[row]),
                "thumbnail": thumbnail(split.pictures[place]),
            }
        )
    return {
        "pictures": len(given),
        "accuracy": float((said.argmax(axis=1) == given).mean()),
        "counted": int(doubted.sum()),
        "sure": int((doubted & (probabilities >= SURE)).sum()),
        "most": most,
        "file": run.folder.doubts.name,
    }


def _place(data: Dataset, row: int) -> tuple[Split, int]:
    """The split of one of the training and then the validation pictures, and its row there."""
    first = len(data.train)
    split, place = (data.train, row) if row < first else (data.validation, row - first)
    assert isinstance(split, Split)
    return split, int(place)


def _write(
    run: Run,
    order: np.ndarray,
    suggested: np.ndarray,
    doubted: np.ndarray,
    probabilities: np.ndarray,
) -> None:
    """The list of all pictures, to be corrected and given back by `--labels`."""
    data = run.context.dataset
    pictures = list(data.pictures())
    seen = len(order)
    cells = [
        (data.classes[suggested[row]], f"{probabilities[row]:.3f}") if doubted[row] else ("", "")
        for row in order
    ]
    labels.write(
        run.folder.doubts,
        data.root,
        [*(pictures[row] for row in order), *pictures[seen:]],
        ("suggested", "probability"),
        [*cells, *[("", "")] * (len(pictures) - seen)],
    )
