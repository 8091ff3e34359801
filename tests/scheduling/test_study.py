"""The study: real storages, samplers, what is taken over, what waits to go on."""

import importlib.util
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from postgresql import serving
from told import told

from search_spaces.constraints import parse_constraints
from search_spaces.experiments import EXPERIMENTS
from tuning.errors import UserError
from tuning.options import Options
from tuning.options.choices import SAMPLERS
from tuning.options.option import masked
from tuning.records.event_log import EventLog
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import TrialLog
from tuning.scheduling import storages
from tuning.scheduling import study as studies
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch, TrialEndings
from tuning.scheduling.space import LeverSpace
from tuning.scheduling.stopping import Failures, Spending
from tuning.scheduling.storages import open_storage
from tuning.scheduling.warm_start import take_over

SPACE = LeverSpace(3, {"vgg16": 6})
SAME = {"fingerprint": "cafe", "image_size": 48, "weights": "1", "backbone": "vgg16"}


def result(epoch, accuracy, **more):
    values = {"epoch": epoch, "validation_score": accuracy, "best_score": accuracy}
    return told(
        values
        | {"best_loss": 1 - accuracy, "epoch_seconds": 1.0, "parameters": 10, "over": epoch >= 3}
        | more
    )


def new(store, name="run", kind="tpe", objectives=("accuracy",)):
    return studies.create(store, name, build_sampler(kind, 0), objectives)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("postgresql")) as found:
        yield found


@pytest.fixture(params=["sqlite", "journal", pytest.param("postgresql", marks=pytest.mark.slow)])
def where(request, tmp_path):
    """Where a study may be stored, each kind by turns; empty."""
    if request.param == "postgresql":
        return request.getfixturevalue("server").database()
    return f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else str(tmp_path / "log")


def play(study, stopped=()):
    """One trial finishes, one is stopped, one fails, one is still running."""
    search = LeverSearch(study, LeverSpace(3, {"vgg16": 6}), TrialEndings(set(stopped)))
    numbers = [search.suggest(name)["number"] for name in "abcd"]
    for epoch, accuracy in ((1, 0.6), (2, 0.8)):
        search.on_trial_result("a", result(epoch, accuracy))
    search.on_trial_complete("a", result(3, 0.7, best_score=0.8))
    search.on_trial_complete("b", result(1, 0.5))
    search.on_trial_complete("c", {"failed": "the loss is nan"})
    search.on_trial_result("d", result(1, 0.55))
    search.on_trial_complete("d", result(2, 0.56))  # the search ended
    return numbers


def test_each_ending_is_told_as_what_it_was(where):
    study = new(open_storage(where))
    assert play(study, stopped={1}) == [0, 1, 2, 3]
    finished, stopped, failed, cut = study.get_trials()
    assert (finished.state, finished.value) == (TrialState.COMPLETE, 0.8)
    assert finished.intermediate_values == {1: 0.6, 2: 0.8, 3: 0.7}
    assert (stopped.state, stopped.intermediate_values) == (TrialState.PRUNED, {1: 0.5})
    assert (failed.state, failed.user_attrs["reason"]) == (TrialState.FAIL, "the loss is nan")
    assert cut.state is TrialState.RUNNING


def test_what_was_cut_off_goes_on_as_the_same_trial(where):
    study = new(open_storage(where))
    play(study, stopped={1})
    cut = study.get_trials()[3]
    # Another process comes.
    again = studies.resume(open_storage(where), "run", build_sampler("tpe", 1))
    states = [trial.state for trial in again.get_trials()]
    assert states == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.WAITING,
    ]
    assert studies.count_finished(again) == 3
    search = LeverSearch(again, LeverSpace(3, {"vgg16": 6}))
    proposed = search.suggest("x")
    assert proposed["number"] == 3
    levers = proposed["hyperparameters"]
    assert {name: levers[name] for name in cut.params} == cut.params
    search.on_trial_complete("x", result(3, 0.9))
    assert again.get_trials()[3].intermediate_values == {1: 0.55, 2: 0.56, 3: 0.9}
    assert search.suggest("y")["number"] == 4


def test_a_trial_killed_while_it_was_proposed_is_proposed_in_full(where):
    study = new(open_storage(where))
    trial = study.ask()
    trial.suggest_categorical("network", ["vgg16", "convnet"])  # and then the power went
    again = studies.resume(open_storage(where), "run", build_sampler("tpe", 1))
    levers = LeverSearch(again, LeverSpace(3, {"vgg16": 6})).suggest("x")["hyperparameters"]
    assert levers["network"] == trial.params["network"]
    assert "dropout" in levers


def test_the_log_learns_what_the_study_knows(where, tmp_path):
    study = new(open_storage(where))
    trial_log = TrialLog(EventLog(tmp_path / "trials.jsonl"))
    for number in range(4):
        trial_log.start(number, {"epochs": 3})
    play(study, stopped={1})
    studies.reconcile(study, trial_log)
    statuses = [trial_log.records[number].status for number in range(4)]
    assert statuses == ["finished", "stopped", "failed", "running"]
    assert trial_log.records[2].reason == "the loss is nan"


def test_a_warm_start_takes_over_what_is_finished(tmp_path):
    folder = tmp_path / "earlier"
    folder.mkdir()
    earlier = new(open_storage(RunFolder(folder).storage), "earlier")
    earlier.set_user_attr("conditions", SAME)
    play(earlier, stopped={1})
    fresh = new(open_storage(str(tmp_path / "log")))
    assert take_over(fresh, str(folder), SPACE, SAME) == 2
    assert [trial.value for trial in fresh.get_trials(states=(TrialState.COMPLETE,))] == [0.8]
    assert fresh.get_trials()[0].user_attrs["from"] == "earlier 0"
    assert studies.count_finished(fresh) == 0
    other = new(open_storage(str(tmp_path / "other")))
    assert take_over(other, f"sqlite:///{folder}/study.db#earlier", SPACE, SAME) == 2


def test_a_warm_start_takes_what_lies_in_the_space(tmp_path):
    earlier = new(open_storage(f"sqlite:///{tmp_path}/study.db"), "earlier")
    earlier.set_user_attr("conditions", SAME)
    play(earlier, stopped={1})
    first = earlier.trials[0].user_attrs["hyperparameters"]
    narrow = LeverSpace(
        3, {"vgg16": 6}, constraints=parse_constraints([f"network={first['network']}"])
    )
    same = sum(
        trial.user_attrs["hyperparameters"]["network"] == first["network"]
        for trial in earlier.trials[:2]
    )
    fresh = new(optuna.storages.InMemoryStorage())
    assert take_over(fresh, f"sqlite:///{tmp_path}/study.db", narrow, SAME) == same
    assert "network" not in fresh.trials[0].params  # pinned, so it is not asked for
    LeverSearch(fresh, narrow, SAME).suggest("next")
    full = LeverSpace(3, {"vgg16": 6}, "full")
    assert (
        take_over(
            new(optuna.storages.InMemoryStorage()), f"sqlite:///{tmp_path}/study.db", full, SAME
        )
        == 2
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [("nowhere", "no such run folder"), ("sqlite:///{}/study.db#that", "has the studies earlier")],
)
def test_a_warm_start_from_nothing_is_told(tmp_path, source, said):
    new(open_storage(f"sqlite:///{tmp_path}/study.db"), "earlier")
    fresh = new(optuna.storages.InMemoryStorage())
    with pytest.raises(UserError, match=said):
        take_over(fresh, source.format(tmp_path), SPACE, SAME)


def test_a_warm_start_with_other_objectives_is_told(tmp_path):
    new(open_storage(f"sqlite:///{tmp_path}/s.db"), "run", objectives=["accuracy", "parameters"])
    with pytest.raises(UserError, match="other objectives"):
        take_over(new(optuna.storages.InMemoryStorage()), f"sqlite:///{tmp_path}/s.db", SPACE, SAME)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"fingerprint": "f00d"}, "on other pictures"),
        ({"fingerprint": "f00d", "image_size": 64}, "at another image size, so"),
        ({"weights": "0"}, "from other weights"),
        ({"backbone": "another"}, "with another backbone"),
        (None, "at another image size and from other weights and with another backbone"),
    ],
)
def test_of_other_conditions_points_are_taken_over_and_no_values(tmp_path, other, said, caplog):
    earlier = new(open_storage(f"sqlite:///{tmp_path}/study.db"), "earlier")
    if other is not None:  # else it is of a version that did not say
        earlier.set_user_attr("conditions", {**SAME, **other})
    search = LeverSearch(earlier, SPACE)
    for number in range(14):
        search.suggest(str(number))
        search.on_trial_complete(str(number), result(3, number / 20))
    fresh = new(optuna.storages.InMemoryStorage())
    assert take_over(fresh, f"sqlite:///{tmp_path}/study.db", SPACE, SAME) == 10
    assert said in caplog.text
    assert {trial.state for trial in fresh.trials} == {TrialState.WAITING}
    ours = LeverSearch(fresh, SPACE)
    tried = [ours.suggest(f"new {number}")["hyperparameters"] for number in range(10)]
    best = [trial.user_attrs["hyperparameters"] for trial in reversed(earlier.trials)]
    assert tried == best[:10]


def test_a_study_that_is_there_is_not_written_over(where, tmp_path):
    store = open_storage(where)
    new(store)
    with pytest.raises(UserError, match="--resume run"):
        new(store)
    assert studies.resume(store, "other", build_sampler("tpe", 0)) is None
    fresh = studies.create(store, "other", build_sampler("random", 1), ["accuracy"])
    strange = TrialLog(EventLog(tmp_path / "trials.jsonl"))
    strange.start(0, {"epochs": 3, "network": "no such"})
    with pytest.raises(UserError, match="no study other"):
        studies.rebuild(fresh, EXPERIMENTS, strange)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("/nowhere/log", "does not exist"),
        ("sqlite:////nowhere/study.db", "unable to open database file"),
        ("oracle9://x", "is of an unknown kind"),
        ("postgresql://me:***@host/db", "give --storage again"),
        ("postgresql://me:secret@127.0.0.1:9/db", "refused"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_told_without_its_password(where, said):
    with pytest.raises(UserError, match=said) as caught:
        open_storage(where)
    assert "secret" not in str(caught.value)


def test_passwords_are_masked():
    assert masked("postgresql://me:se:c@ret@host/db") == "postgresql://me:***@host/db"
    assert masked("postgresql://host/db") == "postgresql://host/db"
    assert masked("runs/a@b:c") == "runs/a@b:c"


@pytest.mark.parametrize("kind", [kind for kind in SAMPLERS if kind not in ("grid", "gp")])
def test_every_sampler_proposes_within_the_space(kind):
    study = new(optuna.storages.InMemoryStorage(), kind=kind)
    search = LeverSearch(study, LeverSpace(4, {"vgg16": 6}))
    for number in range(12):
        levers = search.suggest(str(number))["hyperparameters"]
        assert 0 <= levers["dropout"] <= 0.8
        assert levers.get("unfrozen", 0) <= 6
        search.on_trial_complete(str(number), result(4, 0.5 + levers["dropout"] / 10))
    assert len({trial.params["dropout"] for trial in study.trials}) > 3


def test_the_gaussian_process_sampler():
    if importlib.util.find_spec("torch") is None:
        with pytest.raises(UserError, match="needs the package torch"):
            build_sampler("gp", 0)
    else:
        assert isinstance(build_sampler("gp", 0), optuna.samplers.GPSampler)


def test_several_objectives_give_a_front():
    study = new(optuna.storages.InMemoryStorage(), objectives=["accuracy", "parameters"])
    search = LeverSearch(study, LeverSpace(2, {"vgg16": 6}), objectives=["accuracy", "parameters"])
    for name, accuracy, parameters in (("a", 0.9, 30), ("b", 0.8, 10), ("c", 0.7, 20)):
        search.suggest(name)
        search.on_trial_result(name, result(1, 0.5))
        search.on_trial_complete(name, result(2, accuracy, parameters=parameters, over=True))
    assert [trial.number for trial in study.best_trials] == [0, 1]


@pytest.mark.slow
def test_the_dashboard_opens_the_storage_as_it_is(tmp_path):
    play(new(open_storage(f"sqlite:///{tmp_path}/study.db"), "a-run"), stopped={1})
    program = Path(sys.executable).parent / "optuna-dashboard"
    port = "18317"
    process = subprocess.Popen(
        [program, f"sqlite:///{tmp_path}/study.db", "--port", port, "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies") as answer:
                    page = answer.read().decode()
                break
            except OSError:
                time.sleep(0.5)
        assert "a-run" in page
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/dashboard") as answer:
            assert "Optuna Dashboard" in answer.read().decode()
    finally:
        process.terminate()
        process.wait()


def test_a_budget_counts_hours_times_price(tmp_path):
    options = Options(price=2, budget=3, runs=tmp_path)
    trial_log = TrialLog(EventLog(tmp_path / "trials.jsonl"))
    spending = Spending(options, trial_log, gpus=0.5)
    trial_log.start(0, {"epochs": 3})
    trial_log.records[0].seconds = 2 * 3600  # at half a GPU: one hour, which costs 2
    assert spending.money == pytest.approx(2 / 3)
    trial_log.records[0].seconds = 3 * 3600
    assert spending.money == 1
    assert spending.time == 0  # of which nothing was said


def test_a_time_budget_counts_what_the_sessions_before_have_spent(tmp_path):
    """Not the time between them."""
    events = EventLog(tmp_path / "trials.jsonl")
    events.write(event="session", at=100.0)
    events.write(event="start", number=0, hyperparameters={"epochs": 3}, at=130.0)
    events.write(event="session", at=900.0)
    spending = Spending(Options(time_budget=100, runs=tmp_path), TrialLog(events), gpus=0.0)
    assert 0.3 <= spending.time < 0.8


def test_failures_alike_are_counted_in_a_row():
    failures = Failures()
    for reason in ("size 3 is odd", "size 5 is odd", None, "size 7 is odd", "out of memory"):
        failures.add(reason)
    assert failures.row == 1
    for size in range(4):
        failures.add(f"size {size} is odd")
    assert failures.row == 4


def few(trial):
    """A space of four points."""
    return {
        "epochs": 3,
        "kind": trial.suggest_categorical("kind", ["a", "b"]),
        "size": trial.suggest_int("size", 0, 1),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "tpe", "grid"])
def test_no_point_is_trained_twice_and_a_space_may_come_to_its_end(where, kind):
    study = new(open_storage(where), kind=kind)
    search, told = LeverSearch(study, few), []
    for number in range(20):
        config = search.suggest(str(number))
        if config == LeverSearch.FINISHED:
            break
        told.append(config["hyperparameters"])
        search.on_trial_complete(str(number), result(3, 0.1 * number))
    assert len(told) == 4
    assert len({(each["kind"], each["size"]) for each in told}) == 4
    (note,) = search.notes()
    assert note.startswith("The search is over after 4 configurations: ")
    assert studies.count_finished(study) == 4
    # Gone on with, it knows what it has.
    again = LeverSearch(studies.resume(open_storage(where), "run", build_sampler(kind, 1)), few)
    assert again.suggest("x") == LeverSearch.FINISHED


def test_a_point_that_was_asked_for_twice_is_trained_twice(where):
    study = new(open_storage(where))
    for _ in range(2):
        study.enqueue_trial({"kind": "a", "size": 0})
    search = LeverSearch(study, few)
    assert search.suggest("a")["hyperparameters"] == search.suggest("b")["hyperparameters"]
    assert search.notes() == []


@contextmanager
def held(file, seconds):
    """Another process's hold on a database, for so long."""
    ready = threading.Event()

    def hold():
        with closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN EXCLUSIVE")
            ready.set()
            time.sleep(seconds)
            other.rollback()

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    yield
    thread.join()


def test_a_database_that_somebody_holds_is_waited_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(storages, "ATTEMPT", 0.2)
    file = tmp_path / "study.db"
    store = storages.open_storage(f"sqlite:///{file}")
    study = optuna.create_study(storage=store, direction="maximize")
    with held(file, 1.5):
        trial = study.ask()
    assert "is held by another process" in caplog.text
    assert caplog.text.count("waits for it") == 1
    study.tell(trial, 0.5)
    assert [each.value for each in study.trials] == [0.5]
    with held(file, 1.0):
        again = storages.open_storage(f"sqlite:///{file}")
    assert len(optuna.load_study(study_name=study.study_name, storage=again).trials) == 1
    monkeypatch.setattr(storages, "PATIENCE", 0.5)
    with held(file, 3.0), pytest.raises(StorageInternalError):
        study.ask()


@pytest.mark.slow
def test_a_server_that_is_away_is_waited_for(server):
    """As when it is started anew: what had been told is there, and the next is told to it."""
    study = new(open_storage(server.database()))
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


def test_what_lasts_is_not_waited_for(tmp_path):
    file = tmp_path / "study.db"
    store = storages.open_storage(f"sqlite:///{file}")
    study = optuna.create_study(storage=store)
    with closing(sqlite3.connect(file)) as other:
        other.execute("DROP TABLE trials")
        other.commit()
    began = time.monotonic()
    with pytest.raises(StorageInternalError):
        study.ask()
    assert time.monotonic() - began < 10


def test_looking_at_a_storage_makes_none(tmp_path):
    study = optuna.create_study(direction="maximize")
    with pytest.raises(UserError, match="there is no file"):
        take_over(study, f"sqlite:///{tmp_path}/new.db", SPACE, SAME)
    assert list(tmp_path.iterdir()) == []
