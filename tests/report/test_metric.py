"""What the search went by is named wherever trials are compared, and accuracies stand beside it."""

import csv
import io
from pathlib import Path

import pytest
from report_facts import example

from tuning.records.facts import check
from tuning.report import story
from tuning.report.html import html
from tuning.report.markdown import markdown
from tuning.report.render import trials_csv
from tuning.run.console import in_short

RUN = Path("runs/x")


@pytest.fixture
def facts():
    """A search that went by balanced accuracy, which is 0.2 below the accuracy everywhere."""
    found = example()
    found["metric"] = "balanced_accuracy"
    for trial in found["trials"]:
        accuracy = trial["best_accuracy"]
        trial["best_score"] = None if accuracy is None else accuracy - 0.2
        curve = trial["curve"]
        curve["validation_score"] = [a and a - 0.2 for a in curve["validation_accuracy"]]
    for split in ("validation", "test"):
        score = found["best"][split]
        score |= {"score": score["accuracy"] - 0.2, "commonest": 0.6}
    return check(found)


def test_trials_are_compared_by_the_metric(facts):
    best = next(t for t in facts["trials"] if t["number"] == facts["best"]["trial"])
    said, page = markdown(facts), html(facts)
    shown = f"{100 * best['best_score']:.1f} %"
    (row,) = (line for line in said.splitlines() if line.startswith(f"| {best['number']} ★"))
    assert shown in row
    assert "| Trial | Balanced accuracy |" in said
    assert "Balanced accuracy by its value" in said
    assert "Validation balanced accuracy per epoch" in page
    # The article's figures are accuracies.
    assert "the article&#39;s figures as lines" not in page
    assert "Dashed: the article" not in page
    rows = list(csv.DictReader(io.StringIO(trials_csv(facts))))
    scored = {row["number"]: row["best_validation_balanced_accuracy"] for row in rows}
    assert float(scored[str(best["number"])]) == pytest.approx(best["best_score"])


def test_the_answer_has_both_and_the_commonest_class(facts):
    score = facts["best"]["validation"]
    named = dict(story.measures(score, facts["metric"]))
    assert named["Balanced accuracy"] == f"{100 * score['score']:.1f} %"
    assert named["Commonest class"] == "60.0 %"
    for text in (markdown(facts), html(facts)):
        assert "Commonest class" in text
    told = in_short(facts, RUN)
    assert "the commonest class is 60.0 %" in told
    assert "balanced accuracy: validation" in told


def test_a_model_that_is_no_better_than_the_commonest_class_is_said_to_be_none(facts):
    assert "it is no model" not in story.answer(facts)
    score = facts["best"]["test"]
    score["commonest"] = score["interval"][0] + 0.001
    assert "that this is better is not shown, so it is no model" in story.answer(facts)
    assert "no better is shown" in in_short(facts, RUN)


def test_by_accuracy_nothing_of_that_is_said():
    facts = example()
    said = markdown(facts)
    assert "| Trial | Accuracy |" in said
    assert "alanced" not in said
    assert story.judged(facts) is facts
