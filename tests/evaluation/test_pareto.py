"""The Pareto front, from a real study."""

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tuning import report
from tuning.evaluation.pareto import pareto_front
from tuning.records.facts import Front
from tuning.records.shapes import expect


@pytest.fixture
def study(tmp_path):
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path / 'study.db'}", directions=["maximize", "minimize"]
    )
    for values in ([0.9, 100], [0.8, 10], [0.8, 50], [0.7, 20], [0.95, 900], [0.9, 100]):
        study.add_trial(create_trial(values=values))
    study.add_trial(create_trial(state=TrialState.FAIL))
    return study


def test_the_front_holds_those_that_none_beats(study):
    found = pareto_front(study, ["accuracy", "parameters"], range(7))
    expect(found, Front)
    assert len(found["values"]) == 6
    assert found["directions"] == ["max", "min"]
    assert found["best"] == [0, 1, 4, 5]  # equal ones beat each other not
    assert set(found["best"]) == {trial.number for trial in study.best_trials}


def test_trials_of_an_earlier_run_do_not_count(study):
    found = pareto_front(study, ["accuracy", "parameters"], [1, 2, 3])
    assert found["best"] == [1]
    assert found["values"] == {"1": [0.8, 10], "2": [0.8, 50], "3": [0.7, 20]}


def test_one_objective_has_no_front(study):
    assert pareto_front(study, ["accuracy"], range(7)) is None
    assert pareto_front(study, ["accuracy", "parameters"], []) is None


def test_the_front_is_a_part_of_the_schema():
    assert "front" in report.Facts.__annotations__
