"""What a search for several objectives found: trials that no other beats in all of them."""

from __future__ import annotations

from tuning import wording
from tuning.records.facts import Facts, Front

LABELS = {
    "accuracy": "Validation accuracy",
    "loss": "Validation loss",
    "epoch_seconds": "Seconds an epoch",
    "parameters": "Trained weights",
}


def label(name: str) -> str:
    """An objective's name as people read it."""
    return LABELS.get(name, wording.label(name))


def in_words(found: Front, trial: int) -> str:
    """A trial's values in words."""
    values = zip(found["objectives"], found["values"][str(trial)], strict=True)
    return ", ".join(f"{label(name).lower()} {_value(name, value)}" for name, value in values)


def table(facts: Facts) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows of the trials that no other beats, by the first objective."""
    found = facts["front"]
    if found is None:
        return None
    names = found["objectives"]
    phrases = {t["number"]: wording.in_words(t["hyperparameters"]) for t in facts["trials"]}
    rows = []
    for trial in _best(found):
        values = zip(names, found["values"][str(trial)], strict=True)
        cells = [_value(name, value) for name, value in values]
        rows.append([str(trial), *cells, phrases.get(trial, "")])
    return ["Trial", *map(label, names), "Configuration"], rows


def sentence(found: Front) -> str:
    """The front as text."""
    best = "; ".join(f"trial {trial}, {in_words(found, trial)}" for trial in _best(found))
    return f"Beaten by none: {best}."


def _best(found: Front) -> list[int]:
    sign = -1 if found["directions"][0] == "max" else 1
    return sorted(found["best"], key=lambda trial: sign * found["values"][str(trial)][0])


def _value(name: str, value: float) -> str:
    if name == "accuracy":
        return wording.percent(value)
    return f"{value:,.0f}" if name == "parameters" else wording.value(float(value))
