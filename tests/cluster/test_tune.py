"""Where trials run, and what happens to one whose worker is lost between two trials."""

import json
import os
import sys
import time
from collections import defaultdict
from itertools import pairwise

import optuna
import pytest
import ray
from optuna.trial import TrialState
from ray.cluster_utils import Cluster

from tuning.cluster import joining
from tuning.cluster.joining import connect
from tuning.cluster.resources import Resources, resources_per_trial
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

TRIALS = 4
START = 3  # seconds
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it


class Idle(Worker):
    """Trains nothing, and needs no Keras for that; the first trial waits as if for its import."""

    started = False

    def _begin(self):
        time.sleep(0 if self.started else START)
        self.started = True
        self.trial = self.make(self.config)

    def make(self, config):
        return [0]

    def _keep(self):
        pass

    def _epoch(self):
        self.trial[0] += 1
        values = dict.fromkeys(CURVES, 0.5 + 0.1 * self.trial[0])
        over = self.trial[0] >= self.config["hyperparameters"]["epochs"]
        score = {"validation_score": 0.6, "best_score": 0.7}
        return {**values, **score, "epoch": self.trial[0], "over": over}

    def _keep_best(self, epochs):
        pass


class Mortal(Idle):
    """Dies once, when it is to begin with its second trial."""

    def reset_config(self, new_config):
        if not (self.folder.here / "died").exists():
            (self.folder.here / "died").touch()
            os._exit(1)
        return super().reset_config(new_config)


class Placed(Idle):
    """Writes down when it used which GPU of which machine."""

    def _begin(self):
        """Waits for a second worker, which takes a minute to start where others keep two cores."""
        (self.folder.here / f"{os.getpid()}.began").touch()
        until = time.monotonic() + 300
        while len(list(self.folder.here.glob("*.began"))) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        super()._begin()

    def _epoch(self):
        context, began = ray.get_runtime_context(), time.time()
        time.sleep(0.5)
        place = [context.get_node_id(), context.get_accelerator_ids()["GPU"]]
        with (self.folder.here / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps([place, began, time.time()]) + "\n")
        return super()._epoch()


@pytest.fixture
def alone():
    connect(None)
    yield
    ray.shutdown()


@pytest.fixture
def mixed():
    """A machine without GPUs, one with one and one with two, all of them pretended."""
    joining._keep_token()
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 0})
    gpus = {found.add_node(num_cpus=2, num_gpus=count).node_id: count for count in (1, 2)}
    connect(found.address)
    yield gpus
    ray.shutdown()
    found.shutdown()


def run(worker, share, trials, tmp_path, monkeypatch):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    monkeypatch.setattr(tune, "Worker", worker)
    folder = RunFolder(tmp_path)
    study = studies.create(
        open_storage(folder.storage), "study", build_sampler("random", 0), ["accuracy"]
    )
    scheduler = build_scheduler("asha", 3)
    trial_log = TrialLog(folder.trials)
    searcher = LeverSearch(study, LeverSpace(3, {"vgg16": 2}), scheduler.endings)
    callback = LogCallback(trial_log, scheduler.endings, folder.shared)
    loop = TrialLoop(None, folder, share, scheduler, SearchEnd([]), callback)
    loop.run(searcher, lambda: trials - studies.count_finished(study))
    return study, trial_log


@pytest.mark.slow
def test_a_trial_whose_worker_is_lost_is_run_by_another(alone, tmp_path, monkeypatch):
    study, trial_log = run(Mortal, Resources(0.0, 1, 1), TRIALS, tmp_path, monkeypatch)
    assert (tmp_path / "died").exists()
    assert [trial.number for trial in study.trials] == list(range(TRIALS))
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert {each.status for each in trial_log.records.values()} <= {"finished", "stopped"}


@pytest.mark.slow
def test_one_trial_per_gpu_on_machines_that_differ(mixed, tmp_path, monkeypatch):
    share = resources_per_trial(None, None)
    assert share == Resources(1.0, 1, 3)
    run(Placed, share, 12, tmp_path, monkeypatch)
    used = defaultdict(list)
    for file in tmp_path.glob("*.jsonl"):
        for line in file.read_text().splitlines() if file.stem.isdigit() else ():
            (node, gpus), began, ended = json.loads(line)
            (gpu,) = gpus
            used[node, gpu].append((began, ended))
    assert {node for node, _ in used} <= set(mixed)  # none where there is no GPU
    assert len(used) > 1
    for times in used.values():
        for (_, ended), (began, _) in pairwise(sorted(times)):
            assert ended <= began
