"""The command line of a search: names, defaults, help."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.vgg16 import CONVS, FRONTIERS, PREPROCESSING
from search_spaces.experiments import NAMES
from search_spaces.levers import MAX_UNFROZEN, SPACES
from tuning import kinds
from tuning.choices import FORMATS, LOGGERS, OBJECTIVES, SAMPLERS, SCHEDULERS
from tuning.commands import Parser, default_cache

MIN_IMAGE_SIZE = 32  # VGG16 halves it five times
RUNS = Path("runs")  # where run folders go, and copies of those in a store


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
        type=kinds.location,
        metavar="DIR",
        help="train/CLASS/… and validation/CLASS/… (and test/CLASS/…), or CLASS/… alone, or flat "
        "train/CLASS.NUMBER.jpg (default: the demo)",
    )
    data.add_argument(
        "--per-class",
        type=kinds.at_least(1),
        nargs="+",
        metavar="N",
        help="take the first N pictures of each class for training, then for validation (then for "
        "testing); the article: 1000 400",
    )
    data.add_argument(
        "--validation-share",
        type=kinds.share,
        default=0.2,
        metavar="SHARE",
        help="of pictures that come without split (default %(default)s)",
    )
    data.add_argument(
        "--holdout",
        type=kinds.share,
        metavar="SHARE",
        help="of all pictures, taken as test split before all else; 0 for none (default: 0.15 of "
        "pictures that come without split, and the test folder of others)",
    )
    data.add_argument(
        "--split-seed", type=int, default=0, metavar="N", help="of that split (default 0)"
    )
    data.add_argument(
        "--image-size",
        type=kinds.at_least(MIN_IMAGE_SIZE),
        metavar="PIXELS",
        help="side to which pictures are scaled (default 150 as the article, demo 64)",
    )
    network = parser.add_argument_group("network")
    network.add_argument(
        "--weights",
        type=kinds.source,
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
        type=kinds.at_least(1),
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
        type=kinds.size_in_bytes,
        metavar="SIZE",
        help="20GB, 500MB: the least recently used features make room (default: no limit)",
    )
    features.add_argument(
        "--verify-cache",
        action="store_true",
        help="compare features with their checksums before they are used",
    )
    space = parser.add_argument_group("space")
    space.add_argument(
        "--space",
        choices=SPACES,
        default="article",
        help="the article's four levers, or also head, preprocessing, batch, optimizer, … "
        "(default %(default)s)",
    )
    space.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="pin or narrow a lever: dropout=0.5, unfrozen=0:4, augmentation=none,flip",
    )
    space.add_argument(
        "--max-unfrozen",
        type=kinds.up_to(len(CONVS)),
        default=MAX_UNFROZEN,
        metavar="N",
        help="the most conv layers of VGG16 that are trained, 0 to 13 (default %(default)s)",
    )
    space.add_argument(
        "--hypermodel",
        metavar="MODULE:NAME",
        help="search this keras_tuner.HyperModel on the pictures instead, a class or an instance",
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
        "--trials", type=kinds.at_least(1), metavar="N", help="how many (default 30, demo 8)"
    )
    search.add_argument(
        "--epochs", type=kinds.at_least(1), metavar="N", help="of a trial (default 50, demo 8)"
    )
    search.add_argument(
        "--sampler",
        choices=SAMPLERS,
        default="tpe",
        help=f"who proposes: {', '.join(SAMPLERS)} (default %(default)s)",
    )
    search.add_argument(
        "--scheduler",
        choices=SCHEDULERS,
        help=f"who stops hopeless trials early: {', '.join(SCHEDULERS)} (default asha; none where "
        "there are several objectives)",
    )
    search.add_argument(
        "--objective",
        action="extend",
        nargs="+",
        choices=OBJECTIVES,
        default=[],
        metavar="NAME",
        help=f"{', '.join(OBJECTIVES)}; several give a Pareto front (default accuracy)",
    )
    search.add_argument(
        "--enqueue",
        type=Path,
        metavar="FILE",
        help="JSON list of points to try first, after the experiments; each gives some levers",
    )
    search.add_argument(
        "--warm-start",
        metavar="RUN",
        help="learn from the finished trials of an earlier run: its folder, or STORAGE#STUDY",
    )
    search.add_argument(
        "--seed",
        type=kinds.at_least(0),
        default=0,
        metavar="N",
        help="of sampler and training (default 0)",
    )
    search.add_argument(
        "--time-budget",
        type=kinds.seconds,
        metavar="TIME",
        help="end after 45s, 30m or 2h, whatever is still running",
    )
    search.add_argument(
        "--price", type=kinds.positive, metavar="P", help="of an hour of a GPU (of a CPU trial)"
    )
    search.add_argument(
        "--budget",
        type=kinds.positive,
        metavar="B",
        help="end when so many GPU hours are used, or with --price so much money",
    )
    claim = parser.add_argument_group("what is taken home")
    claim.add_argument(
        "--confirm",
        type=kinds.repeats,
        metavar="KxN",
        help="3x5: train the 3 best configurations with 5 fresh seeds each; the best mean wins",
    )
    claim.add_argument(
        "--folds",
        type=kinds.at_least(2),
        metavar="N",
        help="cross-validate the winner on so many folds of all pictures but the test split",
    )
    claim.add_argument(
        "--export",
        nargs="+",
        choices=FORMATS,
        default=[],
        metavar="FORMAT",
        help=f"also write the best model as {', '.join(FORMATS)}",
    )
    place = parser.add_argument_group("place")
    place.add_argument("--name", help="of the run (default: date and time)")
    place.add_argument(
        "--resume",
        metavar="NAME",
        help="go on with a run that ended before its end; more --trials or time may be asked for",
    )
    place.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of these options, such as a run's settings.toml; flags go first",
    )
    place.add_argument(
        "--storage",
        metavar="WHERE",
        help="of the Optuna study: postgresql://…, mysql://…, or a journal file "
        "(default: study.db in the run folder)",
    )
    place.add_argument(
        "--runs",
        type=kinds.location,
        default=RUNS,
        metavar="DIR",
        help="where run folders go (default %(default)s); of s3://… or gs://… there is a copy",
    )
    place.add_argument(
        "--cache",
        type=kinds.location,
        default=default_cache(),
        metavar="DIR",
        help="for pictures and features (default ~/.cache/little-data-tuner)",
    )
    place.add_argument(
        "--log",
        nargs="+",
        choices=LOGGERS,
        default=[],
        metavar="WHERE",
        help=f"also tell {' or '.join(LOGGERS)} what trials do",
    )
    place.add_argument(
        "--dashboard",
        action="store_true",
        help="start Ray's dashboard, on this machine alone",
    )
    place.add_argument(
        "--address", metavar="ADDRESS", help="of a Ray cluster, auto on one of its machines"
    )
    place.add_argument(
        "--gpus-per-trial",
        type=kinds.amount,
        metavar="N",
        help="also a fraction (default 1 where there are GPUs)",
    )
    place.add_argument(
        "--cpus-per-trial",
        type=kinds.at_least(1),
        metavar="N",
        help="(default: an equal share for each trial)",
    )
    return parser
