"""What one objective costs in another."""

from __future__ import annotations

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts, Front
from tuning.report import objectives
from tuning.report.plots.look import BLUE, GREY, VERMILLION, Plot, dressed

FEWEST = 3  # trials; fewer are better read in the table


def front(facts: Facts) -> list[Plot]:
    """The first objective against each other one; the trials that none beats stand out."""
    found = facts["front"]
    if found is None or len(found["values"]) < FEWEST:
        return []
    return [_against(found, place) for place in range(1, len(found["objectives"]))]


def _against(found: Front, place: int) -> Plot:
    across, up = (objectives.label(found["objectives"][index]) for index in (place, 0))
    # Between two trials of the front one can have what the next one gives that is good enough.
    shape = "hv" if found["directions"][place] == "min" else "vh"
    figure = go.Figure()
    for name, on_front, colour, symbol, size in (
        ("others", False, GREY, "circle-open", 8),
        ("beaten by none", True, VERMILLION, "diamond", 11),
    ):
        numbers = [n for n in map(int, found["values"]) if (n in found["best"]) == on_front]
        numbers.sort(key=lambda number: found["values"][str(number)][place])
        values = [found["values"][str(number)] for number in numbers]
        figure.add_scatter(
            name=name,
            # With more than two objectives the front is no line in this plane.
            mode="lines+markers" if on_front and len(found["objectives"]) == 2 else "markers",
            line={"color": BLUE, "width": 1.5, "shape": shape},
            marker={"color": colour, "symbol": symbol, "size": size},
            x=[each[place] for each in values],
            y=[each[0] for each in values],
            customdata=[
                f"trial {number}<br>{objectives.in_words(found, number)}" for number in numbers
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    best = len(found["best"])
    caption = (
        f"{wording.count(len(found['values']), 'trial')} that ran to their end; {best} of them "
    )
    caption += f"{'is' if best == 1 else 'are'} beaten by none in all objectives."
    formats = [".0%" if name == "accuracy" else "" for name in found["objectives"]]
    shown = dressed(
        figure,
        across,
        up,
        xaxis={"showgrid": True, "tickformat": formats[place]},
        yaxis={"tickformat": formats[0]},
    )
    title = f"{up} against {across[:1].lower()}{across[1:]}"
    in_words = objectives.sentence(found)
    return Plot(f"front-{place}", "answer", title, caption, f"{caption} {in_words}", shown)
