"""Searches the best image classifier for little data: `python tuning/search.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a script: the packages lie beside this file's folder, installed or not.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import shlex
import time
import warnings
from typing import TYPE_CHECKING

from tuning.errors import UserError
from tuning.options import Options, parse
from tuning.quiet import import_keras

if TYPE_CHECKING:
    from rich.console import Console

    from tuning.dataset import Dataset


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 2 for a mistake of the user's, told in one line; 130 when the user interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return run(parse(arguments), arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def run(options: Options, arguments: list[str]) -> int:
    """Options to dataset to cache to search to report."""
    warnings.simplefilter("ignore")  # of libraries, to each other's authors
    from rich.console import Console

    console = Console(soft_wrap=True)
    dataset = load_data(options, console)
    import_keras(options.cache / "native.log")
    weights = choose_weights(options, console)

    from tuning import conclusion, experiments
    from tuning.features import FeatureCache, cost
    from tuning.journal import Journal
    from tuning.progress import Progress
    from tuning.records import Ledger
    from tuning.setting import Setting

    folder = options.create_folder()
    journal = Journal(folder / "cache.jsonl")
    setting = Setting(
        dataset=dataset,
        cache=FeatureCache(
            options.cache.resolve(),
            options.feature_dtype,
            lowest=options.store_from or cost.lowest_stored(dataset.image_size),
            limit=options.cache_limit,
            verify=options.verify_cache,
            journal=journal,
        ),
        weights=weights,
        preprocessing=options.preprocessing,
        views=options.views,
        seed=options.seed,
    )
    if options.experiments:
        trials, run_trials = len(options.experiments), experiments.run
    else:
        from tuning import scheduling

        trials, run_trials = options.trials, scheduling.search
    console.print(f"{trials} trials of up to {options.epochs} epochs; run folder {options.folder}")
    began = time.monotonic()
    with Progress(trials, journal, options.time_budget, console) as progress:
        ledger = Ledger(Journal(folder / "trials.jsonl"), progress.update)
        manner = run_trials(options, setting, ledger, folder, progress.ahead)
    seconds = time.monotonic() - began
    command = shlex.join(["python", "tuning/search.py", *arguments])
    facts = conclusion.conclude(options, setting, ledger, manner, command, seconds)
    console.print(conclusion.in_short(facts, options.folder), highlight=False)
    return 130 if manner.interrupted else 0


def load_data(options: Options, console: Console) -> Dataset:
    """The pictures, or the demo's; prints what is wrong with some of them."""
    from tuning import dataset, demo

    root = options.data or demo.make(options.cache)
    found = dataset.load(
        root,
        cache=options.cache,
        image_size=options.image_size,
        validation_share=options.validation_share,
        test_share=options.test_share,
        per_class=options.per_class,
        split_seed=options.split_seed,
    )
    for warning in found.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False)
    sizes = {name: sum(counts.values()) for name, counts in found.counts().items()}
    told = ", ".join(f"{number:,} {name}" for name, number in sizes.items())
    of = options.data or "the demo"
    console.print(f"{len(found.classes)} classes of {of}: {told} pictures", highlight=False)
    return found


def choose_weights(options: Options, console: Console) -> str:
    """Where VGG16's weights come from; the demo does without ImageNet's where it must.

    Raises:
        UserError: If they cannot be had.
    """
    if options.experiments == ("convnet",):
        return options.weights  # never asked for
    from models.weights import WeightsError, load

    try:
        load(options.weights)
    except WeightsError as error:
        if options.data or options.weights != "imagenet":
            raise UserError(str(error)) from error
        console.print(f"warning: {error}", markup=False, highlight=False)
        console.print("warning: The demo goes on with random weights.", highlight=False)
        return "random"
    return options.weights


if __name__ == "__main__":
    sys.exit(main())
