"""When each trial ran, and where."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from tuning import wording
from tuning.records.facts import Facts, Trial
from tuning.report.plots.look import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    Plot,
    dressed,
    stripes,
    text,
)

FEWEST = 2
PREPARED = 0.05  # share of the time, from which on what went before the first trial is told
MOST_NUMBERED = 40  # trials; numbers of more would not be readable
LOOKS = (
    ("finished", "finished", BLUE, ""),
    ("stopped early", "stopped", ORANGE, "/"),
    ("failed", "failed", VERMILLION, "x"),
    ("interrupted", "interrupted", GREY, "."),
    ("running", "running", GREEN, "-"),
)


def timeline(facts: Facts) -> list[Plot]:
    """A bar for each trial, a row for each process that ran trials."""
    ran = [trial for trial in facts["trials"] if trial["started"] is not None and trial["epochs"]]
    # Without Ray there is one process, which needs no name.
    drawn = [trial for trial in ran if trial["worker"] is not None] or ran
    if len(drawn) < FEWEST or not any(trial["seconds"] for trial in drawn):
        return []
    rows = _rows(drawn)
    longest = max(trial["ended"] or 0.0 for trial in drawn)
    unit, name = next(
        (u, n)
        for u, n in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
        if longest > 2 * u or u == 1
    )
    figure = go.Figure()
    for label, status, colour, pattern in LOOKS:
        members = [trial for trial in drawn if trial["status"] == status]
        if members:
            figure.add_bar(
                name=label,
                orientation="h",
                base=[round((trial["started"] or 0.0) / unit, 4) for trial in members],
                x=[
                    round(((trial["ended"] or 0.0) - (trial["started"] or 0.0)) / unit, 4)
                    for trial in members
                ],
                y=[rows[trial["worker"]] for trial in members],
                marker={
                    "color": colour,
                    "pattern": stripes(pattern),
                    "line": {"color": "#ffffff", "width": 1},
                },
                text=[trial["number"] for trial in members]
                if len(drawn) <= MOST_NUMBERED
                else None,
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                customdata=[
                    f"trial {trial['number']} · {wording.duration(trial['seconds'])}"
                    for trial in members
                ],
                hovertemplate=f"%{{customdata}}<extra>{label}</extra>",
            )
    caption = _told(facts, drawn, len(rows))
    if len(drawn) < len(facts["trials"]):
        missing = wording.count(len(facts["trials"]) - len(drawn), "trial")
        caption += f" {missing} without an epoch left out."
    shown = dressed(
        figure,
        f"Time in {name}",
        "",
        height=130 + 34 * len(rows),
        xaxis={"showgrid": True, "rangemode": "tozero"},
        yaxis={"tickformat": "", "showgrid": False, "type": "category", "autorange": "reversed"},
        barmode="overlay",
        bargap=0.2,
        uniformtext={"minsize": 10, "mode": "hide"},
    )
    return [Plot("timeline", "cost", "When each trial ran", caption, caption, shown)]


def _told(facts: Facts, drawn: Sequence[Trial], processes: int) -> str:
    """How well the machines were used."""
    first = min(trial["started"] or 0.0 for trial in drawn)
    last = max(trial["ended"] or 0.0 for trial in drawn)
    count = wording.count(len(drawn), "trial")
    in_words = f"{count} in {wording.count(processes, 'process', 'processes')}"
    at_once = facts["run"]["trials_at_once"]
    if at_once is not None and last > first:
        busy = sum(trial["seconds"] for trial in drawn) / ((last - first) * at_once)
        in_words += f", busy {100 * min(1.0, busy):.0f} % of the time"
    if first > PREPARED * last:
        in_words += (
            f"; {wording.duration(first)} before the first went into features of frozen layers"
        )
    return f"{in_words}."


def _rows(trials: Sequence[Trial]) -> dict[str | None, str]:
    """Names processes by machine and, where it has several, in their order."""
    by_machine: dict[str, list[str]] = {}
    for trial in trials:
        if trial["worker"] is not None:
            members = by_machine.setdefault(trial["worker"].partition(" ")[0], [])
            if trial["worker"] not in members:
                members.append(trial["worker"])
    rows: dict[str | None, str] = {}
    for machine, members in by_machine.items():
        for number, worker in enumerate(members, 1):
            rows[worker] = text(machine if len(members) == 1 else f"{machine}, process {number}")
    return rows or {None: "this machine"}
