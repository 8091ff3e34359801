"""What a machine can pay for: operations of trials and features against the time that there is.

An operation is one of floating point; a multiplication and an addition count as two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import convnet, vgg16
from tuning.data.dataset import Dataset
from tuning.options import Options
from tuning.scheduling.space import LeverSpace, Space
from tuning.training.reads import MIRROR

TRIAL = 0.1  # share of the time that one trial may take
VIEWS = 0.5  # share of it for the views of all policies
UNLIMITED = 4 * 3600.0  # seconds that a search is planned for if nobody says how long
# A gradient costs two forward passes beside the one before it.
TRAINING = 3
# Of the rate of a large matrix product that convolutions come to, the small convnet's least of all
# (0.5 to 0.9, two cores).
EFFICIENCY = 0.5
# Those that go last are not worth their views first.
PREFERRED = ("mirror", "medium", "crop", "strong", "flip", "article")


@dataclass(frozen=True)
class Machine:
    """The machine and the work that trials are on it.

    Attributes:
        rate: FLOP/s of a large matrix product on what one trial gets.
        dataset: The pictures.
        views: The views of a policy.
        lowest: The lowest frontier whose features are stored.
    """

    rate: float
    dataset: Dataset
    views: int
    lowest: str

    def operations(self, hyperparameters: Mapping[str, Any]) -> float:
        """What a trial trains and evaluates, all its epochs; features that it reads not counted."""
        size = self.dataset.image_size
        if hyperparameters["network"] == "convnet":
            below, trained = 0, convnet.flops(size)
        else:
            cut = vgg16.frontier(hyperparameters["unfrozen"])
            trained = vgg16.flops(cut, vgg16.TOP, size)
            stored = vgg16.FRONTIERS.index(cut) >= vgg16.FRONTIERS.index(self.lowest)
            below = 0 if stored else vgg16.flops(vgg16.PICTURE, cut, size)
        pictures, validation = len(self.dataset.train), len(self.dataset.validation)
        epoch = pictures * (below + TRAINING * trained) + validation * (below + trained)
        return float(hyperparameters["epochs"] * epoch)

    def features(self, hyperparameters: Mapping[str, Any]) -> float:
        """What the features cost that a trial reads, if none of them is there."""
        if hyperparameters["network"] == "convnet":
            return 0.0
        size, pictures = self.dataset.image_size, len(self.dataset.train)
        forward = vgg16.flops(vgg16.PICTURE, vgg16.frontier(hyperparameters["unfrozen"]), size)
        views = min(self.views, hyperparameters["epochs"])
        passes = {"none": 1, MIRROR: 2}.get(hyperparameters["augmentation"], views)
        return float(forward * (passes * pictures + len(self.dataset.validation)))

    def seconds(self, hyperparameters: Mapping[str, Any]) -> float:
        """About how long a trial takes for which no features are there."""
        operations = self.operations(hyperparameters) + self.features(hyperparameters)
        return operations / (EFFICIENCY * self.rate)


def available(options: Options) -> float | None:
    """Seconds that a search may take on one device, None where nothing limits it."""
    found = []
    if options.time_budget is not None:
        found.append(options.time_budget)
    if options.budget is not None:
        found.append(3600 * options.budget / (options.price or 1.0))
    return min(found, default=None)


def limits(options: Options, space: Space, machine: Machine) -> list[str]:
    """Constraints that keep out what the machine cannot pay for, where the user says nothing.

    A trial may take a tenth of the time; the views of all policies together half of it. The points
    that the user wants tried stay inside.

    Returns:
        As `--set` has them: `unfrozen=0:3`, `augmentation=none,medium`.
    """
    if not isinstance(space, LeverSpace):
        return []
    seconds = available(options) or UNLIMITED
    own = space.points(options.enqueue) if options.enqueue else []
    found = []
    depth = _depth(space, machine, TRIAL * seconds * machine.rate)
    asked = options.max_unfrozen is not None or "unfrozen" in space.constraints.by_name
    if not asked and depth < space.max_unfrozen:
        depth = max([depth, *(point.get("unfrozen", 0) for point in own)])
        found.append(f"unfrozen=0:{depth}")
    wanted = {*_policies(space, machine, VIEWS * seconds * machine.rate)}
    wanted |= {point["augmentation"] for point in own}
    kept = [each for each in space.augmentations if each in wanted]
    if "augmentation" not in space.constraints.by_name and kept != list(space.augmentations):
        found.append(f"augmentation={','.join(kept)}")
    return found


def _depth(space: LeverSpace, machine: Machine, operations: float) -> int:
    depth = 0
    for unfrozen in range(1, space.max_unfrozen + 1):
        point = {"network": "vgg16", "unfrozen": unfrozen, "epochs": space.epochs}
        if machine.operations(point) > operations:
            break
        depth = unfrozen
    return depth


def _policies(space: LeverSpace, machine: Machine, operations: float) -> Sequence[str]:
    point = {"network": "vgg16", "unfrozen": 0, "epochs": space.epochs, "augmentation": "none"}
    plain, found = machine.features(point), ["none"]
    for policy in (each for each in PREFERRED if each in space.augmentations):
        # Beside the pictures as they are, which there are anyway.
        operations -= machine.features(point | {"augmentation": policy}) - plain
        if operations < 0:
            break
        found.append(policy)
    return found
