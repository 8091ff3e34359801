"""What a report knows: the schema of ``report.json``, in one place.

Everything shown in ``report.md``, ``report.html`` and ``trials.csv`` comes from these keys. A
reader may rely on them for one `SCHEMA_VERSION`; new keys may appear without a new version. Every
key is there, but for those of `Decoding`; ``| None`` says which may be ``null``: what a run did not
ask for, did not come to, or does not know yet while it is running.

Accuracies and probabilities are shares (0 to 1), losses are mean cross-entropies in nats, times are
seconds, sizes are bytes, epochs count from 1 and trials from 0. A number that is not finite (the
loss of a diverged trial) is ``null``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from tuning.errors import UserError
from tuning.records import shapes

SCHEMA_VERSION = 2
FILE_NAME = "report.json"
DEMO = "embedded demo"  # where the pictures of a search without --data lie

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""


class Run(TypedDict):
    """The search as a whole."""

    name: str
    command: str  # what to type to run it again
    settings: str | None  # all options as TOML, relative to the run folder
    seed: int
    began: str | None  # ISO 8601 with time zone
    seconds: float  # wall clock up to now; pauses before a resume do not count
    running: bool  # the report was made while the search went on
    interrupted: bool
    ended: str | None  # what ended it before all trials were over
    planned: int  # trials asked for
    trials_at_once: int | None
    gpus_per_trial: float | None
    cpus_per_trial: float | None
    epochs: int  # the most that a trial may train
    objectives: Sequence[str]  # what was optimised, see `tuning.choices.OBJECTIVES`
    earlier_looks: int  # at the test split, by models with which the run ended before its resuming


class Backend(TypedDict, total=False):
    """What Keras computed with; runs of earlier versions do not say it."""

    backend: str  # `tensorflow` or `jax`


class Hardware(Backend):
    """Where it ran: the machine that started the search."""

    machine: str
    cpus: int
    gpus: Sequence[str]  # one name for each; empty on CPU


class Decoding(TypedDict, total=False):
    """How files became pixels; runs of earlier versions do not say it."""

    decoding: int  # `tuning.data.decoded.FORMAT`
    levels: Sequence[float] | None  # black and white of pictures of more than 8 bits
    keep_aspect: str | None  # `crop` or `pad`; None: squashed to squares


class Data(Decoding):
    """The pictures."""

    root: str
    classes: Sequence[str]
    image_size: int  # pixels a side
    counts: Mapping[str, Mapping[str, int]]  # split → class → pictures
    fingerprint: str  # SHA-256 over paths, contents and labels
    warnings: Sequence[str]  # broken files, pictures that are in two splits


class Screened(TypedDict):
    """A frozen network that might be searched, by a linear head on its features."""

    name: str  # that hyperparameters have for it
    title: str
    parameters: int
    flops: int  # of one picture
    accuracy: float  # validation
    interval: Interval
    score: float  # of the search's metric
    seconds: float  # of the pass of all pictures and the head
    searched: bool  # whether trials may have it


class _SpaceSince(TypedDict, total=False):
    """What runs of earlier versions do not say."""

    networks: Sequence[str]  # the frozen networks that are searched, the best first


class _KeptSince(TypedDict, total=False):
    """What reports of earlier versions do not say."""

    precision: str  # of the frozen and the trained layers: `float32`, `tf32` or `bfloat16`
    copied: float | None  # bytes/s into a GPU's memory, None where trials had none


class Kept(_KeptSince):
    """What features were kept on disk, and by which rates that was decided."""

    forward: float  # FLOP/s of what one trial had
    disk: float  # bytes/s, written and read
    worth: float  # FLOP that a byte had to spare
    from_layer: Mapping[str, str]  # the lowest that is kept of each network


class Space(_SpaceSince):
    """What a study chooses from, fixed before its first proposal."""

    name: str  # `article`, `levers` or `full`; `hypermodel` for a user's
    version: int
    limits: Sequence[str]  # what the machine's speed rules out, as `--set` has it
    rate: float | None  # FLOP/s of a large matrix product by which that was decided
    experiments: Sequence[str]  # the article's that the run is to have


class _WeightsSince(TypedDict, total=False):
    """What reports of earlier versions, of VGG16 alone, do not say."""

    backbone: str  # the name that hyperparameters have for it; of several with + between
    title: str  # the name as people read it
    sources: Mapping[str, str]  # of each network that a trial may have, by its name


class Weights(_WeightsSince):
    """What the backbone starts from."""

    source: str  # "imagenet", "random", "own", a file, or "none" where no trial had a backbone
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


class Bin(TypedDict):
    """Pictures whose predicted class got about the same probability."""

    confidence: float  # mean of these probabilities
    accuracy: float  # share of them that is right
    pictures: int  # at least 1: empty bins are left out


class Calibration(TypedDict):
    """Whether 90 % sure means 90 % right. Guo et al., https://arxiv.org/abs/1706.04599."""

    error: float  # expected calibration error: mean |confidence - accuracy|, weighted by pictures
    bins: Sequence[Bin]  # by rising confidence


class Answered(TypedDict):
    """What a model is right about that says nothing where it is less sure."""

    min_probability: float  # of the likeliest class, for an answer
    share: float  # of pictures that are answered
    accuracy: float  # of these


class Raw(TypedDict):
    """What a model's probabilities were before a temperature was put on them."""

    temperature: float  # above 1: it was too sure
    loss: float
    error: float  # expected calibration error


class _ScoreSince(TypedDict, total=False):
    """What reports of earlier versions do not say."""

    raw: Raw  # not there where the probabilities are the network's own
    answered: Sequence[Answered]  # by rising share; the last answers all

    score: float  # of the search's metric, in 0..1, the higher the better
    commonest: float  # share of the commonest class: the accuracy of who says nothing else


class Score(_ScoreSince):
    """How well a model does on one split."""

    accuracy: float
    interval: Interval
    loss: float | None
    pictures: int
    auc: float | None  # area under the ROC curve; several classes: mean of one against the rest
    recall: Mapping[str, float] | None  # class → share of its pictures that is recognised
    confusion: Sequence[Sequence[int]] | None  # pictures; rows true, columns predicted class
    calibration: Calibration | None


class _MistakeSince(TypedDict, total=False):
    # The thumbnail with the heat of `predicted` over it, see `export.heat`.
    heat: str | None


class Mistake(_MistakeSince):
    """A picture that was taken for something else."""

    file: str  # relative to the data folder
    truth: str
    predicted: str
    probability: float  # that the model gave to `predicted`
    thumbnail: str | None  # JPEG of at most 96 pixels a side, base64


class Mistakes(TypedDict):
    """What the best model gets wrong."""

    split: Literal["test", "validation"]
    wrong: int  # pictures of this split, of all of them
    pictures: int  # of this split
    most_confident: Sequence[Mistake]  # at most 12, the surest first


class Doubt(TypedDict):
    """A picture whose label may be wrong."""

    file: str  # relative to the data folder
    label: str
    suggested: str
    probability: float  # of `suggested`, by a head that was not shown the picture
    thumbnail: str  # JPEG of at most 96 pixels a side, base64


class Doubts(TypedDict):
    """Labels of training and validation pictures that may be wrong, by confident learning."""

    pictures: int  # that were looked at
    accuracy: float  # of the heads, each on pictures that it was not shown
    counted: int  # pictures that are counted to another class than their label's
    sure: int  # those of them whose other class has a probability of at least 0.95
    most: Sequence[Doubt]  # at most 12, the most doubtful first
    file: str  # the list of all pictures, the most doubtful first; relative to the run folder


class LearningCurve(TypedDict):
    """What a linear head on frozen features reaches with a part of the training pictures."""

    pictures: Sequence[int]  # of the training split; the last are all
    scores: Sequence[Sequence[float]]  # of the search's metric, for each draw of so many pictures
    gain: float  # what twice as many are foretold to add
    gain_interval: Interval


class Sheet(TypedDict):
    """What an augmentation policy makes of some training pictures."""

    policy: str
    pictures: int  # a row each: the picture as it is, then views of it
    image: str  # JPEG, base64; squares of at most 96 pixels a side


class Alone(TypedDict):
    """What the winner of an ensemble does by itself."""

    accuracy: float
    loss: float


class Ensemble(TypedDict):
    """Several trials whose probabilities are averaged."""

    trials: Sequence[int]  # the winner first
    validation: Alone
    test: Alone | None  # None: there was no test split
    milliseconds: float  # a picture takes, on the machine that ended the run
    milliseconds_alone: float


class _BestSince(TypedDict, total=False):
    ensemble: Ensemble | None  # None: the winner answers alone


class Best(_BestSince):
    """The winner: of the confirmation where there was one, else of the validation accuracy."""

    trial: int
    hyperparameters: Mapping[str, Any]
    epoch: int
    validation: Score
    test: Score | None  # None: there was no test split
    mistakes: Mistakes | None
    model: str | None  # relative to the run folder


class Repeated(TypedDict):
    """Trained several times: with other seeds, or on other folds."""

    # Of the search's metric, which is the accuracy unless `Facts.metric` says otherwise: of the
    # best epoch, on what was not trained on.
    accuracies: Sequence[float]
    mean: float
    sd: float  # of the sample (n - 1)


class Candidate(Repeated):
    """A configuration that was trained again."""

    trial: int


class Confirmation(TypedDict):
    """The best configurations trained again with fresh seeds; the best mean wins."""

    repeats: int
    seeds: Sequence[int]
    candidates: Sequence[Candidate]
    winner: int  # trial


class CrossValidation(Repeated):
    """The winner trained on other divisions of all pictures but the test split."""

    folds: int


class Importances(TypedDict):
    """Which lever decided the accuracy: shares that add up to 1 within a method."""

    trials: int  # that they rest on
    methods: Mapping[str, Mapping[str, float]]  # "fanova", "ped_anova" → lever → share


class Front(TypedDict):
    """Several objectives: the trials that no other beats in all of them (Pareto's front)."""

    objectives: Sequence[str]
    directions: Sequence[Literal["max", "min"]]
    values: Mapping[str, Sequence[float]]  # number of a trial that ran to its end → its values
    best: Sequence[int]  # those that none beats


class _CurveSince(TypedDict, total=False):
    """What reports of earlier versions do not say."""

    validation_score: Sequence[float | None]  # of the search's metric


class Curve(_CurveSince):
    """One value an epoch."""

    loss: Sequence[float | None]
    accuracy: Sequence[float | None]
    validation_loss: Sequence[float | None]
    validation_accuracy: Sequence[float | None]


class _TrialSince(TypedDict, total=False):
    """What reports of earlier versions do not say."""

    best_score: float | None  # of the search's metric, at the best epoch; the higher the better


class Trial(_TrialSince):
    """One configuration that was tried."""

    number: int
    status: Literal["running", "finished", "stopped", "failed", "interrupted"]
    reason: str | None  # why it was stopped or failed
    experiment: str | None  # the article's experiment that it reproduces
    hyperparameters: Mapping[str, Any]
    epochs: int  # trained
    best_epoch: int | None
    best_accuracy: float | None  # validation
    seconds: float  # that it ran
    started: float | None  # after the run's start, on the clock of `Run.seconds`
    ended: float | None  # likewise; its last sign of life while it is running
    worker: str | None  # the machine and process that ran it
    retries: int  # how often it went on after its process or its machine had died
    curve: Curve


class Cache(TypedDict):
    """What the feature cache did."""

    entries: int
    bytes: int
    builds: int
    hits: int
    passes_computed: int | None  # pictures that went through frozen layers
    passes_saved: int | None  # pictures whose features were read instead, once an epoch
    forward_seconds_spent: float  # computing entries
    forward_seconds_saved: float  # reading them instead of computing them again
    multiples: int  # entries computed more than once; anything but 0 is a defect


class WorkerTime(TypedDict):
    """What one process that ran trials spent its time on."""

    worker: str  # the machine and the process
    seconds: float  # from its first trial to its last
    busy: float  # share of them in which its device computed, by its own clock
    gpu_busy: float | None  # the same as the GPU's driver has it, None where nobody asked it


class Spending(TypedDict, total=False):
    """What time went into; runs of earlier versions do not say it."""

    spent: Mapping[str, float]  # seconds of all workers by kind, see `process.spent.KINDS`
    workers: Sequence[WorkerTime]


class Cost(Spending):
    """What the trials took; in the currency of `--price`, which is never named."""

    seconds: float  # wall clock of the search, as `Run.seconds`
    trial_seconds: float  # of all trials added up
    repeat_seconds: float  # of the trainings for confirmation and cross-validation added up
    gpu_hours: float | None  # of both, times the GPUs of each; 0 on CPU
    price: float | None  # None without --price


class _Since(TypedDict, total=False):
    """What runs of earlier versions do not say."""

    space: Space
    screening: Sequence[Screened]  # of several frozen networks, the best first; else empty
    metric: str  # what the search went by: accuracy, balanced_accuracy, …, recall:CLASS
    resplit: bool  # whether each trial had a division into training and validation of its own
    shown: Sequence[Sheet]  # one for each policy of the trials, the best trial's first
    kept: Kept | None
    doubts: Doubts | None  # None where no frozen features say anything, as for the next
    learning_curve: LearningCurve | None


class Facts(_Since):
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
    confirmation: Confirmation | None
    cross_validation: CrossValidation | None
    importances: Importances | None
    front: Front | None  # None where accuracy alone was optimised
    trials: Sequence[Trial]
    failures: Sequence[str]  # one line for each reason, with the trials that it ended
    warnings: Sequence[str]  # what a reader must know beside `Data.warnings` and `Weights.note`
    cache: Cache
    cost: Cost


def load(folder: Path) -> Facts:
    """Reads the facts of a run.

    Raises:
        UserError: The folder holds no report, or one that this version cannot read.
    """
    path = folder / FILE_NAME
    try:
        return check(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        reason = "it has no report.json" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder} is not a run folder: {reason}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def check(content: object) -> Facts:
    """Checks a JSON value against the schema above.

    Raises:
        ValueError: A key is missing or has a value of the wrong type; it is named.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {version!r}, but must be {SCHEMA_VERSION}")
    shapes.expect(content, Facts)
    return cast(Facts, content)


def finite(content: Any) -> Any:
    """Replaces NaN and infinities, which JSON does not know, by None."""
    if isinstance(content, dict):
        return {key: finite(item) for key, item in content.items()}
    if isinstance(content, list | tuple):
        return [finite(item) for item in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
