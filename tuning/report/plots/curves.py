"""How accuracy came about: epoch by epoch, and trial by trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts, Trial
from tuning.report import story
from tuning.report.plots.look import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    Plot,
    best_trial,
    dressed,
    edge,
    measured,
    phrases,
    scored,
    text,
    whole,
)

FEWEST_FOR_HISTORY = 3  # below that a line through the trials shows nothing that the table does not
MOST_CURVES = 200  # the best ones; more would only be a grey band and make the file large
REFERENCES = {"convnet": "convnet", "bottleneck": "bottleneck", "fine_tune": "fine-tuned"}


def curves(facts: Facts) -> list[Plot]:
    """Validation accuracy per epoch: the best strong, the others faint, early stops marked."""
    best = best_trial(facts)
    drawn = [trial for trial in story.ranked(facts["trials"]) if _accuracies(trial)][:MOST_CURVES]
    if not any(len(_accuracies(trial)) > 1 for trial in drawn):
        return []
    others = [trial for trial in drawn if trial is not best]
    stopped = [trial for trial in others if trial["status"] == "stopped"]
    figure = go.Figure()
    if others:
        figure.add_scatter(
            name="other trials",
            mode="lines",
            line={"color": GREY, "width": 1},
            opacity=max(0.3, min(0.7, 10 / len(others))),
            hovertemplate="trial %{customdata} · epoch %{x} · %{y:.1%}<extra></extra>",
            **_one_trace(others),
        )
    if stopped:
        figure.add_scatter(
            name="stopped early",
            mode="markers",
            opacity=max(0.5, min(1.0, 30 / len(stopped))),
            marker={"color": ORANGE, "symbol": "x-thin", "size": 7, "line": edge(ORANGE)},
            x=[len(_accuracies(trial)) for trial in stopped],
            y=[_accuracies(trial)[-1] for trial in stopped],
            customdata=[trial["number"] for trial in stopped],
            hovertemplate="trial %{customdata} stopped after epoch %{x} · %{y:.1%}<extra></extra>",
        )
    description = f"{measured(facts)} per epoch of {wording.count(len(drawn), 'trial')}."
    if best is not None:
        _add_best(figure, best)
        reached = wording.percent(best["best_accuracy"])
        description += (
            f" The best, trial {best['number']}, reaches {reached} in epoch {best['best_epoch']}."
        )
    if stopped:
        description += f" {wording.count(len(stopped), 'was', 'were')} stopped early."
    left_out = sum(bool(_accuracies(trial)) for trial in facts["trials"]) - len(drawn)
    caption = description + (f" {left_out:,} weaker ones are left out." if left_out else "")
    longest = max(len(_accuracies(trial)) for trial in drawn)
    shown = dressed(figure, "Epoch", measured(facts), xaxis=whole(longest))
    return [Plot("curves", "curves", "Epoch by epoch", caption, description, shown)]


def _add_best(figure: go.Figure, best: Trial) -> None:
    figure.add_scatter(
        name=f"trial {best['number']}, the best",
        mode="lines",
        line={"color": VERMILLION, "width": 3.5},
        x=list(range(1, len(_accuracies(best)) + 1)),
        y=_accuracies(best),
        hovertemplate=f"trial {best['number']} · epoch %{{x}} · %{{y:.1%}}<extra></extra>",
    )
    figure.add_scatter(
        name="its best epoch",
        mode="markers",
        marker={"color": VERMILLION, "symbol": "star", "size": 15},
        x=[best["best_epoch"]],
        y=[best["best_accuracy"]],
        hovertemplate="best epoch %{x} · %{y:.1%}<extra></extra>",
    )


def history(facts: Facts) -> list[Plot]:
    """Accuracy by trial in order, the best so far, and the article's figures."""
    trials, best = scored(facts), best_trial(facts)
    if len(trials) < FEWEST_FOR_HISTORY:
        return []
    figure = go.Figure()
    best_so_far: list[float] = []
    for trial in trials:
        best_so_far.append(max([*best_so_far[-1:], trial["best_accuracy"] or 0.0]))
    figure.add_scatter(
        name="best so far",
        mode="lines",
        line={"color": GREEN, "width": 2, "shape": "hv"},
        x=[trial["number"] for trial in trials],
        y=[round(accuracy, 4) for accuracy in best_so_far],
        hoverinfo="skip",
    )
    for name, statuses, symbol, colour in (
        ("finished", ["finished"], "circle", BLUE),
        ("stopped early", ["stopped"], "x-thin", ORANGE),
        ("cut short", ["failed", "interrupted"], "square-open", GREY),
        ("running", ["running"], "circle-open", BLUE),
    ):
        members = [t for t in trials if t["status"] in statuses and t is not best]
        if members:
            _points(figure, name, members, symbol, colour, 7)
    if best is not None:
        _points(figure, f"trial {best['number']}, the best", [best], "star", VERMILLION, 15)
    for experiment in facts["experiments"]:
        name = REFERENCES.get(experiment["name"], experiment["name"])
        figure.add_hline(
            y=experiment["article_accuracy"],
            line={"color": GREY, "width": 1.2, "dash": "dash"},
            annotation={
                "text": f"{text(name)} {100 * experiment['article_accuracy']:.0f}%",
                "x": 1,
                "xanchor": "left",
                "yanchor": "middle",
                "font": {"size": 11},
            },
        )
    by = measured(facts).lower()
    caption = f"Best {by} of each trial, in the order of the search."
    description = (
        f"Best {by} of {len(trials)} trials in order, from "
        f"{wording.percent(trials[0]['best_accuracy'])} for the first to "
        f"{wording.percent(best_so_far[-1])} for the best"
    )
    if facts["experiments"]:
        caption += " Dashed: the best epochs that the article's three runs print."
        description += ", with the article's figures as lines"
    description += "."
    margin = {"l": 8, "r": 100, "t": 8, "b": 8}  # for the article's names
    shown = dressed(
        figure, "Trial", measured(facts), xaxis=whole(trials[-1]["number"]), margin=margin
    )
    return [Plot("history", "curves", "Trial by trial", caption, description, shown)]


def _points(
    figure: go.Figure, name: str, trials: Sequence[Trial], symbol: str, colour: str, size: int
) -> None:
    """One point a trial, with its configuration when pointed at."""
    figure.add_scatter(
        name=name,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": size, "line": edge(colour)},
        x=[trial["number"] for trial in trials],
        y=[round(trial["best_accuracy"] or 0.0, 4) for trial in trials],
        text=phrases(trials),
        hovertemplate="trial %{x} · %{y:.1%}<br>%{text}<extra></extra>",
    )


def _accuracies(trial: Trial) -> Sequence[float | None]:
    return trial["curve"]["validation_accuracy"]


def _one_trace(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """Joins curves into one trace with gaps between them: 300 traces would be slow to draw."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    for trial in trials:
        values = [None if a is None else round(a, 4) for a in _accuracies(trial)]
        x += [*range(1, len(values) + 1), None]
        y += [*values, None]
        numbers += [*[trial["number"]] * len(values), None]
    return {"x": x, "y": y, "customdata": numbers}
