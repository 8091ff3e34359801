"""Writes the report's files into the run folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from tuning.files import atomic
from tuning.records.facts import FILE_NAME, Facts, finite
from tuning.report.html import html
from tuning.report.markdown import markdown
from tuning.report.story import hyperparameter_names


def write(facts: Facts, folder: Path) -> None:
    """Writes ``report.json``, then what is rendered from it.

    Every file appears whole or not at all, so a reader never sees half a report; ``report.json``
    comes first, so the facts are safe whatever happens next.
    """
    text = json.dumps(finite(facts), ensure_ascii=False, indent=1, allow_nan=False)
    atomic.write_text(folder / FILE_NAME, text + "\n")
    render(json.loads(text), folder)


def render(facts: Facts, folder: Path) -> None:
    """Writes ``report.md``, ``report.html`` and ``trials.csv``."""
    atomic.write_text(folder / "trials.csv", trials_csv(facts))
    atomic.write_text(folder / "report.md", markdown(facts))
    atomic.write_text(folder / "report.html", html(facts))


def trials_csv(facts: Facts) -> str:
    """One row a trial, in their order; hyperparameters that do not apply are empty."""
    fixed = ["number", "status", "reason", "best_validation_accuracy", "best_epoch", "epochs"]
    names = hyperparameter_names(facts["trials"])
    # A trial has its own "epochs" (trained); the hyperparameter is the most it was allowed.
    columns = [f"hyperparameter_{name}" if name in fixed else name for name in names]
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    by = facts.get("metric", "accuracy")
    scores = [] if by == "accuracy" else [f"best_validation_{by}"]
    writer.writerow([*fixed, "seconds", *scores, *columns])
    for trial in facts["trials"]:
        row = [trial["number"], trial["status"], trial["reason"], trial["best_accuracy"]]
        row += [trial["best_epoch"], trial["epochs"], trial["seconds"]]
        row += [trial.get("best_score")] * len(scores)
        writer.writerow([*row, *(trial["hyperparameters"].get(name) for name in names)])
    return target.getvalue()
