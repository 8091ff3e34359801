"""The one loop that trains: searches, the article's experiments, repeats and folds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import optuna
from ray import tune
from ray.tune.search import Searcher

from search_spaces.experiments import BACKBONE, Experiment
from tuning.cluster import prebuild
from tuning.cluster.ray_private import callbacks_uncounted
from tuning.cluster.resources import Capacity, Resources, resources_per_trial
from tuning.evaluation.repeats import Repeat, confirmation, confirming
from tuning.files.atomic import drop_drafts
from tuning.options import Options
from tuning.process.interrupt import BY_USER
from tuning.records.run_folder import CHECKPOINTS, NOISE, WEIGHTS, RunFolder, checkpoint_file
from tuning.records.trial_log import OVER, RunEnding, TrialLog, rank
from tuning.scheduling import loggers
from tuning.scheduling import study as studies
from tuning.scheduling.callbacks import LogCallback
from tuning.scheduling.early_stopping import build_scheduler
from tuning.scheduling.limits import Machine, available
from tuning.scheduling.plateau import REPEATS, Plateau
from tuning.scheduling.searcher import LeverSearch, ListedSearch
from tuning.scheduling.space import LeverSpace, Space
from tuning.scheduling.stopping import ALIKE, SearchEnd, Spending
from tuning.scheduling.turns import BESIDE, EARLY, LATE, Allowance, Turns
from tuning.scheduling.worker import Worker
from tuning.training.best import load_arrays
from tuning.training.context import TrialContext
from tuning.wording import duration, percent

log = logging.getLogger(__name__)

RETRIES = 3  # of a trial whose process or machine died

Watch = Callable[[int, int], None]  # told of pictures built ahead so far, and of how many


@dataclass(frozen=True)
class Run:
    """What a search works on.

    Attributes:
        options: What the user asked for.
        space: The space that is searched.
        study: The study that proposes.
        context: What all trials share.
        folder: The run folder.
        trial_log: The log of what happens to trials; of a resumed run it knows the earlier ones.
        watch: The listener that is told of the pictures whose features are built ahead of the first
            trial.
        interrupted: Whether the user wants it to end.
        experiments: The article's experiments that it is to have beside what is proposed.
        machine: The machine and what trials cost on it; None where it does not matter.
    """

    options: Options
    space: Space
    study: optuna.Study
    context: TrialContext
    folder: RunFolder
    trial_log: TrialLog
    watch: Watch
    interrupted: Callable[[], bool]
    experiments: Sequence[Experiment] = ()
    machine: Machine | None = None


def search(run: Run) -> RunEnding:
    """Searches the space; the article's experiments are trained beside what is proposed, or alone.

    Ray is connected to.

    Raises:
        UserError: If no machine can run a trial.
    """
    options, trial_log, study = run.options, run.trial_log, run.study
    share = resources_per_trial(options.gpus_per_trial, options.cpus_per_trial)
    scheduler = build_scheduler(options.scheduler, options.epochs)
    scheduler.replay([each for each in trial_log.trials if each.status != "failed"])
    capacity = Capacity(share, fixed=options.address is None)
    spending = Spending(options, trial_log, share.gpus)
    turns = _turns(run, share, spending)
    plateau = Plateau(study, trial_log) if options.ends_by_itself else None
    searcher = LeverSearch(
        study,
        run.space,
        scheduler.endings,
        options.objective,
        capacity,
        turns,
        options.patience,
        plateau,
    )
    callback = LogCallback(trial_log, scheduler.endings, run.folder.shared)
    end = _end(run, spending, callback)

    def left() -> int:
        return options.planned - studies.count_finished(study)

    if left() > 0:
        _drop_ahead(run)
        prebuild.build(run.context, _pending(run, turns, share), share, run.watch, end.stop_all)
        loop = TrialLoop(run.context, run.folder, share, scheduler, end, callback)
        try:
            loop.run(searcher, left, loggers.callbacks(options.log, run.folder))
            if plateau and plateau.needs_noise and not end.reason:
                _measure_noise(run, plateau, end)
                loop.run(searcher, left, loggers.callbacks(options.log, run.folder))
        finally:
            studies.release(study)
            _tidy(run)
    trial_log.close()
    failing = callback.failures.row >= ALIKE
    notes = [*turns.notes(), *searcher.notes()]
    return RunEnding(
        end.reason, failing, capacity.most, share.gpus, share.cpus, notes, callback.full
    )


def _measure_noise(run: Run, plateau: Plateau, end: SearchEnd) -> None:
    """Trains the best trial with fresh seeds; what that changes is chance."""
    best = plateau.best
    assert best is not None
    log.info("Trial %d is trained with %d fresh seeds to see what is chance", best.number, REPEATS)
    folder = run.folder.beside(NOISE)
    trial_log = TrialLog(folder.trials)
    known = [r.hyperparameters for r in trial_log.trials]  # of a session before
    again = next((r for r in run.trial_log.trials if r.hyperparameters in known), best)
    repeated = confirming([again], 1, REPEATS, run.options.seed)
    repeat(repeated, run, trial_log, folder, end)
    found = confirmation(repeated, trial_log.records)
    plateau.repeated, plateau.noise = again.number, found["candidates"][0]["sd"] if found else 0.0


def repeat(
    repeats: list[Repeat],
    run: Run,
    trial_log: TrialLog,
    folder: RunFolder,
    end: SearchEnd | None = None,
) -> None:
    """Trains configurations again, as many at once as there is room for.

    Args:
        repeats: The trainings; their places in this list are the log's numbers.
        run: The run that found them.
        trial_log: The log of what happens; those that it knows to be over are not run again.
        folder: The folder of their checkpoints, and of Ray Tune's state.
        end: What ends them beside the user.
    """
    options = run.options
    share = resources_per_trial(options.gpus_per_trial, options.cpus_per_trial)
    over = {each.number for each in trial_log.trials if each.status in OVER}
    configs = [each.config(n) for n, each in enumerate(repeats) if n not in over]
    if not configs:
        return
    scheduler = build_scheduler("none", options.epochs)
    callback = LogCallback(trial_log, scheduler.endings, folder.shared)
    listed = ListedSearch(configs)
    end = end or SearchEnd([(run.interrupted, BY_USER)])
    loop = TrialLoop(run.context, folder, share, scheduler, end, callback)
    loop.run(listed, lambda: len(listed.configs))


@dataclass
class TrialLoop:
    """Ray Tune with everything of ours in its place.

    Attributes:
        context: What all trials share.
        folder: The folder of checkpoints, weights, and Ray Tune's state.
        share: What each trial gets.
        scheduler: The scheduler, which ends trials early.
        end: The end of all of them.
        callback: The callback that writes the trial log.
    """

    context: TrialContext
    folder: RunFolder
    share: Resources
    scheduler: Any
    end: SearchEnd
    callback: LogCallback

    def run(
        self, searcher: Searcher, left: Callable[[], int], also: Sequence[tune.Callback] = ()
    ) -> None:
        """Runs as many trials as are left, and once more those that Tune has given up unjustly."""
        parameters = tune.with_parameters(
            Worker,
            context=self.context,
            folder=self.folder.shared,
            share=self.share,
            backend=keras.backend.backend(),
            rungs=self.scheduler.rungs,
        )
        self.callback.again = True
        while self.callback.again and not self.end.reason and (trials := left()) > 0:
            self.callback.again = False
            tuner = tune.Tuner(
                tune.with_resources(parameters, {"CPU": self.share.cpus, "GPU": self.share.gpus}),
                tune_config=tune.TuneConfig(
                    metric="best_score",
                    mode="max",
                    search_alg=searcher,
                    scheduler=self.scheduler,
                    num_samples=trials,
                    reuse_actors=True,
                    trial_dirname_creator=_folder_name,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(self.folder.path),
                    stop=self.end,
                    failure_config=tune.FailureConfig(max_failures=RETRIES),
                    callbacks=[self.callback, *loggers.files(), *also],
                    verbose=0,
                ),
            )
            with callbacks_uncounted():
                tuner.fit()


def _folder_name(trial: Any) -> str:
    return f"{trial.config['number']:04d}"


def _drop_ahead(run: Run) -> None:
    """Removes checkpoints of epochs that the log lost with the machine that held it."""
    files = run.folder.shared
    for record in run.trial_log.records.values():
        if record.status not in OVER:
            name = checkpoint_file(record.number)
            file = files.fetch_anew(name)
            if file.exists() and load_arrays(file)[0][0] > record.epochs:
                files.remove(name)


def _tidy(run: Run) -> None:
    """Leaves no trial running, no checkpoint of one that is over, and nothing half written."""
    for record in list(run.trial_log.records.values()):
        if record.status == "running":
            run.trial_log.end(record.number, "interrupted")
        if record.status in OVER:  # of a search that was killed meanwhile, too
            run.folder.shared.remove(checkpoint_file(record.number))
    for name in (CHECKPOINTS, WEIGHTS):
        drop_drafts(run.folder.path / name)


def _pending(run: Run, turns: Turns, share: Resources) -> list[dict[str, Any]]:
    """Points to build features ahead for: those that have begun, and those that begin at once.

    No others: the first result shall not wait for views that are needed later; on CPUs, which take
    minutes for a pass of the pictures, not even for the second point's.
    """
    trials = run.trial_log.trials
    known = [each.hyperparameters for each in trials]
    begun = [each.hyperparameters for each in trials if each.status not in OVER]
    listed = {each.name: each.hyperparameters(run.options.epochs) for each in turns.to_come()}
    first = list(listed.values())
    if run.options.experiments is None:
        points = run.space.first_points(run.options)
        second = [listed[EARLY]] if points and EARLY in listed else []
        first = [*points[:1], *second, *points[1:]][: share.at_once if share.gpus else 1]
    return begun + [each for each in first if each not in known]


def _turns(run: Run, share: Resources, spending: Spending) -> Turns:
    """When the article's experiments come."""
    options = run.options
    allowance, seconds = None, available(options)
    if seconds is not None and run.machine is not None:
        late = sum(each.name != EARLY for each in run.experiments)
        # Of GPU hours each takes its own, whether there is another beside it or not.
        beside = 1 if options.time_budget is None else min(share.at_once, late)
        each = LATE * seconds * max(1, beside) / max(1, late)
        allowance = Allowance(each, lambda: max(spending.time, spending.money), run.machine.seconds)
    alone = options.experiments is not None
    searched = run.space.depths if isinstance(run.space, LeverSpace) else {}
    beside = 0 if alone or BACKBONE in searched else BESIDE
    return Turns(
        run.study, run.experiments, options.planned, options.epochs, alone, beside, allowance
    )


def _end(run: Run, spending: Spending, callback: LogCallback) -> SearchEnd:
    options = run.options
    conditions: list[tuple[Callable[[], bool], str]] = [(run.interrupted, BY_USER)]
    if options.time_budget is not None:
        reason = f"the time budget of {duration(options.time_budget)} was spent"
        conditions.append((lambda: spending.time >= 1, reason))
    if options.budget is not None:
        limit, price = options.budget, options.price
        what = f"{limit:g} at {price:g} an hour" if price else f"{limit:g} GPU hours"
        conditions.append((lambda: spending.money >= 1, f"the budget of {what} was spent"))
    if (target := options.target) is not None:
        reason = f"the target of {percent(target)} was reached"
        conditions.append((lambda: _best(run) >= target, reason))
    failures = callback.failures
    conditions.append((lambda: failures.row >= ALIKE, f"{ALIKE} trials in a row failed alike"))
    conditions.append((lambda: bool(callback.full), "a disk was full"))
    return SearchEnd(conditions)


def _best(run: Run) -> float:
    """The best score so far; 0 before the first."""
    ranking = rank(run.trial_log.trials)
    return ranking[0].best_score or 0.0 if ranking else 0.0
