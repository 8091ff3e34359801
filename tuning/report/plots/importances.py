"""Which lever decided the accuracy."""

from __future__ import annotations

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts
from tuning.report import levers
from tuning.report.plots.look import BLUE, ORANGE, Plot, dressed, measured, stripes, text


def importances(facts: Facts) -> list[Plot]:
    """A bar for each lever and method, the most important lever on top."""
    found = facts["importances"]
    if found is None or not levers.enough(facts):
        return []
    ranked = levers.by_importance(facts)
    names = [text(wording.label(name)) for name in reversed(ranked)]
    figure = go.Figure()
    looks = zip(found["methods"].items(), ((BLUE, ""), (ORANGE, "/")), strict=False)
    # Plotly stacks a group from below.
    for (method, shares), (colour, pattern) in reversed(list(looks)):
        figure.add_bar(
            name=levers.METHODS.get(method, text(method)),
            orientation="h",
            x=[shares.get(name) for name in reversed(ranked)],
            y=names,
            marker={"color": colour, "pattern": stripes(pattern)},
            hovertemplate="%{y} · %{x:.0%}<extra>%{fullData.name}</extra>",
        )
    caption = (
        f"Share of the variation of {measured(facts).lower()} that each lever explains. fANOVA "
        "looks at all trials; PED-ANOVA asks what sets the better trials apart."
    )
    in_words = "; ".join(
        f"{levers.METHODS.get(method, method)}: "
        + ", ".join(
            f"{wording.label(name)} {100 * shares[name]:.0f} %" for name in ranked if name in shares
        )
        for method, shares in found["methods"].items()
    )
    shown = dressed(
        figure,
        "Importance",
        "",
        height=110 + 20 * len(names) * max(1, len(found["methods"])),
        xaxis={"tickformat": ".0%", "rangemode": "tozero", "showgrid": True},
        yaxis={"tickformat": "", "showgrid": False, "type": "category"},
        barmode="group",
        bargap=0.25,
        legend={"traceorder": "reversed"},
    )
    title = "How much each lever mattered"
    return [Plot("importances", "levers", title, caption, f"{caption} {in_words}.", shown)]
