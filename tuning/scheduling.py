"""Ray Tune schedules the trials, Optuna proposes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune.search import Searcher

from tuning import ahead, loggers, stopping
from tuning import study as studies
from tuning.best import load_arrays
from tuning.cluster import connect
from tuning.copies import SharedFolder
from tuning.features.distributed import ActorRights
from tuning.interrupt import BY_USER, gentle
from tuning.machines import Resources, Room, resources
from tuning.options import Options
from tuning.records import OVER, Ledger, Manner
from tuning.repeats import Repeat
from tuning.report.words import duration
from tuning.scribe import Scribe
from tuning.searcher import Fates, Given, LeverSearch
from tuning.setting import Setting
from tuning.space import Space
from tuning.worker import Worker, checkpoint_file

log = logging.getLogger(__name__)

RETRIES = 3  # of a trial whose process or machine died


@dataclass
class _Told(tune.Callback):  # type: ignore[misc]
    """Tells the ledger what Ray Tune reports."""

    ledger: Ledger
    fates: Fates
    folder: SharedFolder
    failures: stopping.Failures = field(default_factory=stopping.Failures)
    again: bool = False  # whether Tune has counted a trial that is yet to be run

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its set-up; the view of a terminal is no part of it

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ledger.start(trial.config["number"], trial.config["hyperparameters"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        for line in result.get("warnings", ()):
            log.warning(line)
        if not result.get("failed"):
            self.ledger.epoch(trial.config["number"], result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._known(trial)
        number = trial.config["number"]
        self.ledger.retry(number, self.fates.failed[number])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        number = trial.config["number"]
        record = self.ledger.records[number]
        failed = trial.last_result.get("failed")
        if failed:
            self._end(number, "failed", failed)
        elif record.epochs >= record.hyperparameters["epochs"]:
            self._end(number, "finished")
        elif number in self.fates.stopped:
            self._end(number, "stopped")
        else:
            self.ledger.end(number, "interrupted")  # its checkpoint stays

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._known(trial)
        number = trial.config["number"]
        if number in self.fates.lost:
            self.fates.lost.discard(number)
            self.again = True
            self.ledger.end(number, "interrupted")
        else:
            self._end(number, "failed", self.fates.failed[number])

    def _known(self, trial: Any) -> None:
        """A worker may be lost before Ray tells that its trial has started."""
        if trial.config["number"] not in self.ledger.records:
            self.ledger.start(trial.config["number"], trial.config["hyperparameters"])

    def _end(self, number: int, status: str, reason: str | None = None) -> None:
        self.ledger.end(number, status, reason)
        self.failures.add(reason)
        self.folder.remove(checkpoint_file(number))


def _folder_name(trial: Any) -> str:
    return f"{trial.config['number']:04d}"


def search(
    options: Options,
    space: Space,
    setting: Setting,
    ledger: Ledger,
    folder: Path,
    watch: Callable[[int, int], None],
) -> Manner:
    """Searches the levers; the article's experiments are the first points tried.

    Args:
        options: What the user asked for.
        space: That is searched.
        setting: What all trials share.
        ledger: Is told what happens to trials; of a run that is resumed it knows the earlier ones.
        folder: The run folder; gets `study.db`, `weights/`, `checkpoints/` and Ray Tune's state in
            `tune/`.
        watch: Is told how many pictures' features are built ahead of the first trial, and of how
            many.
    """
    files = _files(options, folder)
    first = space.experiments() + (space.points(options.enqueue) if options.enqueue else [])
    study = _study(options, folder, ledger)
    if options.resume is None:
        for point in first:
            study.enqueue_trial(space.asked(point)[0])
        if options.warm_start:
            studies.take_over(study, options.warm_start, space)
    else:
        _drop_ahead(files, ledger)
    dashboard = connect(options.address, options.dashboard)
    if dashboard:
        print(f"Ray's dashboard: {dashboard}", flush=True)
    if options.address:
        setting.cache.rights = ActorRights()
        setting.cache.journal = Scribe.of(folder / "cache.jsonl")
    share = resources(options.gpus_per_trial, options.cpus_per_trial)
    scheduler = stopping.scheduler(options.scheduler, options.epochs, space.is_experiment)
    scheduler.replay([each for each in ledger.records.values() if each.status != "failed"])
    room = Room(share, fixed=options.address is None)
    searcher = LeverSearch(study, space, scheduler.fates, options.objective, room)
    told = _Told(ledger, scheduler.fates, files)
    with gentle() as interrupt:
        end = _end(options, share, ledger, told.failures, lambda: interrupt.raised)

        def left() -> int:
            return options.trials - studies.told(study)

        if left() > 0:
            pending = _pending(first[: options.trials], ledger)
            ahead.build(setting, pending, share, watch, end.stop_all)
            try:
                also = loggers.callbacks(options.log, options.name, folder)
                _tune(setting, folder, share, searcher, scheduler, end, told, left, also)
            finally:
                studies.release(study)
                for record in list(ledger.records.values()):
                    if record.status == "running":
                        ledger.end(record.number, "interrupted")
                    if record.status in OVER:  # of a search that was killed meanwhile, too
                        files.remove(checkpoint_file(record.number))
    failing = told.failures.row >= stopping.ALIKE
    return Manner(end.reason, failing, room.most, share.gpus, share.cpus)


def repeat(
    repeats: list[Repeat], options: Options, setting: Setting, ledger: Ledger, folder: Path
) -> None:
    """Trains configurations again, as many at once as there is room for.

    Args:
        repeats: Their places in this list are the ledger's numbers.
        options: What the user asked for.
        setting: What all trials of the search shared.
        ledger: Is told what happens; those that it knows to be over are not run again.
        folder: Gets their checkpoints, and Ray Tune's state in `tune/`.
    """
    if not ray.is_initialized():
        connect(options.address, options.dashboard)
    share = resources(options.gpus_per_trial, options.cpus_per_trial)
    over = {each.number for each in ledger.records.values() if each.status in OVER}
    configs = [each.config(n) for n, each in enumerate(repeats) if n not in over]
    scheduler = stopping.scheduler("none", options.epochs, lambda hyperparameters: True)
    told = _Told(ledger, scheduler.fates, _files(options, folder))
    if not configs:
        return
    with gentle() as interrupt:
        end = stopping.End([(lambda: interrupt.raised, BY_USER)])
        given = Given(configs)
        _tune(setting, folder, share, given, scheduler, end, told, lambda: len(given.configs))


def _tune(
    setting: Setting,
    folder: Path,
    share: Resources,
    searcher: Searcher,
    scheduler: Any,
    end: stopping.End,
    told: _Told,
    left: Callable[[], int],
    also: Sequence[tune.Callback] = (),
) -> None:
    """Runs as many trials as are left, and once more those that Tune has given up unjustly."""
    parameters = tune.with_parameters(
        Worker, setting=setting, folder=told.folder, threads=share.threads
    )
    told.again = True
    while told.again and not end.reason and (trials := left()) > 0:
        told.again = False
        tune.Tuner(
            tune.with_resources(parameters, {"CPU": share.cpus, "GPU": share.gpus}),
            tune_config=tune.TuneConfig(
                metric="best_accuracy",
                mode="max",
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=trials,
                reuse_actors=True,
                trial_dirname_creator=_folder_name,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder),
                stop=end,
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[told, *also],
                verbose=0,
            ),
        ).fit()


def _files(options: Options, folder: Path) -> SharedFolder:
    """What workers read and write of the run folder, or of a folder in it."""
    root = options.folder.resolve()
    shared = SharedFolder(options.place or root)
    return shared if folder == root else shared / folder.relative_to(root).as_posix()


def _drop_ahead(files: SharedFolder, ledger: Ledger) -> None:
    """Removes checkpoints of epochs that the ledger lost with the machine that held it."""
    for record in ledger.records.values():
        if record.status not in OVER:
            name = checkpoint_file(record.number)
            file = files.fetch_anew(name)
            if file.exists() and load_arrays(file)[0][0] > record.epochs:
                files.remove(name)


def _study(options: Options, folder: Path, ledger: Ledger) -> optuna.Study:
    store = studies.storage(options.storage or studies.default_storage(folder))
    if options.resume is None:
        sampler = studies.sampler(options.sampler, options.seed)
        return studies.create(store, options.name, sampler, options.objective)
    # With the seed alone it would propose once more what it proposed at first.
    sampler = studies.sampler(options.sampler, options.seed + 1000 * (1 + len(ledger.records)))
    study = studies.resume(store, options.name, sampler)
    studies.reconcile(study, ledger)
    return study


def _pending(first: list[dict[str, Any]], ledger: Ledger) -> list[dict[str, Any]]:
    """Points that are known now and not over yet."""
    over = [each.hyperparameters for each in ledger.records.values() if each.status in OVER]
    begun = [each.hyperparameters for each in ledger.records.values() if each.status not in OVER]
    return [each for each in first if each not in over and each not in begun] + begun


def _end(
    options: Options,
    share: Resources,
    ledger: Ledger,
    failures: stopping.Failures,
    interrupted: Callable[[], bool],
) -> stopping.End:
    budget = options.time_budget
    conditions: list[tuple[Callable[[], bool], str]] = [(interrupted, BY_USER)]
    if budget is not None:
        over = stopping.deadline(budget - ledger.elapsed)
        conditions.append((over, f"the time budget of {duration(budget)} was spent"))
    if options.budget is not None:
        limit, price = options.budget, options.price or 1.0
        manner = Manner(None, False, share.at_once, share.gpus, share.cpus)
        what = f"{limit:g} at {price:g} an hour" if options.price else f"{limit:g} GPU hours"

        def spent() -> bool:
            return manner.device_hours(ledger.records.values()) * price >= limit

        conditions.append((spent, f"the budget of {what} was spent"))
    conditions.append(
        (lambda: failures.row >= stopping.ALIKE, f"{stopping.ALIKE} trials in a row failed alike")
    )
    return stopping.End(conditions)
