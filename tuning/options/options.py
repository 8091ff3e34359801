"""Everything that a user may ask of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.preprocessing import PREPROCESSINGS
from search_spaces.experiments import NAMES
from search_spaces.levers import SPACES
from tuning.errors import UserError
from tuning.files.object_store import ObjectPath
from tuning.files.shared_folder import default_cache
from tuning.options import kinds
from tuning.options.choices import (
    ASPECTS,
    FORMATS,
    LOGGERS,
    METRICS,
    OBJECTIVES,
    SAMPLERS,
    SCHEDULERS,
)
from tuning.options.kinds import one_of, whole
from tuning.options.option import about, flag, option, user_error

MIN_IMAGE_SIZE = 32  # pixels: most backbones halve it five times
BACKBONE = ("vgg16",)  # the article's
MAX_IMAGE_SIZE = 4096  # pixels: one picture has 50 MB
RUNS = Path("runs")  # where run folders go, and copies of those in a store
# What stands for itself where nothing is asked for. The demo is there to see the whole in a few
# minutes, on any machine.
DEFAULTS = {"image_size": 150, "epochs": 50}
MOST_TRIALS = 200  # where their number is not given
OF_THE_DEMO = {"image_size": 64, "trials": 8, "epochs": 8}

DATA, NETWORK, FEATURES = "data", "network", "features of frozen layers"
SPACE, SEARCH, TAKEN, PLACE = "space", "search", "what is taken home", "place"


@dataclass(frozen=True)
class Options:
    """Everything a run depends on; `settings.toml` in the run folder holds the same.

    Each field says all that there is to say of an option; the command line, its help and the
    settings file are derived from it. Values may be given as they are or as the text that the
    command line takes: `Options(data="photos", time_budget="30m")`.

    Raises:
        UserError: If a value is wrong, or two contradict each other.
    """

    data: Path | ObjectPath | None = option(
        None,
        kinds.LOCATION,
        "DIR",
        "train/CLASS/… and validation/CLASS/… (and test/CLASS/…), or CLASS/… alone, or flat "
        "train/CLASS.NUMBER.jpg; also in an archive, .zip or .tar.gz (default: the demo)",
        group=DATA,
    )
    labels: Path | None = option(
        None,
        kinds.PATH,
        "FILE",
        "list of files and their classes, which goes before folders: CSV, with the columns file "
        "and label, or found by what is in them; also split and group",
        group=DATA,
    )
    groups: str | None = option(
        None,
        kinds.TEXT,
        "COLUMN",
        "of that list: pictures of one patient, say, or of one camera, are not divided between "
        "splits and folds",
        group=DATA,
        excludes=("per_class",),
    )
    per_class: tuple[int, ...] | None = option(
        None,
        whole(1),
        "N",
        "take the first N pictures of each class for training, then for validation (then for "
        "testing); the article: 1000 400",
        group=DATA,
        many="+",
    )
    validation_share: float = option(
        0.2, kinds.PART, "SHARE", "of pictures that come without split", group=DATA
    )
    holdout: float | None = option(
        None,
        kinds.SHARE,
        "SHARE",
        "of all pictures, taken as test split before all else; 0 for none (default: 0.15 of "
        "pictures that come without split, and the test folder of others)",
        group=DATA,
    )
    split_seed: int = option(0, kinds.SEED, "N", "of that split", group=DATA)
    image_size: int = option(
        None,
        whole(MIN_IMAGE_SIZE, MAX_IMAGE_SIZE),
        "PIXELS",
        "side to which pictures are scaled (default: what the largest of the backbones is made "
        "for, with vgg16 150 as the article; demo 64)",
        group=DATA,
    )
    keep_aspect: str | None = option(
        None,
        one_of(ASPECTS),
        "HOW",
        "crop takes the square in the middle of each picture, pad puts it on a black square; "
        "without it pictures are squeezed, as in the article",
        group=DATA,
    )
    backbone: tuple[str, ...] = option(
        BACKBONE,
        kinds.BACKBONE,
        "NAME",
        "the network of which layers are frozen: a name of keras.applications, module:function of "
        "your own, or a .keras file; of several the best two on frozen features are searched "
        "(default vgg16)",
        group=NETWORK,
        many="+",
    )
    weights: tuple[str, ...] = option(
        (),
        kinds.WEIGHTS,
        "WHICH",
        "of the backbone: imagenet (Keras' cache or download), random, or a file: .h5, "
        ".weights.h5, .npz; of several NAME=WHICH (default imagenet, or those that your own has)",
        group=NETWORK,
        many="+",
    )
    preprocessing: str = option(
        "rescale",
        one_of(PREPROCESSINGS),
        "HOW",
        f"{' or '.join(PREPROCESSINGS)}: pixels / 255, or as the ImageNet weights were trained; of "
        "VGG16 in the article's space and experiments",
        group=NETWORK,
    )
    views: int = option(
        8, whole(1, 1000), "N", "augmented views of each picture that are cached", group=FEATURES
    )
    feature_dtype: str = option(
        "float16",
        one_of(("float16", "float32")),
        "TYPE",
        "float16 or float32, of cached features",
        group=FEATURES,
    )
    store_from: str | None = option(
        None,
        kinds.TEXT,
        "LAYER",
        "keep the outputs of this layer and those above it; what lies below is computed again in "
        "each step (default: what is worth its bytes, of VGG16 block3_pool and above)",
        group=FEATURES,
    )
    cache_limit: int | None = option(
        None,
        kinds.SIZE,
        "SIZE",
        "20GB, 500MB: the least recently used features make room (default: no limit)",
        group=FEATURES,
        resumable=True,
    )
    verify_cache: bool = option(
        False,
        kinds.SWITCH,
        None,
        "compare features with their checksums before they are used",
        group=FEATURES,
        resumable=True,
    )
    space: str = option(
        None,
        one_of(SPACES),
        "SPACE",
        f"{', '.join(SPACES)}: the article's four levers with all else as in the article, the same "
        "levers on today's recipe, or these and also head, preprocessing, batch, optimizer, … "
        "(default levers)",
        group=SPACE,
    )
    set: tuple[str, ...] = option(
        (),
        kinds.TEXT,
        "NAME=VALUE",
        "pin or narrow a lever: dropout=0.5, unfrozen=0:4, augmentation=none,flip",
        group=SPACE,
        many="+",
    )
    max_unfrozen: int | None = option(
        None,
        whole(0),
        "N",
        "the most layers or blocks of the backbone that are trained, of VGG16's 13 (default: those "
        "for which a trial takes a tenth of the time, at the speed of this machine)",
        group=SPACE,
    )
    hypermodel: Any = option(
        None,
        kinds.IMPORTED,
        "MODULE:NAME",
        "search this keras_tuner.HyperModel on the pictures instead, a class or an instance; in "
        "Python also the class or the instance itself",
        group=SPACE,
        excludes=("backbone", "space", "max_unfrozen", "preprocessing", "store_from"),
    )
    experiments: tuple[str, ...] | None = option(
        None,
        one_of(NAMES),
        "NAME",
        f"run the article's experiments alone, all or some of {', '.join(NAMES)}",
        group=SEARCH,
        many="*",
        excludes=(
            *("set", "hypermodel", "space", "max_unfrozen", "enqueue", "warm_start", "extend"),
            *("trials", "patience", "sampler", "scheduler", "objective", "resplit"),
            *("backbone", "no_experiments"),
        ),
    )
    no_experiments: bool = option(
        False,
        kinds.SWITCH,
        None,
        "leave the article's experiments out of the search",
        group=SEARCH,
    )
    trials: int | None = option(
        None,
        whole(1),
        "N",
        f"how many (default: until twenty proposals gain no more than chance, {MOST_TRIALS} at "
        "most; demo 8)",
        group=SEARCH,
        resumable=True,
    )
    epochs: int = option(None, whole(1), "N", "of a trial (default 50, demo 8)", group=SEARCH)
    patience: int = option(
        10,
        whole(0),
        "N",
        "a trial is over after N epochs without a better one, where rates fall in the last 40 % of "
        "its epochs alone; 0: never",
        group=SEARCH,
        resumable=True,
    )
    sampler: str = option(
        "tpe", one_of(SAMPLERS), "WHO", f"who proposes: {', '.join(SAMPLERS)}", group=SEARCH
    )
    scheduler: str = option(
        None,
        one_of(SCHEDULERS),
        "WHO",
        f"who stops hopeless trials early: {', '.join(SCHEDULERS)} (default asha; none where "
        "there are several objectives)",
        group=SEARCH,
    )
    objective: tuple[str, ...] = option(
        (),
        one_of(OBJECTIVES),
        "NAME",
        f"{', '.join(OBJECTIVES)}; several give a Pareto front (default accuracy)",
        group=SEARCH,
        many="+",
    )
    metric: str | None = option(
        None,
        kinds.METRIC,
        "NAME",
        f"what epochs, trials and the final model are chosen by: {', '.join(METRICS)} or "
        "recall:CLASS (default accuracy; balanced_accuracy where the largest class has 1.5 times "
        "the pictures of the smallest)",
        group=SEARCH,
    )
    resplit: bool = option(
        False,
        kinds.SWITCH,
        None,
        "each trial is trained and validated on another division of the pictures that are no test "
        "pictures, so that no one division chooses",
        group=SEARCH,
    )
    enqueue: Path | None = option(
        None,
        kinds.PATH,
        "FILE",
        "JSON list of points to try first, after the experiments; each gives some levers",
        group=SEARCH,
    )
    warm_start: str | None = option(
        None,
        kinds.STORAGE,
        "RUN",
        "learn from the finished trials of an earlier run: its folder, or STORAGE#STUDY; if it was "
        "on other pictures, its ten best points are tried first",
        group=SEARCH,
        secret=True,
    )
    extend: str | None = option(
        None,
        kinds.FOLDER_NAME,
        "NAME",
        "a run whose pictures have changed: begin anew as it was begun, but with its ten best "
        "points first",
        group=SEARCH,
        excludes=("warm_start",),
    )
    seed: int = option(0, kinds.SEED, "N", "of sampler and training", group=SEARCH)
    time_budget: float | None = option(
        None,
        kinds.SECONDS,
        "TIME",
        "end the search after 45s, 30m or 2h, whatever is still running",
        group=SEARCH,
        resumable=True,
    )
    target: float | None = option(
        None,
        kinds.GOAL,
        "SHARE",
        "end the search when a trial's metric is at least that on the validation pictures",
        group=SEARCH,
        resumable=True,
    )
    price: float | None = option(
        None,
        kinds.POSITIVE,
        "P",
        "of an hour of a GPU (of a CPU trial)",
        group=SEARCH,
        resumable=True,
    )
    budget: float | None = option(
        None,
        kinds.POSITIVE,
        "B",
        "end when so many GPU hours are used, or with --price so much money",
        group=SEARCH,
        resumable=True,
    )
    confirm: tuple[int, int] | None = option(
        None,
        kinds.REPEATS,
        "KxN",
        "3x5: train the 3 best configurations with 5 fresh seeds each; the best mean wins",
        group=TAKEN,
        resumable=True,
    )
    ensemble: int | None = option(
        None,
        whole(2),
        "N",
        "the N best trials answer together, by the mean of their probabilities; what they have "
        "frozen is computed once",
        group=TAKEN,
        resumable=True,
        excludes=("hypermodel", "resplit"),
    )
    folds: int | None = option(
        None,
        whole(2),
        "N",
        "cross-validate the winner on so many folds of all pictures but the test split",
        group=TAKEN,
        resumable=True,
    )
    export: tuple[str, ...] = option(
        (),
        one_of(FORMATS),
        "FORMAT",
        f"also write the best model as {', '.join(FORMATS)}",
        group=TAKEN,
        many="+",
        resumable=True,
    )
    name: str = option(
        None, kinds.FOLDER_NAME, "NAME", "of the run (default: date and time)", group=PLACE
    )
    storage: str | None = option(
        None,
        kinds.STORAGE,
        "WHERE",
        "of the Optuna study: postgresql://…, mysql://…, or a journal file "
        "(default: study.db in the run folder)",
        group=PLACE,
        resumable=True,
        secret=True,
    )
    runs: Path | ObjectPath = option(
        RUNS,
        kinds.LOCATION,
        "DIR",
        "where run folders go; of s3://… or gs://… there is a copy",
        group=PLACE,
        resumable=True,
    )
    cache: Path | ObjectPath = option(
        None,
        kinds.LOCATION,
        "DIR",
        "for pictures and features (default ~/.cache/little-data-tuner)",
        group=PLACE,
        resumable=True,
    )
    log: tuple[str, ...] = option(
        (),
        one_of(LOGGERS),
        "WHERE",
        f"also tell {' or '.join(LOGGERS)} what trials do",
        group=PLACE,
        many="+",
        resumable=True,
    )
    dashboard: bool = option(
        False,
        kinds.SWITCH,
        None,
        "start Ray's dashboard, on this machine alone",
        group=PLACE,
        resumable=True,
    )
    address: str | None = option(
        None,
        kinds.TEXT,
        "ADDRESS",
        "of a Ray cluster, auto on one of its machines",
        group=PLACE,
        resumable=True,
        excludes=("dashboard",),
    )
    gpus_per_trial: float | None = option(
        None,
        kinds.AMOUNT,
        "N",
        "also a fraction (default 1 where there are GPUs)",
        group=PLACE,
        resumable=True,
    )
    cpus_per_trial: int | None = option(
        None,
        whole(1),
        "N",
        "(default: an equal share for each trial)",
        group=PLACE,
        resumable=True,
    )

    if TYPE_CHECKING:
        # Text is taken for every option, which the fields' types do not say.
        def __init__(self, **options: Any) -> None: ...

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None or value is each.default:
                continue
            try:
                self._put(each.name, about(each).normalize(value))
            except ValueError as error:
                raise user_error(each.name, error) from None
        usual = self._decide()
        self._check_exclusions(usual)
        self._check()

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # as a frozen dataclass does itself

    def _decide(self) -> dict[str, Any]:
        """Fills in what depends on other options; returns the values that are usual here."""
        usual: dict[str, Any] = {each.name: each.default for each in fields(self)}
        usual |= DEFAULTS if self.data else OF_THE_DEMO
        if self.data and (self.backbone != BACKBONE or self.hypermodel is not None):
            usual["image_size"] = None  # what they are made for, which takes Keras to know
        usual |= {"name": datetime.now().strftime("%Y-%m-%d_%H-%M-%S"), "cache": default_cache()}
        if self.experiments is not None:
            # In the article's order: fine-tuning starts from the head of the bottleneck experiment.
            chosen = self.experiments or NAMES
            self._put("experiments", tuple(name for name in NAMES if name in chosen))
        # The experiments lie in the article's; of a HyperModel it means nothing.
        others = self.experiments is not None or self.hypermodel is not None
        usual["space"] = "article" if others else "levers"
        usual["objective"] = ("accuracy",)
        for name in ("log", "export", "objective"):
            self._put(name, tuple(dict.fromkeys(getattr(self, name) or usual[name])))
        # Optuna takes no intermediate values where there are several objectives.
        usual["scheduler"] = "none" if len(self.objective) > 1 else "asha"
        for name, value in usual.items():
            if getattr(self, name) is None:
                self._put(name, value)
        return usual

    def _check_exclusions(self, usual: Mapping[str, Any]) -> None:
        for each in fields(self):
            if not getattr(self, each.name) and getattr(self, each.name) != ():
                continue
            for other in about(each).excludes if getattr(self, each.name) else ():
                if getattr(self, other) != usual[other]:
                    raise UserError(
                        f"{flag(other)} has no meaning beside {flag(each.name)}; leave one of them "
                        "away."
                    )

    def _check(self) -> None:
        if self.validation_share + (self.holdout or 0.0) >= 1:
            raise UserError(
                f"--validation-share {self.validation_share} and --holdout {self.holdout} "
                "leave nothing to train on; their sum must be below 1."
            )
        if self.groups and not self.labels:
            raise UserError(f"--groups {self.groups} is a column of a list: give --labels FILE.")
        if self.per_class and len(self.per_class) not in (2, 3):
            raise UserError(
                f"--per-class takes two or three numbers (train, validation, test), "
                f"but got {len(self.per_class)}."
            )
        if len(self.objective) > 1 and self.scheduler != "none":
            raise UserError(
                f"--scheduler {self.scheduler} goes by one objective, but there are "
                f"{len(self.objective)}; leave it away."
            )
        if self.preprocessing != "rescale" and self.space != "article":
            raise UserError(
                f"--preprocessing {self.preprocessing} is of the article's space and experiments; "
                f"in space {self.space} it is what the weights were trained with, or a lever."
            )
        if self.sampler == "grid" and len(self.objective) > 1:
            raise UserError("--sampler grid goes with one --objective.")

    @property
    def folder(self) -> Path:
        """The run folder on this machine."""
        return (RUNS if isinstance(self.runs, ObjectPath) else self.runs) / self.name

    @property
    def counterpart(self) -> ObjectPath | None:
        """The run folder's counterpart in an object store, if it has one."""
        return self.runs / self.name if isinstance(self.runs, ObjectPath) else None

    @property
    def ends_by_itself(self) -> bool:
        """Whether the search ends when it gets no better, and not after a number of trials."""
        one = len(self.objective) == 1 and self.sampler != "grid"
        return self.trials is None and self.experiments is None and one

    @property
    def planned(self) -> int:
        """The number of trials, or the most."""
        if self.experiments is not None:
            return len(self.experiments)
        return self.trials or MOST_TRIALS

    def as_dict(self) -> dict[str, Any]:
        """The options by name as TOML has them, without those that are None and passwords."""
        values = ((about(each), each.name, getattr(self, each.name)) for each in fields(self))
        return {name: each.plain(value) for each, name, value in values if value is not None}
