"""What a report knows: the schema of ``report.json``, in one place.

Everything shown in ``report.md``, ``report.html`` and ``trials.csv`` comes from these keys. A
reader may rely on them for one `SCHEMA_VERSION`; new keys may appear without a new version.
Accuracies are shares (0 to 1), times are seconds, sizes are bytes, epochs count from 1. A number
that is not finite (the loss of a diverged trial) is ``null``.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import (
    Any,
    Literal,
    TypedDict,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from tuning.errors import UserError

SCHEMA_VERSION = 1
FILE_NAME = "report.json"

Interval = Sequence[float]
"""Lower and upper end of a 95 % interval."""


class Run(TypedDict):
    """The search as a whole."""

    name: str
    command: str  # what to type to run it again
    seed: int
    seconds: float  # wall clock
    interrupted: bool
    trials_at_once: int
    gpus_per_trial: float
    cpus_per_trial: float
    epochs: int  # the most that a trial may train


class Hardware(TypedDict):
    """Where it ran."""

    machine: str
    cpus: int
    gpus: Sequence[str]  # one name for each; empty on CPU


class Data(TypedDict):
    """The pictures."""

    root: str
    classes: Sequence[str]
    image_size: int  # pixels a side
    counts: Mapping[str, Mapping[str, int]]  # split → class → pictures
    fingerprint: str  # SHA-256 over paths, contents and labels
    warnings: Sequence[str]


class Weights(TypedDict):
    """What VGG16 starts from."""

    source: str  # "imagenet", "random" or a file
    checksum: str
    note: str | None  # what unusual weights mean for the accuracies


class Experiment(TypedDict):
    """One of the article's three experiments beside its reproduction; None where it was not run."""

    name: str  # "convnet", "bottleneck" or "fine_tune"
    title: str
    article: str  # the figure as the article words it
    article_accuracy: float
    trial: int | None
    best_accuracy: float | None
    interval: Interval | None
    last_accuracy: float | None  # after the last epoch, as in the article
    best_epoch: int | None
    epochs: int | None
    seconds: float | None


class Score(TypedDict):
    """How well a model does on one split."""

    accuracy: float
    interval: Interval
    loss: float | None
    pictures: int


class Best(TypedDict):
    """The winner."""

    trial: int
    hyperparameters: Mapping[str, Any]
    epoch: int
    validation: Score
    test: Score | None  # None: there was no test split
    model: str | None  # relative to the run folder


class Curve(TypedDict):
    """One value an epoch."""

    loss: Sequence[float | None]
    accuracy: Sequence[float | None]
    validation_loss: Sequence[float | None]
    validation_accuracy: Sequence[float | None]


class Trial(TypedDict):
    """One configuration that was tried."""

    number: int
    status: Literal["finished", "stopped", "failed", "interrupted"]
    reason: str | None  # why it was stopped or failed
    experiment: str | None  # the article's experiment that it reproduces
    hyperparameters: Mapping[str, Any]
    epochs: int  # trained
    best_epoch: int | None
    best_accuracy: float | None  # validation
    seconds: float
    curve: Curve


class Cache(TypedDict):
    """What the feature cache did."""

    entries: int
    bytes: int
    builds: int
    hits: int
    forward_seconds_spent: float  # computing entries
    forward_seconds_saved: float  # reading them instead of computing them again
    multiples: int  # entries computed more than once; anything but 0 is a defect


class Facts(TypedDict):
    """The whole of ``report.json``."""

    schema_version: int
    created: str  # ISO 8601 with time zone
    run: Run
    versions: Mapping[str, str]  # package → version
    hardware: Hardware
    data: Data
    weights: Weights
    experiments: Sequence[Experiment]
    best: Best | None  # None: no trial finished an epoch
    trials: Sequence[Trial]
    cache: Cache


def load(folder: Path) -> Facts:
    """Reads the facts of a run.

    Raises:
        UserError: The folder holds no report, or one that this version cannot read.
    """
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        reason = "it has no report.json" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder} is not a run folder: {reason}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    try:
        return check(content)
    except ValueError as error:
        raise UserError(f"{path} cannot be rendered: {error}") from None


def check(content: object) -> Facts:
    """Checks a JSON value against the schema above.

    Raises:
        ValueError: A key is missing or has a value of the wrong type; it is named.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {version!r}, but must be {SCHEMA_VERSION}")
    _check(content, Facts, "")
    return cast(Facts, content)


def _check(value: Any, hint: Any, where: str) -> None:
    """Walks the type hints; ``where`` is the path so far, as in ``trials[3].epochs``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        if value is not None:
            _check(value, inner, where)
    elif is_typeddict(hint):
        _expect(isinstance(value, dict), value, where, "a table")
        for key, inner in get_type_hints(hint).items():
            name = f"{where}.{key}".lstrip(".")
            if key not in value:
                raise ValueError(f"{name} is missing")
            _check(value[key], inner, name)
    elif origin is Literal:
        _expect(value in arguments, value, where, f"one of {', '.join(arguments)}")
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        _expect(isinstance(value, dict), value, where, "a table")
        for key, item in value.items():
            _check(item, arguments[1], f"{where}.{key}")
    elif isinstance(origin, type) and issubclass(origin, Sequence):
        _expect(isinstance(value, list | tuple), value, where, "a list")
        for index, item in enumerate(value):
            _check(item, arguments[0], f"{where}[{index}]")
    elif hint is not Any:
        kinds = (int, float) if hint is float else (hint,)
        matches = isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
        _expect(matches, value, where, f"of type {hint.__name__}")


def _expect(holds: bool, value: object, where: str, rule: str) -> None:
    if not holds:
        shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
        raise ValueError(f"{where} is {shown}, but must be {rule}")
