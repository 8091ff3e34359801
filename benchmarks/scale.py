"""The scheduler with 1 to 16 GPUs that are pretended: trials an hour, and what each costs beyond.

A search as it is (Ray Tune, Optuna's TPE on SQLite, the trial log, retries), but trials that
sleep. An epoch lasts a second: on 2,000 pictures' features a head takes a quarter to a whole one on
two cores, and whatever is fine-tuned longer, on a GPU as well. Nothing is stopped early, so the
ideal is known: trials times their sleep, shared out evenly. The start of the workers is told apart,
since it comes once a search; it grows with the GPUs here, where two cores start all of them. The
driver's own processor seconds a trial say how many trials one driver can ever serve.

    python -m benchmarks.scale [--gpus 1 2 4 8 16] [--epochs 20] [--rounds 3]
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import ray

from benchmarks.machine import describe, table
from tuning.cluster.resources import Resources
from tuning.process.backend import import_keras
from tuning.records.event_log import CURVES
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import TrialLog
from tuning.scheduling import study as studies
from tuning.scheduling import tune
from tuning.scheduling.callbacks import LogCallback
from tuning.scheduling.early_stopping import build_scheduler
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch
from tuning.scheduling.space import LeverSpace
from tuning.scheduling.stopping import SearchEnd
from tuning.scheduling.storages import open_storage
from tuning.scheduling.tune import TrialLoop
from tuning.scheduling.worker import Worker

EPOCH = 1.0  # seconds


class Asleep(Worker):
    """Trials that sleep as long as others train."""

    def make(self, config: dict[str, Any]) -> Any:
        return [0]  # epochs so far

    def _keep(self) -> None:
        pass

    def _epoch(self) -> dict[str, Any]:
        began = time.time()
        time.sleep(EPOCH)
        self.trial[0] += 1
        epoch, number = self.trial[0], self.config["number"]
        accuracy = 0.5 + 0.4 * (number * 0.618 % 1) * (1 - 0.9**epoch)
        return {
            **dict.fromkeys(CURVES, accuracy),
            "epoch": epoch,
            "validation_score": accuracy,
            "best_score": accuracy,
            "seconds": EPOCH,
            "began": began,
            "over": epoch >= self.config["hyperparameters"]["epochs"],
        }

    def _keep_best(self, epochs: int) -> None:
        pass


def search(gpus: int, epochs: int, rounds: int, folder: Path) -> tuple[float, float, float]:
    """Seconds until all workers train, from there to the search's end, and the driver's CPU's."""
    folder.mkdir()
    run_folder = RunFolder(folder)
    levers, trials = LeverSpace(epochs), gpus * rounds
    storage = open_storage(run_folder.storage)
    study = studies.create(storage, "scale", build_sampler("tpe", 0), ["accuracy"])
    scheduler = build_scheduler("none", epochs)
    trial_log = TrialLog(run_folder.trials)
    callback = _Noting(trial_log, scheduler.endings, run_folder.shared)
    searcher = LeverSearch(study, levers, scheduler.endings, capacity=lambda: gpus)
    loop = TrialLoop(
        None,  # type: ignore[arg-type]
        run_folder,
        Resources(1.0, 1, gpus),
        scheduler,
        SearchEnd([]),
        callback,
    )
    began, worked = time.time(), time.process_time()
    loop.run(searcher, lambda: trials)
    ended, worked = time.time(), time.process_time() - worked
    for each in trial_log.records.values():
        if each.status != "finished":
            raise SystemExit(f"A trial {each.status}: {each.reason}")
    # Workers that began earlier have slept more by then: the mean is what all of them lost.
    ready = sum(sorted(callback.began)[:gpus]) / gpus
    return ready - began, ended - ready, worked


@dataclass
class _Noting(LogCallback):
    """Notes when trials began their first epoch."""

    began: list[float] = field(default_factory=list)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        super().on_trial_result(iteration, trials, trial, result, **info)
        if result.get("epoch") == 1:
            self.began.append(result["began"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="trials a GPU")
    options = parser.parse_args()
    import_keras(Path(os.devnull))  # here, since workers that sleep or do nothing need it not
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)  # for Ray's workers
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_SYNCER"] = "1"
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # a failed trial has none
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")  # as a search does
    rows = []
    ideal = options.rounds * options.epochs * EPOCH
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(tune, "Worker", Asleep),  # all else is what a search runs
    ):
        for gpus in options.gpus:
            ray.init(
                "local",  # also where RAY_ADDRESS points to a cluster
                num_cpus=gpus,
                num_gpus=gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
            place = Path(folder) / str(gpus)
            start, seconds, worked = search(gpus, options.epochs, options.rounds, place)
            ray.shutdown()
            trials = gpus * options.rounds
            beyond = (seconds - ideal) / options.rounds
            per_hour, share = trials * 3600 / seconds, ideal / seconds
            rows.append((gpus, per_hour, beyond, share, start, worked / trials))
    print(f"{describe()}; trials of {options.epochs * EPOCH:.0f} s, {options.rounds} a GPU\n")
    header = ("GPUs", "trials/hour", "s beyond sleep", "of ideal", "s to start", "driver CPU s")
    print(table(header, rows))


if __name__ == "__main__":
    main()
