"""The space of a search, as the user's options make it, and the points it begins with."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces import levers, narrowing
from search_spaces.experiments import EXPERIMENTS, named
from search_spaces.narrowing import WHOLE, Narrowing, NarrowingError
from tuning.errors import UserError
from tuning.options import Options

if TYPE_CHECKING:
    import keras_tuner
    import optuna

    from tuning.dataset import Dataset

OPEN = ("head_rate", "fine_tune_rate", "l1", "l2", "weight_decay")  # may take any number
TRIED = 64  # proposals that show whether a space is a grid


class Space(ABC):
    """A space; called with an Optuna trial, it gives the trial's hyperparameters.

    Attributes:
        narrowing: What the user pinned or narrowed.
    """

    narrowing: Narrowing

    @abstractmethod
    def declare(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Asks `hp` for all hyperparameters of a trial; they have `epochs` among them."""

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """The hyperparameters of one trial."""
        from search_spaces.optuna_bridge import OptunaHyperParameters

        return self.declare(OptunaHyperParameters(trial, self.narrowing))

    def asked(self, point: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A point as an Optuna trial holds it: parameters and their distributions."""
        from search_spaces.optuna_bridge import asked

        return asked(self.declare, point, self.narrowing)

    def complete(self, point: dict[str, Any]) -> dict[str, Any]:
        """All hyperparameters of a point that gives some; defaults stand for others.

        Raises:
            NarrowingError: If the space has no hyperparameter of a name, or not the value.
        """
        from search_spaces import points

        # The epochs are the search's, but a point may be copied from a report.
        wanted = {name: value for name, value in point.items() if name != "epochs"}
        return points.complete(self.declare, wanted, self.narrowing)

    def experiments(self) -> list[dict[str, Any]]:
        """The article's experiments, as far as they lie in the space."""
        return []

    def is_experiment(self, hyperparameters: dict[str, Any]) -> bool:
        """Whether it is one of them."""
        return False

    def points(self, file: Path) -> list[dict[str, Any]]:
        """The points of a JSON file, each completed by defaults.

        Raises:
            UserError: If it is no list of points of this space.
        """
        try:
            listed = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"--enqueue {file} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise UserError(f"--enqueue {file} is no JSON: {error}.") from None
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise UserError(
                f'--enqueue {file} must hold a list of points: [{{"dropout": 0.3}}, …].'
            )
        found = []
        for number, point in enumerate(listed):
            try:
                found.append(self.complete(point))
            except NarrowingError as error:
                raise UserError(f"--enqueue {file}, point {number}: {error}") from None
        return found

    def must_be_a_grid(self) -> None:
        """Raises UserError if a hyperparameter may take any number of a range."""
        import optuna

        from tuning.grid import Grid

        study = optuna.create_study(sampler=(grid := Grid(seed=0)))
        while len(study.trials) < TRIED and not grid.exhausted:
            try:
                trial = study.ask()
                self(trial)
                study.tell(trial, 0.0)
            except ValueError:
                names = (each for each in OPEN if each not in self.narrowing.wishes)
                name = next(names, "NAME")
                raise UserError(
                    "--sampler grid tries every point, but the space has hyperparameters that take "
                    f"any number; give them few values: --set {name}=1e-4,1e-3"
                ) from None


@dataclass(frozen=True)
class Levers(Space):
    """The space of levers.

    Attributes:
        epochs: Of a trial that is not stopped early.
        max_unfrozen: The most conv layers of VGG16 that are trained.
        name: `article` or `full`.
        preprocessing: Of the article's experiments in this search.
        narrowing: What the user pinned or narrowed.
    """

    epochs: int
    max_unfrozen: int
    name: str = "article"
    preprocessing: str = "rescale"
    narrowing: Narrowing = field(default=WHOLE)

    def declare(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """See `levers.declare`."""
        return levers.declare(hp, self.epochs, self.max_unfrozen, self.name, self.preprocessing)

    def experiments(self) -> list[dict[str, Any]]:
        """The article's experiments, as far as they lie in the space."""
        found = []
        for each in EXPERIMENTS:
            point = each.hyperparameters(self.epochs, self.name, self.preprocessing)
            if self.narrowing.allows(point) and point.get("unfrozen", 0) <= self.max_unfrozen:
                found.append(point)
        return found

    def is_experiment(self, hyperparameters: dict[str, Any]) -> bool:
        """Whether it is one of them."""
        return named(hyperparameters, self.epochs) is not None


@dataclass(frozen=True)
class Models(Space):
    """The space of a HyperModel.

    Attributes:
        hypermodel: Any.
        epochs: Of a trial that is not stopped early, unless the HyperModel asks for them.
        narrowing: What the user pinned or narrowed.
    """

    hypermodel: Any
    epochs: int
    narrowing: Narrowing = field(default=WHOLE)

    def declare(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """See `foreign.declare`."""
        from tuning import foreign

        return foreign.declare(self.hypermodel, self.epochs)(hp)


def of(options: Options, dataset: Dataset) -> Space:
    """The space that the user asked for.

    Raises:
        UserError: If a hyperparameter or a value does not exist, or the HyperModel cannot be had.
    """
    try:
        narrowed = narrowing.parse(options.set)
    except NarrowingError as error:
        raise UserError(f"--set {error}") from None
    found: Space
    if options.hypermodel:
        from tuning import foreign

        hypermodel = foreign.of((options.hypermodel, os.getcwd()), dataset)
        foreign.check(hypermodel, dataset)
        found = Models(hypermodel, options.epochs, narrowed)
    else:
        found = Levers(
            options.epochs, options.max_unfrozen, options.space, options.preprocessing, narrowed
        )
    try:
        narrowing.check(found.declare, narrowed)
    except NarrowingError as error:
        raise UserError(f"--set {error}") from None
    if options.sampler == "grid":
        found.must_be_a_grid()
    return found
