from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from report_facts import example, with_front

from tuning.report import check, in_words, write
from tuning.report.__main__ import main
from tuning.report.markdown import code, escape
from tuning.report.plots import plots
from tuning.wording import duration, interval, percent, size, value

ATTACK = "<script>alert(1)</script>"
FILES = {"report.json", "report.md", "report.html", "trials.csv"}


class Page(HTMLParser):
    """Collects what a page loads, which elements it has, and its text outside scripts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.labels: list[str] = []
        self.rows = 0
        self.scripts = 0
        self.text = ""
        self._silent = False
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.loads += [values[key] for key in ("src", "href", "srcset", "data") if key in values]
        self.labels += [values["aria-label"]] if values.get("role") == "img" else []
        self.scripts += tag == "script"
        self.rows += tag == "tr"
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent = False

    def handle_data(self, data):
        self.text += "" if self._silent else data


def written(tmp_path: Path, facts: dict) -> dict[str, str]:
    check(facts)
    write(facts, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES  # and no draft is left behind
    return {name: (tmp_path / name).read_text(encoding="utf-8") for name in FILES}


@pytest.mark.parametrize("trials", [0, 1, 3, 30, 300])
def test_every_size_of_search_gives_four_files(tmp_path, trials):
    facts = example(trials)
    texts = written(tmp_path, facts)
    assert json.loads(texts["report.json"]) == facts
    assert len(list(csv.reader(texts["trials.csv"].splitlines()))) == trials + 1
    page = Page(texts["report.html"])
    assert len(texts["report.html"].encode()) < 6_000_000
    assert all(load.startswith(("#", "data:")) for load in page.loads)
    assert "url(" not in texts["report.html"].split("</style>")[0]
    assert "default-src 'none'" in texts["report.html"]


@pytest.mark.slow
def test_a_huge_search_still_makes_a_page_that_opens(tmp_path):
    html = written(tmp_path, example(3000))["report.html"]
    assert len(html.encode()) < 6_000_000
    assert "The 500 best are shown" in Page(html).text


@pytest.mark.slow
def test_a_small_search_has_no_plot_that_it_cannot_support():
    names = {number: [plot.name for plot in plots(example(number))] for number in (1, 2, 3, 9, 30)}
    assert names[1] == ["curves", "calibration", "answered", "learning"]
    assert names[2] == ["curves", "calibration", "answered", "learning", "timeline"]
    assert names[3] == ["curves", "history", "calibration", "answered", "learning", "timeline"]
    assert names[9] == ["repeats", *names[3]]
    assert {"importances", "slice-0", "parallel"} <= set(names[30])
    assert plots(example(0)) == []
    assert plots(example(5, scored=False)) == []
    facts = example(30)
    facts["best"]["test"]["pictures"] = 49
    assert "calibration" not in {plot.name for plot in plots(facts)}


def test_the_chapters_come_in_the_order_of_the_story(tmp_path):
    texts = written(tmp_path, example(30))
    story = ["The answer", "Against the article", "Why believe it", "Which lever did what"]
    story += ["The curves", "What it gets wrong", "What would make it better", "What it cost"]
    story += ["How to repeat it", "All trials", "The data"]
    assert re.findall("<h2>(.*?)</h2>", texts["report.html"]) == story
    # Markdown has no figures.
    told = re.findall("^## (.*)$", texts["report.md"], re.MULTILINE)
    assert told == [chapter for chapter in story if chapter != "The curves"]


@pytest.mark.parametrize("trials", [1, 30])
def test_no_markup_of_ours_is_read_as_text(tmp_path, trials):
    facts = example(trials)
    facts["confirmation"] = facts["cross_validation"] = None  # the report then names their options
    write(facts, tmp_path)
    text = Page((tmp_path / "report.html").read_text()).text
    assert "--confirm 3x5" in text
    assert "<span" not in text


def test_every_figure_has_a_text_alternative_with_numbers(tmp_path):
    page = Page(written(tmp_path, example(30))["report.html"])
    figures = [label for label in page.labels if label != "the best"]
    assert len(figures) == len(plots(example(30)))
    assert all(re.search(r"\d", label) for label in figures)


def test_what_the_end_of_a_run_found_stands_in_markdown_and_page(tmp_path):
    facts = example(30)
    texts = written(tmp_path, facts)
    confirmed = facts["confirmation"]
    winner = next(c for c in confirmed["candidates"] if c["trial"] == confirmed["winner"])
    mistake = facts["best"]["mistakes"]["most_confident"][3]
    for text in (texts["report.md"], re.sub(r"\s+", " ", Page(texts["report.html"]).text)):
        assert f"{percent(winner['mean'])} of the validation pictures on average" in text
        assert percent(facts["cross_validation"]["mean"]) in text
        assert "Area under the ROC curve" in text
        assert percent(min(facts["best"]["test"]["recall"].values())) in text
        assert mistake["file"] in text
        assert facts["doubts"]["most"][5]["file"] in text
        assert "74 as another class" in text
        assert "repeats 1001, 1002, 1003, 1004, 1005" in text
        assert re.search(r"Price\W*1\.23", text)
    assert texts["report.html"].count("data:image/jpeg;base64,") == 36 + len(facts["shown"])
    assert all(sheet["image"] in texts["report.html"] for sheet in facts["shown"])
    assert mistake["thumbnail"] in texts["report.html"]
    assert mistake["heat"] in texts["report.html"]
    assert "fANOVA" in texts["report.md"]


def test_trials_that_answer_together_are_named_with_what_that_gains_and_costs(tmp_path):
    facts = example(30)
    facts["best"]["ensemble"] = {
        "trials": [facts["best"]["trial"], 4, 11],
        "validation": {"accuracy": 0.9, "loss": 0.3},
        "test": {"accuracy": 0.7654, "loss": 0.4321},
        "milliseconds": 31.2,
        "milliseconds_alone": 27.9,
    }
    texts = written(tmp_path, facts)
    for text in (texts["report.md"], re.sub(r"\s+", " ", Page(texts["report.html"]).text)):
        assert "answers together with trials 4 and 11: the mean of their probabilities" in text
        assert "alone gets 76.5 % of the test pictures right with a loss of 0.432" in text
        assert "a picture takes 31 ms, alone 28 ms" in text


def test_a_search_that_goes_on_claims_no_more_than_it_knows(tmp_path):
    texts = written(tmp_path, example(12, running=True))
    for text in (texts["report.md"], re.sub(r"\s+", " ", Page(texts["report.html"]).text)):
        assert "was not over when this was written: 11 trials were, of at most 24." in text
        assert "The best so far gets" in text
        assert "There was no test split" not in text
        assert "--confirm" not in text


def test_the_answer_stands_in_markdown_and_page(tmp_path):
    facts = example(30)
    best = facts["best"]
    texts = written(tmp_path, facts)
    page = Page(texts["report.html"])
    phrase = in_words(best["hyperparameters"])
    for text in (texts["report.md"], re.sub(r"\s+", " ", page.text)):
        assert phrase in text
        for split in ("validation", "test"):
            assert percent(best[split]["accuracy"]) in text
            assert interval(best[split]["interval"]) in text
        assert "about 75-80 %" in text
        assert facts["run"]["command"] in text
        assert facts["data"]["fingerprint"] in text
        assert "Entries computed more than once" in text
    assert any(f"trial {best['trial']}, reaches" in label for label in page.labels)


def test_markdown_tables_are_well_formed(tmp_path):
    facts = example(30, ["a|b", "`c`"], warnings=["a|b is *small*"])
    lines = written(tmp_path, facts)["report.md"].splitlines()
    for before, line in pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            cells = [len(re.findall(r"(?<!\\)\|", row)) for row in (before, line)]
            assert cells[0] == cells[1]


def test_a_network_of_the_users_has_a_report_without_the_article(tmp_path):
    facts = example(30) | {"experiments": []}
    for number, trial in enumerate(facts["trials"]):
        trial["experiment"] = None
        trial["hyperparameters"] = {"units": 32 * (number % 4 + 1), "relu": number % 2 == 0}
    best = facts["trials"][facts["best"]["trial"]]
    facts["best"]["hyperparameters"] = best["hyperparameters"]
    facts["importances"]["methods"] = {"fanova": {"units": 1.0}, "ped_anova": {}}
    texts = written(tmp_path, facts)
    for name in ("report.md", "report.html"):
        assert f"Units {best['hyperparameters']['units']}" in texts[name]
        assert "Against the article" not in texts[name]
    names = {plot.name for plot in plots(facts)}
    assert {"slice-0", "slice-1", "parallel", "importances", "history"} <= names


@pytest.mark.parametrize("objectives", [("accuracy", "parameters"), ("accuracy", "loss", "x")])
def test_several_objectives_have_a_front(tmp_path, objectives):
    facts = with_front(example(30), objectives)
    texts = written(tmp_path, facts)
    names = [plot.name for plot in plots(facts)]
    assert names[: len(objectives)] == [
        *(f"front-{n}" for n in range(1, len(objectives))),
        "repeats",
    ]
    for text in (texts["report.md"], Page(texts["report.html"]).text):
        assert "Beaten by none in all objectives" in text
        assert "but “the best” in this report is the highest validation accuracy" in text
    rows = re.findall(r"^\| (\d+) \| \d\d\.\d % \|", texts["report.md"], re.MULTILINE)
    assert set(map(str, facts["front"]["best"])) <= set(rows)


def test_all_trials_may_be_equally_good(tmp_path):
    facts = example(30)
    for trial in facts["trials"]:
        trial["best_accuracy"] = 0.5 if trial["epochs"] else None
    assert "parallel" in {plot.name for plot in plots(facts)}
    written(tmp_path, facts)


def test_no_test_split_is_said(tmp_path):
    texts = written(tmp_path, example(3, test=False))
    assert "There was no test split" in texts["report.md"]
    assert "There was no test split" in texts["report.html"]


def test_no_best_is_said_with_the_reasons(tmp_path):
    texts = written(tmp_path, example(4, scored=False))
    for name in ("report.md", "report.html"):
        assert "no trial finished an epoch" in texts[name]
        assert "ResourceExhaustedError" in texts[name]


def test_notes_and_interruption_come_before_the_answer(tmp_path):
    facts = example(3, note="The weights are random.")
    facts["run"]["interrupted"] = True
    for name in ("report.md", "report.html"):
        text = written(tmp_path, facts)[name]
        first, second = text.index("The weights are random."), text.index("was interrupted")
        assert first < second < text.index("The answer")


def test_names_from_the_user_stay_text(tmp_path):
    facts = example(5, [ATTACK, "dogs"], note=ATTACK, warnings=[ATTACK])
    facts["run"]["name"] = facts["run"]["command"] = facts["data"]["root"] = ATTACK
    for trial in facts["trials"]:
        trial["reason"] = ATTACK
        trial["hyperparameters"]["augmentation"] = ATTACK
        trial["hyperparameters"][ATTACK] = ATTACK
        trial["worker"] = ATTACK
    facts["best"]["hyperparameters"] = facts["trials"][facts["best"]["trial"]]["hyperparameters"]
    facts["failures"] = facts["warnings"] = [ATTACK]
    facts["experiments"][0]["title"] = ATTACK
    for mistake in facts["best"]["mistakes"]["most_confident"]:
        mistake["file"] = ATTACK
    plain = Page(written(tmp_path, example(5))["report.html"])
    texts = written(tmp_path, facts)
    page = Page(texts["report.html"])
    assert ATTACK not in texts["report.html"]
    assert page.scripts == plain.scripts
    assert page.text.count(ATTACK) > 10
    # In Markdown only the command holds it as it is: in a code block, where it is text.
    assert texts["report.md"].replace(f"\n    {ATTACK}\n", "").count("<script") == 0


def test_numbers_that_are_not_finite_become_null(tmp_path):
    facts = example(3)
    facts["trials"][1]["curve"]["loss"][5] = math.nan
    facts["best"]["validation"]["loss"] = math.inf
    texts = written(tmp_path, facts)
    content = json.loads(texts["report.json"], parse_constant=pytest.fail)
    assert content["trials"][1]["curve"]["loss"][5] is None
    assert content["best"]["validation"]["loss"] is None


def test_csv_has_every_hyperparameter_as_a_column(tmp_path):
    facts = example(30)
    rows = list(csv.DictReader(written(tmp_path, facts)["trials.csv"].splitlines()))
    for row, trial in zip(rows, facts["trials"], strict=True):
        assert int(row["number"]) == trial["number"]
        assert row["best_validation_accuracy"] == str(trial["best_accuracy"] or "")
        assert int(row["epochs"]) == trial["epochs"]
        assert row["hyperparameter_epochs"] == "50"
        assert row["l1"] == str(trial["hyperparameters"].get("l1", ""))


@pytest.mark.parametrize(
    ("path", "wrong", "message"),
    [
        (["schema_version"], 1, "schema_version is 1, but must be 2"),
        (["trials", 1, "epochs"], "ten", "trials[1].epochs is 'ten', but must be of type int"),
        (["trials", 1, "status"], "lost", "trials[1].status is 'lost', but must be one of"),
        (["data", "counts", "train", "cats"], None, "data.counts.train.cats is None"),
        (["best", "test"], [], "best.test is [], but must be a table"),
        (["run", "seed"], True, "run.seed is True"),
    ],
)
def test_the_schema_names_what_is_wrong(path, wrong, message):
    facts = example(3)
    target = facts
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = wrong
    with pytest.raises(ValueError, match=re.escape(message)):
        check(facts)
    del target[path[-1]]
    if path != ["schema_version"] and "counts" not in path:
        with pytest.raises(ValueError, match="is missing"):
            check(facts)


def test_the_command_line_makes_the_report_again(tmp_path, capsys):
    before = written(tmp_path, example(3))
    for name in FILES - {"report.json"}:
        (tmp_path / name).unlink()
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert {name: (tmp_path / name).read_text(encoding="utf-8") for name in FILES} == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "it has no report.json"),
        ("{", "report.json cannot be read: Expecting property name"),
        ("[]", "schema_version is None, but must be 2"),
        ('{"schema_version": 2}', "created is missing"),
    ],
)
def test_a_wrong_folder_is_one_line_and_exit_code_2(tmp_path, capsys, content, message):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_module_runs():
    command = [sys.executable, "-m", "tuning.report", "no/such/run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: no/such/run is not a run folder: there is no such folder\n"


@pytest.mark.parametrize(
    ("hyperparameters", "phrase"),
    [
        (
            {"network": "vgg16", "unfrozen": 3, "augmentation": "article", "dropout": 0.5,
             "regularization": "none", "batch_size": 16},
            "VGG16, 3 conv layers unfrozen, article augmentation, dropout 0.5, no penalty",
        ),
        (
            {"network": "vgg16", "unfrozen": 0, "augmentation": "none", "dropout": 0.0,
             "regularization": "both", "l1": 1e-5, "l2": 0.00123},
            "VGG16, all conv layers frozen, no augmentation, no dropout, L1 1e-5 and L2 0.00123",
        ),
        (
            {"network": "convnet", "unfrozen": 0, "regularization": "l2", "l2": 1e-4},
            "small convnet, L2 0.0001",
        ),
        ({"network": "vgg16", "unfrozen": 1}, "VGG16, 1 conv layer unfrozen"),
        ({}, ""),
    ],
)  # fmt: skip
def test_in_words(hyperparameters, phrase):
    assert in_words(hyperparameters) == phrase


def test_numbers_have_sensible_digits():
    assert [duration(x) for x in (None, 0.04, 9.96, 59.7, 3599, 7261)] == [
        "–", "0.0 s", "10 s", "1 min 0 s", "59 min 59 s", "2 h 1 min"]  # fmt: skip
    assert [size(x) for x in (0, 1023, 1536, 5 << 30, 3 << 50)] == [
        "0 bytes", "1023 bytes", "1.5 KiB", "5.0 GiB", "3072.0 TiB"]  # fmt: skip
    assert [value(x) for x in (1e-5, 0.00123456, 3, True, None, "l2", [1, 0.5])] == [
        "1e-5", "0.00123", "3", "yes", "–", "l2", "1, 0.5"]  # fmt: skip


def test_markdown_escapes():
    assert escape("a|b\n<i>*c*") == r"a\|b &lt;i&gt;\*c\*"
    assert code("a`b") == "`` a`b ``"
