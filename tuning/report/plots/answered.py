"""What a model that may say nothing is right about."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Answered, Facts
from tuning.report import mistakes
from tuning.report.plots.look import BLUE, Plot, dressed

FEWEST_PICTURES = 50


def answered(facts: Facts) -> list[Plot]:
    """Accuracy against the share of pictures that are answered, the surest first."""
    judged = mistakes.judged(facts)
    if judged is None:
        return []
    split, score = judged
    found = score.get("answered", [])
    if len(found) < 2 or score["pictures"] < FEWEST_PICTURES:
        return []
    figure = go.Figure()
    figure.add_scatter(
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        x=[each["share"] for each in found],
        y=[each["accuracy"] for each in found],
        customdata=[each["min_probability"] for each in found],
        hovertemplate="at least %{customdata:.3f} sure: %{x:.0%} answered, %{y:.1%} of them right"
        "<extra></extra>",
    )
    caption = f"Of the {split} pictures, the surest first. {half(found)}"
    in_words = "; ".join(
        f"{wording.percent(each['share'])} answered, {wording.percent(each['accuracy'])} right"
        for each in found
    )
    shown = dressed(
        figure,
        "Share of pictures that are answered",
        "How often it is right then",
        height=320,
        xaxis={"tickformat": ".0%", "range": [0, 1.03], "showgrid": True},
        yaxis={"tickformat": ".0%"},
    )
    title = "What if it may say nothing?"
    return [Plot("answered", "wrong", title, caption, f"{caption} {in_words}.", shown)]


def half(found: Sequence[Answered]) -> str:
    """The least silence that halves the share of mistakes."""
    wrong = 1 - found[-1]["accuracy"]
    if not wrong:
        return "It makes no mistake on any of them."
    better = [each for each in found[:-1] if 1 - each["accuracy"] <= wrong / 2]
    if not better:
        return "However sure it has to be, its mistakes do not become half as many."
    one = max(better, key=lambda each: each["share"])
    least, share, right = one["min_probability"], one["share"], one["accuracy"]
    return (
        f"predict --min-probability {least:.3f} answers {wording.percent(share)} of them, and is "
        f"right on {wording.percent(right)} instead of {wording.percent(1 - wrong)}."
    )
