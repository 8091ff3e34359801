"""What the user may ask for: one dataclass, filled from the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from models import weights
from search_spaces.experiments import NAMES
from tuning.arguments import parser
from tuning.errors import UserError


@dataclass(frozen=True)
class Options:
    """Everything a run depends on; `settings.toml` in the run folder holds the same.

    None means: decided when data and machine are known. The help texts of the flags say how.
    """

    data: Path | None
    per_class: tuple[int, ...] | None
    validation_share: float
    test_share: float
    split_seed: int
    image_size: int
    weights: str
    preprocessing: str
    views: int
    feature_dtype: str
    store_from: str | None
    cache_limit: int | None
    verify_cache: bool
    experiments: tuple[str, ...] | None
    trials: int
    epochs: int
    max_unfrozen: int
    time_budget: float | None
    seed: int
    name: str
    runs: Path
    cache: Path
    address: str | None
    gpus_per_trial: float | None
    cpus_per_trial: int | None

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.runs / self.name

    def create_folder(self) -> Path:
        """Makes the run folder with `settings.toml` in it; returns its absolute path."""
        import tomli_w

        self.folder.mkdir(parents=True)
        (self.folder / "settings.toml").write_text(tomli_w.dumps(self.as_dict()))
        return self.folder.resolve()

    def as_dict(self) -> dict[str, Any]:
        """The options as plain values, without those that are None."""
        values: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Path):
                value = str(value)
            if isinstance(value, tuple):
                value = list(value)
            if value is not None:
                values[each.name] = value
        return values


def parse(arguments: list[str] | None = None) -> Options:
    """Options from the command line.

    Raises:
        UserError: What is wrong with them, in one line.
    """
    values = vars(parser().parse_args(arguments))
    demo = values["data"] is None
    # The demo is there to see the whole in a few minutes, on any machine.
    small = {"image_size": 64, "trials": 8, "epochs": 8}
    for name, otherwise in {"image_size": 150, "trials": 30, "epochs": 50}.items():
        if values[name] is None:
            values[name] = small[name] if demo else otherwise
    if values["name"] is None:
        values["name"] = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if values["experiments"] is not None:
        # In the article's order: fine-tuning starts from the head of the bottleneck experiment.
        chosen = values["experiments"] or NAMES
        values["experiments"] = tuple(name for name in NAMES if name in chosen)
    if values["per_class"] is not None:
        values["per_class"] = tuple(values["per_class"])
    options = Options(**values)
    _check(options)
    return options


def _check(options: Options) -> None:
    if options.validation_share + options.test_share >= 1:
        raise UserError(
            f"--validation-share {options.validation_share} and --test-share {options.test_share} "
            "leave nothing to train on; their sum must be below 1."
        )
    if options.per_class and len(options.per_class) not in (2, 3):
        raise UserError(
            f"--per-class takes two or three numbers (train, validation, test), "
            f"but got {len(options.per_class)}."
        )
    if not re.fullmatch(r"[\w.@+-]+", options.name) or options.name in (".", ".."):
        raise UserError(
            f"--name {options.name!r} must be a plain folder name: letters, digits and . _ - + @."
        )
    try:
        weights.check(options.weights)
    except weights.WeightsError as error:
        raise UserError(str(error)) from error
    if options.folder.exists():
        raise UserError(f"The run folder {options.folder} is there already; choose another --name.")
