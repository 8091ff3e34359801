"""How much of an accuracy is the luck of one seed."""

from __future__ import annotations

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts
from tuning.report.plots.look import BLUE, GREY, VERMILLION, Plot, dressed, edge, measured


def repeats(facts: Facts) -> list[Plot]:
    """The candidates of the confirmation: a dot a seed, their means, and what the search saw."""
    found = facts["confirmation"]
    if found is None or not found["candidates"]:
        return []
    ranked = sorted(found["candidates"], key=lambda c: (c["mean"], c["trial"] == found["winner"]))
    searched = {trial["number"]: trial["best_accuracy"] for trial in facts["trials"]}
    names = [f"trial {candidate['trial']}" for candidate in ranked]
    figure = go.Figure()
    figure.add_scatter(
        name="one seed",
        mode="markers",
        marker={"color": BLUE, "size": 9, "opacity": 0.6},
        x=[accuracy for candidate in ranked for accuracy in candidate["accuracies"]],
        y=[n for n, c in zip(names, ranked, strict=True) for _ in c["accuracies"]],
        hovertemplate="%{y} · %{x:.1%}<extra></extra>",
    )
    figure.add_scatter(
        name="mean, with standard deviation",
        mode="markers",
        marker={"color": VERMILLION, "symbol": "diamond", "size": 12},
        x=[candidate["mean"] for candidate in ranked],
        y=names,
        error_x={"array": [candidate["sd"] for candidate in ranked], "color": VERMILLION},
        hovertemplate="%{y} · mean %{x:.1%}<extra></extra>",
    )
    figure.add_scatter(
        name="in the search",
        mode="markers",
        marker={"color": GREY, "symbol": "line-ns", "size": 18, "line": edge(GREY)},
        x=[searched.get(candidate["trial"]) for candidate in ranked],
        y=names,
        hovertemplate="%{y} in the search · %{x:.1%}<extra></extra>",
    )
    means = ", ".join(
        f"trial {candidate['trial']} {wording.percent(candidate['mean'])}"
        for candidate in reversed(ranked)
    )
    caption = (
        f"{measured(facts)} with {wording.count(found['repeats'], 'fresh seed')} each, beside "
        "the one that the search saw."
    )
    shown = dressed(
        figure,
        measured(facts),
        "",
        height=150 + 45 * len(ranked),
        xaxis={"tickformat": ".1%", "showgrid": True},
        yaxis={"tickformat": "", "showgrid": False, "type": "category"},
    )
    title = "The best, trained again"
    return [Plot("repeats", "trust", title, caption, f"{caption} Means: {means}.", shown)]
