"""The three lines on top: what there is, what to do next, and the figure that says so."""

import pytest
from report_facts import example

from tuning.report.advice import advice
from tuning.report.markdown import markdown


@pytest.fixture
def facts():
    """A search that nothing speaks against."""
    facts = example(30)
    facts["doubts"]["sure"] = 3
    facts["learning_curve"] |= {"gain": 0.001, "gain_interval": [0.0, 0.004]}
    test = facts["best"]["test"]
    test["confusion"] = [[475, 25], [26, 474]]
    test["recall"] = {"cats": 0.95, "dogs": 0.948}
    test |= {"accuracy": 0.949, "interval": [0.934, 0.961], "commonest": 0.5}
    curve = next(t for t in facts["trials"] if t["number"] == facts["best"]["trial"])["curve"]
    curve["accuracy"] = [0.99 for _ in curve["accuracy"]]
    return facts


def test_where_nothing_promises_more_it_says_stop(facts):
    have, then, figure = advice(facts)
    assert have == (
        "A model that gets 94.9 % of the test pictures right; of new ones like these "
        "93.4 to 96.1 %."
    )
    assert then.startswith("Stop")
    assert "0.1 points" in figure
    facts["learning_curve"] |= {"gain": 0.02, "gain_interval": [-0.01, 0.04]}
    _, then, figure = advice(facts)
    assert then == "Stop, or gather more pictures: whether they would help is not sure."
    assert "2.0 points" in figure
    assert "-1.0 to 4.0" in figure
    told = markdown(facts)
    assert told.index("A model that gets") < told.index("## The answer")


def test_random_weights_come_before_all_else(facts):
    facts["doubts"]["sure"] = 40
    facts["weights"] |= {"source": "random, random", "title": "VGG16, MobileNet"}
    _, then, figure = advice(facts)
    assert "without --weights random" in then
    assert figure.startswith("VGG16, MobileNet carried random weights")
    facts["data"]["root"] = "embedded demo"
    assert advice(facts).next == "Search pictures of your own: --data FOLDER."
    facts["weights"]["source"] = "random, imagenet"
    assert "--labels doubts.csv" in advice(facts).next


def test_labels_come_first_where_many_are_surely_wrong(facts):
    facts["doubts"]["sure"] = 40
    _, then, figure = advice(facts)
    assert "--labels doubts.csv" in then
    assert "40 of 2,800 labels" in figure


def test_a_class_that_is_recognised_less_wants_pictures(facts):
    test = facts["best"]["test"]
    test["confusion"], test["recall"] = [[495, 5], [60, 440]], {"cats": 0.99, "dogs": 0.88}
    _, then, figure = advice(facts)
    assert then == "More pictures of dogs, or class weights: --metric balanced_accuracy."
    assert advice({**facts, "metric": "auc"}).next == "More pictures of dogs."
    assert "88.0 % of dogs, and 99.0 % of all else" in figure


def test_more_pictures_where_the_curve_still_rises(facts):
    facts["learning_curve"] |= {"gain": 0.015, "gain_interval": [0.004, 0.02]}
    _, then, figure = advice(facts)
    assert then == "More pictures: twice as many promise about 1.5 points."
    assert "1,000 training pictures give 94.4 %, and 2,000 give 95.5 %" in figure


def test_a_larger_network_where_it_does_not_learn_what_it_is_shown(facts):
    trial = next(t for t in facts["trials"] if t["number"] == facts["best"]["trial"])
    trial["curve"]["accuracy"] = [0.7 for _ in trial["curve"]["accuracy"]]
    trial["hyperparameters"] |= {"dropout": 0.0, "augmentation": "none"}
    _, then, figure = advice(facts)
    assert then.startswith("A larger network")
    assert "70.0 % of its own training pictures right, and" in figure
    # Where training is made harder, that more is right of what it was not shown is no riddle.
    trial["hyperparameters"] |= {"dropout": 0.5}
    _, then, figure = advice(facts)
    assert then.startswith("More epochs, less dropout, or a larger network")
    assert figure.startswith("While it learns, with dropout, it gets 70.0 % of its own training")
    trial["hyperparameters"] |= {"augmentation": "strong"}
    _, _, figure = advice(facts)
    assert figure.startswith("While it learns, with dropout and augmentation, it gets 70.0 %")


def test_what_is_no_model_is_called_none(facts):
    facts["best"]["test"]["commonest"] = 0.95
    have, then, figure = advice(facts)
    assert have.startswith("No model yet")
    assert "labels are right" in then
    assert "95.0 %" in figure


def test_without_test_pictures_it_promises_less(facts):
    facts["best"]["test"] = None
    facts["best"]["mistakes"] = None
    have, _, _ = advice(facts)
    assert "validation pictures right, which chose it; of new ones rather less" in have


def test_of_a_search_that_goes_on_or_found_nothing_it_says_nothing():
    assert advice(example(30, running=True)) is None
    assert advice(example(5, scored=False)) is None


def test_of_runs_that_did_not_look_it_goes_by_what_there_is():
    found = advice(example(30, looked=False))
    assert found.have.startswith("A model that gets")
