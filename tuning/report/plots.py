"""The report's figures, as Plotly makes them.

Colours are Okabe and Ito's, safe for colour-blind readers (https://jfly.uni-koeln.de/color/);
whatever a colour says, a symbol or a dash says too. Backgrounds are transparent and text takes its
colour from ``style.css``, so the figures follow a dark theme.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import escape

from tuning.report import story, words
from tuning.report.facts import Facts, Trial

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#888888"

FEWEST_FOR_HISTORY = 3  # below that a line through the trials shows nothing that the table does not
MOST_CURVES = 300  # the best ones; more would only be a grey band and make the file large
REFERENCES = {"convnet": "convnet", "bottleneck": "bottleneck", "fine_tune": "fine-tuned"}


@dataclass(frozen=True)
class Plot:
    """A figure with its words: the caption for everybody, the description for who cannot see."""

    name: str
    title: str
    caption: str
    description: str
    figure: Any  # data and layout, as Plotly.newPlot takes them


def plots(facts: Facts) -> list[Plot]:
    """Makes those figures that the search has enough trials for."""
    made = []
    if any(len(_accuracies(trial)) > 1 for trial in facts["trials"]):
        made.append(_curves(facts))
    if sum(trial["best_accuracy"] is not None for trial in facts["trials"]) >= FEWEST_FOR_HISTORY:
        made.append(_history(facts))
    return made


def _curves(facts: Facts) -> Plot:
    """Validation accuracy per epoch: the best strong, the others faint, early stops marked."""
    best = _best(facts)
    drawn = [trial for trial in story.ranked(facts["trials"]) if _accuracies(trial)][:MOST_CURVES]
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
            marker={"color": ORANGE, "symbol": "x-thin", "size": 7, "line": _edge(ORANGE)},
            x=[len(_accuracies(trial)) for trial in stopped],
            y=[_accuracies(trial)[-1] for trial in stopped],
            customdata=[trial["number"] for trial in stopped],
            hovertemplate="trial %{customdata} stopped after epoch %{x} · %{y:.1%}<extra></extra>",
        )
    description = f"Validation accuracy per epoch of {words.count(len(drawn), 'trial')}."
    if best is not None:
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
        reached = words.percent(best["best_accuracy"])
        description += (
            f" The best, trial {best['number']}, reaches {reached} in epoch {best['best_epoch']}."
        )
    if stopped:
        description += f" {words.count(len(stopped), 'was', 'were')} stopped early."
    left_out = sum(bool(_accuracies(trial)) for trial in facts["trials"]) - len(drawn)
    caption = description + (f" {left_out:,} weaker ones are left out." if left_out else "")
    _set(figure, "Epoch", max(len(_accuracies(trial)) for trial in drawn))
    return Plot("curves", "Learning curves", caption, description, _plain(figure))


def _history(facts: Facts) -> Plot:
    """Accuracy by trial in order, the best so far, and the article's figures."""
    scored = [trial for trial in facts["trials"] if trial["best_accuracy"] is not None]
    scored.sort(key=lambda trial: trial["number"])
    best = _best(facts)
    figure = go.Figure()
    best_so_far: list[float] = []
    for trial in scored:
        best_so_far.append(max([*best_so_far[-1:], trial["best_accuracy"] or 0.0]))
    figure.add_scatter(
        name="best so far",
        mode="lines",
        line={"color": GREEN, "width": 2, "shape": "hv"},
        x=[trial["number"] for trial in scored],
        y=best_so_far,
        hoverinfo="skip",
    )
    for name, statuses, symbol, colour in (
        ("finished", ["finished"], "circle", BLUE),
        ("stopped early", ["stopped"], "x-thin", ORANGE),
        ("cut short", ["failed", "interrupted"], "square-open", GREY),
    ):
        members = [t for t in scored if t["status"] in statuses and t is not best]
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
                "text": f"{escape(name)} {100 * experiment['article_accuracy']:.0f}%",
                "x": 1,
                "xanchor": "left",
                "yanchor": "middle",
                "font": {"size": 11},
            },
        )
    _set(figure, "Trial", scored[-1]["number"])
    figure.update_layout(margin={"r": 100})
    caption = (
        "Best validation accuracy of each trial, in the order of the search. Dashed: the article's "
        "three figures."
    )
    description = (
        f"Best validation accuracy of {len(scored)} trials in order, from "
        f"{words.percent(scored[0]['best_accuracy'])} for the first to "
        f"{words.percent(best_so_far[-1])} for the best, with the article's figures as lines."
    )
    return Plot("history", "Trial by trial", caption, description, _plain(figure))


def _points(
    figure: go.Figure, name: str, trials: Sequence[Trial], symbol: str, colour: str, size: int
) -> None:
    """One point a trial, with its configuration when pointed at."""
    figure.add_scatter(
        name=name,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": size, "line": _edge(colour)},
        x=[trial["number"] for trial in trials],
        y=[trial["best_accuracy"] for trial in trials],
        text=[str(escape(words.in_words(trial["hyperparameters"]))) for trial in trials],
        hovertemplate="trial %{x} · %{y:.1%}<br>%{text}<extra></extra>",
    )


def _accuracies(trial: Trial) -> Sequence[float | None]:
    return trial["curve"]["validation_accuracy"]


def _best(facts: Facts) -> Trial | None:
    number = facts["best"]["trial"] if facts["best"] is not None else None
    return next((trial for trial in facts["trials"] if trial["number"] == number), None)


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


def _edge(colour: str) -> dict[str, Any]:
    """Thin symbols are drawn by their edge alone."""
    return {"color": colour, "width": 2}


def _set(figure: go.Figure, across: str, last: int) -> None:
    """Gives every figure the same look; ``last`` is the highest whole number on the x axis."""
    axis = {"gridcolor": GREY, "zeroline": False, "automargin": True}
    figure.update_layout(
        template="none",
        height=400,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="closest",
        hoverlabel={"bgcolor": "#222222", "bordercolor": "#222222", "font": {"color": "#ffffff"}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        dragmode=False,  # a finger on the figure scrolls the page
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={
            **axis,
            "title": {"text": across},
            "showgrid": False,
            "tickformat": ",d",
            "dtick": 1 if last <= 10 else None,  # else Plotly marks halves, rounded to wholes
        },
        yaxis={**axis, "title": {"text": "Validation accuracy"}, "tickformat": ".0%"},
    )


def _plain(figure: go.Figure) -> Any:
    content = json.loads(figure.to_json())
    content["layout"].pop("template", None)
    return content
