"""What the report says in each chapter; Markdown and the web page only set it in type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuning.report import words
from tuning.report.facts import Best, Experiment, Facts, Trial

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
VERDICT = "“In line” means that the article's figure lies within the interval found here."
STATUSES = {
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
    if facts["run"]["interrupted"]:
        notes.append("The search was interrupted; this is what was known by then.")
    return notes


def summary(facts: Facts) -> list[str]:
    """The parts of the line under the title."""
    return [
        words.moment(facts["created"]),
        words.count(len(facts["trials"]), "trial"),
        words.duration(facts["run"]["seconds"]),
    ]


def headline(best: Best) -> str:
    """The winner in words, as a sentence begins."""
    phrase = words.in_words(best["hyperparameters"])
    return phrase[:1].upper() + phrase[1:]


def optimism(facts: Facts) -> str:
    """How far the validation accuracy of the winner can be believed."""
    scored = sum(trial["best_accuracy"] is not None for trial in facts["trials"])
    chosen = f"the best of {words.count(scored, 'trial')}" if scored > 1 else "the epoch"
    if facts["best"] is not None and facts["best"]["test"] is not None:
        advice = "the test accuracy, on pictures that had no say, is the one to quote"
    else:
        advice = "expect a little less on new ones"
    return f"The validation pictures chose {chosen}, so {advice}."


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


def costs(facts: Facts) -> Pairs:
    """Time and trials."""
    run, trials = facts["run"], facts["trials"]
    epochs = sum(trial["epochs"] for trial in trials)
    planned = sum(trial["hyperparameters"].get("epochs", run["epochs"]) for trial in trials)
    gpus = f", {words.value(run['gpus_per_trial'])} GPU each" if run["gpus_per_trial"] else ""
    return [
        ("Wall clock", words.duration(run["seconds"])),
        ("All trials added up", words.duration(sum(trial["seconds"] for trial in trials))),
        ("Trials", f"{len(trials):,} ({outcomes(facts)})" if trials else "0"),
        ("Epochs trained", f"{epochs:,} of at most {planned:,}"),
        (
            "Trials at once",
            f"{run['trials_at_once']}, {words.value(run['cpus_per_trial'])} CPU each{gpus}",
        ),
    ]


def cache(facts: Facts) -> Pairs:
    """What the feature cache held and did."""
    held = facts["cache"]
    return [
        ("Entries", f"{held['entries']:,} ({words.size(held['bytes'])})"),
        ("Computed", f"{held['builds']:,}"),
        ("Read instead of computed", f"{held['hits']:,}"),
        ("Forward passes, spent", words.duration(held["forward_seconds_spent"])),
        ("Forward passes, saved", words.duration(held["forward_seconds_saved"])),
        ("Entries computed more than once", f"{held['multiples']:,}"),
    ]


def cache_sentence(facts: Facts) -> str:
    """The gist of the cache."""
    held = facts["cache"]
    spent, saved = held["forward_seconds_spent"], held["forward_seconds_saved"]
    if saved <= 0:
        return "The feature cache saved no forward passes in this search."
    without = words.duration(spent + saved)
    if spent <= 0:
        return f"Every frozen layer's output was there already: {without} of forward passes saved."
    share = words.percent(saved / (spent + saved))
    return (
        f"Outputs of frozen layers took {words.duration(spent)} to compute instead of {without}: "
        f"the shared feature cache saved {share} of it."
    )


def data(facts: Facts) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of pictures: classes down, splits across, totals last."""
    counts = facts["data"]["counts"]
    names: list[str] = list(facts["data"]["classes"])
    rows = [[name, *(f"{split.get(name, 0):,}" for split in counts.values())] for name in names]
    rows.append(["All", *(f"{sum(split.values()):,}" for split in counts.values())])
    return ["Class", *(words.label(split) for split in counts)], rows


def repeat(facts: Facts) -> Pairs:
    """What, besides the command, decides the result."""
    hardware, weights = facts["hardware"], facts["weights"]
    processors = words.count(hardware["cpus"], "CPU core")
    checksum = f" ({weights['checksum']})" if weights["checksum"] else ""
    return [
        ("Seed", str(facts["run"]["seed"])),
        ("Data", facts["data"]["root"]),
        ("VGG16 weights", f"{weights['source']}{checksum}"),
        ("Machine", f"{hardware['machine']}, {processors}"),
        ("GPUs", ", ".join(hardware["gpus"]) or "none"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
    ]
