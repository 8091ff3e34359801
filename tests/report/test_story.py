"""What the report claims, and how far it goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_facts import example

from tuning.report import cost, levers, mistakes, story, trust
from tuning.report.plots import plots
from tuning.run.console import in_short


def facts_with(validation: float, test: float, pictures: int = 1000) -> dict:
    facts = example(30)
    facts["best"]["validation"] |= {"accuracy": validation, "pictures": pictures}
    facts["best"]["test"] |= {"accuracy": test, "pictures": pictures}
    return facts


@pytest.mark.parametrize(
    ("validation", "test", "said"),
    [
        (0.95, 0.94, "1.0 points less, which is within what chance does"),
        (0.95, 0.90, "5.0 points less, more than chance explains"),
        (0.94, 0.95, "give 95.0 %: no less."),
    ],
)
def test_optimism_is_weighed_against_chance(validation, test, said):
    assert said in trust.optimism(facts_with(validation, test))


@pytest.mark.parametrize(
    ("winner", "second", "sd", "said"),
    [
        (0.95, 0.93, 0.004, "2.0 points behind, more than the seeds scatter"),
        (0.95, 0.949, 0.004, "0.1 points behind, less than the seeds tell apart"),
        (0.95, 0.95, 0.004, "is level with it"),
    ],
)
def test_two_configurations_are_told_apart_by_their_seeds(winner, second, sd, said):
    facts = example(30)
    first, other = facts["confirmation"]["candidates"][:2]
    first |= {"mean": winner, "sd": sd}
    other |= {"mean": second, "sd": sd}
    facts["confirmation"] |= {"candidates": [first, other], "winner": first["trial"]}
    assert said in trust.repeats(facts)


def test_what_was_luck_is_the_gap_between_search_and_repeats():
    facts = example(30)
    (winner,) = facts["confirmation"]["candidates"][:1]
    facts["confirmation"] |= {"candidates": [winner], "winner": winner["trial"]}
    winner["mean"] = facts["trials"][winner["trial"]]["best_accuracy"] - 0.012
    assert trust.repeats(facts).endswith("1.2 points of it luck.")
    winner["mean"] += 0.02
    assert "luck" not in trust.repeats(facts)


def test_without_repeats_that_is_said():
    facts = example(30) | {"confirmation": None}
    assert "luck of one seed is not known" in trust.repeats(facts)


def test_clean_pictures_are_said_to_be_clean():
    assert trust.pictures(example(3)).startswith("No picture is in two splits")
    assert "doubt" in trust.pictures(example(3, warnings=["a.jpg is in two splits"]))


def test_the_scale_of_pictures_is_no_reason_for_doubt():
    scale = "All training pictures have more than 8 bits: 0 and less is shown black"
    facts = example(3, warnings=[scale])
    facts["data"]["levels"] = [0.0, 4096.0]
    assert "every file could be read" in trust.pictures(facts)
    facts["data"]["warnings"] = [scale, "a.jpg is in two splits"]
    assert "doubt" in trust.pictures(facts)


@pytest.mark.parametrize(
    ("gap", "interval", "said"),
    [
        (0.04, 0.01, "4.0 points above “Fine-tuning of block 5”, the best of these, more than"),
        (0.01, 0.02, "the intervals overlap"),
        (-0.01, 0.02, "had 1.0 points more in its one run; the repeats"),
    ],
)
def test_the_gain_over_the_article_is_weighed(gap, interval, said):
    facts = example(30)
    top = facts["experiments"][2]
    top["interval"] = [top["best_accuracy"] - interval, top["best_accuracy"] + interval]
    accuracy = top["best_accuracy"] + gap
    facts["best"] |= {"trial": 9}
    facts["best"]["validation"] |= {
        "accuracy": accuracy,
        "interval": [accuracy - interval, accuracy + interval],
    }
    assert said in story.gain(facts)


def test_the_best_may_be_an_experiment():
    facts = example(30)
    facts["best"]["trial"] = facts["experiments"][2]["trial"]
    assert story.gain(facts) == "The search found nothing better than “Fine-tuning of block 5”."


def test_a_network_of_the_users_is_told_by_its_hyperparameters():
    best = example(3)["best"] | {"hyperparameters": {"units": 64, "learning_rate": 1e-4}}
    assert story.headline(best) == "Units 64, learning_rate 0.0001"
    assert story.headline(best | {"hyperparameters": {"epochs": 3}}) == "Trial 2"


def test_other_objectives_are_said():
    facts = example(3)
    facts["run"]["objectives"] = ["loss", "parameters"]
    assert any("went by loss, parameters" in note for note in story.banners(facts))


def test_mistakes_are_counted_by_kind():
    facts = example(3)
    facts["best"]["test"]["confusion"] = [[480, 20], [30, 470]]
    assert mistakes.pairs(facts) == [("dogs", "cats", 30), ("cats", "dogs", 20)]
    assert mistakes.matrix(facts) == [("cats", [480, 20], 0.96), ("dogs", [30, 470], 0.94)]
    assert mistakes.sentence(facts) == (
        "Of 1,000 test pictures it took 50 for something else: dogs for cats (30), cats for dogs "
        "(20)."
    )
    facts["best"]["test"]["confusion"] = [[500, 0], [0, 500]]
    assert mistakes.sentence(facts) == "The best model gets all 1,000 test pictures right."


def test_without_a_test_split_mistakes_are_those_on_validation_pictures():
    judged = mistakes.judged(example(3, test=False))
    assert judged is not None
    assert judged[0] == "validation"
    assert mistakes.judged(example(3, looked=False)) is None
    assert not mistakes.known(example(3, looked=False))


def test_a_matrix_of_many_classes_becomes_a_list():
    facts = example(3, [f"species {number}" for number in range(17)])
    assert mistakes.matrix(facts) is None
    assert mistakes.pairs(facts)


def test_no_model_is_a_round_hundred_sure():
    assert mistakes.sure(0.99999) == "over 99.9 %"
    assert mistakes.sure(0.987) == "98.7 %"


@pytest.mark.parametrize(
    ("trials", "said", "figures"),
    [(0, "nothing to compare", False), (9, "cannot tell", False), (10, "a hint", True),
     (19, "a hint", True), (20, None, True)],
)  # fmt: skip
def test_levers_want_enough_trials(trials, said, figures):
    made = [each for each in example(60)["trials"] if each["epochs"] and not each["experiment"]]
    made = made[:trials]
    facts = example(60) | {"trials": made}
    caution = levers.caution(facts)
    assert (said is None) == (caution == [])
    assert said is None or said in caution[0]
    assert any(plot.chapter == "slices" for plot in plots(facts)) == figures
    assert any(plot.name == "importances" for plot in plots(facts)) == figures


@pytest.mark.parametrize(("points", "besides"), [("experiments", True), ("recipe", False)])
def test_the_levers_chapter_says_that_the_articles_experiments_are_not_in_it(points, besides):
    facts = example(60)
    recipe = [each for each in facts["trials"] if each["epochs"] and not each["experiment"]]
    first = [each for each in facts["trials"] if each["experiment"]]
    facts["trials"] = [*(first if points == "experiments" else ()), recipe[0]]
    (caution,) = levers.caution(facts)
    assert ("1 trial with an accuracy besides the article's experiments" in caution) == besides
    assert caution.startswith("1 trial with an accuracy")
    for trial in facts["trials"]:
        trial["best_accuracy"] = None
    (caution,) = levers.caution(facts)
    assert caution == "No trial came to an accuracy, so there is nothing to compare."


def test_the_terminal_says_what_repeats_reached():
    facts = example(12)
    said = in_short(facts, Path("runs/x"))
    winner = facts["confirmation"]["winner"]
    (mean,) = (c["mean"] for c in facts["confirmation"]["candidates"] if c["trial"] == winner)
    assert f"{100 * mean:.1f} % on average" in said
    assert f"{facts['confirmation']['repeats']} fresh seeds" in said
    assert f"{facts['cross_validation']['folds']} folds" in said
    bare = in_short({**facts, "confirmation": None, "cross_validation": None}, Path("runs/x"))
    assert "on average" not in bare


def test_a_lever_of_few_trials_has_no_figure_of_its_own():
    facts = example(30)
    for trial in facts["trials"]:
        trial["hyperparameters"] = {"a": trial["number"] / 30}
        if trial["number"] < 4:
            trial["hyperparameters"]["b"] = trial["number"] / 4
    titles = [plot.title for plot in plots(facts) if plot.chapter == "slices"]
    assert titles == ["A"]


def test_importances_of_few_trials_are_a_hint():
    facts = example(60)
    facts["importances"]["trials"] = 12
    (caution,) = levers.caution(facts)
    assert "rest on the 12 trials that ran to their end" in caution


def test_too_few_finished_trials_for_importances_are_said():
    facts = example(30) | {"importances": None}
    for trial in facts["trials"][9:]:
        trial["status"] = "stopped"
    (caution,) = levers.caution(facts)
    assert caution.startswith("Importances want 10 trials that ran to their end, but there are")


def lever(values: list) -> levers.Lever:
    facts = example(60)
    trials = [trial for trial in facts["trials"] if trial["epochs"]]
    for number, trial in enumerate(trials):
        trial["hyperparameters"] = {"x": values[number % len(values)]}
        trial["best_accuracy"] = 0.5 + 0.01 * (number % len(values))
    (found,) = levers.levers(facts | {"trials": trials, "importances": None})
    return found


def test_a_rate_is_shown_by_its_powers():
    assert lever([10**-power for power in (5, 4.5, 4, 3.5, 3, 2.5, 2, 2.2, 3.3)]).log
    assert lever([3e-5, 0.001, 0.0015]).log
    assert not lever([0.0, 0.2, 0.5, 0.8]).log
    assert not lever([5, 10, 25, 50]).log


def test_a_choice_is_told_by_its_medians_the_best_first():
    found = lever(["none", "flip", "strong"])
    assert not found.numeric
    assert list(found.values) == ["strong", "flip", "none"]
    assert found.summary == "medians: strong 52.0 %, flip 51.0 %, none 50.0 %"


def test_few_numbers_are_told_like_a_choice_in_their_order():
    assert lever([3, 0, 1]).summary == "medians: 0 51.0 %, 1 52.0 %, 3 50.0 %"


def test_many_numbers_are_told_by_their_ends_and_the_best():
    found = lever([number / 10 for number in range(12)])
    assert not found.medians
    assert found.summary == "from 0 to 1.1; the highest, 61.0 %, at 1.1"


def test_the_most_important_lever_comes_first():
    facts = example(60)
    facts["importances"]["methods"] = {
        "fanova": {"dropout": 0.5, "unfrozen": 0.3, "augmentation": 0.2},
        "ped_anova": {"unfrozen": 0.9, "dropout": 0.1},
    }
    assert [each.name for each in levers.levers(facts)][:3] == [
        "unfrozen",
        "dropout",
        "augmentation",
    ]


def test_what_is_kept_on_disk_is_told_with_the_rates_that_decided_it():
    facts = example(12)
    told = dict(cost.cache(facts))
    assert told["Since a byte spares at least"] == (
        "307,638 FLOP (310,000 GFLOP/s in bfloat16, disk 2,100 MB/s, into the GPU 25,000 MB/s)"
    )
    del facts["kept"]["copied"]  # as runs of earlier versions have it
    assert "GPU" not in dict(cost.cache(facts))["Since a byte spares at least"]
