"""The study in a real PostgreSQL server."""

import threading
import time

import pytest
from optuna.trial import TrialState
from postgresql import serving
from test_study import new, play

from tuning.scheduling import study as studies
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch
from tuning.scheduling.space import LeverSpace
from tuning.scheduling.storages import open_storage


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("postgresql")) as found:
        yield found


@pytest.mark.slow
def test_a_study_lives_in_postgresql(server):
    study = new(open_storage(server.url), "in-a-server")
    play(study, stopped={1})
    again = studies.resume(open_storage(server.url), "in-a-server", build_sampler("tpe", 1))
    states = [trial.state for trial in again.get_trials()]
    assert states == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.WAITING,
    ]
    assert LeverSearch(again, LeverSpace(3, {"vgg16": 6})).suggest("x")["number"] == 3


@pytest.mark.slow
def test_a_server_that_is_away_is_waited_for(server):
    """As when it is started anew: what had been told is there, and the next is told to it."""
    study = new(open_storage(server.url), "away")
    play(study, stopped={1})
    known = len(study.get_trials())
    server.down()
    back = threading.Timer(6, server.up)
    back.start()
    began = time.monotonic()
    trial = study.ask()
    assert time.monotonic() - began > 5
    study.tell(trial, 0.5)
    back.join()
    assert len(study.get_trials()) >= known
    assert study.get_trials()[trial.number].state == TrialState.COMPLETE
