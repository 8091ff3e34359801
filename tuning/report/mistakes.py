"""What the best model gets wrong."""

from __future__ import annotations

from collections.abc import Sequence

from tuning import wording
from tuning.records.facts import Facts, Score

MOST_CLASSES = 16  # of a confusion matrix that one can still read
MOST_PAIRS = 15
HEAT = "Beside each: the yellower a place, the more it spoke for what the picture was taken for."


def judged(facts: Facts) -> tuple[str, Score] | None:
    """The split by which mistakes are told, and its figures: the test split where there is one."""
    best = facts["best"]
    if best is None:
        return None
    if best["test"] is not None and best["test"]["confusion"] is not None:
        return "test", best["test"]
    return ("validation", best["validation"]) if best["validation"]["confusion"] else None


def known(facts: Facts) -> bool:
    """Whether there is anything to tell."""
    return judged(facts) is not None or bool(facts["best"] and facts["best"]["mistakes"])


def sentence(facts: Facts) -> str:
    """How many pictures were taken for what."""
    judgement = judged(facts)
    if judgement is None:
        return "Which pictures the best model gets wrong was not looked into."
    split, score = judgement
    found = pairs(facts)
    pictures = wording.count(score["pictures"], f"{split} picture")
    wrong = sum(number for _, _, number in found)
    if not wrong:
        return f"The best model gets all {pictures} right."
    first = ", ".join(f"{truth} for {taken} ({number:,})" for truth, taken, number in found[:3])
    most = "most often " if len(found) > 3 else ""
    return f"Of {pictures} it took {wrong:,} for something else: {most}{first}."


def pairs(facts: Facts) -> list[tuple[str, str, int]]:
    """True class, what it was taken for, how often; the most frequent first."""
    judgement = judged(facts)
    if judgement is None:
        return []
    confusion = judgement[1]["confusion"] or []
    classes = facts["data"]["classes"]
    found = [
        (classes[row], classes[column], number)
        for row, numbers in enumerate(confusion)
        for column, number in enumerate(numbers)
        if row != column and number
    ]
    return sorted(found, key=lambda pair: -pair[2])


def matrix(facts: Facts) -> list[tuple[str, Sequence[int], float | None]] | None:
    """Rows of the confusion matrix with their class and its recall; None if it is too large."""
    judgement = judged(facts)
    classes = facts["data"]["classes"]
    if judgement is None or len(classes) > MOST_CLASSES:
        return None
    confusion = judgement[1]["confusion"] or []
    return [
        (name, numbers, numbers[place] / sum(numbers) if sum(numbers) else None)
        for place, (name, numbers) in enumerate(zip(classes, confusion, strict=True))
    ]


def recalls(facts: Facts) -> list[tuple[str, float]]:
    """Share of each class that is recognised, the lowest first."""
    judgement = judged(facts)
    found = judgement[1]["recall"] if judgement else None
    return sorted((found or {}).items(), key=lambda item: item[1])


def gallery(facts: Facts) -> str:
    """What the pictures below show."""
    shown = facts["best"]["mistakes"] if facts["best"] else None
    if shown is None or not shown["most_confident"]:
        return ""
    number = len(shown["most_confident"])
    few = "The mistakes" if number == shown["wrong"] else f"The {number} surest mistakes"
    text = f"{few} on {shown['split']} pictures. Some may be labelled wrongly: look at them first."
    return f"{text} {HEAT}" if heated(facts) else text


def heated(facts: Facts) -> bool:
    """Whether these pictures come with where the model found what it took them for."""
    shown = facts["best"]["mistakes"] if facts["best"] else None
    return shown is not None and any(each.get("heat") for each in shown["most_confident"])


def sure(probability: float) -> str:
    """``0.98734`` → ``98.7 %``; never a round 100, which no model is."""
    return "over 99.9 %" if probability > 0.999 else wording.percent(probability)
