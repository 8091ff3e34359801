"""Searches the best image classifier for little data: `python tuning/search.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a script: the packages lie beside this file's folder, installed or not.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import atexit
import logging
import os
import shlex
import warnings
from typing import TYPE_CHECKING

from tuning import settings
from tuning.commands import exit_code
from tuning.copies import SharedFolder, copied, mirrored
from tuning.errors import UserError
from tuning.mirror import Mirror
from tuning.options import Options, parse
from tuning.places import Place
from tuning.quiet import import_keras

if TYPE_CHECKING:
    from rich.console import Console

    from tuning.dataset import Dataset
    from tuning.records import Record
    from tuning.repeats import Repeat


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 1 where trial after trial failed alike; 2 for a mistake of the user's, told in one line;
        130 when the user interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: run(parse(arguments), arguments))


def run(options: Options, arguments: list[str]) -> int:
    """Options to dataset to cache to search to report."""
    warnings.simplefilter("ignore")  # of libraries, to each other's authors
    import optuna
    from rich.console import Console

    console = Console(soft_wrap=True)
    tell_warnings(console)
    check_places(options)
    dataset = load_data(options, console)
    import_keras(SharedFolder.of(options.cache).here / "native.log")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    weights = choose_weights(options, console)

    from tuning import (
        conclusion,
        experiments,
        formats,
        interrupt,
        loggers,
        opening,
        records,
        space,
        summary,
    )
    from tuning.features import FeatureCache, cost
    from tuning.journal import Journal
    from tuning.live import LiveReport
    from tuning.progress import Progress
    from tuning.records import Ledger
    from tuning.setting import Setting

    searched = space.of(options, dataset)
    formats.check_formats(options.export)
    loggers.check(options.log, options.dashboard)
    folder = options.create_folder()
    lock_until_the_end(folder)
    same_pictures(folder, dataset)
    journal = Journal(folder / "cache.jsonl")
    setting = Setting(
        dataset=dataset,
        cache=FeatureCache(
            SharedFolder.of(options.cache).shared,
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
        hypermodel=(options.hypermodel, os.getcwd()) if options.hypermodel else None,
    )
    if options.experiments:
        trials, run_trials = len(options.experiments), experiments.run
    else:
        from tuning import scheduling

        trials, run_trials = options.trials, scheduling.search
    console.print(f"{trials} trials of up to {options.epochs} epochs; run folder {options.folder}")
    opening.write(options, setting, shlex.join(["python", "tuning/search.py", *arguments]), folder)
    summary.reopen(folder)
    trial_journal = Journal(folder / "trials.jsonl")

    def again(repeated: list[Repeat], name: str) -> dict[int, Record]:
        from tuning import scheduling

        console.print(f"{name}: {len(repeated)} trainings")
        place = folder / name
        place.mkdir(exist_ok=True)
        written = Journal(place / "trials.jsonl")
        with Progress(len(repeated), journal, None, console) as progress:
            known = {record.number: record for record in records.read(written)}
            told = Ledger(written, progress.update, known)
            scheduling.repeat(repeated, options, setting, told, place)
        return told.records

    with Mirror(folder, options.place) as mirror:
        with Progress(trials, journal, options.time_budget, console) as progress:
            earlier = {record.number: record for record in records.read(trial_journal)}
            progress.records.update(earlier)

            def watch(record: Record, event: str) -> None:
                progress.update(record, event)
                live.update(record, event)
                mirror.update(record, event)

            live = LiveReport(folder)
            ledger = Ledger(trial_journal, watch, earlier)
            ledger.session()
            manner = run_trials(options, searched, setting, ledger, folder, progress.ahead)
        mirror.bring("weights/")
        facts = conclusion.conclude(options, setting, ledger, manner, again)
    console.print(conclusion.in_short(facts, options.folder), highlight=False)
    if manner.failing:
        reasons = [each.reason for each in ledger.records.values() if each.status == "failed"]
        print(f"error: {manner.ended}, {reasons[-1]}", file=sys.stderr)
        return 1
    return 130 if manner.ended == interrupt.BY_USER else 0


def tell_warnings(console: Console) -> None:
    """Prints what this project's own code warns of, here and on workers."""

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.print(f"warning: {record.getMessage()}", markup=False, highlight=False)

    logging.getLogger("tuning").addHandler(Told())


def check_places(options: Options) -> None:
    """Looks whether object stores can be used, before anything is computed.

    Raises:
        UserError: If one cannot, or holds a run of this name.
    """
    for place in (options.cache, options.runs):
        if isinstance(place, Place):
            place.check()
    if options.place and not options.resume and (options.place / settings.FILE).exists():
        raise UserError(
            f"There is a run {options.place} already; choose another --name, or go on with it: "
            f"--resume {options.name}."
        )


def lock_until_the_end(folder: Path) -> None:
    """Keeps other processes from the run folder for as long as this one lives.

    Raises:
        UserError: If another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"Another process is at work on {folder}; wait for its end.") from None
    atexit.register(lock.release)  # which keeps it from being collected until then


def same_pictures(folder: Path, dataset: Dataset) -> None:
    """Checks that a run which is resumed finds the pictures that it began with.

    Raises:
        UserError: If they have changed.
    """
    from tuning import opening

    if (folder / opening.FILE).exists():
        began = opening.read(folder)["data"]
        if began["fingerprint"] != dataset.fingerprint:
            raise UserError(
                f"The pictures in {dataset.root} are not those that the run {folder.name} began "
                "with; put them back, or start a new run."
            )


def load_data(options: Options, console: Console) -> Dataset:
    """The pictures, or the demo's; prints what is wrong with some of them."""
    from tuning import dataset, demo

    root = options.data or demo.make(SharedFolder(options.cache).here)
    if isinstance(root, Place):
        root = mirrored(root)
    found = dataset.load(
        root,
        cache=options.cache,
        image_size=options.image_size,
        validation_share=options.validation_share,
        holdout=options.holdout,
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
    if options.experiments == ("convnet",) or options.hypermodel:
        return options.weights  # never asked for
    from models.weights import WeightsError, load

    try:
        load(copied(options.weights))
    except WeightsError as error:
        if options.data or options.weights != "imagenet":
            raise UserError(str(error)) from error
        console.print(f"warning: {error}", markup=False, highlight=False)
        console.print("warning: The demo goes on with random weights.", highlight=False)
        return "random"
    return options.weights


if __name__ == "__main__":
    sys.exit(main())
