"""Whether the model is right as often as it is sure."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts
from tuning.report import mistakes
from tuning.report.plots.look import BLUE, GREY, Plot, dressed

FEWEST_PICTURES = 50  # below that a bin is a handful


def calibration(facts: Facts) -> list[Plot]:
    """Accuracy against confidence; on the diagonal, 90 % sure means 90 % right."""
    judged = mistakes.judged(facts)
    if judged is None:
        return []
    split, score = judged
    found = score["calibration"]
    if found is None or not found["bins"] or score["pictures"] < FEWEST_PICTURES:
        return []
    bins = found["bins"]
    most = max(each["pictures"] for each in bins)
    lowest = min(min(each["confidence"], each["accuracy"]) for each in bins)
    start = max(0.0, math.floor(10 * lowest - 0.3) / 10)
    figure = go.Figure()
    figure.add_scatter(
        name="as right as sure",
        mode="lines",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
        x=[start, 1],
        y=[start, 1],
        hoverinfo="skip",
    )
    figure.add_scatter(
        name="the model",
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        marker={
            "color": BLUE,
            "size": [6 + 18 * math.sqrt(each["pictures"] / most) for each in bins],
            "opacity": 0.85,
        },
        x=[each["confidence"] for each in bins],
        y=[each["accuracy"] for each in bins],
        customdata=[each["pictures"] for each in bins],
        hovertemplate="%{x:.0%} sure · %{y:.0%} right<br>%{customdata:,} pictures<extra></extra>",
    )
    error = f"{100 * found['error']:.1f}"
    caption = (
        f"On the dashed line the model is right as often as it is sure; it lies {error} points off "
        f"on average (expected calibration error, {split} pictures). Larger dots, more pictures."
    )
    in_words = "; ".join(
        f"{100 * each['confidence']:.0f} % sure, {100 * each['accuracy']:.0f} % right "
        f"({wording.count(each['pictures'], 'picture')})"
        for each in bins
    )
    shown = dressed(
        figure,
        "How sure the model is",
        "How often it is right",
        height=360,
        xaxis={"tickformat": ".0%", "range": [start - 0.02, 1.03], "showgrid": True},
        yaxis={"tickformat": ".0%", "range": [start - 0.03, 1.05]},
    )
    title = "Can its probabilities be believed?"
    return [Plot("calibration", "wrong", title, caption, f"{caption} {in_words}.", shown)]
