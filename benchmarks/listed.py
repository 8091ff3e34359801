"""A given list of trials on Ray Tune, one at a time, and what each of them took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune

from tuning.cluster.resources import Resources
from tuning.files.shared_folder import SharedFolder
from tuning.records.run_folder import RunFolder
from tuning.scheduling import study as studies
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch
from tuning.scheduling.space import LeverSpace
from tuning.scheduling.storages import open_storage
from tuning.scheduling.worker import Worker
from tuning.training.context import TrialContext


@dataclass(frozen=True)
class Outcome:
    """What a trial cost, and what it reached.

    Attributes:
        seconds: From the end of the trial before it, or from the start, to its own end.
        epochs: Seconds of each epoch, as the trial itself measured them.
        accuracy: The validation accuracy after the last epoch.
    """

    seconds: float
    epochs: list[float]
    accuracy: float


@dataclass
class Watch(tune.Callback):  # type: ignore[misc]
    """Collects outcomes in order of completion."""

    outcomes: list[Outcome] = field(default_factory=list)
    last: float = field(default_factory=time.perf_counter)
    results: list[dict[str, Any]] = field(default_factory=list)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "failed" in result:
            raise SystemExit(f"A trial failed: {result['failed']}")
        self.results += result.get("epochs") or [result]

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        now = time.perf_counter()
        seconds = [result["seconds"] for result in self.results]
        accuracy = self.results[-1]["validation_accuracy"]
        self.outcomes.append(Outcome(now - self.last, seconds, accuracy))
        self.last, self.results = now, []

    def __getstate__(self) -> dict[str, Any]:
        return {}


def run(trainable: Any, folder: Path, number: int, cpus: int, **config: Any) -> list[Outcome]:
    """Runs `number` trials of any trainable; `config` goes to `tune.TuneConfig`.

    The first that fails ends the benchmark: what a failed trial took says nothing.
    """
    watch = Watch()
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": cpus}),
        param_space=config.pop("param_space", None),
        tune_config=tune.TuneConfig(num_samples=number, max_concurrent_trials=1, **config),
        run_config=tune.RunConfig(
            storage_path=str(folder),
            callbacks=[watch],
            failure_config=tune.FailureConfig(fail_fast="raise"),
            verbose=0,
        ),
    )
    tuner.fit()
    return watch.outcomes


def run_points(
    context: TrialContext, points: list[dict[str, Any]], folder: Path, cpus: int
) -> list[Outcome]:
    """Runs trials of these hyperparameters as a search of this project does, in one worker."""
    import keras

    folder.mkdir(parents=True)
    levers = LeverSpace(points[0]["epochs"])
    storage = open_storage(RunFolder(folder).storage)
    study = studies.create(storage, "listed", build_sampler("tpe", 0), ["accuracy"])
    for point in points:
        study.enqueue_trial(levers.asked(point)[0])
    searcher = LeverSearch(study, levers)
    trainable = tune.with_parameters(
        Worker,
        context=context,
        folder=SharedFolder(folder),
        share=Resources(0, cpus, 1),
        backend=keras.backend.backend(),
        rungs=frozenset(),
    )
    return run(
        trainable,
        folder,
        len(points),
        cpus,
        metric="best_score",
        mode="max",
        search_alg=searcher,
        reuse_actors=True,
    )
