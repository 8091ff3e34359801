"""What all figures share: colours, axes, words.

Colours are Okabe and Ito's, safe for colour-blind readers (https://jfly.uni-koeln.de/color/);
whatever a colour says, a symbol or a dash says too. Backgrounds are transparent and text takes its
colour from ``style.css``, so the figures follow a dark theme.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import escape

from tuning import wording
from tuning.records.facts import Facts, Trial
from tuning.report import story

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#888888"
HEIGHT = 400  # pixels
MOST_PHRASES = 500


@dataclass(frozen=True)
class Plot:
    """A figure with its words.

    Attributes:
        name: The name of its place in the page.
        chapter: The chapter it stands in; the page shows its figures in the order of the list.
        title: Plain text.
        caption: The words below it.
        description: The same in words, for who cannot see it.
        figure: Data and layout, as Plotly.newPlot takes them.
        size: `normal`, `small` (stands beside others) or `broad` (phones scroll it).
    """

    name: str
    chapter: str
    title: str
    caption: str
    description: str
    figure: Any
    size: str = "normal"

    @property
    def height(self) -> int:
        """The height in pixels: the page keeps the place free while the figure is being drawn."""
        return int(self.figure["layout"]["height"])


def best_trial(facts: Facts, trials: Sequence[Trial] | None = None) -> Trial | None:
    """The winner's trial; None where it is not among `trials`, by default all."""
    number = facts["best"]["trial"] if facts["best"] is not None else None
    among = facts["trials"] if trials is None else trials
    return next((trial for trial in among if trial["number"] == number), None)


def measured(facts: Facts) -> str:
    """What trials are compared by, as an axis has it."""
    return f"Validation {story.metric(facts)}"


def scored(facts: Facts) -> list[Trial]:
    """Trials that came to an accuracy, in their order."""
    found = [trial for trial in facts["trials"] if trial["best_accuracy"] is not None]
    return sorted(found, key=lambda trial: trial["number"])


def spread(trials: Sequence[Trial], most: int) -> list[Trial]:
    """At most so many of them, evenly from first to last: more would make the page large."""
    step = max(1, -(-len(trials) // most))
    return list(trials[::step])


def text(content: str) -> str:
    """Makes text stay text: Plotly reads some HTML in labels."""
    return str(escape(content))


def phrases(trials: Sequence[Trial]) -> list[str]:
    """What is shown when a trial is pointed at; nothing where they would make the page large."""
    if len(trials) > MOST_PHRASES:
        return [""] * len(trials)
    return [text(wording.in_words(trial["hyperparameters"])) for trial in trials]


def stripes(shape: str) -> dict[str, Any]:
    """What a bar's colour says, said once more."""
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "#ffffff", "size": 6, "solidity": 0.2}


def edge(colour: str) -> dict[str, Any]:
    """Thin symbols are drawn by their edge alone."""
    return {"color": colour, "width": 2}


def dressed(
    figure: go.Figure,
    across: str,
    up: str = "Validation accuracy",
    *,
    height: int = HEIGHT,
    **layout: Any,
) -> Any:
    """Gives a figure the common look; returns data and layout as plain JSON values.

    Args:
        figure: Data, and what layout it has of its own.
        across: Title of the x axis.
        up: Title of the y axis.
        height: Its height in pixels.
        layout: Its own layout, which goes over the common one.
    """
    axis = {"gridcolor": GREY, "zeroline": False, "automargin": True}
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="closest",
        hoverlabel={"bgcolor": "#222222", "bordercolor": "#222222", "font": {"color": "#ffffff"}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        dragmode=False,  # a finger on the figure scrolls the page
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={**axis, "title": {"text": across}, "showgrid": False},
        yaxis={**axis, "title": {"text": up}, "tickformat": ".0%"},
    )
    figure.update_layout(**layout)
    content = json.loads(figure.to_json())
    content["layout"].pop("template", None)
    return content


def decades(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis with a mark at each power of ten; between them, if these are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 3) if len(powers) < 4 else (1,)
    marks = [step * 10.0**power for power in powers for step in steps]
    marks = [mark for mark in marks if 0.8 * low <= mark <= 1.25 * high]
    return {"type": "log", "tickvals": marks, "ticktext": [wording.value(mark) for mark in marks]}


def whole(last: int) -> dict[str, Any]:
    """An axis of whole numbers up to ``last``."""
    # Else Plotly marks halves, rounded to wholes.
    return {"tickformat": ",d", "dtick": 1 if last <= 10 else None}
