"""All levers of all trials at once: parallel coordinates.

Drawn as plain lines: Plotly's own parallel coordinates need WebGL, know no levers that a trial does
not have, and do not print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts, Trial
from tuning.report import levers, story
from tuning.report.levers import Lever
from tuning.report.plots.look import (
    BLUE,
    GREY,
    VERMILLION,
    Plot,
    best_trial,
    dressed,
    spread,
    text,
)

MOST_LINES = 150  # of the best fifth, and of the others
MOST_AXES = 12
ABSENT = -0.14  # height at which a line passes a lever that its trial does not have


def parallel(facts: Facts) -> list[Plot]:
    """A line for each trial, an axis for each lever; the better trials stronger."""
    axes = levers.levers(facts)[:MOST_AXES]
    if not levers.enough(facts) or len(axes) < 2:
        return []
    trials = levers.proposed(facts)
    best = best_trial(facts, trials)
    top = story.ranked(trials)[: max(1, len(trials) // 5)]
    rest = spread([trial for trial in trials if trial not in top], MOST_LINES)
    lowest = min(trial["best_accuracy"] or 0.0 for trial in trials)
    highest = max(trial["best_accuracy"] or 0.0 for trial in trials)
    figure = go.Figure()
    for name, members, colour, width, opacity in (
        ("others", rest, GREY, 1.0, 0.35),
        ("best fifth", [t for t in top if t is not best][:MOST_LINES], BLUE, 1.6, 0.75),
        ("the best", [best] if best else [], VERMILLION, 3.5, 1.0),
    ):
        if members:
            figure.add_scatter(
                name=name,
                mode="lines",
                line={"color": colour, "width": width},
                opacity=opacity,
                hovertemplate="%{customdata}<extra></extra>",
                **_lines(members, axes, lowest, highest),
            )
    for place, axis in enumerate(axes):
        _scale(figure, place, axis)
    _mark(figure, len(axes), 0.0, wording.percent(lowest))
    _mark(figure, len(axes), 1.0, wording.percent(highest))
    by = story.metric(facts)
    labels = [
        *(text(axis.label).replace(" ", "<br>") for axis in axes),
        f"<b>{text(by[:1].upper() + by[1:])}</b>",
    ]
    caption = (
        "Each line is a trial and crosses each axis at its value; at the bottom (–) it does not "
        "have that lever. Press a name in the legend to hide its lines."
    )
    left_out = len(trials) - len(top) - len(rest)
    if left_out:
        caption += f" {left_out:,} of the other trials are left out."
    description = f"Parallel coordinates of {', '.join(axis.label for axis in axes)}. {_told(top)}"
    shown = dressed(
        figure,
        "",
        "",
        height=430,
        xaxis={
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "side": "top",
            "range": [-0.35, len(axes) + 0.5],
            "showgrid": True,
        },
        yaxis={"visible": False, "range": [ABSENT - 0.06, 1.08]},
        legend={"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0},
    )
    title = "All levers at once"
    return [Plot("parallel", "levers-more", title, caption, description, shown, "broad")]


def _lines(
    trials: Sequence[Trial], axes: Sequence[Lever], lowest: float, highest: float
) -> dict[str, list[Any]]:
    """Joins lines into one trace with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    labels: list[str | None] = []
    for trial in trials:
        for place, axis in enumerate(axes):
            value = trial["hyperparameters"].get(axis.name)
            x.append(place)
            y.append(round(_height(axis, value, trial["number"]), 3))
            labels.append(f"trial {trial['number']} · {text(wording.value(value))}")
        accuracy = trial["best_accuracy"] or 0.0
        x += [len(axes), None]
        y += [round((accuracy - lowest) / ((highest - lowest) or 1.0), 3), None]
        labels += [f"trial {trial['number']} · {wording.percent(accuracy)}", None]
    return {"x": x, "y": y, "customdata": labels}


def _height(axis: Lever, value: Any, number: int) -> float:
    """Where a value lies on its axis, from 0 to 1."""
    if value is None:
        return ABSENT
    if not axis.numeric:
        place = _of_choice(axis, axis.values.index(value))
        # Beside each other, so that trials with the same value do not hide each other.
        return place + 0.04 * ((number * 0.618) % 1 - 0.5)
    low, high = axis.values[0], axis.values[-1]
    if axis.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low))


def _of_choice(axis: Lever, index: int) -> float:
    """The best median on top."""
    return 1.0 - index / (len(axis.values) - 1)


def _scale(figure: go.Figure, place: int, axis: Lever) -> None:
    if axis.numeric:
        _mark(figure, place, 0.0, wording.value(axis.values[0]))
        _mark(figure, place, 1.0, wording.value(axis.values[-1]))
    else:
        for index, value in enumerate(axis.values):
            _mark(figure, place, _of_choice(axis, index), wording.value(value))


def _mark(figure: go.Figure, place: int, height: float, label: str) -> None:
    figure.add_annotation(
        x=place,
        y=height,
        text=text(label if len(label) < 14 else f"{label[:12]}…"),
        xanchor="left",
        xshift=3,
        showarrow=False,
        font={"size": 11},
    )


def _told(top: Sequence[Trial]) -> str:
    best = "; ".join(
        f"trial {trial['number']}, {wording.in_words(trial['hyperparameters'])}: "
        f"{wording.percent(trial['best_accuracy'])}"
        for trial in top[:3]
    )
    return f"The best: {best}."
