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
    rows = [
        ("Wall clock of the search", wording.duration(cost["seconds"])),
        ("All trials added up", wording.duration(cost["trial_seconds"])),
    ]
    if cost["repeat_seconds"]:
        rows.append(("Repeats and folds", wording.duration(cost["repeat_seconds"])))
    if cost["gpu_hours"]:
        rows.append(("GPU hours", f"{cost['gpu_hours']:,.2f}"))
    if cost["price"] is not None:
        rows.append(("Price", f"{cost['price']:,.2f}"))
    rows += [
        ("Trials", f"{len(trials):,} ({outcomes(facts)})" if trials else "0"),
        ("Epochs trained", f"{epochs:,} of at most {planned:,}"),
    ]
    if run["trials_at_once"] is not None:
        gpus = f", {wording.value(run['gpus_per_trial'])} GPU each" if run["gpus_per_trial"] else ""
        cpus = f", {wording.value(run['cpus_per_trial'])} CPU each"
        rows.append(("Trials at once", f"{run['trials_at_once']}{cpus}{gpus}"))
    retries = sum(trial["retries"] for trial in trials)
    if retries:
        rows.append(("Trials picked up after a crash", f"{retries:,}"))
    return rows


WORDS = {
    "building": "Computing frozen features",
    "training": "Training",
    "evaluating": "Evaluating",
    "compiling": "Building and compiling networks",
    "waiting": "Waiting for the next trial, or for others' features",
    "other": "Starting, checkpoints and the rest",
}
NAMED = 8  # workers, one by one


def time_spent(facts: Facts) -> Pairs:
    """What workers spent their time on, and how busy their devices were; nothing of older runs."""
    spent, workers = facts["cost"].get("spent", {}), facts["cost"].get("workers", [])
    rows = [(WORDS[kind], wording.duration(spent[kind])) for kind in WORDS if spent.get(kind)]
    if len(workers) > NAMED:
        shares = sorted(each["busy"] for each in workers)
        least, most = wording.percent(shares[0]), wording.percent(shares[-1])
        return [*rows, (f"Busy, of {len(workers)} workers", f"{least} to {most} of their time")]
    for each in workers:
        busy = f"{wording.percent(each['busy'])} of {wording.duration(each['seconds'])}"
        if each["gpu_busy"] is not None:
            busy += f"; its GPU, by its driver, {wording.percent(each['gpu_busy'])}"
        rows.append((f"Busy: {each['worker']}", busy))
    return rows


def cache(facts: Facts) -> Pairs:
    """What the feature cache held and did."""
    held = facts["cache"]
    rows = [
        ("Entries", f"{held['entries']:,} ({wording.size(held['bytes'])})"),
        ("Computed", f"{held['builds']:,}"),
        ("Read instead of computed", f"{held['hits']:,}"),
    ]
    if held["passes_computed"] is not None and held["passes_saved"] is not None:
        rows += [
            ("Pictures through frozen layers", f"{held['passes_computed']:,}"),
            ("Pictures spared that way", f"{held['passes_saved']:,}"),
        ]
    return [
        *rows,
        *_kept(facts),
        ("Forward passes, spent", wording.duration(held["forward_seconds_spent"])),
        ("Forward passes, saved", wording.duration(held["forward_seconds_saved"])),
        ("Entries computed more than once", f"{held['multiples']:,}"),
    ]


def _kept(facts: Facts) -> Pairs:
    kept = facts.get("kept")
    if not kept or not kept["from_layer"]:
        return []
    layers = ", ".join(f"{name} from {layer} on" for name, layer in kept["from_layer"].items())
    how = f" in {kept['precision']}" if "precision" in kept else ""
    rates = f"{kept['forward'] / 1e9:,.0f} GFLOP/s{how}, disk {kept['disk'] / 1e6:,.0f} MB/s"
    if copied := kept.get("copied"):
        rates += f", into the GPU {copied / 1e6:,.0f} MB/s"
    return [
        ("Kept on disk", layers),
        ("Since a byte spares at least", f"{kept['worth']:,.0f} FLOP ({rates})"),
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
