"""A study of 5,000 trials: what a proposal costs, and what of it is ours."""

import time

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial
from told import told

from search_spaces import levers
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch
from tuning.scheduling.space import LeverSpace
from tuning.scheduling.storages import open_storage
from tuning.scheduling.study import create

PROPOSALS = 20


@pytest.mark.soak
def test_a_proposal_after_5000_trials_takes_under_a_second(tmp_path, monkeypatch):
    space = LeverSpace(50, levers.ARTICLES, "levers", convnet=False)
    seconds = {}
    for number in (500, 5000):
        store = open_storage(f"sqlite:///{tmp_path / f'{number}.db'}")
        sampler = build_sampler("tpe", 0)
        study = create(store, "many", sampler, ["accuracy"])
        fill(study, space, number)
        seconds[number] = propose(study, space, monkeypatch)
    for number, (whole, own) in seconds.items():
        print(f"{number} trials: {whole:.3f} s a proposal, of which {own:.3f} s are not Optuna's")
    assert seconds[5000][0] < 1
    assert seconds[5000][1] < 0.05 + 3 * seconds[500][1]


def fill(study, space, number):
    random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    scores = np.random.default_rng(0).uniform(0.5, 1, number)
    for score in scores:
        trial = random.ask()
        hyperparameters = space(trial)
        asked = random.get_trials(deepcopy=False)[-1]
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=float(score),
                params=asked.params,
                distributions=asked.distributions,
                user_attrs={"hyperparameters": hyperparameters},
            )
        )


def propose(study, space, monkeypatch):
    """Median seconds of a proposal and its result, and of them those outside Optuna."""
    inside = []
    suggesting = ("suggest_float", "suggest_int", "suggest_categorical", "report")
    places = [*((study, name) for name in ("ask", "tell"))]
    for place, name in [*places, *((optuna.Trial, name) for name in suggesting)]:
        method = getattr(place, name)

        def timed(*arguments, method=method, **options):
            began = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                inside[-1] += time.perf_counter() - began

        monkeypatch.setattr(place, name, timed)
    search = LeverSearch(study, space)
    whole = []
    for number in range(PROPOSALS):
        inside.append(0.0)
        began = time.perf_counter()
        search.suggest(f"{number}")
        epoch = {"epoch": 1, "validation_score": 0.7, "best_score": 0.7, "over": True}
        search.on_trial_complete(f"{number}", told(epoch))
        whole.append(time.perf_counter() - began)
    return np.median(whole), np.median(np.subtract(whole, inside))
