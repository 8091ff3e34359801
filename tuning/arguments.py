"""The command line: names, defaults, and one clear line for each mistake."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from models.vgg16 import CONVS, FRONTIERS, PREPROCESSING
from search_spaces.experiments import NAMES
from search_spaces.levers import MAX_UNFROZEN
from tuning.errors import UserError

MIN_IMAGE_SIZE = 32  # VGG16 halves it five times
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def default_cache() -> Path:
    """Where decoded pictures and features are kept unless the user says otherwise."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "little-data-tuner"


def size_in_bytes(text: str) -> int:
    """`20GB` to a number of bytes; raises `argparse.ArgumentTypeError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(|KB|MB|GB|TB)", text.strip().upper())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB or 20GB")
    return int(float(found[1]) * UNITS[found[2]])


class Parser(argparse.ArgumentParser):
    """Tells a mistake as `UserError`."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        # argparse prints the whole usage first, which pushes the mistake out of sight.
        raise UserError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The command line of `tuning/search.py`."""
    parser = Parser(
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
    features = parser.add_argument_group("features of frozen layers")
    features.add_argument(
        "--views",
        type=_at_least(1),
        default=8,
        metavar="N",
        help="augmented views of each picture that are cached (default %(default)s)",
    )
    features.add_argument(
        "--feature-dtype",
        choices=("float16", "float32"),
        default="float16",
        help="of cached features (default %(default)s)",
    )
    features.add_argument(
        "--store-from",
        choices=FRONTIERS[1:],
        metavar="LAYER",
        help="keep the outputs of this layer and those above it; what lies below is computed again "
        "in each step (default: what is worth its bytes, block3_pool as a rule)",
    )
    features.add_argument(
        "--cache-limit",
        type=size_in_bytes,
        metavar="SIZE",
        help="20GB, 500MB: the least recently used features make room (default: no limit)",
    )
    features.add_argument(
        "--verify-cache",
        action="store_true",
        help="compare features with their checksums before they are used",
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
        "--max-unfrozen",
        type=_up_to(len(CONVS)),
        default=MAX_UNFROZEN,
        metavar="N",
        help="the most conv layers of VGG16 that are trained, 0 to 13 (default %(default)s)",
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
        default=default_cache(),
        metavar="DIR",
        help="for pictures and features (default ~/.cache/little-data-tuner)",
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


def _up_to(high: int) -> Any:
    def number(text: str) -> int:
        if not re.fullmatch(r"\d+", text.strip()) or int(text) > high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {high}")
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
