"""What a machine can pay for: operations of trials and features against the time that there is.

An operation is one of floating point; a multiplication and an addition count as two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import convnet
from models.units import PICTURE
from search_spaces import levers
from tuning.options import Options
from tuning.scheduling.space import LeverSpace, Space
from tuning.training.context import TrialContext
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
        context: What all trials share.
    """

    rate: float
    context: TrialContext

    def operations(self, hyperparameters: Mapping[str, Any]) -> float:
        """What a trial trains and evaluates, all its epochs; features that it reads not counted."""
        data, backbone = self.context.dataset, self.context.backbone_for(hyperparameters)
        if backbone is None:
            below, trained = 0, convnet.flops(data.image_size)
        else:
            cut = backbone.frontier(hyperparameters["unfrozen"])
            trained = backbone.flops(cut, backbone.top)
            below = backbone.flops(self.context.cache.start(backbone, cut), cut)
        pictures, validation = len(data.train), len(data.validation)
        epoch = pictures * (below + TRAINING * trained) + validation * (below + trained)
        return float(hyperparameters["epochs"] * epoch)

    def features(self, hyperparameters: Mapping[str, Any]) -> float:
        """What the features cost that a trial reads, if none of them is there."""
        data, backbone = self.context.dataset, self.context.backbone_for(hyperparameters)
        if backbone is None:
            return 0.0
        forward = backbone.flops(PICTURE, backbone.frontier(hyperparameters["unfrozen"]))
        views = min(self.context.views, hyperparameters["epochs"])
        passes = {"none": 1, MIRROR: 2}.get(hyperparameters["augmentation"], views)
        return float(forward * (passes * len(data.train) + len(data.validation)))

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
    for network, most in space.depths.items():
        name = levers.depth_name(network, space.depths)
        if options.max_unfrozen is not None or name in space.constraints.by_name:
            continue
        depth = _depth(space, network, machine, TRIAL * seconds * machine.rate)
        if depth < most:
            named = [point.get("unfrozen", 0) for point in own if point["network"] == network]
            found.append(f"{name}=0:{max([depth, *named])}")
    wanted = {*_policies(space, machine, VIEWS * seconds * machine.rate)}
    wanted |= {point["augmentation"] for point in own}
    kept = [each for each in space.augmentations if each in wanted]
    if "augmentation" not in space.constraints.by_name and kept != list(space.augmentations):
        found.append(f"augmentation={','.join(kept)}")
    return found


def _depth(space: LeverSpace, network: str, machine: Machine, operations: float) -> int:
    depth = 0
    for unfrozen in range(1, space.depths[network] + 1):
        point = {"network": network, "unfrozen": unfrozen, "epochs": space.epochs}
        if machine.operations(point) > operations:
            break
        depth = unfrozen
    return depth


def _policies(space: LeverSpace, machine: Machine, operations: float) -> Sequence[str]:
    points = [{"network": network, "unfrozen": 0, "epochs": space.epochs, "augmentation": "none"}
              for network in space.depths]  # fmt: skip
    found = ["none"]
    for policy in (each for each in PREFERRED if each in space.augmentations):
        # Beside the pictures as they are, which there are anyway.
        operations -= sum(
            machine.features(each | {"augmentation": policy}) - machine.features(each)
            for each in points
        )
        if operations < 0:
            break
        found.append(policy)
    return found
