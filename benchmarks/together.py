"""What several models together are worth: averages of what they say, of weights, of mirror images.

Heads drawn at random from the levers are trained on frozen features of the article's photos, with
fresh seeds. Half of the validation pictures choose epochs, the best five and what is made of them,
and fit its temperature; the other half, which no fit has read, judges all of them. The best is
trained again on five folds of the training pictures and the half that chooses, too.

    python -m benchmarks.together --backbone tests.lite0:lite0 [--weights FILE] [--train 1000]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import PHOTOS, SURROGATE, describe, table
from tuning.process.backend import import_keras

import_keras(Path(os.devnull))

import numpy as np
import optuna
from sklearn.model_selection import StratifiedKFold

from models import network
from search_spaces.constraints import parse_constraints
from tuning.data import dataset
from tuning.data.parts import Part
from tuning.evaluation import scores, temperature
from tuning.features import PLAIN, FeatureCache, View
from tuning.scheduling.space import LeverSpace
from tuning.training.context import TrialContext
from tuning.training.networks import probabilities
from tuning.training.source import Source
from tuning.training.transfer import TransferTrial

SIZE, EPOCHS, BEST, VALIDATION = 224, 15, 5, 400
ROUNDS = 20  # of a greedy choice
MIRRORED = View("mirror", 1)


@dataclass(frozen=True)
class Member:
    """A trial's best epoch.

    Attributes:
        point: Its hyperparameters.
        epoch: The epoch, from 1.
        weights: What its head is made again of.
        said: What it says of the validation pictures, (N, classes).
        mirrored: The same of their mirror images.
    """

    point: dict[str, Any]
    epoch: int
    weights: list[np.ndarray]
    said: np.ndarray
    mirrored: np.ndarray


class Judge:
    """Pictures in two halves, and what is known of them.

    Args:
        context: What all trials share.
        chosen: Which pictures choose, bool (N,); the others judge.
    """

    def __init__(self, context: TrialContext, chosen: np.ndarray) -> None:
        self.context, self.chosen = context, chosen
        self.labels = context.dataset.validation.labels

    def loss(self, said: np.ndarray) -> float:
        """The log loss of the half that chooses."""
        return _loss(said[self.chosen], self.labels[self.chosen])

    def calibrated(self, said: np.ndarray) -> np.ndarray:
        """With the temperature that the half that chooses gives it."""
        fitted = temperature.better(said[self.chosen], self.labels[self.chosen])
        return temperature.apply(said, fitted)

    def verdict(self, said: np.ndarray) -> tuple[float, float]:
        """Accuracy and log loss of the other half, with the temperature of the first."""
        return self.judged(self.calibrated(said))

    def judged(self, said: np.ndarray) -> tuple[float, float]:
        """Accuracy and log loss of the other half."""
        judged, labels = said[~self.chosen], self.labels[~self.chosen]
        return float((judged.argmax(axis=1) == labels).mean()), _loss(judged, labels)

    def member(self, point: dict[str, Any]) -> tuple[float, Member]:
        """A trained head at its best epoch, and how good the half that chooses finds it."""
        trial, best = TransferTrial(self.context, point), (-np.inf, -np.inf)
        found: Member | None = None
        classes = self.context.dataset.classes
        for epoch in range(1, point["epochs"] + 1):
            trial.train_epoch()
            said = trial.probabilities(self.context.dataset.validation)
            right = scores.measure(said[self.chosen], self.labels[self.chosen], classes)
            rank = right["accuracy"], -self.loss(said)
            if rank > best:
                mirrored = trial._network.probabilities(self.features(point, MIRRORED))
                best, found = rank, Member(point, epoch, trial.weights, said, mirrored)
        assert found is not None
        return best[0] + best[1] * 1e-3, found

    def features(self, point: dict[str, Any], view: View) -> np.ndarray:
        """What heads take of the validation pictures."""
        backbone = self.context.backbone_for(point)
        assert backbone is not None
        split = self.context.dataset.validation
        return np.asarray(self.context.cache.features(split, backbone, backbone.top, view)[:])

    def folded(self, member: Member) -> np.ndarray:
        """The mean of what a configuration says that is trained on all folds but one each.

        Its temperature is that of what each says of the pictures that it was not trained on. As
        with `--folds`, it is trained for as many epochs as it had when it was best.
        """
        data, seed = self.context.dataset, self.context.seed
        rows = np.concatenate(
            [np.arange(len(data.train)), len(data.train) + np.flatnonzero(self.chosen)]
        )
        labels = np.concatenate([data.train.labels, data.validation.labels])
        folds = StratifiedKFold(BEST, shuffle=True, random_state=seed).split(rows, labels[rows])
        said, apart = [], np.zeros_like(member.said)
        for learned, held in folds:
            part = Part("train", (data.train, data.validation), rows[learned])  # type: ignore[arg-type]
            context = dataclasses.replace(
                self.context, dataset=dataclasses.replace(data, train=part)
            )
            trial = TransferTrial(context, member.point | {"epochs": member.epoch})
            for _ in range(member.epoch):
                trial.train_epoch()
            said.append(trial.probabilities(data.validation))
            away = rows[held][rows[held] >= len(data.train)] - len(data.train)
            apart[away] = said[-1][away]
        fitted = temperature.better(apart[self.chosen], self.labels[self.chosen])
        mean: np.ndarray = np.mean([temperature.apply(each, fitted) for each in said], axis=0)
        return mean

    def soup(self, members: Sequence[Member]) -> np.ndarray:
        """What a head of averaged weights says: of those that help, the best first.

        Wortsman et al., "Model soups" (ICML 2022), recipe 1.
        """
        shapes = [[each.shape for each in member.weights] for member in members]
        alike = [m for m, own in zip(members, shapes, strict=True) if own == shapes[0]]
        kept, said = alike[:1], members[0].said
        for member in alike[1:]:
            mixed = self._averaged([*kept, member])
            if self.loss(mixed) <= self.loss(said):
                kept, said = [*kept, member], mixed
        return said

    def _averaged(self, members: Sequence[Member]) -> np.ndarray:
        point, data = members[0].point, self.context.dataset
        head = network.trainable(
            point,
            image_size=data.image_size,
            classes=len(data.classes),
            backbone=self.context.backbone_for(point),
        )
        for variable, *values in zip(
            network.kept(head), *(each.weights for each in members), strict=True
        ):
            variable.assign(np.mean(values, axis=0))
        return probabilities(head, self.features(point, PLAIN))


def _loss(said: np.ndarray, labels: np.ndarray) -> float:
    right = said[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(right, temperature.LEAST, 1.0)).mean())


def greedy(judge: Judge, said: np.ndarray) -> np.ndarray:
    """The mean of those that together fit best, (N, classes); some count more than once.

    Caruana et al., "Ensemble Selection from Libraries of Models" (ICML 2004), section 2.

    Args:
        judge: What knows the pictures.
        said: What members say, (M, N, classes).
    """
    chosen: list[int] = []
    best, kept = np.inf, [0]
    for _ in range(ROUNDS):
        losses = [judge.loss(said[[*chosen, each]].mean(axis=0)) for each in range(len(said))]
        chosen.append(int(np.argmin(losses)))
        if min(losses) < best:
            best, kept = min(losses), list(chosen)
    mean: np.ndarray = said[kept].mean(axis=0)
    return mean


def geometric(said: np.ndarray) -> np.ndarray:
    """The mean of logits (M, N, classes) as probabilities (N, classes)."""
    logs = np.log(np.clip(said.astype(np.float64), temperature.LEAST, 1.0)).mean(axis=0)
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    mean: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return mean


def verdicts(context: TrialContext, trials: int) -> dict[str, tuple[float, float]]:
    """Accuracy and log loss of each way, by what it is called in the table."""
    halves = np.random.default_rng(context.seed).permutation(len(context.dataset.validation))
    judge = Judge(context, halves % 2 == 0)
    name = context.sources[0].name
    limits = (f"network={name}", "unfrozen=0", "augmentation=none,mirror")
    depths = {name: len(context.backbone.units)}
    space = LeverSpace(EPOCHS, name="levers", depths=depths, constraints=parse_constraints(limits))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=context.seed))
    members = [judge.member(space(study.ask())) for _ in range(trials)]
    best = [each for _, each in sorted(members, key=lambda each: -each[0])[:BEST]]
    said = np.stack([each.said for each in best])
    calibrated = [judge.calibrated(each.said) for each in best]
    both = np.stack([(each.said + each.mirrored) / 2 for each in best])
    ways = {
        "the best": said[0],
        "the best, and of mirror images": both[0],
        f"the mean of {BEST}": said.mean(axis=0),
        f"the mean of {BEST}, each calibrated": np.mean(calibrated, axis=0),
        f"the mean of {BEST}, by logits": geometric(said),
        f"of {BEST}, greedily": greedy(judge, said),
        f"the mean of {BEST}, and of mirror images": both.mean(axis=0),
        "one of averaged weights": judge.soup(best),
    }
    found = {way: judge.verdict(each) for way, each in ways.items()}
    return found | {f"the best on {BEST} folds, their mean": judge.judged(judge.folded(best[0]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--weights", default=str(SURROGATE))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--train", type=int, default=1000, help="training photos a class")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(describe())
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        per_class = (options.train, VALIDATION)
        data = dataset.load(PHOTOS, cache=cache, image_size=options.size, per_class=per_class)
        name = "own" if ":" in options.backbone else options.backbone
        source = Source(name, options.backbone, options.weights, os.getcwd())
        for seed in range(options.seeds):
            context = TrialContext(data, FeatureCache(cache), (source,), "imagenet", seed=seed)
            for way, verdict in verdicts(context, options.trials).items():
                found.setdefault(way, []).append(verdict)
    rows = []
    for way, each in found.items():
        (accuracy, loss), base = np.mean(each, axis=0), np.array(found["the best"])
        won = int((np.array(each)[:, 1] < base[:, 1]).sum())
        rows.append([way, f"{100 * accuracy:.2f} %", f"{loss:.4f}", f"{won} of {len(each)}"])
    print(table(["", "accuracy", "log loss", "lower loss than the best"], rows))


if __name__ == "__main__":
    main()
