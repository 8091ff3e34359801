"""Training and validation pictures together, divided anew: into folds, or for one trial."""

from __future__ import annotations

import dataclasses

import numpy as np

from tuning.data.dataset import Dataset, Split
from tuning.data.division import drawn
from tuning.data.parts import Part


def fold(dataset: Dataset, number: int, folds: int) -> Dataset:
    """One fold of training and validation pictures together.

    Args:
        dataset: The search's.
        number: The fold that is validated on, from 0.
        folds: The number of folds.
    """
    return _divided(dataset, divisions(dataset, folds)[number])


def divisions(dataset: Dataset, folds: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and validation pictures together, divided so that each is validated on once.

    Stratified: every fold has its share of each class, as far as groups, which are not divided,
    allow it. The test split is no part of it.

    Args:
        dataset: The search's.
        folds: The number of folds.
        seed: The seed of the division.

    Returns:
        For each fold the rows to train on and those to validate on, indices into the training
        pictures followed by the validation pictures.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = np.concatenate([dataset.train.labels, dataset.validation.labels])
    options = {"shuffle": True, "random_state": seed}
    if groups := _groups(dataset):
        numbers = np.unique(groups, return_inverse=True)[1]
        return list(StratifiedGroupKFold(folds, **options).split(labels, labels, numbers))
    return list(StratifiedKFold(folds, **options).split(labels, labels))


def redivided(dataset: Dataset, seed: int) -> Dataset:
    """The same pictures with another division into training and validation, of the same shares.

    Groups are not divided; the test split is no part of it.

    Args:
        dataset: The search's.
        seed: The seed of the division.
    """
    share = len(dataset.validation) / (len(dataset.train) + len(dataset.validation))
    pictures = [each for each in dataset.pictures() if each.split != "test"]
    held = {each.file for each in drawn(pictures, {"validation": share}, seed)["validation"]}
    is_held = np.array([each.file in held for each in pictures])
    return _divided(dataset, (np.flatnonzero(~is_held), np.flatnonzero(is_held)))


def _divided(dataset: Dataset, rows: tuple[np.ndarray, np.ndarray]) -> Dataset:
    whole = (dataset.train, dataset.validation)
    assert all(isinstance(split, Split) for split in whole)
    train, validation = rows
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
