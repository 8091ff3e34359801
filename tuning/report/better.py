"""What would make it better: more pictures, or other labels."""

from __future__ import annotations

from tuning import wording
from tuning.records.facts import Facts
from tuning.report import story


def known(facts: Facts) -> bool:
    """Whether there is anything to tell."""
    return bool(facts.get("doubts") or facts.get("learning_curve"))


def paragraphs(facts: Facts) -> list[str]:
    """On more pictures, and on labels."""
    return [text for text in (more_pictures(facts), labels(facts)) if text]


def reached(facts: Facts, value: float) -> str:
    """``97.1 %``; where the search goes by something else than accuracy, it is named."""
    name = facts.get("metric", "accuracy")
    text = wording.percent(value)
    return text if name == "accuracy" else f"a {story.metric(facts)} of {text}"


def more_pictures(facts: Facts) -> str:
    """What twice the training pictures would add, cautiously."""
    found = facts.get("learning_curve")
    if not found:
        return ""
    low, high = found["gain_interval"]
    begin = (
        "A linear head on frozen features, which takes a second to fit, was shown "
        f"{found['pictures'][0]:,} to {found['pictures'][-1]:,} of the training pictures and "
        "judged on the validation pictures."
    )
    if found["gain"] < 0.0005:
        return (
            f"{begin} The last doubling of their number gained nothing, so twice as many promise "
            f"nothing either (95 % interval {100 * low:.1f} to {100 * high:.1f} points)."
        )
    return (
        f"{begin} If the curve goes on as it came, and no steeper than at its end, twice as many "
        f"pictures add {wording.points(found['gain'])} (95 % interval {100 * low:.1f} to "
        f"{100 * high:.1f}). A network with unfrozen layers may gain more from them than a head."
    )


def labels(facts: Facts) -> str:
    """How many labels are doubtful, and what to do about them."""
    found = facts.get("doubts")
    if not found:
        return ""
    begin = (
        f"Heads that were not shown a picture agree with {wording.percent(found['accuracy'])} of "
        f"the labels of {wording.count(found['pictures'], 'training and validation picture')}. "
    )
    if not found["counted"]:
        return f"{begin}Confident learning counts none of them as wrong."
    return (
        f"{begin}Confident learning counts {found['counted']:,} as another class, "
        f"{found['sure']:,} of them with at least 95 %: wrong labels, or pictures that are hard. "
        f"{found['file']} has all pictures, these first; correct its column label where it is "
        f"wrong, and give it to the next search: --labels {found['file']}. The test pictures were "
        "not looked at."
    )
