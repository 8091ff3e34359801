"""A small figure for each lever: its values against the accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts, Trial
from tuning.report import levers
from tuning.report.levers import Lever
from tuning.report.plots.look import (
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    Plot,
    best_trial,
    decades,
    dressed,
    edge,
    spread,
    text,
)

MOST_POINTS = 500
FEWEST = 5  # trials that have a lever, to see anything
MOST_LEVERS = 16  # the most important; more small figures than that nobody reads


def slices(facts: Facts) -> list[Plot]:
    """Validation accuracy by the value of one lever, all others being what they were."""
    if not levers.enough(facts):
        return []
    trials = levers.proposed(facts)
    best = best_trial(facts, trials)
    accuracies = [trial["best_accuracy"] or 0.0 for trial in trials]
    low, high = min(accuracies), max(accuracies)
    margin = 0.06 * (high - low) or 0.01
    common = [low - margin, high + margin]
    shown = [lever for lever in levers.levers(facts) if len(lever.trials) >= FEWEST][:MOST_LEVERS]
    return [_slice(lever, best, common, number) for number, lever in enumerate(shown)]


def _slice(lever: Lever, best: Trial | None, common: list[float], number: int) -> Plot:
    drawn = spread(lever.trials, MOST_POINTS)
    stopped = [t for t in drawn if t["status"] != "finished" and t is not best]
    finished = [t for t in drawn if t["status"] == "finished" and t is not best]
    figure = go.Figure()
    _points(figure, lever, stopped, GREY, "x-thin", 6, "not trained to its end")
    _points(figure, lever, finished, BLUE, "circle", 6, "finished")
    if lever.medians:
        figure.add_scatter(
            mode="markers",
            marker={"color": GREEN, "symbol": "line-ew", "size": 22, "line": edge(GREEN)},
            x=[_place(lever, value) for value in lever.medians],
            y=list(lever.medians.values()),
            hovertemplate="median %{y:.1%}<extra></extra>",
        )
    if best is not None and best["hyperparameters"].get(lever.name) is not None:
        _points(figure, lever, [best], VERMILLION, "star", 13, "the best")
    shown = dressed(
        figure,
        "",
        "",
        height=230,
        xaxis=_axis(lever),
        yaxis={"range": common, "nticks": 5},
        showlegend=False,
    )
    description = f"Accuracy by {lever.label}: {lever.summary}."
    return Plot(f"slice-{number}", "slices", lever.label, "", description, shown, "small")


def _points(
    figure: go.Figure,
    lever: Lever,
    trials: Sequence[Trial],
    colour: str,
    symbol: str,
    size: int,
    name: str,
) -> None:
    if not trials:
        return
    values = [trial["hyperparameters"][lever.name] for trial in trials]
    places = [
        float(f"{_place(lever, value) + _aside(lever, trial['number']):.4g}")
        for value, trial in zip(values, trials, strict=True)
    ]
    figure.add_scatter(
        name=name,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": size, "line": _edge(colour, symbol)},
        opacity=1.0 if symbol == "star" else 0.75,
        x=places,
        y=[round(trial["best_accuracy"] or 0.0, 4) for trial in trials],
        customdata=[
            f"trial {trial['number']} · {text(wording.value(value))}"
            for trial, value in zip(trials, values, strict=True)
        ],
        hovertemplate="%{customdata} · %{y:.1%}<extra></extra>",
    )


def _edge(colour: str, symbol: str) -> dict[str, Any]:
    return edge(colour) if symbol == "x-thin" else {"width": 0}


def _place(lever: Lever, value: Any) -> float:
    return float(value if lever.numeric else lever.values.index(value))


def _aside(lever: Lever, number: int) -> float:
    """Moves trials of the same value beside each other, so that they do not hide each other."""
    if not lever.medians or lever.log:
        return 0.0
    places = sorted(_place(lever, value) for value in lever.values)
    gap = min((after - before for before, after in pairwise(places)), default=1.0)
    return 0.3 * gap * ((0.618 * number) % 1 - 0.5)


def _axis(lever: Lever) -> dict[str, Any]:
    if lever.log:
        return decades(lever.values[0], lever.values[-1])
    if lever.numeric:
        return {"nticks": 7, "exponentformat": "e"}
    places = list(range(len(lever.values)))
    return {
        "tickvals": places,
        "ticktext": [text(wording.value(value)) for value in lever.values],
        "range": [-0.6, len(places) - 0.4],
    }
