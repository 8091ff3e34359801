"""The run folder: each file's name once, who may write to it, and where workers find it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tuning.errors import UserError
from tuning.files.object_store import ObjectPath
from tuning.files.shared_folder import SharedFolder
from tuning.records.event_log import CACHE_EVENTS, TRIAL_EVENTS, EventLog

SETTINGS = "settings.toml"
TRIALS = "trials.jsonl"
STUDY = "study.db"
WEIGHTS = "weights"
CHECKPOINTS = "checkpoints"
TUNE = "tune"
BEST = "best"
CONFIRMATION, FOLDS, NOISE = "confirmation", "folds", "noise"  # trainings beside the search


def weights_file(number: int) -> str:
    """Where the best weights of a trial lie in the run folder."""
    return f"{WEIGHTS}/{number}.npz"


def checkpoint_file(number: int) -> str:
    """Where the last state of a trial that is not over lies in the run folder."""
    return f"{CHECKPOINTS}/{number}.npz"


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, or one in it for trainings beside the search.

    Attributes:
        path: The folder on this machine, absolute.
        counterpart: Its place in an object store, None where it has none.
    """

    path: Path
    counterpart: ObjectPath | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def shared(self) -> SharedFolder:
        """What workers on all machines read and write."""
        return SharedFolder(self.counterpart or self.path)

    @property
    def settings(self) -> Path:
        """All options, as TOML."""
        return self.path / SETTINGS

    @property
    def metadata(self) -> Path:
        """What was known before the first trial, see `records.metadata`."""
        return self.path / "opening.json"

    @property
    def division(self) -> Path:
        """Which picture is of which class in which split, as `data.labels` writes it."""
        return self.path / "split.csv"

    @property
    def doubts(self) -> Path:
        """The same with what may be wrong, the most doubtful first, to be corrected."""
        return self.path / "doubts.csv"

    @property
    def outcome(self) -> Path:
        """What the end of the run found out, see `records.outcome`."""
        return self.path / "findings.json"

    def earlier_outcomes(self) -> list[Path]:
        """Those of sessions that ended before the run was resumed."""
        return sorted(self.path.glob("earlier-*.json"))

    @property
    def trials(self) -> EventLog:
        """What happened to trials."""
        return EventLog(self.path / TRIALS, TRIAL_EVENTS)

    @property
    def cache_events(self) -> EventLog:
        """What the feature cache did."""
        return EventLog(self.path / "cache.jsonl", CACHE_EVENTS)

    @property
    def storage(self) -> str:
        """The URL of the Optuna storage in the folder."""
        return f"sqlite:///{self.path / STUDY}"

    @property
    def mlflow(self) -> str:
        """The URL of MLflow's database in the folder."""
        return f"sqlite:///{self.path / 'mlflow.db'}"

    @property
    def best(self) -> Path:
        """The folder of the exported model."""
        return self.path / BEST

    def weights(self, number: int) -> Path:
        """The best weights of a trial."""
        return self.path / weights_file(number)

    def beside(self, name: str) -> RunFolder:
        """The folder of trainings beside the search, made if need be."""
        (self.path / name).mkdir(exist_ok=True)
        return RunFolder(self.path / name, self.counterpart and self.counterpart / name)

    @property
    def repeats(self) -> list[EventLog]:
        """The trial logs of trainings beside the search."""
        return [RunFolder(self.path / name).trials for name in (CONFIRMATION, FOLDS, NOISE)]

    def damage(self) -> list[str]:
        """What is left out of its logs, a sentence a log."""
        found = []
        for log in (self.trials, self.cache_events, *self.repeats):
            if lines := log.damaged():
                numbers = ", ".join(map(str, lines))
                which = f"line {numbers} is damaged and was"
                if len(lines) > 1:
                    which = f"lines {numbers} are damaged and were"
                found.append(f"{log.path.relative_to(self.path)}: {which} left out.")
        return found

    @property
    def is_empty(self) -> bool:
        """Whether no trial has begun in it."""
        return not any(event["event"] == "start" for event in self.trials.read())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder, and keeps other processes of this machine from it.

        Raises:
            UserError: If another process holds it, or it cannot be made.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"Another process is at work on {self.path}; wait for its end."
            ) from None
        except OSError as error:
            raise UserError(
                f"The run folder {self.path} cannot be made: {error.strerror}."
            ) from None
        try:
            yield
        finally:
            lock.release()
