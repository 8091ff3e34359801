"""The report as one web page that needs nothing else: no network, no other file."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from tuning import wording
from tuning.records.facts import Facts
from tuning.report import backbones, better, cost, levers, mistakes, objectives, story, trust
from tuning.report.advice import advice

MOST_ROWS = 500  # the best ones; a longer table is slow to sort, and trials.csv has them all


def html(facts: Facts) -> str:
    """Renders ``template.html``; everything from the facts is escaped there."""
    # Late: Plotly takes a second to import, and not everybody who imports this makes a page.
    from plotly.offline import get_plotlyjs

    from tuning.report.plots import plots

    judged = story.judged(facts)
    figures = plots(judged)
    shared = story.constants(facts["trials"])
    names = story.hyperparameter_names(facts["trials"])
    return (
        _environment()
        .get_template("template.html")
        .render(
            facts=facts,
            best=facts["best"],
            advice=advice(facts),
            titles=story.experiment_titles(facts),
            ranked=story.ranked(judged["trials"])[:MOST_ROWS],
            measured=story.metric(facts),
            shared=shared,
            varying=[name for name in names if name not in shared],
            scale=_scale(facts),
            plots=figures,
            chapter=lambda name: [plot for plot in figures if plot.chapter == name],
            # Plotly's own code, which Plotly itself puts into pages as it is.
            plotly=Markup(get_plotlyjs()) if figures else "",
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tuning.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_seen,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    for write in (wording.percent, wording.interval, wording.duration, wording.value):
        environment.filters[write.__name__] = _unbroken(write)
    environment.filters["label"] = wording.label
    environment.filters["prose"] = _prose
    environment.filters["sure"] = mistakes.sure
    environment.globals.update(
        count=wording.count,
        story=story,
        trust=trust,
        levers=levers,
        mistakes=mistakes,
        backbones=backbones,
        better=better,
        cost=cost,
        objectives=objectives,
    )
    return environment


def _seen(item: Any) -> Any:
    """What is put into the page; names of files and classes may have anything in them."""
    plain = isinstance(item, str) and not isinstance(item, Markup)
    return wording.visible(item, keep="\n\t") if plain else item


def _unbroken(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """Keeps a number and its unit on one line."""
    return lambda item: write(item).replace(" ", "\N{NO-BREAK SPACE}")


def _prose(text: str) -> Markup:
    """Keeps the names of options on one line."""
    escaped = str(escape(text))  # as Markup, it would escape what is put in
    return Markup(re.sub(r"--[a-z][a-z-]*", r'<span class="unbroken">\g<0></span>', escaped))


def _scale(facts: Facts) -> tuple[float, float]:
    """Ends of the axis on which the experiments are drawn, on whole tens of percent."""
    shares = [experiment["article_accuracy"] for experiment in facts["experiments"]]
    for experiment in facts["experiments"]:
        shares += list(experiment["interval"] or [])
    if facts["best"] is not None:
        shares += list(facts["best"]["validation"]["interval"])
    lowest = min(shares, default=0.5)
    return max(int(10 * lowest - 0.5) / 10, 0.0), 1.0
