"""Searches from end to end, as a user starts them: what can be asked of one."""

import csv
import io
import json
import os
import re
import signal
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from test_search import start

from tuning import report
from tuning.cluster.joining import connected
from tuning.data import dataset
from tuning.process.surroundings import put_back
from tuning.records.event_log import EventLog
from tuning.records.trial_log import read_trials
from tuning.report.story import headline
from tuning.scheduling import plateau
from tuning.search import main
from tuning.wording import duration

TESTS = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow
EPOCHS = 100  # of the experiments that are killed: more than one step of a worker


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("searches")


@pytest.fixture(scope="module", autouse=True)
def cluster(place):
    """A Ray that all searches here use, each with workers of its own: it takes seconds to start."""
    with put_back():
        os.environ |= {"WANDB_MODE": "offline", "WANDB_DIR": str(place)}  # Ray's processes keep it
        with connected(None):
            yield


@pytest.fixture
def asked(photos, place):
    """What is asked for by a search of a name, and its run folder."""

    def words(name, *arguments):
        given = (
            *("--image-size", "32", "--weights", "random", "--name", name),
            *("--runs", place / "runs", "--cache", place / "cache", *arguments),
        )
        if "--cpus-per-trial" not in arguments:  # one at a time: one process less to start
            given += ("--cpus-per-trial", os.cpu_count())
        if "--data" not in arguments:
            given += ("--data", photos, "--per-class", "24", "12")
        return place / "runs" / name, [*map(str, given)]

    return words


@pytest.fixture
def search(asked, monkeypatch):
    """Runs one in this process; returns its folder, its exit code, and what stderr said."""
    monkeypatch.chdir(TESTS)  # where a HyperModel is found

    def search(name, *arguments):
        folder, words = asked(name, *arguments)
        code, _, said = run(*words)
        return folder, code, said

    return search


def run(*words):
    """Exit code, standard output and standard error of the command, in this process."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as said:
        code = main([*map(str, words)])
    return code, out.getvalue(), said.getvalue()


def study_of(folder):
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder}/study.db")


def facts_of(folder):
    return report.check(json.loads((folder / "report.json").read_text()))


def test_one_trial_at_a_time_a_seed_gives_the_same_search(search):
    found = []
    for name in ("first", "second"):
        folder, code, said = search(
            name,
            *("--trials", 5, "--epochs", 2, "--views", 2, "--seed", 3),
            *("--set", "network=vgg16", "unfrozen=0", "augmentation=none,medium"),
        )
        assert code == 0, said
        tried = read_trials(EventLog(folder / "trials.jsonl"))
        found.append([(each.hyperparameters, each.status, each.curve) for each in tried])
    first, second = found
    assert [each[:2] for each in first] == [each[:2] for each in second]
    for (_, _, one), (_, _, other) in zip(first, second, strict=True):
        for name, values in one.items():
            assert values == pytest.approx(other[name], rel=1e-4)


def test_todays_recipe_begins_with_its_portfolio(place):
    """In `first`."""
    folder = place / "runs/first"
    facts = facts_of(folder)
    proposed = [trial for trial in facts["trials"] if trial["experiment"] is None]
    assert len(proposed) == 4
    tried = [trial["hyperparameters"] for trial in proposed]
    assert [each["augmentation"] for each in tried[:3]] == ["none", "none", "medium"]
    assert [each["pooling"] for each in tried[:3]] == ["average", "standardised", "average"]
    assert {each["preprocessing"] for each in tried} == {"imagenet"}
    study = study_of(folder)
    # What is fixed is no lever: the sampler never sees it.
    (last,) = (each for each in study.trials if each.number == proposed[-1]["number"])
    assert not set(last.params) & {"clip", "warmup", "optimizer"}
    # Nor the experiment, whose parameters are behind its name.
    (marked,) = (each for each in study.trials if "experiment" in each.user_attrs)
    assert marked.params["bottleneck/dropout"] == 0.5
    assert marked.params["bottleneck/batch_size"] == 16
    assert not set(marked.params) & set(last.params)
    # As the report says it where one of these wins, which chance decides here.
    assert "today's recipe" in headline({**facts["best"], "hyperparameters": tried[0]})
    assert (folder / "best/model.keras").exists()


def test_points_of_the_user_and_of_an_earlier_run(search, place):
    """After `first`, whose finished trials it takes over."""
    points = place / "points.json"
    points.write_text('[{"network": "vgg16", "unfrozen": 0, "dropout": 0.25, "head_rate": 0.002}]')
    folder, code, said = search(
        "third",
        *("--trials", 3, "--epochs", 2, "--enqueue", points, "--warm-start", place / "runs/first"),
        *("--set", "network=vgg16", "unfrozen=0", "augmentation=none", "--sampler", "tpe"),
        *("--confirm", "1x2", "--folds", "2", "--ensemble", "3"),
    )
    assert code == 0, said
    study = study_of(folder)
    own = [trial for trial in study.trials if "from" not in trial.user_attrs]
    over = [trial for trial in own if trial.state.is_finished()]
    assert len(over) == 3
    assert len(study.trials) > len(own)
    facts = facts_of(folder)
    tried = [trial["hyperparameters"] for trial in facts["trials"]]
    # What is known to be good was observed in `first`; so the user's comes first, then the one
    # experiment that --set leaves.
    assert [trial["experiment"] for trial in facts["trials"]] == [None, "bottleneck", None]
    assert (tried[0]["dropout"], tried[0]["head_rate"]) == (0.25, 0.002)
    assert facts["confirmation"]["repeats"] == 2
    together = facts["best"]["ensemble"]
    alone = [warning for warning in facts["warnings"] if "answers alone" in warning]
    assert bool(together) != bool(alone)  # either is told, whichever it is
    if together:
        assert len(together["trials"]) == 3
        assert together["trials"][0] == facts["best"]["trial"]
        assert facts["best"]["validation"]["loss"] < together["validation"]["loss"]
    assert facts["confirmation"]["winner"] == facts["best"]["trial"]
    assert facts["cross_validation"]["folds"] == 2


def test_a_run_is_extended_when_its_pictures_have_changed(place):
    """After `first`, of which some pictures are held out now."""
    given = ("--extend", "first", "--name", "more", "--runs", place / "runs", "--holdout", "0.1")
    code, _, said = run(*given, "--trials", 2)
    assert code == 0, said
    folder = place / "runs/more"
    earlier, facts = facts_of(place / "runs/first"), facts_of(folder)
    assert facts["data"]["fingerprint"] != earlier["data"]["fingerprint"]
    study = study_of(folder)
    assert not any("from" in trial.user_attrs for trial in study.trials)  # none is an observation
    # The best that was proposed, and the experiment that lies in its space.
    best = sorted(earlier["trials"], key=lambda trial: -(trial["best_accuracy"] or 0))
    known = [trial["hyperparameters"] for trial in best]
    assert [trial["experiment"] for trial in facts["trials"]] == [None, "bottleneck"]
    assert facts["trials"][0]["hyperparameters"] in known
    # Of the 72 pictures those alone that took the places of the ones held out, in some views.
    computed = [e for e in EventLog(folder / "cache.jsonl").read() if e["event"] == "build"]
    assert 0 < max(event["pictures"] for event in computed) < 20
    test = facts["best"]["test"]
    assert sum(map(sum, test["confusion"])) == test["pictures"] > 0
    assert set(test["recall"]) == {"cats", "dogs"}


def test_few_pictures_of_a_class_are_searched_by_balanced_accuracy(asked, all_photos, place):
    """200 pictures against 8: an accuracy of 96 % can be had without looking."""
    root = place / "rare"
    for name, number in (("cats", 200), ("dogs", 8)):
        (root / name).mkdir(parents=True)
        for file in sorted((all_photos / "train" / name).iterdir())[:number]:
            (root / name / file.name).symlink_to(file)
    folder, words = asked(
        "rare",
        *("--data", root, "--trials", 4, "--epochs", 3, "--cpus-per-trial", os.cpu_count()),
        *("--set", "network=vgg16", "unfrozen=0", "augmentation=none", "--folds", 2),
        "--resplit",
    )
    code, out, said = run(*words)
    assert (code, said) == (0, "")
    assert "goes by balanced accuracy" in out
    assert "cats 200, dogs 8" in out
    facts = facts_of(folder)
    assert facts["metric"] == "balanced_accuracy"
    weights = [trial["hyperparameters"].get("class_weights") for trial in facts["trials"]]
    assert {"none", "inverse"} <= set(weights)
    ranked = [t["best_score"] for t in facts["trials"] if t["status"] == "finished"]
    assert facts["best"]["validation"]["score"] == pytest.approx(max(ranked), abs=1e-6)
    assert facts["best"]["test"]["commonest"] > 0.9
    # On the winner's own division: on the others it has been shown what it would be judged by.
    best = next(t for t in facts["trials"] if t["number"] == facts["best"]["trial"])
    said_then = best["curve"]["validation_loss"][facts["best"]["epoch"] - 1]
    assert facts["best"]["validation"]["loss"] == pytest.approx(said_then, rel=1e-3)
    assert "each on a division of its own" in (folder / "report.md").read_text()
    with (folder / "doubts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(sum(each.values()) for each in facts["data"]["counts"].values())
    doubted = [row["suggested"] for row in rows]
    assert doubted == sorted(doubted, key=lambda each: each == "")  # these first
    assert sum(map(bool, doubted)) == facts["doubts"]["counted"]
    assert facts["learning_curve"] is None  # of eight pictures nobody can say
    # Corrected, it is what the next search goes by: classes, splits and groups.
    cat = next(row for row in rows if row["label"] == "cats")
    corrected, text = place / "corrected.csv", (folder / "doubts.csv").read_text()
    corrected.write_text(text.replace(f"{cat['file']},cats,", f"{cat['file']},dogs,"))
    again = dataset.load(root, cache=place / "cache", image_size=32, listed=corrected)
    counts = {name: dict(each) for name, each in facts["data"]["counts"].items()}
    counts[cat["split"]]["cats"] -= 1
    counts[cat["split"]]["dogs"] += 1
    assert again.counts() == counts
    report = (folder / "report.md").read_text()
    assert "Commonest class" in report
    assert "Balanced accuracy" in report
    assert facts["cross_validation"]["mean"] < 0.95  # no share that the commonest class gives


def test_the_best_two_of_several_backbones_are_searched_for_a_front(asked, place, monkeypatch):
    """One of them sees nothing; a network of the user's own needs no weights."""
    monkeypatch.chdir(TESTS)  # where the user's module lies
    folder, words = asked(
        *("networks", "--backbone", "vgg16", "users_networks:blind", "users_networks:network"),
        *("--trials", "4", "--epochs", "1", "--no-experiments"),
        *("--objective", "accuracy", "--objective", "parameters"),
        *("--space", "full", "--sampler", "random"),
    )
    assert main(words) == 0
    facts = facts_of(folder)
    rows = facts["screening"]
    assert [each["name"] for each in rows if each["searched"]] == [r["name"] for r in rows[:2]]
    assert rows[0]["score"] >= rows[1]["score"] >= rows[2]["score"]
    assert {each["name"]: each["accuracy"] for each in rows}["blind"] == 0.5
    assert {each["name"]: each["parameters"] for each in rows}["vgg16"] == 14_714_688
    used = {trial["hyperparameters"]["network"] for trial in facts["trials"]}
    assert used == {each["name"] for each in rows[:2]}
    assert facts["space"]["networks"] == [each["name"] for each in rows[:2]]
    assert not any(each["trial"] is not None for each in facts["experiments"])
    study = study_of(folder)
    for trial in (each for each in study.trials if each.params):
        network = trial.user_attrs["hyperparameters"]["network"]
        assert {n for n in trial.params if "unfrozen" in n} == {f"{network}/unfrozen"}
    text = (folder / "report.md").read_text()
    assert "## Which frozen network" in text
    assert "The best trial of" in text
    assert "| users_networks:network |" not in text
    # Of two objectives.
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    over = [trial for trial in study.trials if trial.state is not TrialState.WAITING]
    assert [trial.state for trial in over] == [TrialState.COMPLETE] * 4
    assert facts["run"]["objectives"] == ["accuracy", "parameters"]
    assert facts["front"] is not None
    # What goes on keeps to what was chosen, and is told apart from a search of one of them.
    again = Path(words[words.index("--runs") + 1])
    assert main(["--resume", "networks", "--runs", str(again), "--trials", "5"]) == 0
    resumed = json.loads((folder / "report.json").read_text())
    assert resumed["screening"] == rows
    assert len(resumed["trials"]) == 5


def test_a_search_of_no_given_length_ends_by_itself(search, monkeypatch):
    monkeypatch.setattr(plateau, "WINDOW", 5)  # else it is twenty trials longer
    folder, code, said = search(
        "alone",
        *("--hypermodel", "hypermodels_that_fail:Sound", "--epochs", 1),
        *("--sampler", "random", "--cpus-per-trial", os.cpu_count(), "--resplit"),
    )
    assert code == 0, said
    facts = facts_of(folder)
    # Five that gained no more than chance, and what they are compared with.
    assert 5 < len(facts["trials"]) < 200
    assert facts["run"]["ended"] is None
    (note,) = facts["warnings"]
    assert f"ended by itself after {len(facts['trials'])} trials" in note
    # What chance does was measured if they gained something, and is no part of the search.
    again = read_trials(EventLog(folder / "noise" / "trials.jsonl"))
    assert len(again) == (3 if "3 fresh seeds" in note else 0)
    assert {each.status for each in again} <= {"finished"}


def test_a_trial_that_fails_is_told_with_its_reason_and_the_search_goes_on(search):
    folder, code, said = search(
        "moody",
        *("--hypermodel", "hypermodels_that_fail:Moody", "--epochs", 1, "--sampler", "grid"),
        *("--trials", 9),
    )
    assert code == 0, said
    trials = study_of(folder).trials
    assert len(trials) == 5  # each point of the grid once
    reasons = {trial.params["today/mood"]: trial.user_attrs.get("reason") for trial in trials}
    assert reasons["good"] is None
    assert "no layer is 3 wide" in reasons["broken"]
    assert "memory" in reasons["greedy"]
    assert "loss" in reasons["wild"]
    assert "ZeroDivisionError: " in reasons["faulty"]
    assert "hypermodels_that_fail.py:" in reasons["faulty"]
    log = folder / reasons["faulty"].rpartition("; see ")[2]
    assert "Traceback" in log.read_text()
    facts = facts_of(folder)
    assert sorted(trial["status"] for trial in facts["trials"]) == ["failed"] * 4 + ["finished"]
    assert facts["best"]["hyperparameters"]["today/mood"] == "good"
    assert len(facts["failures"]) == 4


def test_five_failures_alike_end_the_search(search):
    folder, code, said = search(
        "hopeless", "--hypermodel", "hypermodels_that_fail:Hopeless", "--trials", 30, "--epochs", 1
    )
    assert code == 1
    assert "5 trials in a row failed alike" in said
    assert "does not fit" in said
    assert "Traceback" not in said
    assert len(study_of(folder).trials) < 30
    assert facts_of(folder)["best"] is None or facts_of(folder)["failures"]


def test_where_all_of_a_few_trials_fail_there_is_no_model_and_that_is_said(search):
    folder, code, said = search(
        "few", "--hypermodel", "hypermodels_that_fail:Hopeless", "--trials", 2, "--epochs", 1
    )
    assert code == 1
    assert "error: No trial finished an epoch, so there is no model: " in said
    assert "does not fit" in said
    assert facts_of(folder)["best"] is None


def test_a_budget_that_ends_before_there_is_a_model_says_so(search):
    folder, code, said = search("hurried", "--time-budget", "0.1s", "--trials", 3)
    assert code == 1
    assert "the time budget of 0.1 s was spent, before any trial finished an epoch" in said
    assert "--resume hurried" in said
    assert facts_of(folder)["best"] is None


def test_interrupting_ends_gently(search, place):
    events = place / "runs" / "cut" / "trials.jsonl"

    def interrupt():
        while not (events.exists() and '"finished"' in events.read_text()):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)  # Ctrl-C: see tests/test_api.py

    threading.Thread(target=interrupt, daemon=True).start()
    folder, code, said = search(
        *("cut", "--trials", 50, "--epochs", 6, "--cpus-per-trial", 1),
        *("--set", "network=vgg16", "unfrozen=0", "augmentation=none"),
    )
    assert code == 130, said
    facts = facts_of(folder)
    assert facts["run"]["interrupted"]
    assert facts["best"] is not None
    assert (folder / "best" / "model.keras").is_file()
    assert all(trial.state != TrialState.RUNNING for trial in study_of(folder).trials)


def test_a_time_budget_ends_the_search(asked, place, monkeypatch):
    """Of twice what `alone` took to its first epoch. Told to Weights & Biases, too."""
    pytest.importorskip("wandb")
    monkeypatch.chdir(TESTS)
    events = EventLog(place / "runs/alone/trials.jsonl").read()
    first = next(event["at"] for event in events if event["event"] == "epoch")
    budget = round(2 * (first - events[0]["at"])) + 5
    folder, words = asked(
        "short",
        *("--hypermodel", "users_networks:OnFeatures", "--trials", 1000, "--epochs", 2),
        *("--time-budget", f"{budget}s", "--confirm", "1x2", "--log", "wandb"),
    )
    given = words.index("--weights")
    del words[given : given + 2]  # its backbone has weights of its own
    code, _, said = run(*words)
    assert code == 0, said
    facts = facts_of(folder)
    assert len(facts["trials"]) < 1000
    assert f"the time budget of {duration(budget)} was spent" in facts["run"]["ended"]
    # The trial that was cut off has no end but ours, for which Ray would wait half an hour.
    assert budget < facts["run"]["seconds"] < 900
    assert facts["confirmation"]["repeats"] == 2  # which is no part of the search
    over = [trial for trial in facts["trials"] if trial["status"] == "finished"]
    assert 0 < len(over) <= len(list(place.rglob("offline-run-*/*.wandb")))


def test_a_hypermodel_on_the_features_of_a_backbone(place):
    """In `short`."""
    folder = place / "runs/short"
    facts = facts_of(folder)
    assert facts["best"]["validation"]["accuracy"] > 0
    assert facts["weights"]["sources"] == {"network": "own"}
    assert facts["cache"]["passes_saved"] > 0
    assert facts["cache"]["multiples"] == 0
    assert facts["doubts"]["pictures"] == 72
    card = (folder / "best" / "card.md").read_text()
    assert "HyperModel of the user's" in card


def test_killed_in_the_tenth_epoch_of_the_second_they_go_on_from_a_checkpoint(photos, tmp_path):
    place = ("--runs", tmp_path / "runs")
    log = EventLog(tmp_path / "runs" / "two" / "trials.jsonl")
    process = start(
        "search.py",
        *("--data", photos, "--per-class", 24, 12, "--image-size", 32, "--weights", "random"),
        *("--experiments", "convnet", "bottleneck", "--epochs", EPOCHS, "--time-budget", "20m"),
        *("--cpus-per-trial", os.cpu_count(), "--cache", tmp_path / "cache"),
        *("--name", "two", *place),
    )
    until = time.monotonic() + 600
    while len(epochs(log.read(), 1)) < 9:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = log.read()
    done = len(epochs(before, 1))
    assert 9 <= done < EPOCHS
    code, _, error = run("--resume", "two", *place)
    assert (code, error) == (0, "")
    after = log.read()[len(before) :]
    again = epochs(after, 1)
    assert 1 < again[0] <= done + 1  # from a checkpoint
    assert again == list(range(again[0], EPOCHS + 1))
    assert epochs(after, 0) == []  # it was over
    facts = facts_of(log.path.parent)
    assert [(each["status"], each["epochs"]) for each in facts["trials"]] == 2 * [
        ("finished", EPOCHS)
    ]
    # What was spent before counts, in its time and so in its budget: see test_study.py.
    assert facts["run"]["seconds"] >= before[-1]["at"] - before[0]["at"]


def test_the_articles_experiments_come_in_its_order(asked, tmp_path):
    folder, words = asked("three", "--experiments", "--epochs", 3, "--cache", tmp_path)
    code, out, error = run(*words)
    assert (code, error) == (0, "")
    facts = facts_of(folder)
    assert [(each["status"], each["epochs"]) for each in facts["trials"]] == 3 * [("finished", 3)]
    names = [each["experiment"] for each in facts["trials"]]
    assert names == ["convnet", "bottleneck", "fine_tune"]
    assert re.search(r"Small convnet from scratch +75-80 % +\d+\.\d %", out)
    # The head of experiment 3 is experiment 2's, epochs and all.
    assert len(list((tmp_path / "heads").glob("*.npz"))) == 1
    assert facts["run"]["trials_at_once"] == 1
    assert (folder / "tune").is_dir()  # the loggers' folder


def epochs(events: list[dict], number: int) -> list[int]:
    return [e["epoch"] for e in events if e["event"] == "epoch" and e["number"] == number]
