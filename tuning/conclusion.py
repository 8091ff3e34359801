"""The end of a run: the best model, its one look at the test split, the report."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from tuning import card, evaluation, formats, records, repeats, report, study, summary
from tuning.best import load_arrays, weights_file
from tuning.errors import UserError
from tuning.export import export
from tuning.front import front
from tuning.learner import probabilities
from tuning.options import Options
from tuning.records import Ledger, Manner, Record
from tuning.repeats import Repeat
from tuning.report.facts import Facts
from tuning.report.words import in_words, interval, percent
from tuning.setting import Setting

if TYPE_CHECKING:
    import keras

KEPT_WEIGHTS = 5  # best trials whose weights stay in the run folder


def conclude(
    options: Options,
    setting: Setting,
    ledger: Ledger,
    manner: Manner,
    again: Callable[[list[Repeat], str], dict[int, Record]],
) -> Facts:
    """Confirms the best, exports the winner's model, tests it once, writes report and card.

    Args:
        options: What the user asked for.
        setting: What all trials shared.
        ledger: What happened.
        manner: How the trials were run.
        again: Trains configurations again, under a name; returns their records by place.
    """
    folder = options.folder
    tried = [ledger.records[number] for number in sorted(ledger.records)]
    ranking = records.ranking(tried)
    confirmed, crossed = None, None
    winner = ranking[0] if ranking else None
    if winner and options.confirm and not manner.interrupted:
        # A run that ended before has kept the weights of its best alone.
        able = [each for each in ranking if (folder / weights_file(each.number)).exists()]
        repeated = repeats.confirming(able, *options.confirm, options.seed)
        confirmed = repeats.confirmation(repeated, again(repeated, "confirmation"))
        if confirmed:
            winner = ledger.records[confirmed["winner"]]
    if winner and options.folds and not manner.interrupted:
        folded = repeats.folding(winner, options.folds, options.seed)
        crossed = repeats.cross_validation(folded, again(folded, "folds"))
    asked = {"--confirm": (options.confirm, confirmed), "--folds": (options.folds, crossed)}
    findings = summary.Findings(
        manner,
        warnings=[
            f"Not all trainings of {flag} came to their end; --resume {options.name} goes on."
            for flag, (wanted, found) in asked.items()
            if wanted and not found
        ],
        **_of_the_study(options, set(ledger.records)),
    )
    if winner:
        weights = load_arrays(folder / weights_file(winner.number))
        model, path = export(setting, winner.hyperparameters, weights, folder / "best")
        findings = dataclasses.replace(
            findings,
            trial=winner.number,
            model=str(path.relative_to(folder)),
            confirmation=confirmed,
            cross_validation=crossed,
            **_measured(setting, model),
        )
    for record in ranking[KEPT_WEIGHTS:]:
        if record is not winner:
            (folder / weights_file(record.number)).unlink(missing_ok=True)
    findings.write(folder)
    facts = summary.gather(folder)
    report.write(facts, folder)
    if winner:
        card.write(facts, folder)
        _take_further(options, folder)
    return facts


def _take_further(options: Options, folder: Path) -> None:
    """Other formats of the model; one that cannot be written does not make the run a failure."""
    try:
        if options.export:
            formats.export(folder, options.export)
    except UserError as error:
        print(f"warning: {error}", file=sys.stderr)


def _measured(setting: Setting, model: keras.Model) -> dict[str, Any]:
    """What the final model does on validation pictures, and, once, on test pictures."""
    data = setting.dataset
    said = probabilities(model, data.validation.pictures)
    found = {"validation": evaluation.measure(said, data.validation.labels, data.classes)}
    judged = data.validation
    if data.test is not None:
        judged = data.test
        said = probabilities(model, judged.pictures)
        found["test"] = evaluation.measure(said, judged.labels, data.classes)
    return {**found, "mistakes": evaluation.mistakes(said, judged, data.classes)}


def _of_the_study(options: Options, own: set[int]) -> dict[str, Any]:
    """What the study as a whole says; `own` are the run's trials, beside those taken over."""
    if options.experiments:
        return {}  # there is none
    store = study.storage(options.storage or study.default_storage(options.folder.resolve()))
    searched = optuna.load_study(study_name=options.name, storage=store)
    return {
        "importances": evaluation.importances(searched),
        "front": front(searched, options.objective, own),
    }


def in_short(facts: Facts, folder: Path) -> str:
    """What the terminal says at the end."""
    lines = []
    row = "{:<34}{:>10}{:>9}{:>9}{:>19}{:>9}"
    run = [each for each in facts["experiments"] if each["trial"] is not None]
    if run:
        lines.append(
            row.format("experiment", "article", "best", "last", "95 % interval", "seconds")
        )
    for each in run:
        lines.append(
            row.format(
                each["title"],
                each["article"],
                percent(each["best_accuracy"]),
                percent(each["last_accuracy"]),
                interval(each["interval"]),
                f"{each['seconds']:.1f}",
            )
        )
    best = facts["best"]
    if best is None:
        lines.append("No trial finished an epoch.")
    else:
        score = best["validation"]
        lines.append(f"best: trial {best['trial']}, {in_words(best['hyperparameters'])}")
        lines.append(
            f"  validation accuracy {percent(score['accuracy'])} ({interval(score['interval'])})"
        )
        if best["test"]:
            score = best["test"]
            lines.append(
                f"  test accuracy {percent(score['accuracy'])} ({interval(score['interval'])})"
            )
        lines.append(f"  model {folder / str(best['model'])}")
    lines += [f"warning: {warning}" for warning in facts["warnings"]]
    lines.append(f"report: {folder / 'report.html'}")
    return "\n".join(lines)
