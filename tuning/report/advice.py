"""What decides for the reader: what there is, what to do next, and the figure that says so."""

from __future__ import annotations

from typing import NamedTuple

from tuning import wording
from tuning.evaluation.intervals import interval
from tuning.records.facts import DEMO, Facts, Score
from tuning.report import better, mistakes, story

SURE = 0.01  # share of all labels, from which on they are what to look at first
FEWEST_OF_A_CLASS = 10  # pictures by which one is judged
WORTHWHILE = 0.005  # that twice the pictures must promise
# What is done in training alone and makes it harder, with the value that leaves it out.
HARDER = {"dropout": 0.0, "augmentation": "none", "mixup": 0.0}


class Advice(NamedTuple):
    """Three lines, for the top of the report."""

    have: str
    next: str
    figure: str


def advice(facts: Facts) -> Advice | None:
    """The three lines; None while the search goes on, and where it has no best trial."""
    if facts["best"] is None or facts["run"]["running"]:
        return None
    split, score = mistakes.judged(facts) or ("validation", facts["best"]["validation"])
    tests = (_weights, _no_model, _labels, _class, _pictures, _network)
    found = next((answer for test in tests if (answer := test(facts, score))), None)
    return Advice(_have(split, score), *(found or _stop(facts)))


def _have(split: str, score: Score) -> str:
    text = f"{wording.percent(score['accuracy'])} of the {split} pictures right"
    if not story.is_better(score):
        return f"No model yet: {text}, which is not shown to be better than one and the same word."
    ends = wording.interval(score["interval"])
    if split == "test":
        return f"A model that gets {text}; of new ones like these {ends}."
    return f"A model that gets {text}, which chose it; of new ones rather less than {ends}."


def _weights(facts: Facts, score: Score) -> tuple[str, str] | None:
    """Where the frozen layers know nothing, which outweighs all else."""
    if set(facts["weights"]["source"].split(", ")) != {"random"}:
        return None
    carried = f"{facts['weights'].get('title', 'VGG16')} carried random weights"
    if facts["data"]["root"] == DEMO:
        return "Search pictures of your own: --data FOLDER.", f"{carried}, and the demo is drawn."
    return (
        "Search with weights that have seen pictures: without --weights random, or with a file.",
        f"{carried}, so that what is frozen has learned nothing.",
    )


def _no_model(facts: Facts, score: Score) -> tuple[str, str] | None:
    if story.is_better(score):
        return None
    return (
        "Look whether a person can tell the classes apart on these pictures, and whether the "
        "labels are right.",
        f"Always saying the commonest class gets {wording.percent(score.get('commonest'))}.",
    )


def _labels(facts: Facts, score: Score) -> tuple[str, str] | None:
    """Where labels are what limits it: more of them are surely doubtful than chance has it."""
    found = facts.get("doubts")
    if not found or found["sure"] < max(5, SURE * found["pictures"]):
        return None
    return (
        f"Correct the labels: look through the first lines of {found['file']}, mend their column "
        f"label, and search again with --labels {found['file']}.",
        f"{found['sure']:,} of {found['pictures']:,} labels are contradicted with at least 95 % "
        "by heads that were not shown the picture.",
    )


def _class(facts: Facts, score: Score) -> tuple[str, str] | None:
    """Where one class is recognised less than the others, beyond what chance does."""
    recall, confusion = score["recall"], score["confusion"]
    if not recall or not confusion or len(recall) < 2:
        return None
    counts = dict(zip(facts["data"]["classes"], map(sum, confusion), strict=True))
    name, worst = min(recall.items(), key=lambda item: item[1])
    rest = sum(counts.values()) - counts[name]
    others = sum(recall[each] * counts[each] for each in recall if each != name) / max(rest, 1)
    if min(counts[name], rest) < FEWEST_OF_A_CLASS:
        return None
    if interval(worst, counts[name])[1] >= interval(others, rest)[0]:
        return None
    by_accuracy = facts.get("metric", "accuracy") == "accuracy"
    weigh = ", or class weights: --metric balanced_accuracy" if by_accuracy else ""
    return (
        f"More pictures of {name}{weigh}.",
        f"It recognises {wording.percent(worst)} of {name}, and {wording.percent(others)} of all "
        "else.",
    )


def _pictures(facts: Facts, score: Score) -> tuple[str, str] | None:
    found = facts.get("learning_curve")
    if not found or found["gain_interval"][0] <= 0:
        return None
    if found["gain"] < WORTHWHILE:
        return None
    last = found["scores"][-1][0]
    half = sum(found["scores"][-2]) / len(found["scores"][-2])
    return (
        f"More pictures: twice as many promise about {wording.points(found['gain'])}.",
        f"On frozen features {wording.count(found['pictures'][-2], 'training picture')} give "
        f"{better.reached(facts, half)}, and {found['pictures'][-1]:,} give "
        f"{better.reached(facts, last)}.",
    )


def _network(facts: Facts, score: Score) -> tuple[str, str] | None:
    """Where it does not even learn what it is shown."""
    best = facts["best"]
    assert best is not None
    trial = next(each for each in facts["trials"] if each["number"] == best["trial"])
    learned = trial["curve"]["accuracy"][best["epoch"] - 1]
    # Dropout and augmentation make training harder; what is that far below is not only they.
    if learned is None or learned >= best["validation"]["interval"][0]:
        return None
    asked = trial["hyperparameters"]
    harder = [name for name, off in HARDER.items() if asked.get(name, off) != off]
    trained = f"{wording.percent(learned)} of its own training pictures right"
    validated = f"{wording.percent(best['validation']['accuracy'])} of the validation pictures"
    if harder:  # else a reader wonders how it can get more right of what it was not shown
        names = wording.listed(harder)
        return (
            f"More epochs, less {names}, or a larger network: --epochs, --set, --max-unfrozen.",
            f"While it learns, with {names}, it gets {trained}; without, {validated}.",
        )
    return (
        "A larger network, more unfrozen layers or more epochs: --max-unfrozen, --epochs.",
        f"It gets {trained}, and {validated}.",
    )


def _stop(facts: Facts) -> tuple[str, str]:
    found = facts.get("learning_curve")
    if not found:
        scored = [each["best_accuracy"] for each in facts["trials"] if each["best_accuracy"]]
        return (
            "Stop here, or search longer: nothing that was measured promises more.",
            f"{wording.count(len(scored), 'trial')} came to a result.",
        )
    low, high = found["gain_interval"]
    text = (
        f"Twice as many would add about {wording.points(max(0.0, found['gain']))} to a head on "
        f"frozen features (95 % interval {100 * low:.1f} to {100 * high:.1f})."
    )
    if found["gain"] >= WORTHWHILE:
        return "Stop, or gather more pictures: whether they would help is not sure.", text
    return (
        "Stop: nothing that was measured promises much more from these pictures.",
        text,
    )
