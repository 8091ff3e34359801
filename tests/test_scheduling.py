"""What happens to a trial whose worker is lost between two trials, when none is running there."""

import os
import sys

import optuna
import pytest
import ray
from optuna.trial import TrialState

from tuning import scheduling, stopping
from tuning import study as studies
from tuning.cluster import Resources, connect
from tuning.copies import SharedFolder
from tuning.journal import Journal
from tuning.records import CURVES, Ledger
from tuning.searcher import LeverSearch
from tuning.space import Levers
from tuning.worker import Worker

TRIALS = 4
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it


class Mortal(Worker):
    """Trains nothing, and dies once, when it is to begin with its second trial."""

    def make(self, config):
        return [0]

    def _keep(self):
        pass

    def _epoch(self):
        self.trial[0] += 1
        values = dict.fromkeys(CURVES, 0.5 + 0.1 * self.trial[0])
        over = self.trial[0] >= self.config["hyperparameters"]["epochs"]
        return {**values, "epoch": self.trial[0], "best_accuracy": 0.7, "done": over}

    def reset_config(self, new_config):
        if not (self.folder.here / "died").exists():
            (self.folder.here / "died").touch()
            os._exit(1)
        return super().reset_config(new_config)


@pytest.fixture
def cluster():
    connect(None)
    yield
    ray.shutdown()


def test_its_trial_is_run_by_another(cluster, tmp_path, monkeypatch):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    monkeypatch.setattr(scheduling, "Worker", Mortal)
    store = studies.storage(studies.default_storage(tmp_path))
    study = studies.create(store, "study", studies.sampler("random", 0), ["accuracy"])
    scheduler = stopping.scheduler("asha", 3, lambda hyperparameters: False)
    ledger = Ledger(Journal(tmp_path / "trials.jsonl"), lambda record, event: None)
    searcher = LeverSearch(study, Levers(3, 2), scheduler.fates)
    told = scheduling._Told(ledger, scheduler.fates, SharedFolder(tmp_path))
    scheduling._tune(
        *(None, tmp_path, Resources(0.0, 1, 1), searcher, scheduler, stopping.End([]), told),
        lambda: TRIALS - studies.told(study),
    )
    assert (tmp_path / "died").exists()
    assert [trial.number for trial in study.trials] == list(range(TRIALS))
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert {each.status for each in ledger.records.values()} <= {"finished", "stopped"}
