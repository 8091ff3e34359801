"""The first moments of a run: its folder, what is known of it, its study, Ray."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console

from tuning.cluster.joining import connected
from tuning.cluster.leases import LeasedLocks
from tuning.cluster.rate import measure
from tuning.cluster.remote_events import RemoteEventLog
from tuning.cluster.resources import resources_per_trial
from tuning.data import decoded, labels
from tuning.errors import UserError, is_full, refusal
from tuning.features import FeatureCache
from tuning.features.cost import Rates, worth
from tuning.files.shared_folder import SharedFolder
from tuning.options import Options, settings
from tuning.process.commands import LOG, keep
from tuning.process.interrupt import gentle
from tuning.records import metadata, outcome
from tuning.records.claim import claimed
from tuning.records.facts import Screened
from tuning.records.metadata import RunMetadata
from tuning.records.mirror import Mirror
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import TrialLog
from tuning.report.live import LiveReport
from tuning.run.choice import check_version, choose, within
from tuning.run.describe import describe
from tuning.run.prepare import Prepared, check_name
from tuning.run.progress import Progress
from tuning.run.screen import screen
from tuning.scheduling.limits import Machine
from tuning.scheduling.storages import open_storage
from tuning.scheduling.study import count_finished, open_study
from tuning.scheduling.tune import Run
from tuning.scheduling.turns import experiments_of
from tuning.scheduling.warm_start import Conditions, known_as
from tuning.training.context import TrialContext
from tuning.wording import count

log = logging.getLogger(__name__)


@contextmanager
def begin(prepared: Prepared, command: str, console: Console) -> Iterator[Run]:
    """A run that has begun; when the context ends its folder is free, and in the store.

    Args:
        prepared: What it begins with.
        command: What the user typed.
        console: The terminal, or notebook, that shows its progress.

    Raises:
        UserError: If another process is at work on it, or its study or the cluster cannot be had.
    """
    options, folder = prepared.options, prepared.folder
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        stack.enter_context(_faults_in(folder, options))
        claim = stack.enter_context(claimed(folder))
        earlier = _earlier(prepared)
        settings.write(folder.settings, options)
        _keep_division(prepared)
        outcome.reopen(folder)
        mirror = stack.enter_context(Mirror(folder, claim))
        progress = _progress(prepared, console)
        trial_log = TrialLog(folder.trials, (progress, LiveReport(folder), mirror))
        progress.records.update(trial_log.records)
        resumed = prepared.resumed or not folder.is_empty
        interrupt = stack.enter_context(gentle(log.info))
        storage = prepared.storage or open_storage(folder.storage)
        if dashboard := stack.enter_context(connected(options.address, options.dashboard)):
            log.info("Ray's dashboard: %s", dashboard)
        rates = _rates(prepared, earlier)
        context = _context(prepared, rates)
        machine = _machine(context, earlier, rates)
        screening = _screen(prepared, context, progress, earlier)
        chosen = earlier.get("space") if earlier else choose(prepared, machine, screening)
        networks = prepared.searched, prepared.networks
        known = describe(options, context, *networks, chosen, rates, screening, command, earlier)
        metadata.write(known, folder)
        space = within(prepared.space, chosen)
        study = open_study(
            options, space, folder, storage, trial_log, resumed, _conditions(prepared)
        )
        if resumed and count_finished(study) < options.planned:
            check_version(options, chosen)
        _announce(options)
        trial_log.session()
        progress.open()
        stack.callback(trial_log.close)
        yield Run(
            options=options,
            space=space,
            study=study,
            context=context,
            folder=folder,
            trial_log=trial_log,
            watch=progress.ahead,
            interrupted=lambda: interrupt.raised or bool(claim and claim.lost),
            experiments=experiments_of(study, chosen, options.experiments),
            machine=machine,
        )


def _keep_division(prepared: Prepared) -> None:
    if not prepared.folder.division.exists():
        pictures = prepared.dataset.pictures()
        labels.write(prepared.folder.division, prepared.dataset.root, pictures)


def _progress(prepared: Prepared, console: Console) -> Progress:
    """The view of a terminal; what is damaged in the folder is said in it first."""
    options, folder = prepared.options, prepared.folder
    for damage in folder.damage():
        log.warning("%s", damage)
    trials = None if options.ends_by_itself else options.planned
    return Progress(trials, folder.cache_events, options.time_budget, console, prepared.metric)


def _announce(options: Options) -> None:
    ends = options.ends_by_itself
    log.info(
        "%s of up to %s; run folder %s",
        f"At most {options.planned} trials" if ends else count(options.planned, "trial"),
        *(count(options.epochs, "epoch"), options.folder),
    )


@contextmanager
def _faults_in(folder: RunFolder, options: Options) -> Iterator[None]:
    """What fails in this context and is no mistake leaves its traceback in the run folder.

    Raises:
        UserError: If an operating system refused something, what can be done then.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if reason := refusal(error):
            places = {SharedFolder(options.cache).here, folder.path}
            if is_full(reason):
                least = min(places, key=lambda each: shutil.disk_usage(each).free)
                reason = f"There is no room left in {least}; make room."
            raise UserError(f"{reason} Then go on with --resume {options.name}.") from error
        keep(error, folder.path / LOG)
        raise


def _earlier(prepared: Prepared) -> RunMetadata | None:
    """What was known of a run that is resumed; now that it is locked, nobody changes it.

    Raises:
        UserError: If the name was taken meanwhile, or the pictures are others.
    """
    folder = prepared.folder
    if not prepared.resumed:
        check_name(prepared.options, folder)
        return None
    if not folder.metadata.exists():
        return None
    try:
        earlier = metadata.read(folder)
    except UserError as error:
        log.warning("%s; it is written anew.", error)
        return None
    weights = earlier["weights"]
    # Random ones are whatever a version draws.
    theirs = "" if "random" in weights["source"] else weights["checksum"]
    if theirs not in ("", known_as(prepared.searched)["weights"]):
        raise UserError(
            f"The weights of {weights.get('title', 'VGG16')} are not those that the run "
            f"{folder.name} began with; put them back, or start a new run from its best points: "
            f"--extend {folder.name}."
        )
    if earlier["data"]["fingerprint"] != prepared.dataset.fingerprint:
        if earlier["data"].get("decoding", 1) != decoded.FORMAT:
            raise UserError(
                f"The run {folder.name} was begun by a version that decoded pictures otherwise, or "
                "with other pictures; it is reported and predicted with, but for more trials start "
                f"a new run from its best points: --extend {folder.name}."
            )
        raise UserError(
            f"The pictures in {prepared.dataset.root} are not those that the run {folder.name} "
            "began with; put them back, or start a new run from its best points: "
            f"--extend {folder.name}."
        )
    return earlier


def _rates(prepared: Prepared, earlier: RunMetadata | None) -> Rates | None:
    """How quick what one trial gets is, None where nothing is chosen by it.

    A run that is resumed keeps to what it was begun with.
    """
    options = prepared.options
    if prepared.hypermodel is not None or options.experiments is not None:
        return None
    if earlier:
        kept = earlier.get("kept")
        if not kept:
            return None
        return Rates(kept["forward"], kept["disk"], kept.get("precision"), kept.get("copied"))
    share = resources_per_trial(options.gpus_per_trial, options.cpus_per_trial)
    return measure(share, SharedFolder(options.cache).here)


def _machine(
    context: TrialContext, earlier: RunMetadata | None, rates: Rates | None
) -> Machine | None:
    """The machine that trials run on, None where nothing is chosen by it."""
    rate = rates.forward if rates else None
    if rate is None and earlier and "space" in earlier:
        rate = earlier["space"]["rate"]  # of a run of an earlier version
    return Machine(rate, context) if rate else None


def _screen(
    prepared: Prepared, context: TrialContext, progress: Progress, earlier: RunMetadata | None
) -> list[Screened]:
    """What the frozen networks can by themselves, where there are several."""
    if earlier:
        return earlier.get("screening", [])
    options = prepared.options
    if len(prepared.searched) < 2:
        return []
    share = resources_per_trial(options.gpus_per_trial, options.cpus_per_trial)
    with progress.console.status("frozen networks look at the pictures"):
        return screen(prepared, context, share, progress.ahead, lambda: False)


def _conditions(prepared: Prepared) -> Conditions:
    return {
        "fingerprint": prepared.dataset.fingerprint,
        "image_size": prepared.dataset.image_size,
        **known_as(prepared.searched),
    }


def _context(prepared: Prepared, rates: Rates | None) -> TrialContext:
    options, on_cluster = prepared.options, prepared.options.address is not None
    share = resources_per_trial(options.gpus_per_trial, options.cpus_per_trial)
    events = prepared.folder.cache_events
    return TrialContext(
        dataset=prepared.dataset,
        cache=FeatureCache(
            SharedFolder.of(options.cache).shared,
            options.feature_dtype,
            store_from=options.store_from,
            worth=worth(rates),
            precision=(rates and rates.precision) or ("tf32" if share.gpus else "float32"),
            limit=options.cache_limit,
            verify=options.verify_cache,
            events=RemoteEventLog.start(events) if on_cluster else events,
            locks=LeasedLocks() if on_cluster else None,
        ),
        sources=prepared.sources,
        preprocessing=options.preprocessing,
        views=options.views,
        seed=options.seed,
        hypermodel=prepared.hypermodel,
        metric=prepared.metric,
        resplit=options.resplit,
    )
