"""From what a run wrote down to the facts of its report, at any time of the run."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuning import evaluation, opening, records
from tuning.clock import Clock
from tuning.errors import UserError
from tuning.journal import Journal
from tuning.opening import Opening
from tuning.records import Manner, Record
from tuning.report.facts import (
    SCHEMA_VERSION,
    Best,
    Cache,
    Confirmation,
    Cost,
    CrossValidation,
    Experiment,
    Facts,
    Front,
    Importances,
    Mistakes,
    Run,
    Score,
    Trial,
)
from tuning.report.render import finite, replace

REPEATS = ("confirmation", "folds")  # folders in the run folder
FILE = "findings.json"  # in the run folder, from the end of the search on
EARLIER = "earlier-*.json"  # those of sessions that ended before the run was resumed


@dataclass(frozen=True)
class Findings:
    """What the end of a run found out; its report is made of this and of what was written before.

    Attributes:
        manner: How the trials were run.
        trial: The winner's number, None if no trial finished an epoch.
        validation: Of the winner; None: accuracy and loss as its trial told them.
        test: Of the winner, None where there is no test split.
        mistakes: Of the winner.
        model: The exported model's path in the run folder.
        confirmation: Repeats of the best configurations.
        cross_validation: Of the winner's configuration.
        importances: Of the levers.
        front: Of several objectives.
        warnings: What the user should know, a line each.
    """

    manner: Manner
    trial: int | None = None
    validation: Score | None = None
    test: Score | None = None
    mistakes: Mistakes | None = None
    model: str | None = None
    confirmation: Confirmation | None = None
    cross_validation: CrossValidation | None = None
    importances: Importances | None = None
    front: Front | None = None
    warnings: Sequence[str] = ()

    def write(self, folder: Path) -> None:
        """Keeps it in the run folder, where `gather` finds it."""
        text = json.dumps(finite(asdict(self)), ensure_ascii=False, indent=1, allow_nan=False)
        replace(folder / FILE, text + "\n")


def reopen(folder: Path) -> None:
    """A search that is resumed has found nothing yet; what it found before is kept aside."""
    path = folder / FILE
    if path.exists():
        path.replace(folder / f"earlier-{len(list(folder.glob(EARLIER)))}.json")


def _earlier_looks(folder: Path) -> int:
    """At the test split, by the models with which sessions of the run ended before."""
    files = folder.glob(EARLIER)
    return sum(json.loads(file.read_text(encoding="utf-8"))["test"] is not None for file in files)


def _findings(folder: Path) -> Findings | None:
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Findings(**{**content, "manner": Manner(**content["manner"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def gather(folder: Path) -> Facts:
    """Everything the report tells, from a run folder; see `tuning.report.facts` for the schema.

    Reads `opening.json`, `trials.jsonl`, `cache.jsonl` and, once the search is over,
    `findings.json`.

    Raises:
        UserError: The folder is none of a run that came to its first trial.
    """
    known = opening.read(folder)
    journal = Journal(folder / "trials.jsonl")
    tried = records.read(journal)
    findings = _findings(folder)
    clock = Clock(journal.read())
    seconds = records.elapsed(journal)
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "run": _run(known, findings, seconds, _earlier_looks(folder)),
        "versions": known["versions"],
        "hardware": known["hardware"],
        "data": known["data"],
        "weights": known["weights"],
        "experiments": [
            _experiment(each, tried, _pictures(known, "validation"))
            for each in known["experiments"]
        ],
        "best": _best(tried, findings, known),
        "confirmation": findings.confirmation if findings else None,
        "cross_validation": findings.cross_validation if findings else None,
        "importances": findings.importances if findings else None,
        "front": findings.front if findings else None,
        "trials": [_trial(record, known, clock, findings is None) for record in tried],
        "failures": _failures(tried),
        "warnings": list(findings.warnings) if findings else [],
        "cache": _cache(Journal(folder / "cache.jsonl")),
        "cost": _cost(known, findings, tried, _repeats(folder), seconds),
    }


def _run(known: Opening, findings: Findings | None, seconds: float, earlier_looks: int) -> Run:
    manner = findings.manner if findings else None
    return {
        "name": known["name"],
        "command": known["command"],
        "settings": known["settings"],
        "seed": known["seed"],
        "began": known["began"],
        "seconds": seconds,
        "running": findings is None,
        "interrupted": manner is not None and manner.interrupted,
        "ended": manner.ended if manner else None,
        "planned": known["planned"],
        "trials_at_once": manner.at_once if manner else None,
        "gpus_per_trial": manner.gpus if manner else None,
        "cpus_per_trial": manner.cpus if manner else None,
        "epochs": known["epochs"],
        "objectives": known["objectives"],
        "earlier_looks": earlier_looks,
    }


def _pictures(known: Opening, split: str) -> int:
    return sum(known["data"]["counts"].get(split, {}).values())


def _experiment(experiment: opening.Experiment, tried: list[Record], pictures: int) -> Experiment:
    alike = experiment["hyperparameters"]
    record = next((r for r in tried if r.epochs and r.hyperparameters == alike), None)
    accuracy = record.best_accuracy if record else None
    return {
        "name": experiment["name"],
        "title": experiment["title"],
        "article": experiment["article"],
        "article_accuracy": experiment["article_accuracy"],
        "trial": record.number if record else None,
        "best_accuracy": accuracy,
        "interval": None if accuracy is None else list(evaluation.interval(accuracy, pictures)),
        "last_accuracy": record.curve["validation_accuracy"][-1] if record else None,
        "best_epoch": record.best_epoch if record else None,
        "epochs": record.epochs if record else None,
        "seconds": record.seconds if record else None,
    }


def _best(tried: list[Record], findings: Findings | None, known: Opening) -> Best | None:
    ranking = records.ranking(tried)
    if findings and findings.trial is not None:
        ranking = [record for record in ranking if record.number == findings.trial]
    if not ranking:
        return None
    record = ranking[0]
    assert record.best_epoch is not None
    return {
        "trial": record.number,
        "hyperparameters": record.hyperparameters,
        "epoch": record.best_epoch,
        "validation": (findings and findings.validation)
        or score(
            record.at_best("validation_accuracy"),
            record.at_best("validation_loss"),
            _pictures(known, "validation"),
        ),
        "test": findings.test if findings else None,
        "mistakes": findings.mistakes if findings else None,
        "model": findings.model if findings else None,
    }


def score(accuracy: float, loss: float, pictures: int) -> Score:
    """What is known of a split without its probabilities."""
    return {
        "accuracy": accuracy,
        "interval": list(evaluation.interval(accuracy, pictures)),
        "loss": loss,
        "pictures": pictures,
        "auc": None,
        "recall": None,
        "confusion": None,
        "calibration": None,
    }


def _trial(record: Record, known: Opening, clock: Clock, running: bool) -> Trial:
    status: Any = record.status
    if status == "running" and not running:
        status = "interrupted"
    return {
        "number": record.number,
        "status": status,
        "reason": record.reason,
        "experiment": next(
            (
                e["name"]
                for e in known["experiments"]
                if e["hyperparameters"] == record.hyperparameters
            ),
            None,
        ),
        "hyperparameters": record.hyperparameters,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "best_accuracy": record.best_accuracy,
        "seconds": record.seconds,
        "started": clock(record.started),
        "ended": clock(record.last),
        "worker": record.worker,
        "retries": record.retries,
        "curve": {
            "loss": record.curve["loss"],
            "accuracy": record.curve["accuracy"],
            "validation_loss": record.curve["validation_loss"],
            "validation_accuracy": record.curve["validation_accuracy"],
        },
    }


def _failures(tried: list[Record]) -> list[str]:
    """`out of memory (trials 4, 7)`: a line for each reason."""
    numbers = defaultdict(list)
    for record in tried:
        if record.status == "failed":
            numbers[record.reason or "it ended without a word"].append(str(record.number))
    return [
        f"{reason} (trial{'s' * (len(of) > 1)} {', '.join(of)})" for reason, of in numbers.items()
    ]


def _cache(journal: Journal) -> Cache:
    events = journal.read()
    # A pass that keeps several depths logs each, and its time with the deepest.
    passes = [event for event in events if event["event"] == "build" and event["seconds"]]
    hits = [event for event in events if event["event"] == "use" and event["hit"]]
    return {
        "passes_computed": sum(event["pictures"] for event in passes),
        "passes_saved": sum(event["pictures"] for event in hits),
        **journal.statistics(),  # type: ignore[typeddict-item]
    }


def _repeats(folder: Path) -> list[Record]:
    """Trainings beside the search: of the confirmation, of the folds."""
    journals = [Journal(folder / name / "trials.jsonl") for name in REPEATS]
    return [record for journal in journals for record in records.read(journal)]


def _cost(
    known: Opening,
    findings: Findings | None,
    tried: list[Record],
    repeated: list[Record],
    seconds: float,
) -> Cost:
    hours = findings.manner.device_hours([*tried, *repeated]) if findings else None
    on_gpu = findings is not None and findings.manner.gpus > 0
    return {
        "seconds": seconds,
        "trial_seconds": sum(record.seconds for record in tried),
        "repeat_seconds": sum(record.seconds for record in repeated),
        "gpu_hours": hours if on_gpu or hours is None else 0.0,
        "price": None if hours is None or known["price"] is None else hours * known["price"],
    }
