"""The space of a search, as the user's options make it, and the points it begins with."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces import levers
from search_spaces.constraints import (
    WHOLE,
    ConstraintError,
    Constraints,
    check_constraints,
    parse_constraints,
)
from search_spaces.experiments import EXPERIMENTS, NAMES, Experiment
from search_spaces.portfolio import PORTFOLIO
from tuning.errors import UserError
from tuning.evaluation.metrics import is_imbalanced
from tuning.files.given import read_text
from tuning.options import Options

if TYPE_CHECKING:
    import keras_tuner
    import optuna

    from tuning.data.dataset import Dataset
    from tuning.training.context import NamedHyperModel, PickledHyperModel

OPEN = ("head_rate", "fine_tune_rate", "l1", "l2", "weight_decay")  # may take any number
TRIED = 64  # proposals that show whether a space is a grid


class Space(ABC):
    """A space; called with an Optuna trial, it gives the trial's hyperparameters.

    Attributes:
        constraints: What the user pinned or narrowed.
    """

    constraints: Constraints

    @abstractmethod
    def declare(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Asks `hp` for all hyperparameters of a trial; they have `epochs` among them."""

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """The hyperparameters of one trial."""
        from search_spaces.optuna_bridge import OptunaHyperParameters

        return self.declare(OptunaHyperParameters(trial, self.constraints))

    def asked(self, point: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A point as an Optuna trial holds it: parameters and their distributions."""
        from search_spaces.optuna_bridge import asked

        return asked(self.declare, self.named(point), self.constraints)

    def named(self, point: dict[str, Any]) -> dict[str, Any]:
        """A trial's hyperparameters as `declare` asks for them."""
        return point

    def complete(self, point: dict[str, Any]) -> dict[str, Any]:
        """All hyperparameters of a point that gives some; defaults stand for others.

        Raises:
            ConstraintError: If the space has no hyperparameter of a name, or not the value.
        """
        from search_spaces import points

        # The epochs are the search's, but a point may be copied from a report.
        wanted = {n: value for n, value in self.named(point).items() if n != "epochs"}
        return points.complete(self.declare, wanted, self.constraints)

    def first_points(self, options: Options) -> list[dict[str, Any]]:
        """The points that are tried first: the user's own after the first that is known to be good.

        Raises:
            UserError: If the user's are no points of this space.
        """
        if options.experiments is not None:
            return []
        known = self.portfolio()
        own = self.points(options.enqueue) if options.enqueue else []
        return [*known[:1], *own, *known[1:]]

    def portfolio(self) -> list[dict[str, Any]]:
        """Points known to be good, as far as they lie in the space."""
        return []

    def experiments(self, names: Sequence[str] = NAMES) -> list[Experiment]:
        """Those of the article's experiments that nothing that the user pinned rules out."""
        return []

    def points(self, file: Path) -> list[dict[str, Any]]:
        """The points of a JSON file, each completed by defaults.

        Raises:
            UserError: If it is no list of points of this space.
        """
        try:
            listed = json.loads(read_text(file, "--enqueue"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"--enqueue {file} is no JSON: {error}.") from None
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise UserError(
                f'--enqueue {file} must hold a list of points: [{{"dropout": 0.3}}, …].'
            )
        found = []
        for number, point in enumerate(listed):
            try:
                found.append(self.complete(point))
            except ConstraintError as error:
                raise UserError(f"--enqueue {file}, point {number}: {error}") from None
        return found

    def must_be_a_grid(self) -> None:
        """Raises UserError if a hyperparameter may take any number of a range."""
        import optuna

        from tuning.scheduling.samplers import Grid

        study = optuna.create_study(sampler=(grid := Grid(seed=0)))
        while len(study.trials) < TRIED and not grid.exhausted:
            try:
                trial = study.ask()
                self(trial)
                study.tell(trial, 0.0)
            except ValueError:
                names = (each for each in OPEN if each not in self.constraints.by_name)
                name = next(names, "NAME")
                raise UserError(
                    "--sampler grid tries every point, but the space has hyperparameters that take "
                    f"any number; give them few values: --set {name}=1e-4,1e-3"
                ) from None


@dataclass(frozen=True)
class LeverSpace(Space):
    """The space of levers.

    Attributes:
        epochs: The epochs of a trial that is not stopped early.
        depths: The most units that are trained of each backbone, by its name.
        name: One of `levers.SPACES`.
        convnet: Whether space `levers` has the small convnet beside them.
        constraints: What the user pinned or narrowed, and what the machine's speed does.
        imbalanced: Whether some classes have few pictures.
    """

    epochs: int
    depths: Mapping[str, int] = field(default_factory=lambda: levers.ARTICLES)
    name: str = "article"
    convnet: bool = True
    constraints: Constraints = field(default=WHOLE)
    imbalanced: bool = False

    def declare(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """See `levers.declare`."""
        return levers.declare(
            hp, self.epochs, self.depths, self.name, self.convnet, self.imbalanced
        )

    def named(self, point: dict[str, Any]) -> dict[str, Any]:
        """A trial's hyperparameters as `declare` asks for them."""
        return levers.named(point, self.depths)

    @property
    def augmentations(self) -> Sequence[str]:
        """The policies that it chooses from, by themselves."""
        return levers.augmentations(self.name)

    def experiments(self, names: Sequence[str] = NAMES) -> list[Experiment]:
        """Those of the article's experiments that nothing that the user pinned rules out."""
        return [
            each
            for each in EXPERIMENTS
            if each.name in names
            and self.constraints.allows(self.named(point := each.hyperparameters(self.epochs)))
            and point.get("unfrozen", 0) <= self.depths.get("vgg16", point.get("unfrozen", 0))
        ]

    def portfolio(self) -> list[dict[str, Any]]:
        """Points known to be good, as far as they lie in the space; the first of each backbone."""
        known = [each.point for each in PORTFOLIO]
        others = [{**known[0], "network": name} for name in list(self.depths)[1:]]
        found: list[dict[str, Any]] = []
        for each in [known[0], *others, *known[1:]] if self.name != "article" else ():
            with suppress(ConstraintError):
                point = self.complete(each)
                if self.constraints.allows(self.named(point)) and point not in found:
                    found.append(point)
        return found

    def of(self, networks: Sequence[str]) -> LeverSpace:
        """The part of it that has these backbones alone."""
        return replace(self, depths={name: self.depths[name] for name in networks})

    def within(self, limits: Sequence[str]) -> LeverSpace:
        """The part of it that the machine can pay for, see `limits.limits`."""
        also = parse_constraints(limits).by_name
        return replace(self, constraints=Constraints({**also, **self.constraints.by_name}))


@dataclass(frozen=True)
class HyperModelSpace(Space):
    """The space of a HyperModel.

    Attributes:
        hypermodel: A `keras_tuner.HyperModel`.
        epochs: The epochs of a trial that is not stopped early, unless the HyperModel asks for
            them.
        constraints: What the user pinned or narrowed.
    """

    hypermodel: Any
    epochs: int
    constraints: Constraints = field(default=WHOLE)

    def declare(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """See `hypermodel_trial.declare`."""
        from tuning.training import hypermodel_trial

        return hypermodel_trial.declare(self.hypermodel, self.epochs)(hp)


def build_space(
    options: Options,
    dataset: Dataset,
    depths: Mapping[str, int],
    random: bool = False,
    source: NamedHyperModel | PickledHyperModel | None = None,
    features: tuple[int, ...] | None = None,
) -> Space:
    """The space that the user asked for.

    Args:
        options: What the user asked for.
        dataset: The pictures.
        depths: The number of units of each backbone, by its name.
        random: Whether a backbone's weights are random.
        source: The HyperModel that is searched in place of the levers.
        features: The shape of what its models take of a picture, where it has a backbone.

    Raises:
        UserError: If a hyperparameter or a value does not exist, or the HyperModel cannot be had.
    """
    try:
        constraints = parse_constraints(options.set)
    except ConstraintError as error:
        raise UserError(f"--set {error}") from None
    found: Space
    if source is not None:
        from tuning.training import hypermodel_trial
        from tuning.training.hypermodel import load

        hypermodel = load(source, dataset, features)
        hypermodel_trial.check(hypermodel, dataset, features)
        found = HyperModelSpace(hypermodel, options.epochs, constraints)
    else:
        found = LeverSpace(
            options.epochs,
            _depths(options.max_unfrozen, depths),
            options.space,
            # A network from scratch wins where the weights know nothing, and else nowhere.
            convnet=random or "network" in constraints.by_name,
            constraints=constraints,
            imbalanced=is_imbalanced(np.bincount(dataset.train.labels).tolist()),
        )
    try:
        check_constraints(found.declare, constraints)
    except ConstraintError as error:
        raise UserError(f"--set {error}") from None
    if options.sampler == "grid":
        found.must_be_a_grid()
    return found


def _depths(most: int | None, depths: Mapping[str, int]) -> dict[str, int]:
    if not depths:  # the article's convnet alone
        return dict(levers.ARTICLES)
    deepest = max(depths.values())
    if most is not None and most > deepest:
        many = " and ".join(f"{name} has {number}" for name, number in depths.items())
        raise UserError(f"--max-unfrozen {most}: {many} layers or blocks that can be trained.")
    return {n: units if most is None else min(most, units) for n, units in depths.items()}
