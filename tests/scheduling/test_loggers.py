"""What dashboards that people already use are told."""

from types import SimpleNamespace

import pytest

from tuning.records.run_folder import RunFolder
from tuning.scheduling import loggers


class Trial(SimpleNamespace):
    """As much of a trial of Ray Tune as MLflow is told."""

    __hash__ = object.__hash__

    def __str__(self):
        return self.trial_id


def test_trials_that_run_when_a_search_is_ended_are_ended_too(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = RunFolder(tmp_path)
    (callback,) = loggers.callbacks(["mlflow"], folder)
    callback.setup()
    trials = [Trial(trial_id=name, config={"rate": 0.1}) for name in ("over", "wrong", "running")]
    over, wrong, _ = trials
    for trial in trials:
        callback.on_trial_start(0, trials, trial)
        epochs = [{"epoch": number, "loss": 1 / number} for number in (1, 2)]
        callback.on_trial_result(0, trials, trial, {"epochs": epochs})
    callback.on_trial_complete(0, trials, over)
    callback.on_trial_error(0, trials, wrong)
    callback.on_experiment_end(trials)
    client = mlflow.tracking.MlflowClient(folder.mlflow)
    experiment = client.get_experiment_by_name(folder.name)
    runs = client.search_runs([experiment.experiment_id])
    ended = {run.info.run_name: run.info.status for run in runs}
    assert ended == {"over": "FINISHED", "wrong": "FAILED", "running": "FAILED"}
    for run in runs:
        losses = client.get_metric_history(run.info.run_id, "loss")
        assert [each.value for each in losses] == [1, 0.5]
