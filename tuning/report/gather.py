"""From what a run wrote down to the facts of its report, at any time of the run."""

from __future__ import annotations

import datetime
import math
from collections import Counter, defaultdict
from typing import Any

from tuning.evaluation.intervals import interval
from tuning.process.spent import KINDS, WORK
from tuning.records import metadata, outcome
from tuning.records.event_log import SCORE, EventLog
from tuning.records.facts import (
    SCHEMA_VERSION,
    Best,
    Cache,
    Cost,
    Experiment,
    Facts,
    Run,
    Score,
    Spending,
    Trial,
    WorkerTime,
)
from tuning.records.metadata import RunMetadata
from tuning.records.outcome import RunOutcome
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import TrialRecord, elapsed, rank, read_trials
from tuning.report.clock import Clock


def gather(folder: RunFolder) -> Facts:
    """Everything the report tells, from a run folder; see `tuning.records.facts` for the schema.

    Raises:
        UserError: If the folder is none of a run that came to its first trial.
    """
    known = metadata.read(folder)
    trials = read_trials(folder.trials)
    found = outcome.read(folder)
    clock = Clock(folder.trials.read())
    seconds = elapsed(folder.trials)
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "run": _run(known, found, seconds, outcome.earlier_looks(folder)),
        "versions": known["versions"],
        "hardware": known["hardware"],
        "data": known["data"],
        "weights": known["weights"],
        "experiments": [_experiment(each, trials, known) for each in known["experiments"]],
        "best": _best(trials, found, known),
        "confirmation": found.confirmation if found else None,
        "cross_validation": found.cross_validation if found else None,
        "importances": found.importances if found else None,
        "front": found.front if found else None,
        "trials": [_trial(record, known, clock, found is None) for record in trials],
        "failures": _failures(trials),
        "warnings": [*(found.warnings if found else ()), *folder.damage()],
        "cache": cache_statistics(folder.cache_events),
        "cost": _cost(known, found, trials, folder, seconds),
        "shown": found.shown if found else [],
        "doubts": found.doubts if found else None,
        "learning_curve": found.learning_curve if found else None,
        "metric": known.get("metric", "accuracy"),
        "kept": known.get("kept"),
        "resplit": known.get("resplit", False),
        "screening": known.get("screening", []),
        **({"space": known["space"]} if "space" in known else {}),  # type: ignore[typeddict-item]
    }


def _run(known: RunMetadata, found: RunOutcome | None, seconds: float, earlier_looks: int) -> Run:
    ending = found.ending if found else None
    return {
        "name": known["name"],
        "command": known["command"],
        "settings": known["settings"],
        "seed": known["seed"],
        "began": known["began"],
        "seconds": seconds,
        "running": found is None,
        "interrupted": ending is not None and ending.interrupted,
        "ended": ending.ended if ending else None,
        "planned": known["planned"],
        "trials_at_once": ending.at_once if ending else None,
        "gpus_per_trial": ending.gpus if ending else None,
        "cpus_per_trial": ending.cpus if ending else None,
        "epochs": known["epochs"],
        "objectives": known["objectives"],
        "earlier_looks": earlier_looks,
    }


def _pictures(known: RunMetadata, split: str) -> int:
    return sum(known["data"]["counts"].get(split, {}).values())


def _experiment(
    experiment: metadata.Experiment, trials: list[TrialRecord], known: RunMetadata
) -> Experiment:
    name, pictures = experiment["name"], _pictures(known, "validation")
    record = next((r for r in trials if r.epochs and _name(r, known) == name), None)
    accuracy = record.best_accuracy if record else None
    return {
        "name": experiment["name"],
        "title": experiment["title"],
        "article": experiment["article"],
        "article_accuracy": experiment["article_accuracy"],
        "trial": record.number if record else None,
        "best_accuracy": accuracy,
        "interval": None if accuracy is None else interval(accuracy, pictures),
        "last_accuracy": record.curve["validation_accuracy"][-1] if record else None,
        "best_epoch": record.best_epoch if record else None,
        "epochs": record.epochs if record else None,
        "seconds": record.seconds if record else None,
    }


def _name(record: TrialRecord, known: RunMetadata) -> str | None:
    """The article's experiment that a trial is."""
    if record.experiment or "space" in known:
        return record.experiment
    # Of a version that knew them by their hyperparameters.
    alike = (e for e in known["experiments"] if e["hyperparameters"] == record.hyperparameters)
    return next((each["name"] for each in alike), None)


def _best(trials: list[TrialRecord], found: RunOutcome | None, known: RunMetadata) -> Best | None:
    ranking = rank(trials)
    if found and found.trial is not None:
        ranking = [record for record in ranking if record.number == found.trial]
    if not ranking:
        return None
    record = ranking[0]
    assert record.best_epoch is not None
    return {
        "trial": record.number,
        "hyperparameters": record.hyperparameters,
        "epoch": record.best_epoch,
        "validation": (found and found.validation) or _validation(record, known),
        "test": found.test if found else None,
        "mistakes": found.mistakes if found else None,
        "model": found.model if found else None,
        "ensemble": found.ensemble if found else None,
    }


def _validation(record: TrialRecord, known: RunMetadata) -> Score:
    pictures = _pictures(known, "validation")
    found = score(
        record.at_best("validation_accuracy"), record.at_best("validation_loss"), pictures
    )
    found["score"] = record.at_best(SCORE)
    if counts := known["data"]["counts"].get("validation"):
        found["commonest"] = max(counts.values()) / pictures
    return found


def score(accuracy: float, loss: float, pictures: int) -> Score:
    """What is known of a split without its probabilities."""
    return {
        "accuracy": accuracy,
        "interval": interval(accuracy, pictures),
        "loss": loss,
        "pictures": pictures,
        "auc": None,
        "recall": None,
        "confusion": None,
        "calibration": None,
    }


def _trial(record: TrialRecord, known: RunMetadata, clock: Clock, running: bool) -> Trial:
    status: Any = record.status
    if status == "running" and not running:
        status = "interrupted"
    return {
        "number": record.number,
        "status": status,
        "reason": record.reason,
        "experiment": _name(record, known),
        "hyperparameters": record.hyperparameters,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "best_accuracy": record.best_accuracy,
        "best_score": record.best_score,
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
            "validation_score": record.curve[SCORE],
        },
    }


def _failures(trials: list[TrialRecord]) -> list[str]:
    """`out of memory (trials 4, 7)`: a line for each reason."""
    numbers = defaultdict(list)
    for record in trials:
        if record.status == "failed":
            numbers[record.reason or "it ended without a word"].append(str(record.number))
    return [
        f"{reason} (trial{'s' * (len(of) > 1)} {', '.join(of)})" for reason, of in numbers.items()
    ]


def cache_statistics(log: EventLog) -> Cache:
    """What the feature cache did, counted from its log."""
    events = log.read()
    built = [event for event in events if event["event"] == "build"]
    hits = [event for event in events if event["event"] == "use" and event["hit"]]
    # An entry of earlier versions was what a segment is now.
    builds = Counter((event["key"], event.get("segment")) for event in built)
    damaged = Counter((e["key"], e.get("segment")) for e in events if e["event"] == "damaged")
    sizes: dict[tuple[str, str | None], int] = {}
    for event in events:
        if "bytes" in event:
            found = event.get("segments") or {event.get("segment"): event["bytes"]}
            sizes.update(((event["key"], segment), size) for segment, size in found.items())
    return {
        "entries": len(sizes),
        "bytes": sum(sizes.values()),
        "builds": builds.total(),
        "hits": len(hits),
        # A pass that keeps several depths logs each, and its time with the deepest.
        "passes_computed": sum(event["pictures"] for event in built if event["seconds"]),
        "passes_saved": sum(event["pictures"] for event in hits),
        "forward_seconds_spent": sum((event["seconds"] for event in built), 0.0),
        "forward_seconds_saved": sum((event["seconds"] for event in hits), 0.0),
        "multiples": sum(max(0, n - 1 - damaged[each]) for each, n in builds.items()),
    }


def _repeats(folder: RunFolder) -> list[TrialRecord]:
    """Trainings beside the search."""
    return [record for log in folder.repeats for record in read_trials(log)]


def _cost(
    known: RunMetadata,
    found: RunOutcome | None,
    trials: list[TrialRecord],
    folder: RunFolder,
    seconds: float,
) -> Cost:
    repeated = _repeats(folder)
    logs = [folder.trials, *folder.repeats]
    hours = found.ending.device_hours([*trials, *repeated]) if found else None
    on_gpu = found is not None and found.ending.gpus > 0
    return {
        "seconds": seconds,
        "trial_seconds": sum(record.seconds for record in trials),
        "repeat_seconds": sum(record.seconds for record in repeated),
        "gpu_hours": hours if on_gpu or hours is None else 0.0,
        "price": None if hours is None or known["price"] is None else hours * known["price"],
        **time_spent([event for log in logs for event in log.read()]),
    }


def time_spent(events: list[dict[str, Any]]) -> Spending:
    """What workers spent their time on, by what they told with their epochs."""
    by_worker: dict[str, list[dict[str, float]]] = defaultdict(list)
    cards: dict[str, list[float]] = defaultdict(list)
    for event in events:
        spent, worker = event.get("spent"), event.get("worker")
        if not isinstance(spent, dict) or not isinstance(worker, str):
            continue  # of an earlier version, or between two of a step
        by_worker[worker].append({kind: _seconds(spent.get(kind)) for kind in KINDS})
        if "gpu_busy" in event:
            cards[worker].append(_seconds(event["gpu_busy"]))
    if not by_worker:
        return {}
    workers: list[WorkerTime] = []
    for worker, each in by_worker.items():
        seconds = sum(sum(step.values()) for step in each)
        work = sum(step[kind] for step in each for kind in WORK)
        card = sum(cards[worker]) / len(cards[worker]) if worker in cards else None
        busy = work / seconds if seconds else 0.0
        workers.append({"worker": worker, "seconds": seconds, "busy": busy, "gpu_busy": card})
    steps = [step for each in by_worker.values() for step in each]
    return {"spent": {k: sum(step[k] for step in steps) for k in KINDS}, "workers": workers}


def _seconds(value: Any) -> float:
    good = isinstance(value, int | float) and math.isfinite(value) and value >= 0
    return float(value) if good else 0.0
