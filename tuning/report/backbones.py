"""Which frozen network, where there were several: what each can by itself, and in the search."""

from __future__ import annotations

from tuning import wording
from tuning.records.facts import Facts, Screened

HEADER = (
    "Network",
    "Parameters",
    "MFLOP a picture",
    "Linear head, frozen",
    "95 % interval",
    "Time",
    "Best of the search",
)


def known(facts: Facts) -> bool:
    """Whether there was a choice."""
    return bool(facts.get("screening"))


def sentence(facts: Facts) -> str:
    """How they were compared, and which is the better one."""
    rows = facts.get("screening", [])
    searched = [each["title"] for each in rows if each["searched"]]
    text = (
        "Before the study began the pictures went once through each network, and a linear head on "
        f"its features was judged on the validation pictures. Searched: {' and '.join(searched)}."
    )
    better = compared(facts)
    return f"{text} {better}" if better else text


def compared(facts: Facts) -> str:
    """The best trial of the better network beside that of the next; nothing without both."""
    best = {each["title"]: _best(facts, each) for each in facts.get("screening", [])}
    ranked = sorted(
        ((value, title) for title, value in best.items() if value is not None), reverse=True
    )
    if len(ranked) < 2:
        return ""
    (first, winner), (second, other) = ranked[:2]
    return (
        f"The best trial of {winner} reached {wording.percent(first)}, that of {other} "
        f"{wording.percent(second)}: {wording.points(first - second)} less."
    )


def rows(facts: Facts) -> list[list[str]]:
    """A row for each network, as `HEADER` has it."""
    return [
        [
            each["title"],
            f"{each['parameters']:,}",
            f"{each['flops'] / 1e6:,.0f}",
            wording.percent(each["accuracy"]),
            wording.interval(each["interval"]),
            wording.duration(each["seconds"]),
            wording.percent(_best(facts, each)),
        ]
        for each in facts.get("screening", [])
    ]


def _best(facts: Facts, of: Screened) -> float | None:
    """The best validation accuracy of a trial that is none of the article's experiments."""
    experiments = {each["trial"] for each in facts["experiments"]}
    found = [
        trial["best_accuracy"]
        for trial in facts["trials"]
        if trial["hyperparameters"].get("network") == of["name"]
        and trial["number"] not in experiments
        and trial["best_accuracy"] is not None
    ]
    return max(found, default=None)
