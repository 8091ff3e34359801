"""What fewer training pictures would have reached."""

from __future__ import annotations

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts
from tuning.report.plots.look import BLUE, ORANGE, Plot, dressed, measured


def learning(facts: Facts) -> list[Plot]:
    """The learning curve of a head on frozen features, with what twice the pictures may add."""
    found = facts.get("learning_curve")
    if not found:
        return []
    sizes, scores = found["pictures"], found["scores"]
    means = [sum(each) / len(each) for each in scores]
    figure = go.Figure()
    figure.add_scatter(
        name="one draw",
        mode="markers",
        marker={"color": BLUE, "size": 8, "opacity": 0.45},
        x=[size for size, each in zip(sizes, scores, strict=True) for _ in each],
        y=[score for each in scores for score in each],
        hovertemplate="%{x:,} pictures · %{y:.1%}<extra></extra>",
    )
    figure.add_scatter(
        name="mean",
        mode="lines",
        line={"color": BLUE, "width": 2},
        x=list(sizes),
        y=means,
        hovertemplate="%{x:,} pictures · mean %{y:.1%}<extra></extra>",
    )
    last, (low, high) = means[-1], found["gain_interval"]
    figure.add_scatter(
        name="foretold, with 95 % interval",
        mode="lines+markers",
        line={"color": ORANGE, "width": 2, "dash": "dash"},
        marker={"color": ORANGE, "symbol": "diamond", "size": 10},
        x=[sizes[-1], 2 * sizes[-1]],
        y=[last, last + found["gain"]],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [0, max(0.0, high - found["gain"])],
            "arrayminus": [0, max(0.0, found["gain"] - low)],
            "color": ORANGE,
        },
        hovertemplate="%{x:,} pictures · %{y:.1%}<extra></extra>",
    )
    in_words = ", ".join(
        f"{size:,} pictures {wording.percent(mean)}"
        for size, mean in zip(sizes, means, strict=True)
    )
    caption = (
        "A linear head on frozen features, shown a part of the training pictures; the number of "
        "pictures doubles from mark to mark."
    )
    marks = [*sizes, 2 * sizes[-1]]
    shown = dressed(
        figure,
        "Training pictures",
        measured(facts),
        height=340,
        xaxis={"type": "log", "tickvals": marks, "ticktext": [f"{each:,}" for each in marks]},
    )
    title = "Would more pictures help?"
    return [Plot("learning", "better", title, caption, f"{caption} {in_words}.", shown)]
