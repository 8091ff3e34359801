"""What the report says in each chapter; Markdown and the web page only set it in type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuning import wording
from tuning.records.facts import Best, Experiment, Facts, Score, Trial

NO_BEST = (
    "There is no answer yet: no trial finished an epoch. The table of trials says what became "
    "of each."
)
NO_TEST = (
    "There was no test split, so no accuracy in this report comes from pictures that had no say "
    "in the choice. Hold some back as a test split to learn what to expect on new ones."
)
ARTICLE = (
    "The article is “Building powerful image classification models using very little data” "
    "(the Keras blog). Its figures are for cats and dogs, with 2,000 pictures to train on and "
    "800 to validate."
)
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}
VERDICT = "“In line” means that the article's figure lies within the interval found here."
STATUSES = {
    "running": "running",
    "finished": "finished",
    "stopped": "stopped early",
    "failed": "failed",
    "interrupted": "interrupted",
}

Pairs = list[tuple[str, str]]


def banners(facts: Facts) -> list[str]:
    """What a reader must know before the first figure."""
    notes = []
    if facts["weights"]["note"]:
        notes.append(facts["weights"]["note"])
    run = facts["run"]
    if run["running"]:
        over = sum(trial["status"] != "running" for trial in facts["trials"])
        notes.append(
            f"The search was not over when this was written: {over:,} trials were, of at most "
            f"{run['planned']:,}. The test split has not been touched."
        )
    if run["interrupted"]:
        ended = f" ({run['ended']})" if run["ended"] else ""
        notes.append(f"The search was interrupted{ended}; this is what was known by then.")
    if list(run["objectives"]) != ["accuracy"]:
        notes.append(
            f"The search went by {', '.join(run['objectives'])}, but “the best” in this report is "
            "the highest validation accuracy."
        )
    notes += facts["warnings"]
    return notes


def metric(facts: Facts) -> str:
    """What the search went by, in words."""
    return wording.metric(facts.get("metric", "accuracy"))


def judged(facts: Facts) -> Facts:
    """The facts with the search's metric in the place of each trial's accuracies.

    For the chapters that compare trials. The article's figures, which are accuracies, are left out
    where they are no such.
    """
    if facts.get("metric", "accuracy") == "accuracy":
        return facts
    trials: list[Trial] = []
    for trial in facts["trials"]:
        curve = {**trial["curve"]}
        curve["validation_accuracy"] = curve.get("validation_score", curve["validation_accuracy"])
        score = trial.get("best_score", trial["best_accuracy"])
        trials.append({**trial, "best_accuracy": score, "curve": curve})  # type: ignore[typeddict-item]
    return {**facts, "trials": trials, "experiments": []}


def summary(facts: Facts) -> list[str]:
    """The parts of the line under the title."""
    return [
        wording.moment(facts["created"]),
        wording.count(len(facts["trials"]), "trial"),
        wording.duration(facts["run"]["seconds"]),
    ]


def headline(best: Best) -> str:
    """The winner in words, as a sentence begins."""
    phrase = wording.in_words(best["hyperparameters"]) or f"trial {best['trial']}"
    return phrase[:1].upper() + phrase[1:]


def together(best: Best) -> str | None:
    """Which trials answer together, and what that gains and costs; None where one answers alone."""
    found = best.get("ensemble")
    if found is None:
        return None
    first, *others = found["trials"]
    split, alone, mean = "validation", found["validation"], best["validation"]
    if found["test"] is not None and best["test"] is not None:
        split, alone, mean = "test", found["test"], best["test"]
    return (
        f"It answers together with {'trial' if len(others) == 1 else 'trials'} "
        f"{wording.listed(map(str, others))}: the mean of their probabilities. Trial {first} alone "
        f"gets {wording.percent(alone['accuracy'])} of the {split} pictures right with a loss of "
        f"{wording.value(alone['loss'])}, together they get {wording.percent(mean['accuracy'])} "
        f"with {wording.value(mean['loss'])}; a picture takes {found['milliseconds']:.0f} ms, "
        f"alone {found['milliseconds_alone']:.0f} ms."
    )


def answer(facts: Facts) -> str:
    """What the winner can do, in one sentence."""
    best, run = facts["best"], facts["run"]
    assert best is not None
    split, score = "test", best["test"]
    if score is None:
        split, score = "validation", best["validation"]
    right = round(score["accuracy"] * score["pictures"])
    so_far = "The best so far" if run["running"] else "It"
    return (
        f"{so_far} gets {right:,} of {wording.count(score['pictures'], f'{split} picture')} right: "
        f"{wording.percent(score['accuracy'])}, and with 95 % confidence "
        f"{wording.interval(score['interval'])} of all pictures like these.{_no_better(score)}"
    )


def is_better(score: Score) -> bool:
    """Whether a model is shown to be better than always saying the commonest class."""
    commonest = score.get("commonest")
    return commonest is None or score["interval"][0] > commonest


def _no_better(score: Score) -> str:
    """A word on a model that could as well always say the same."""
    if is_better(score):
        return ""
    return (
        f" Always saying the commonest class gets {wording.percent(score.get('commonest'))}: that "
        "this is better is not shown, so it is no model."
    )


def measures(score: Score, metric: str = "accuracy") -> Pairs:
    """What else is known of a split, beside the accuracy.

    Args:
        score: What is known of it.
        metric: What the search went by.
    """
    rows = [("Loss", wording.value(score["loss"]))]
    if (commonest := score.get("commonest")) is not None:
        rows.insert(0, ("Commonest class", wording.percent(commonest)))
    if metric != "accuracy" and (value := score.get("score")) is not None:
        name = wording.metric(metric)
        rows.insert(0, (name[:1].upper() + name[1:], wording.percent(value)))
    if score["auc"] is not None:
        rows.append(("Area under the ROC curve", f"{score['auc']:.3f}"))
    if score["recall"]:
        name, share = min(score["recall"].items(), key=lambda item: item[1])
        rows.append(("Class recognised least", f"{name}, {wording.percent(share)}"))
    if score["calibration"] is not None:
        error = f"{100 * score['calibration']['error']:.1f} points"
        rows.append(("Calibration error", error))
    if raw := score.get("raw"):
        how = "less sure" if raw["temperature"] > 1 else "surer"
        rows.append(
            (
                "Calibrated",
                f"made {how} by a temperature of {raw['temperature']:.2f}, fitted on validation; "
                f"without, an error of {100 * raw['error']:.1f} points and a log loss of "
                f"{raw['loss']:.3f}",
            )
        )
    return rows


def gain(facts: Facts) -> str:
    """What the search found beyond the experiments that it reproduced."""
    best = facts["best"]
    here = [each for each in facts["experiments"] if each["best_accuracy"] is not None]
    if best is None or not here:
        return ""
    top = max(here, key=lambda each: each["best_accuracy"] or 0.0)
    if best["trial"] == top["trial"]:
        return f"The search found nothing better than “{top['title']}”."
    gap = best["validation"]["accuracy"] - (top["best_accuracy"] or 0.0)
    if gap < 0 and facts.get("metric", "accuracy") != "accuracy":
        return f"“{top['title']}” gets more pictures right, but has less {metric(facts)}."
    if gap < 0:
        return (
            f"“{top['title']}” had {-100 * gap:.1f} points more in its one run; the repeats with "
            "fresh seeds chose otherwise."
        )
    begin = f"The search's best is {100 * gap:.1f} points above “{top['title']}”, the best of these"
    ends = top["interval"]
    if ends is not None and best["validation"]["interval"][0] <= ends[1]:
        return f"{begin}; the intervals overlap, so on new pictures the two may be equal."
    return f"{begin}, more than the intervals leave to chance."


def verdict(experiment: Experiment) -> str:
    """Says where this result lies relative to the article's figure; see `VERDICT`."""
    if experiment["trial"] is None:
        return "not run"
    ends = experiment["interval"]
    if ends is None:
        return "no result"
    if ends[0] > experiment["article_accuracy"]:
        return "above"
    return "below" if ends[1] < experiment["article_accuracy"] else "in line"


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Best accuracy first; those without one last; ties in the order of the trials."""
    return sorted(trials, key=lambda trial: (-(trial["best_accuracy"] or -1.0), trial["number"]))


def hyperparameter_names(trials: Sequence[Trial]) -> list[str]:
    """All names, in the order in which they first appear."""
    return list(dict.fromkeys(name for trial in trials for name in trial["hyperparameters"]))


def constants(trials: Sequence[Trial]) -> dict[str, Any]:
    """Hyperparameters that all trials share; none where there is only one trial."""
    if len(trials) < 2:
        return {}
    first, *others = (trial["hyperparameters"] for trial in trials)
    missing = object()
    return {
        name: shared
        for name, shared in first.items()
        if all(other.get(name, missing) == shared for other in others)
    }


def outcomes(facts: Facts) -> str:
    """``21 finished, 7 stopped early, 2 failed``."""
    statuses = [trial["status"] for trial in facts["trials"]]
    parts = [f"{statuses.count(key):,} {name}" for key, name in STATUSES.items() if key in statuses]
    return ", ".join(parts) or "none"


def experiment_titles(facts: Facts) -> dict[str | None, str]:
    """Title by name."""
    return {experiment["name"]: experiment["title"] for experiment in facts["experiments"]}


def data(facts: Facts) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of pictures: classes down, splits across, totals last."""
    counts = facts["data"]["counts"]
    names: list[str] = list(facts["data"]["classes"])
    rows = [[name, *(f"{split.get(name, 0):,}" for split in counts.values())] for name in names]
    rows.append(["All", *(f"{sum(split.values()):,}" for split in counts.values())])
    return ["Class", *(wording.label(split) for split in counts)], rows


def pixels(facts: Facts) -> str:
    """How large pictures are, and how they became squares."""
    size, keep_aspect = facts["data"]["image_size"], facts["data"].get("keep_aspect")
    made = {None: "", "crop": ", cut from the middle", "pad": ", filled up with black"}[keep_aspect]
    return f"Pictures are {size} × {size} pixels{made}."


def repeat(facts: Facts) -> Pairs:
    """What, besides the command, decides the result."""
    hardware, weights, run = facts["hardware"], facts["weights"], facts["run"]
    processors = wording.count(hardware["cpus"], "CPU core")
    checksum = f" ({weights['checksum']})" if weights["checksum"] else ""
    return [
        ("Seed", _seeds(facts)),
        ("All options", f"{run['settings']}, which --config takes" if run["settings"] else "–"),
        *_space(facts),
        ("Data", facts["data"]["root"]),
        ("Its fingerprint", facts["data"]["fingerprint"]),
        (f"{weights.get('title', 'VGG16')} weights", f"{weights['source']}{checksum}"),
        ("Machine", f"{hardware['machine']}, {processors}"),
        ("GPUs", ", ".join(hardware["gpus"]) or "none"),
        *([("Backend", BACKENDS[hardware["backend"]])] if "backend" in hardware else []),
        ("Versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
    ]


def _space(facts: Facts) -> Pairs:
    """What was chosen from; nothing for runs of versions that did not say."""
    if "space" not in facts:
        return []
    space, kept = facts["space"], ""
    if space["limits"] and space["rate"]:
        kept = f"; at {space['rate'] / 1e9:,.0f} GFLOP/s kept to {' '.join(space['limits'])}"
    return [("Space", f"{space['name']}, version {space['version']}{kept}")]


def _seeds(facts: Facts) -> str:
    seed = str(facts["run"]["seed"])
    if facts["confirmation"] is None:
        return seed
    return f"{seed}; repeats {', '.join(map(str, facts['confirmation']['seeds']))}"
