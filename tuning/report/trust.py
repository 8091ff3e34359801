"""Why the accuracy can be believed, and how far."""

from __future__ import annotations

import math

from tuning import wording
from tuning.records.facts import Candidate, Facts
from tuning.report import story


def reasons(facts: Facts) -> list[str]:
    """A paragraph each: optimism of validation, repeats, cross-validation, the pictures."""
    if facts["best"] is None:
        return [pictures(facts)]
    found = [optimism(facts), repeats(facts), cross_validation(facts), pictures(facts)]
    return [paragraph for paragraph in found if paragraph]


def optimism(facts: Facts) -> str:
    """How far the validation accuracy of the winner can be believed."""
    best = facts["best"]
    assert best is not None
    scored = sum(trial["best_accuracy"] is not None for trial in facts["trials"])
    chosen = f"the best of {wording.count(scored, 'trial')}" if scored > 1 else "the epoch"
    if facts.get("resplit"):
        chosen += ", each on a division of its own"
    said = wording.percent(best["validation"]["accuracy"])
    begin = f"The validation pictures chose {chosen}, so their {said} was picked to look well."
    if best["test"] is None:
        return f"{begin} Expect a little less on new ones."
    tested = best["test"]["accuracy"]
    gap = best["validation"]["accuracy"] - tested
    compared = f"{wording.points(gap)} less, {_by_chance(facts)}" if gap > 0 else "no less"
    looks = facts["run"]["earlier_looks"]
    # Whoever resumes a search because of a test accuracy lets the test pictures choose.
    before = f" ({wording.count(looks, 'time')} before, when the search had ended earlier)"
    return (
        f"{begin} The test pictures had no say, were shown to the final model once"
        f"{before if looks else ''}, and give {wording.percent(tested)}: {compared}. That is the "
        "figure to quote."
    )


def _by_chance(facts: Facts) -> str:
    """Whether the gap is more than the two splits' sizes explain."""
    best = facts["best"]
    assert best is not None
    assert best["test"] is not None
    variance = sum(
        score["accuracy"] * (1 - score["accuracy"]) / score["pictures"]
        for score in (best["validation"], best["test"])
    )
    gap = best["validation"]["accuracy"] - best["test"]["accuracy"]
    if gap > 1.96 * math.sqrt(variance):
        return "more than chance explains: validation flattered it, or the splits differ"
    return "which is within what chance does to splits of this size"


def repeats(facts: Facts) -> str:
    """How much of the accuracy is the luck of one seed."""
    found = facts["confirmation"]
    if facts["run"]["running"]:
        return ""
    if found is None or not found["candidates"]:
        return (
            "No configuration was trained again, so how much of this is the luck of one seed is "
            "not known; --confirm 3x5 trains the three best again with five fresh seeds each."
        )
    winner = next(each for each in found["candidates"] if each["trial"] == found["winner"])
    begin = (
        f"Trained again with {wording.count(found['repeats'], 'fresh seed')}, trial "
        f"{winner['trial']} reached {_reached(facts, winner['mean'])} on average (standard "
        f"deviation {wording.points(winner['sd'])})"
    )
    searched = next(
        (
            t["best_accuracy"]
            for t in story.judged(facts)["trials"]
            if t["number"] == winner["trial"]
        ),
        None,
    )
    if searched is not None:
        gap = searched - winner["mean"]
        begin += f"; in the search it had {wording.percent(searched)}"
        if gap > 0:
            begin += f", {wording.points(gap)} of it luck"
    others = [each for each in found["candidates"] if each is not winner]
    if not others:
        return f"{begin}."
    second = max(others, key=lambda each: each["mean"])
    return f"{begin}. {_against(winner, second)}"


def _reached(facts: Facts, value: float) -> str:
    name = story.metric(facts)
    if name == "accuracy":
        return f"{wording.percent(value)} of the validation pictures"
    return f"a {name} of {wording.percent(value)} on the validation pictures"


def _against(winner: Candidate, second: Candidate) -> str:
    """Whether the seeds tell the two best apart: their means' difference over its error."""
    gap = winner["mean"] - second["mean"]
    counts = [max(1, len(each["accuracies"])) for each in (winner, second)]
    error = math.sqrt(winner["sd"] ** 2 / counts[0] + second["sd"] ** 2 / counts[1])
    if abs(gap) < 0.0005:
        return f"The next, trial {second['trial']}, is level with it."
    behind = f"The next, trial {second['trial']}, is {wording.points(gap)} behind"
    if gap > 2 * error:
        return f"{behind}, more than the seeds scatter."
    return f"{behind}, less than the seeds tell apart: either would do."


def cross_validation(facts: Facts) -> str:
    """How much depends on which pictures validate."""
    found = facts["cross_validation"]
    if found is None:
        return ""
    lowest, highest = min(found["accuracies"]), max(found["accuracies"])
    return (
        f"Over {found['folds']} divisions of all pictures but the test split its configuration "
        f"reaches {_reached(facts, found['mean']).removesuffix(' of the validation pictures')} "
        "on average (standard deviation "
        f"{wording.points(found['sd'])}, from {wording.interval((lowest, highest))})."
    )


def pictures(facts: Facts) -> str:
    """Whether the pictures themselves give reason for doubt."""
    data = facts["data"]
    # Of what is told of the pictures, the line on their scale is no fault.
    faults = len(data["warnings"]) - bool(data.get("levels"))
    if faults > 0:
        return "The pictures give reason for doubt:"
    clean = "No picture is in two splits, and every file could be read."
    return f"{clean} How they are shown:" if data["warnings"] else clean
