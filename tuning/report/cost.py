"""What the answer cost, and what the feature cache saved of it."""

from __future__ import annotations

from tuning import wording
from tuning.records.facts import Facts
from tuning.report.story import Pairs, outcomes


def search(facts: Facts) -> Pairs:
    """Time, money and trials."""
    run, trials, cost = facts["run"], facts["trials"], facts["cost"]
    epochs = sum(trial["epochs"] for trial in trials)
    planned = sum(trial["hyperparameters"].get("epochs", run["epochs"]) for trial in trials)
    told = [
        ("Wall clock of the search", wording.duration(cost["seconds"])),
        ("All trials added up", wording.duration(cost["trial_seconds"])),
    ]
    if cost["repeat_seconds"]:
        told.append(("Repeats and folds", wording.duration(cost["repeat_seconds"])))
    if cost["gpu_hours"]:
        told.append(("GPU hours", f"{cost['gpu_hours']:,.2f}"))
    if cost["price"] is not None:
        told.append(("Price", f"{cost['price']:,.2f}"))
    told += [
        ("Trials", f"{len(trials):,} ({outcomes(facts)})" if trials else "0"),
        ("Epochs trained", f"{epochs:,} of at most {planned:,}"),
    ]
    if run["trials_at_once"] is not None:
        gpus = f", {wording.value(run['gpus_per_trial'])} GPU each" if run["gpus_per_trial"] else ""
        cpus = f", {wording.value(run['cpus_per_trial'])} CPU each"
        told.append(("Trials at once", f"{run['trials_at_once']}{cpus}{gpus}"))
    retries = sum(trial["retries"] for trial in trials)
    if retries:
        told.append(("Trials picked up after a crash", f"{retries:,}"))
    return told


def cache(facts: Facts) -> Pairs:
    """What the feature cache held and did."""
    held = facts["cache"]
    told = [
        ("Entries", f"{held['entries']:,} ({wording.size(held['bytes'])})"),
        ("Computed", f"{held['builds']:,}"),
        ("Read instead of computed", f"{held['hits']:,}"),
    ]
    if held["passes_computed"] is not None and held["passes_saved"] is not None:
        told += [
            ("Pictures through frozen layers", f"{held['passes_computed']:,}"),
            ("Pictures spared that way", f"{held['passes_saved']:,}"),
        ]
    return [
        *told,
        ("Forward passes, spent", wording.duration(held["forward_seconds_spent"])),
        ("Forward passes, saved", wording.duration(held["forward_seconds_saved"])),
        ("Entries computed more than once", f"{held['multiples']:,}"),
    ]


def cache_sentence(facts: Facts) -> str:
    """The gist of the cache."""
    held = facts["cache"]
    spent, saved = held["forward_seconds_spent"], held["forward_seconds_saved"]
    if saved <= 0:
        return "The feature cache saved no forward passes in this search."
    without = wording.duration(spent + saved)
    if spent <= 0:
        return f"Every frozen layer's output was there already: {without} of forward passes saved."
    share = wording.percent(saved / (spent + saved))
    return (
        f"Outputs of frozen layers took {wording.duration(spent)} to compute instead of {without}: "
        f"the shared feature cache saved {share} of it."
    )
