"""Ray Tune schedules the trials, Optuna proposes them.

The only room, with the entry point, that knows Ray.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from search_spaces import levers
from search_spaces.experiments import EXPERIMENTS
from search_spaces.optuna_bridge import OptunaHyperParameters
from tuning import ahead
from tuning.cluster import connect, resources
from tuning.features.distributed import ActorRights
from tuning.interrupt import Interrupt, gentle
from tuning.options import Options
from tuning.records import Ledger, Manner
from tuning.searcher import LeverSearch
from tuning.setting import Setting
from tuning.threads import bind

REDUCTION = 3  # of three trials at a rung, one goes on; ASHA's paper uses 3 to 4
FIRST_RUNG = 0.1  # share of a trial's epochs before it may be stopped


class Worker(tune.Trainable):  # type: ignore[misc]
    """Runs one trial after the other in one process, an epoch a step."""

    def setup(
        self, config: dict[str, Any], setting: Setting, folder: Path, threads: int | None
    ) -> None:
        """Begins the first trial; the other arguments are the same for all."""
        if threads:
            bind(threads)
        self.setting = setting
        self.folder = folder
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        from tuning.training import Trial

        self.config = config
        self.trial = Trial(self.setting, config["hyperparameters"])

    def step(self) -> dict[str, Any]:
        """Trains an epoch."""
        from tuning.training import save_best

        result: dict[str, Any] = self.trial.run_epoch()
        save_best(self.trial, self.folder, self.config["number"])
        result["done"] = self.trial.epoch >= self.config["hyperparameters"]["epochs"]
        return result

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins the next trial in the same process."""
        self._begin(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The best weights lie in the run folder; there is nothing more to keep."""


class Halving(ASHAScheduler):  # type: ignore[misc]
    """Asynchronous successive halving that lets the article's experiments run to their end.

    Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020,
    https://arxiv.org/abs/1810.05934). The experiments are what every other trial is compared with,
    so they count at each rung, but are not stopped there.
    """

    def __init__(self, epochs: int, protected: int) -> None:
        super().__init__(
            time_attr="training_iteration",
            max_t=epochs,
            grace_period=max(1, round(FIRST_RUNG * epochs)),
            reduction_factor=REDUCTION,
        )
        self.protected = protected
        self.stopped: set[int] = set()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        if decision != TrialScheduler.STOP or result["done"]:
            return decision
        if trial.config["number"] < self.protected:
            return str(TrialScheduler.CONTINUE)
        self.stopped.add(trial.config["number"])
        return decision


class _End(tune.Stopper):  # type: ignore[misc]
    """Ends the search when its time is over or the user says so."""

    def __init__(self, seconds: float | None, interrupt: Interrupt) -> None:
        self.deadline = time.monotonic() + (seconds or float("inf"))
        self.interrupt = interrupt

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.interrupt.raised or time.monotonic() > self.deadline


@dataclass
class _Told(tune.Callback):  # type: ignore[misc]
    """Tells the ledger what Ray Tune reports."""

    ledger: Ledger
    scheduler: Halving

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its set-up; the view of a terminal is no part of it

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ledger.start(trial.config["number"], trial.config["hyperparameters"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.ledger.epoch(trial.config["number"], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        number = trial.config["number"]
        record = self.ledger.records[number]
        if record.epochs >= record.hyperparameters["epochs"]:
            self.ledger.end(number, "finished")
        else:
            self.ledger.end(
                number, "stopped" if number in self.scheduler.stopped else "interrupted"
            )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ledger.end(trial.config["number"], "failed", _reason(trial))


def _reason(trial: Any) -> str:
    """The last line of what went wrong, without traceback and module."""
    lines = Path(trial.error_file).read_text().split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it ended without a word")
    return re.sub(r"^([\w.]+\.)?((Trial|User)Error: )?", "", last.strip())


def _folder_name(trial: Any) -> str:
    return f"{trial.config['number']:04d}"


def search(
    options: Options,
    setting: Setting,
    ledger: Ledger,
    folder: Path,
    watch: Callable[[int, int], None],
) -> Manner:
    """Searches the levers; the article's experiments are the first points tried.

    Args:
        options: What the user asked for.
        setting: What all trials share.
        ledger: Is told what happens to trials.
        folder: The run folder; gets `study.db`, `weights/` and Ray Tune's state in `tune/`.
        watch: Is told how many pictures' features are built ahead of the first trial, and of how
            many.
    """
    connect(options.address)
    if options.address:
        setting.cache.rights = ActorRights()
    share = resources(options.gpus_per_trial, options.cpus_per_trial)
    first = [each.hyperparameters(options.epochs) for each in EXPERIMENTS]
    # As far as they lie in the space.
    first = [each for each in first if each.get("unfrozen", 0) <= options.max_unfrozen]
    first = first[: options.trials]
    searcher = LeverSearch(
        space=Levers(options.epochs, options.max_unfrozen),
        metric="best_accuracy",
        mode="max",
        points_to_evaluate=first,
        sampler=optuna.samplers.TPESampler(
            multivariate=True, group=True, constant_liar=True, seed=options.seed
        ),
        storage=optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}"),
        study_name=folder.name,
    )
    scheduler = Halving(options.epochs, protected=len(first))
    parameters = tune.with_parameters(Worker, setting=setting, folder=folder, threads=share.threads)
    with gentle() as interrupt:
        end = _End(options.time_budget, interrupt)
        ahead.build(setting, first, share, watch, end.stop_all)
        tuner = tune.Tuner(
            tune.with_resources(parameters, {"CPU": share.cpus, "GPU": share.gpus}),
            tune_config=tune.TuneConfig(
                metric="best_accuracy",
                mode="max",
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=options.trials,
                max_concurrent_trials=share.at_once,
                reuse_actors=True,
                trial_dirname_creator=_folder_name,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder),
                stop=end,
                callbacks=[_Told(ledger, scheduler)],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            searcher.close()
            for record in list(ledger.records.values()):
                if record.status == "running":
                    ledger.end(record.number, "interrupted")
    return Manner(interrupt.raised, share.at_once, share.gpus, share.cpus)


@dataclass(frozen=True)
class Levers:
    """The space, as Optuna's trials are asked for it."""

    epochs: int
    max_unfrozen: int

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """The hyperparameters of one trial."""
        return levers.declare(OptunaHyperParameters(trial), self.epochs, self.max_unfrozen)
