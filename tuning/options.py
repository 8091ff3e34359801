"""What the user may ask for: one dataclass, filled from the command line."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from models import weights
from models.vgg16 import PREPROCESSING
from search_spaces.experiments import NAMES
from tuning.errors import UserError

MIN_IMAGE_SIZE = 32  # VGG16 halves it five times


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
    experiments: tuple[str, ...] | None
    trials: int
    epochs: int
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse prints the whole usage first, which pushes the mistake out of sight.
        raise UserError(f"{message} (see {self.prog} --help)")


def parse(arguments: list[str] | None = None) -> Options:
    """Options from the command line.

    Raises:
        UserError: What is wrong with them, in one line.
    """
    values = vars(_parser().parse_args(arguments))
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


def _parser() -> argparse.ArgumentParser:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    parser = _Parser(
        prog="python tuning/search.py",
        description="Searches the best image classifier for little data: augmentation, dropout, "
        "L1/L2 and unfrozen layers of VGG16, on shared, cached features. Without --data it shows "
        "itself on an embedded demo.",
        allow_abbrev=False,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="train/CLASS/… and validation/CLASS/… (and test/CLASS/…), or CLASS/… alone, or flat "
        "train/CLASS.NUMBER.jpg (default: the demo)",
    )
    data.add_argument(
        "--per-class",
        type=_at_least(1),
        nargs="+",
        metavar="N",
        help="take the first N pictures of each class for training, then for validation (then for "
        "testing); the article: 1000 400",
    )
    data.add_argument(
        "--validation-share",
        type=_share,
        default=0.2,
        metavar="SHARE",
        help="of pictures that come without split (default %(default)s)",
    )
    data.add_argument(
        "--test-share",
        type=_share,
        default=0.15,
        metavar="SHARE",
        help="likewise; 0 for no test (default %(default)s)",
    )
    data.add_argument(
        "--split-seed", type=int, default=0, metavar="N", help="of that split (default 0)"
    )
    data.add_argument(
        "--image-size",
        type=_at_least(MIN_IMAGE_SIZE),
        metavar="PIXELS",
        help="side to which pictures are scaled (default 150 as the article, demo 64)",
    )
    network = parser.add_argument_group("network")
    network.add_argument(
        "--weights",
        type=_source,
        default="imagenet",
        metavar="WHICH",
        help="of VGG16: imagenet (Keras' cache or download), random, or a file: .h5, .weights.h5, "
        ".npz (default %(default)s)",
    )
    network.add_argument(
        "--preprocessing",
        choices=PREPROCESSING,
        default="rescale",
        help="pixels / 255 as the article, or as the ImageNet weights were trained "
        "(default %(default)s)",
    )
    network.add_argument(
        "--views",
        type=_at_least(1),
        default=8,
        metavar="N",
        help="augmented views of each picture that are cached (default %(default)s)",
    )
    network.add_argument(
        "--feature-dtype",
        choices=("float16", "float32"),
        default="float16",
        help="of cached features (default %(default)s)",
    )
    search = parser.add_argument_group("search")
    search.add_argument(
        "--experiments",
        nargs="*",
        choices=NAMES,
        metavar="NAME",
        help=f"run the article's experiments alone, all or some of {', '.join(NAMES)}",
    )
    search.add_argument(
        "--trials", type=_at_least(1), metavar="N", help="how many (default 30, demo 8)"
    )
    search.add_argument(
        "--epochs", type=_at_least(1), metavar="N", help="of a trial (default 50, demo 8)"
    )
    search.add_argument(
        "--time-budget",
        type=_seconds,
        metavar="TIME",
        help="end after 45s, 30m or 2h, whatever is still running",
    )
    search.add_argument(
        "--seed",
        type=_at_least(0),
        default=0,
        metavar="N",
        help="of sampler and training (default 0)",
    )
    place = parser.add_argument_group("place")
    place.add_argument("--name", help="of the run (default: date and time)")
    place.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="where run folders go (default %(default)s)",
    )
    place.add_argument(
        "--cache",
        type=lambda text: Path(text).expanduser(),
        default=Path(cache).expanduser() / "little-data-tuner",
        metavar="DIR",
        help=f"for pictures and features (default {cache}/little-data-tuner)",
    )
    place.add_argument(
        "--address", metavar="ADDRESS", help="of a Ray cluster, auto on one of its machines"
    )
    place.add_argument(
        "--gpus-per-trial",
        type=_amount,
        metavar="N",
        help="also a fraction (default 1 where there are GPUs)",
    )
    place.add_argument(
        "--cpus-per-trial",
        type=_at_least(1),
        metavar="N",
        help="(default: an equal share for each trial)",
    )
    return parser


def _source(text: str) -> str:
    # A file is meant where the user stands, also when workers stand elsewhere.
    return text if text in ("imagenet", "random") else str(Path(text).expanduser().absolute())


def _at_least(low: int) -> Any:
    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text.strip()) or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
        return int(text)

    return number


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to below 1")
    return value


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1025 or (value > 1 and value != int(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share of 1, or a whole number")
    return value


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 45s, 30m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
