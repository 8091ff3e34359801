"""What a terminal, or a notebook, is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tuning.records.facts import Facts, Score
from tuning.report.advice import advice
from tuning.report.backbones import compared
from tuning.report.story import together
from tuning.wording import in_words, interval, metric, percent


def tell(console: Console) -> Callable[[str], None]:
    """What prints a line as it is."""
    return lambda line: console.print(line, markup=False, highlight=False)


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
        words = in_words(best["hyperparameters"])
        lines.append(f"best: trial {best['trial']}{f', {words}' if words else ''}")
        lines.append(f"  validation accuracy {_score(best['validation'])}")
        lines += [f"  {line}" for line in [compared(facts), together(best)] if line]
        lines += _by_metric(facts)
        lines += _again(facts)
        if best["test"]:
            lines.append(f"  test accuracy {_score(best['test'])}")
        lines.append(f"  model {folder / str(best['model'])}")
    if advised := advice(facts):
        lines += [f"next: {advised.next}", f"  {advised.figure}"]
    lines += [f"warning: {warning}" for warning in facts["warnings"]]
    lines.append(f"report: {folder / 'report.html'}")
    return "\n".join(lines)


def _by_metric(facts: Facts) -> list[str]:
    """What the search went by, where that is not the accuracy."""
    best, name = facts["best"], facts.get("metric", "accuracy")
    if best is None or name == "accuracy" or "score" not in best["validation"]:
        return []
    text = f"validation {percent(best['validation']['score'])}"
    if best["test"] and "score" in best["test"]:
        text += f", test {percent(best['test']['score'])}"
    return [f"  {metric(name)}: {text}"]


def _again(facts: Facts) -> list[str]:
    """What the winner's configuration reaches when it is trained again."""
    found, lines = facts["confirmation"], []
    for each in found["candidates"] if found else ():
        if found and each["trial"] == found["winner"]:
            seeds = f"{found['repeats']} fresh seeds"
            lines.append(f"  with {seeds} {percent(each['mean'])} on average")
    if folded := facts["cross_validation"]:
        lines.append(f"  on {folded['folds']} folds {percent(folded['mean'])} on average")
    return lines


def _score(score: Score) -> str:
    text = f"{percent(score['accuracy'])} ({interval(score['interval'])})"
    commonest = score.get("commonest")
    if commonest is None:
        return text
    is_none = "; no better is shown" if score["interval"][0] <= commonest else ""
    return f"{text}; the commonest class is {percent(commonest)}{is_none}"
