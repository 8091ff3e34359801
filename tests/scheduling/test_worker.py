"""What a step of a worker is: some epochs, told one by one."""

import keras
import optuna
import pytest
from optuna.trial import TrialState

from tuning.cluster.resources import Resources
from tuning.files.shared_folder import SharedFolder
from tuning.records.event_log import CURVES
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import TrialLog
from tuning.report.gather import time_spent
from tuning.scheduling import worker as workers
from tuning.scheduling.callbacks import LogCallback
from tuning.scheduling.early_stopping import build_scheduler
from tuning.scheduling.searcher import LeverSearch, TrialEndings
from tuning.scheduling.worker import Worker


class Counting(Worker):
    """Trains nothing; an epoch takes as long as the test says, and may fail."""

    def make(self, config):
        return [0]

    def _keep(self):
        pass

    def _keep_best(self, epochs):
        pass

    def _epoch(self):
        self.trial[0] += 1
        epoch, limits = self.trial[0], self.config["hyperparameters"]
        if epoch == limits.get("fails"):
            raise limits["with"]
        clock[0] += limits["seconds"]
        values = dict.fromkeys((*CURVES, "validation_score", "best_score"), 0.5)
        return {**values, "epoch": epoch, "over": epoch >= limits["epochs"]}


clock = [0.0]


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """The epochs of each step of a trial, and all results."""
    monkeypatch.setattr(workers.time, "monotonic", lambda: clock[0])

    def steps(rungs=(), **hyperparameters):
        worker = object.__new__(Counting)
        config = {"number": 0, "hyperparameters": hyperparameters}
        folder, backend = SharedFolder(tmp_path), keras.backend.backend()
        worker.setup(config, None, folder, Resources(0, 0, 1), backend, frozenset(rungs))
        results = []
        while not results or not results[-1]["done"]:
            results.append(worker.step())
        return [[each["epoch"] for each in step["epochs"]] for step in results], results

    return steps


def test_a_step_is_half_a_second_of_epochs(steps):
    assert steps(epochs=7, seconds=0.2)[0] == [[1, 2, 3], [4, 5, 6], [7]]
    assert steps(epochs=3, seconds=3.0)[0] == [[1], [2], [3]]


def test_it_ends_where_the_scheduler_may_stop_the_trial(steps):
    rungs = build_scheduler("asha", 20).rungs
    assert steps(rungs, epochs=20, seconds=0.001)[0] == [
        [1, 2],
        [3, 4, 5, 6],
        [*range(7, 19)],
        [19, 20],
    ]


@pytest.mark.parametrize("kind", ["asha", "hyperband"])
@pytest.mark.parametrize("epochs", [1, 5, 20, 50, 100])
def test_these_are_all_epochs_at_which_ray_looks(kind, epochs):
    scheduler = build_scheduler(kind, epochs)
    looks = {rung for bracket in scheduler._brackets for rung, _ in bracket._rungs}
    assert looks <= scheduler.rungs <= {*range(1, epochs + 1)}


def test_what_came_before_a_fault_is_told(steps):
    told, results = steps(epochs=9, seconds=0.1, fails=3, **{"with": ValueError("odd")})
    assert told == [[1, 2]]
    assert "ValueError: odd" in results[-1]["failed"]


def test_out_of_memory_is_tried_once_more_with_an_empty_device(steps, monkeypatch):
    emptied = []
    from tuning.training import networks

    monkeypatch.setattr(networks, "forget", lambda: emptied.append(True))
    error = RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")
    told, results = steps(epochs=9, seconds=0.1, fails=3, **{"with": error})
    assert told == [[1, 2]]
    assert len(emptied) == 2  # then it fails
    assert "out of memory" in results[-1]["failed"]


def test_each_epoch_reaches_optuna_and_the_log(steps, tmp_path):
    study = optuna.create_study(direction="maximize")
    log = TrialLog(RunFolder(tmp_path).trials)
    search = LeverSearch(study, lambda trial: {"epochs": 5})
    callback = LogCallback(log, TrialEndings(), SharedFolder(tmp_path))

    class Trial:
        config = search.suggest("a")

    log.start(0, {"epochs": 5})
    _, results = steps(epochs=5, seconds=0.3)
    for result in results:
        search.on_trial_result("a", result) if result is not results[-1] else None
        callback.on_trial_result(0, [], Trial, result)
    search.on_trial_complete("a", results[-1])
    (trial,) = study.trials
    assert trial.state is TrialState.COMPLETE
    assert sorted(trial.intermediate_values) == [1, 2, 3, 4, 5]
    assert log.records[0].epochs == 5
    told = time_spent(log.events.read())
    assert [each["worker"] for each in told["workers"]] == [results[0]["worker"]]
    assert told["spent"]["other"] > 0
    assert 0 <= told["workers"][0]["busy"] <= 1
