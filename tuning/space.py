"""The space of a search, as the user's options make it, and the points it begins with."""

from __future__ import annotations

import json
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

OPEN = ("head_rate", "fine_tune_rate", "l1", "l2", "weight_decay")  # may take any number
TRIED = 64  # proposals that show whether a space is a grid


@dataclass(frozen=True)
class Levers:
    """The space of levers; called with an Optuna trial, it gives the trial's hyperparameters.

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
        """Asks `hp` for all of them."""
        return levers.declare(hp, self.epochs, self.max_unfrozen, self.name, self.preprocessing)

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """The hyperparameters of one trial."""
        from search_spaces.optuna_bridge import OptunaHyperParameters

        return self.declare(OptunaHyperParameters(trial, self.narrowing))

    def asked(self, point: dict[str, Any]) -> dict[str, Any]:
        """A point as `Study.enqueue_trial` takes it."""
        from search_spaces.optuna_bridge import asked

        return asked(self.declare, point, self.narrowing)[0]

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

    def points(self, file: Path) -> list[dict[str, Any]]:
        """The points of a JSON file, each completed by the levers' defaults.

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
                raise UserError(f"--enqueue {file}, point {number}: {error}.") from None
        return found

    def complete(self, point: dict[str, Any]) -> dict[str, Any]:
        """All hyperparameters of a point that gives some; raises NarrowingError."""
        return levers.complete(
            # What every trial has is not for a point to say, but may be copied from a report.
            {name: value for name, value in point.items() if name != "epochs"},
            self.epochs,
            self.max_unfrozen,
            self.name,
            self.preprocessing,
            self.narrowing,
        )

    def must_be_a_grid(self) -> None:
        """Raises UserError if a lever may take any number of a range."""
        import optuna

        study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
        for _ in range(TRIED):
            trial = study.ask()
            try:
                self(trial)
            except ValueError:
                name = next(each for each in OPEN if each not in self.narrowing.wishes)
                raise UserError(
                    f"--sampler grid tries every point, but levers such as {name} take any number; "
                    f"give them few values: --set {name}=1e-4,1e-3"
                ) from None


def of(options: Options) -> Levers:
    """The space that the user asked for.

    Raises:
        UserError: If a lever or a value does not exist.
    """
    try:
        found = Levers(
            options.epochs,
            options.max_unfrozen,
            options.space,
            options.preprocessing,
            narrowing.parse(options.set),
        )
        narrowing.check(found.declare, found.narrowing)
    except NarrowingError as error:
        raise UserError(f"--set {error}.") from None
    if options.sampler == "grid":
        found.must_be_a_grid()
    return found
