"""Cross-validation: training and validation pictures together, divided anew."""

from __future__ import annotations

import dataclasses

import numpy as np

from tuning.data.dataset import Dataset, Split
from tuning.data.parts import Part


def fold(dataset: Dataset, number: int, folds: int) -> Dataset:
    """One fold of training and validation pictures together.

    Stratified: every fold has its share of each class, as far as groups, which are not divided,
    allow it. The test split is no part of it.

    Args:
        dataset: The search's.
        number: The fold that is validated on, from 0.
        folds: The number of folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    whole = (dataset.train, dataset.validation)
    assert all(isinstance(split, Split) for split in whole)
    labels = np.concatenate([split.labels for split in whole])
    if groups := _groups(dataset):
        kind = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
        divisions = kind.split(labels, labels, np.unique(groups, return_inverse=True)[1])
    else:
        divisions = StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels)
    train, validation = list(divisions)[number]
    return dataclasses.replace(
        dataset,
        train=Part("train", whole, train),  # type: ignore[arg-type]
        validation=Part("validation", whole, validation),  # type: ignore[arg-type]
    )


def most_folds(dataset: Dataset) -> int:
    """The most folds that leave a picture of each class in each."""
    labels = np.concatenate([dataset.train.labels, dataset.validation.labels])
    if groups := _groups(dataset):
        together = {(label, group) for label, group in zip(labels.tolist(), groups, strict=True)}
        labels = np.array([label for label, _ in together])
    return int(np.bincount(labels, minlength=len(dataset.classes)).min())


def _groups(dataset: Dataset) -> list[str]:
    """A group for each picture that may be in a fold, its own for one without; none for none."""
    found: list[str] = []
    for split in (dataset.train, dataset.validation):
        for row, group in enumerate(split.groups or [None] * len(split)):
            found.append(f"alone/{split.name}/{row}" if group is None else f"group/{group}")
    return found if any(each.startswith("group/") for each in found) else []
