"""A search of no given length ends when its proposals gain no more than chance does."""

import optuna
import pytest
from told import told

from search_spaces.experiments import EXPERIMENTS
from tuning.records.event_log import TRIAL_EVENTS, EventLog
from tuning.records.trial_log import TrialLog
from tuning.scheduling.optuna_private import EXPERIMENT
from tuning.scheduling.plateau import WINDOW, Plateau
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch
from tuning.scheduling.space import LeverSpace
from tuning.scheduling.turns import Turns

SPACE = LeverSpace(6, {"vgg16": 3}, "levers", False)
ENQUEUED = len(SPACE.portfolio())


@pytest.fixture
def search(tmp_path):
    """Proposes, and is told a score for the n-th proposal, until it ends or asks for the noise."""

    def search(score, plateau=None, most=90):
        log = TrialLog(EventLog(tmp_path / "trials.jsonl", TRIAL_EVENTS))
        study = optuna.create_study(sampler=build_sampler("random", 0), direction="maximize")
        for point in SPACE.portfolio():
            study.enqueue_trial(SPACE.asked(point)[0])
        plateau = plateau or Plateau(study, log)
        plateau.study, plateau.trial_log = study, log
        turns = Turns(study, EXPERIMENTS, 200, 6)
        searcher = LeverSearch(study, SPACE, turns=turns, plateau=plateau)
        found = []
        for number in range(most):
            config = searcher.suggest(str(number))
            if config == searcher.FINISHED:
                break
            name = config["experiment"]
            value = 0.1 if name else score(sum(each is None for each in found))
            found.append(name)
            log.start(config["number"], config["hyperparameters"], name)
            log.epoch(config["number"], metrics(value))
            log.end(config["number"], "finished")
            result = {"epoch": 1, "validation_score": value, "best_score": value, "over": True}
            searcher.on_trial_complete(str(number), told(result))
        return found, plateau, searcher.notes()

    return search


def metrics(value):
    names = ("loss", "accuracy", "validation_loss", "validation_accuracy", "validation_score")
    return {"epoch": 1, **dict.fromkeys(names, value)}


def test_it_ends_twenty_proposals_after_the_last_that_was_better(search):
    better = ENQUEUED + 7  # a proposal of the sampler
    found, plateau, notes = search(lambda n: 0.9 if n >= better else 0.5, Plateau(None, None, 0.0))
    own = sum(each is None for each in found)
    assert own == better + 1 + WINDOW
    assert plateau.holds
    # The long experiments come when nothing else does; the sampler's silence is no reason to skip.
    assert found[-2:] == ["convnet", "fine_tune"]
    assert f"ended by itself after {own} trials" in notes[0]
    assert "no better" in notes[0]


def test_not_before_the_sampler_has_made_twenty(search):
    found, _, _ = search(lambda n: 0.9 - 0.001 * n)
    assert sum(each is None for each in found) == ENQUEUED + WINDOW


def test_while_it_gets_better_it_goes_on(search):
    found, plateau, notes = search(lambda n: 0.5 + 0.005 * n, Plateau(None, None, 0.01))
    assert len(found) == 90
    assert not plateau.holds
    assert notes == []


def test_what_chance_does_is_measured_where_it_decides(search):
    def slowly(n):
        return 0.9 + 0.0001 * n

    found, plateau, _ = search(slowly)
    assert sum(each is None for each in found) == ENQUEUED + WINDOW
    assert plateau.needs_noise
    assert not plateau.holds
    assert plateau.best.best_score == pytest.approx(slowly(ENQUEUED + WINDOW - 1))
    plateau.noise, plateau.repeated = 0.01, plateau.best.number
    assert plateau.holds
    assert "0.2 points" in plateau.note()
    assert "1.0 points" in plateau.note()
    plateau.noise = 0.0001
    assert not plateau.holds


def test_the_experiments_have_no_part_in_it(search):
    found, plateau, _ = search(lambda n: 0.5)
    assert EXPERIMENT in {each for t in plateau.study.trials for each in t.user_attrs}
    assert plateau.best.experiment is None
    assert "bottleneck" in found
