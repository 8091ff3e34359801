"""What the user may ask for: one dataclass, filled from a settings file and the command line."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from models import weights
from search_spaces.experiments import NAMES
from tuning import settings
from tuning.arguments import RUNS, parser
from tuning.copies import copied
from tuning.errors import UserError
from tuning.mirror import Mirror
from tuning.places import Place

# A resumed run may be given more, or another place; all else is what it was.
RESUMABLE = (
    *("resume", "runs", "trials", "time_budget", "price", "budget", "confirm", "folds", "export"),
    *("log", "dashboard"),
    *("address", "gpus_per_trial", "cpus_per_trial", "storage", "cache", "cache_limit"),
    "verify_cache",
)


@dataclass(frozen=True)
class Options:
    """Everything a run depends on; `settings.toml` in the run folder holds the same.

    None means: decided when data and machine are known. The help texts of the flags say how.
    """

    data: Path | Place | None
    per_class: tuple[int, ...] | None
    validation_share: float
    holdout: float | None
    split_seed: int
    image_size: int
    weights: str
    preprocessing: str
    views: int
    feature_dtype: str
    store_from: str | None
    cache_limit: int | None
    verify_cache: bool
    space: str
    set: tuple[str, ...]
    max_unfrozen: int
    hypermodel: str | None
    experiments: tuple[str, ...] | None
    trials: int
    epochs: int
    sampler: str
    scheduler: str
    objective: tuple[str, ...]
    enqueue: Path | None
    warm_start: str | None
    seed: int
    time_budget: float | None
    price: float | None
    budget: float | None
    confirm: tuple[int, int] | None
    folds: int | None
    export: tuple[str, ...]
    name: str
    resume: str | None
    runs: Path | Place
    cache: Path | Place
    storage: str | None
    log: tuple[str, ...]
    dashboard: bool
    address: str | None
    gpus_per_trial: float | None
    cpus_per_trial: int | None

    @property
    def folder(self) -> Path:
        """The run folder on this machine."""
        return (RUNS if isinstance(self.runs, Place) else self.runs) / self.name

    @property
    def place(self) -> Place | None:
        """The run folder's counterpart in an object store, if it has one."""
        return self.runs / self.name if isinstance(self.runs, Place) else None

    def create_folder(self) -> Path:
        """Makes the run folder, or finds the one to resume, and writes `settings.toml`.

        Returns:
            Its absolute path.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        settings.write(self.folder / settings.FILE, self.as_dict())
        return self.folder.resolve()

    def as_dict(self) -> dict[str, Any]:
        """The options by name, without those that are None."""
        names = [each.name for each in fields(self) if each.name != "resume"]
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


def parse(arguments: list[str] | None = None) -> Options:
    """Options from the command line, and from the settings that it names.

    Raises:
        UserError: What is wrong with them, in one line.
    """
    given = vars(parser().parse_args(arguments))
    told = _told(arguments)
    saved: list[str] = []
    if given["resume"] is not None:
        other = sorted(set(told) - set(RESUMABLE))
        if other:
            raise UserError(
                f"--{other[0].replace('_', '-')} cannot be changed by --resume; start a new run "
                "and give it what was found with --warm-start."
            )
        saved = settings.arguments(
            _folder_to_resume(given["runs"], given["resume"]) / settings.FILE, parser()
        )
        given["name"] = given["resume"]
    elif given["config"] is not None:
        saved = settings.arguments(given["config"], parser())
    values = vars(parser().parse_args(saved + settings.as_arguments(told, parser())))
    del values["config"]
    # Not by the settings: another run has another name, and a folder may have been moved.
    if given["resume"] is not None:
        values["runs"] = given["runs"]
    values["name"] = given["name"] or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    _decide(values)
    options = Options(**values)
    _check(options)
    return options


def _told(arguments: list[str] | None) -> dict[str, Any]:
    """What the command line itself gives, without defaults."""
    silent = parser()
    for action in silent._actions:
        action.default = argparse.SUPPRESS
    return vars(silent.parse_args(arguments))


def _folder_to_resume(runs: Path | Place, name: str) -> Path:
    if isinstance(runs, Place):
        # The store's word is the last: this machine may never have seen the run.
        place, runs = runs / name, RUNS
        Mirror(RUNS / name, place).bring()
        if not (RUNS / name / settings.FILE).is_file():
            raise UserError(f"There is no run {place} to resume.")
    folder = runs / name
    if not (folder / settings.FILE).is_file():
        raise UserError(
            f"There is no run {folder} to resume; "
            + (
                f"there are {', '.join(sorted(each.name for each in folder.parent.iterdir()))}."
                if folder.parent.is_dir()
                else "give its folder's name, and with --runs where it lies."
            )
        )
    return folder


def _decide(values: dict[str, Any]) -> None:
    """What stands for itself where nothing is asked for."""
    demo = values["data"] is None
    # The demo is there to see the whole in a few minutes, on any machine.
    small = {"image_size": 64, "trials": 8, "epochs": 8}
    for name, otherwise in {"image_size": 150, "trials": 30, "epochs": 50}.items():
        if values[name] is None:
            values[name] = small[name] if demo else otherwise
    if values["experiments"] is not None:
        # In the article's order: fine-tuning starts from the head of the bottleneck experiment.
        chosen = values["experiments"] or NAMES
        values["experiments"] = tuple(name for name in NAMES if name in chosen)
    if values["per_class"] is not None:
        values["per_class"] = tuple(values["per_class"])
    values["set"] = tuple(values["set"])
    values["log"] = tuple(dict.fromkeys(values["log"]))
    values["export"] = tuple(dict.fromkeys(values["export"]))
    values["objective"] = tuple(dict.fromkeys(values["objective"])) or ("accuracy",)
    if values["scheduler"] is None:
        # Optuna takes no intermediate values where there are several objectives.
        values["scheduler"] = "none" if len(values["objective"]) > 1 else "asha"


def _check(options: Options) -> None:
    if options.validation_share + (options.holdout or 0.0) >= 1:
        raise UserError(
            f"--validation-share {options.validation_share} and --holdout {options.holdout} "
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
    if len(options.objective) > 1 and options.scheduler != "none":
        raise UserError(
            f"--scheduler {options.scheduler} goes by one objective, but there are "
            f"{len(options.objective)}; leave it away."
        )
    if options.experiments is not None and (options.hypermodel or options.set):
        raise UserError("--experiments are the article's; leave --set and --hypermodel away.")
    if options.sampler == "grid" and len(options.objective) > 1:
        raise UserError("--sampler grid goes with one --objective.")
    try:
        weights.check(copied(options.weights))
    except weights.WeightsError as error:
        raise UserError(str(error)) from error
    if options.resume is None and options.folder.exists():
        raise UserError(
            f"The run folder {options.folder} is there already; choose another --name, or go on "
            f"with it: --resume {options.name}."
        )
