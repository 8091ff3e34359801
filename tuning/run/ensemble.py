"""The best trials together: one model whose answer is the mean of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from models import network
from tuning import wording
from tuning.data.dataset import Split
from tuning.data.parts import Part
from tuning.evaluation import temperature
from tuning.export.formats import milliseconds
from tuning.export.model import trained
from tuning.records.facts import Alone, Ensemble
from tuning.records.trial_log import TrialRecord
from tuning.scheduling.tune import Run
from tuning.training.best import load_arrays
from tuning.training.networks import probabilities
from tuning.training.trial import score

if TYPE_CHECKING:
    from models.network import Member

FEWEST = 2


@dataclass(frozen=True)
class Joined:
    """Several trials' networks as one.

    Attributes:
        model: The model that answers with the mean of their probabilities.
        trials: Their numbers, the winner's first.
        validation: What each says of the validation pictures, (members, N, classes).
        test: The same of the test pictures; None where there are none.
    """

    model: keras.Model
    trials: Sequence[int]
    validation: np.ndarray
    test: np.ndarray | None


def join(run: Run, winner: TrialRecord, ranking: Sequence[TrialRecord]) -> Joined | str:
    """The winner with the best of the other trials, each calibrated by itself.

    Their mean counts alike: chosen greedily by the validation pictures (Caruana et al., 2004) it
    was no better, see benchmarks/RESULTS.md.

    Args:
        run: The run, whose trials are over.
        winner: The trial that answers alone otherwise.
        ranking: All trials, the best first.

    Returns:
        What came of it; or why the winner is better alone, in a sentence.
    """
    others = [each for each in ranking if each.number != winner.number]
    able = [each for each in others if run.folder.weights(each.number).exists()]
    chosen = [winner, *able][: run.options.ensemble]
    if len(chosen) < FEWEST:
        return "There are no trials to make an ensemble of; the best answers alone."
    members = [
        trained(run.context, each.hyperparameters, load_arrays(run.folder.weights(each.number)))
        for each in chosen
    ]
    data = run.context.dataset
    together = network.side_by_side(
        members, image_size=data.image_size, keep_aspect=data.settings.keep_aspect
    )
    validation = _calibrated(members, _said(together, data.validation), data.validation.labels)
    labels = data.validation.labels
    (alone, _), (mean, _) = score(validation[0], labels), score(validation.mean(axis=0), labels)
    if mean >= alone:
        return (
            f"The mean of the {len(chosen)} best trials is no better than the best alone (loss of "
            f"the validation pictures {wording.value(mean)}, alone {wording.value(alone)}): that "
            "answers alone."
        )
    numbers = [each.number for each in chosen]
    test = _said(together, data.test) if data.test is not None else None
    return Joined(network.averaged(together), numbers, validation, test)


def _said(together: keras.Model, split: Split | Part) -> np.ndarray:
    """What each member says of a split's pictures, (members, N, classes)."""
    joined = keras.Model(together.inputs, keras.layers.Concatenate()(together.outputs))
    rows = probabilities(joined, split.pictures)
    said = np.stack(np.split(rows, len(together.outputs), axis=1))
    return np.concatenate([1 - said, said], axis=2) if said.shape[2] == 1 else said


def _calibrated(members: Sequence[Member], said: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What members say, (members, N, classes), when each has got its temperature."""
    found = []
    for member, own in zip(members, said, strict=True):
        fitted = temperature.better(own, labels)
        if fitted != 1 and network.temper(member.trained, fitted):
            own = temperature.apply(own, fitted)
        found.append(own)
    return np.stack(found)


def facts(joined: Joined, alone: keras.Model, run: Run) -> Ensemble:
    """What the report says of it.

    Args:
        joined: The ensemble.
        alone: The winner's own model.
        run: The run.
    """
    data = run.context.dataset
    pictures = data.validation.pictures
    return {
        "trials": list(joined.trials),
        "validation": _alone(joined.validation, data.validation),
        "test": _alone(joined.test, data.test) if data.test is not None else None,
        "milliseconds": milliseconds(joined.model.predict_on_batch, pictures),
        "milliseconds_alone": milliseconds(alone.predict_on_batch, pictures),
    }


def _alone(said: np.ndarray | None, split: Split | Part) -> Alone:
    assert said is not None
    loss, accuracy = score(said[0], split.labels)
    return {"accuracy": accuracy, "loss": loss}
