"""The end of a run: the best model, its one look at the test split, the report."""

from __future__ import annotations

from pathlib import Path

from tuning import records, report, summary
from tuning.best import load_arrays, weights_file
from tuning.export import export
from tuning.learner import probabilities
from tuning.options import Options
from tuning.records import Ledger, Manner
from tuning.report.facts import Facts
from tuning.report.words import in_words, interval, percent
from tuning.setting import Setting
from tuning.training import score

KEPT_WEIGHTS = 5  # best trials whose weights stay in the run folder


def conclude(
    options: Options,
    setting: Setting,
    ledger: Ledger,
    manner: Manner,
    command: str,
    seconds: float,
) -> Facts:
    """Exports the best trial's model, tests it once, writes the report.

    Args:
        options: What the user asked for.
        setting: What all trials shared.
        ledger: What happened.
        manner: How the trials were run.
        command: What the user typed.
        seconds: Wall time of the trials.
    """
    folder = options.folder
    tried = [ledger.records[number] for number in sorted(ledger.records)]
    ranking = records.ranking(tried)
    test, path = None, None
    if ranking:
        best = ranking[0]
        weights = load_arrays(weights_file(folder, best.number))
        model, path = export(setting, best.hyperparameters, weights, folder / "best")
        split = setting.dataset.test
        if split is not None:
            test = score(probabilities(model, split.pictures), split.labels)
    for record in ranking[KEPT_WEIGHTS:]:
        weights_file(folder, record.number).unlink(missing_ok=True)
    outcome = summary.Outcome(
        command=command,
        seconds=seconds,
        manner=manner,
        test=test,
        model=None if path is None else str(path.relative_to(folder)),
    )
    cache = setting.cache.journal.statistics() if setting.cache.journal else {}
    facts = summary.facts(options, setting, tried, ranking[0] if ranking else None, cache, outcome)
    report.write(facts, folder)
    return facts


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
    lines.append(f"report: {folder / 'report.html'}")
    return "\n".join(lines)
