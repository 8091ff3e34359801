"""Searches in which things break at chance moments, and that are gone on with until they end.

After each no finished trial is lost, none is left running, nothing in the cache is half written,
report and weights agree, and each session's exit code was the one that is documented.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from object_store import Amazon, running
from optuna.trial import TrialState
from postgresql import serving

from tuning.data import dataset
from tuning.export import classifier
from tuning.features.__main__ import main as features
from tuning.records.event_log import EventLog
from tuning.records.trial_log import read_trials
from tuning.scheduling.storages import open_storage

HERE = Path(__file__).parent
SEARCH = HERE.parents[1] / "tuning" / "search.py"
SESSIONS = 6  # at most, until a search must have ended
MOMENTS = ("settings", "study", "build", "start", "epoch", "end", "weights", "best")
KINDS = ("kill", "term", "worker", "locked", "full", "broken")
EARLY = 1.0  # seconds
DISK = 300  # MB of the file system that is filled

pytestmark = pytest.mark.slow


@dataclass
class Place:
    """Where a search runs.

    Attributes:
        folder: The folder of all.
        photos: The pictures.
        mark: A word in the environment of all its processes.
        train: The training pictures of each class.
        space: What the space is kept to.
        store: The object store that run folders have a counterpart in.
        server: The database server that has the study.
    """

    folder: Path
    photos: Path
    mark: str
    train: int = 12
    space: tuple[str, ...] = ()
    store: Any = None
    server: Any = None

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "faulty"

    def start(self, resumed: bool) -> subprocess.Popen:
        runs = self.store.url("runs") if self.store else self.folder / "runs"
        words = ["--runs", runs, *(["--resume", "faulty"] if resumed else ["--name", "faulty"])]
        words += ["--storage", self.server.url] if self.server else []
        if not resumed:
            words += ["--data", self.photos, "--per-class", self.train, "8", "--image-size", "32"]
            words += ["--weights", "random", "--trials", "4", "--epochs", "3"]
            words += ["--max-unfrozen", "1", *(["--set", *self.space] if self.space else [])]
            words += ["--cache", self.folder / "cache", "--cpus-per-trial", "1"]
        shim = self.folder / "failing_disk.so"
        environment = {**os.environ, "MARK": self.mark, "FAILING_FOLDER": str(self.run)}
        environment |= {"FAILING_NOW": str(self.folder / "failing")}
        if shim.exists():
            environment["LD_PRELOAD"] = str(shim)
        with (self.folder / "said.txt").open("a") as said:
            return subprocess.Popen(
                [sys.executable, str(SEARCH), *map(str, words)],
                stdout=said,
                stderr=said,
                env=environment,
                cwd=self.folder,
            )

    def events(self) -> list[dict[str, Any]]:
        return EventLog(self.run / "trials.jsonl").read()

    def workers(self) -> list[int]:
        """Processes of Ray's that work for this search."""
        found = []
        for each in Path("/proc").iterdir():
            try:
                name = (each / "cmdline").read_bytes() if each.name.isdigit() else b""
                ours = self.mark.encode() in (each / "environ").read_bytes() if name else False
            except OSError:
                continue
            if ours and name.startswith((b"ray::Worker", b"ray::_Builder", b"ray::Implicit")):
                found.append(int(each.name))
        return found


def has_come(place: Place, moment: str, number: int, since: int) -> bool:
    """Whether a moment is there; of events so many, the first `since` not counted."""
    run = place.run
    if moment == "settings":
        return (run / "settings.toml").exists()
    if moment == "study":
        return (run / "study.db").exists()
    if moment == "build":
        return (run / "cache.jsonl").exists()
    if moment == "weights":
        return any((run / "weights").glob("*"))
    if moment == "best":
        return any((run / "best").glob("*"))
    wanted = number if moment != "start" else 1
    return sum(each["event"] == moment for each in place.events()[since:]) >= wanted


# --- what breaks; each returns what mends it, and whether the session is to end


def kill(place: Place, process: subprocess.Popen, chance: random.Random) -> None:
    process.kill()


def term(place: Place, process: subprocess.Popen, chance: random.Random) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 130


def worker(place: Place, process: subprocess.Popen, chance: random.Random) -> None:
    if found := place.workers():
        os.kill(chance.choice(found), signal.SIGKILL)


def locked(place: Place, process: subprocess.Popen, chance: random.Random) -> None:
    """As a dashboard's open read, or a backup, does; longer than SQLite itself waits."""
    if not (place.run / "study.db").exists():
        return
    with closing(sqlite3.connect(place.run / "study.db", timeout=60)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(chance.choice((2, 8, 30)))
        other.rollback()


def full(place: Place, process: subprocess.Popen, chance: random.Random) -> None:
    where = place.folder / chance.choice(("runs", "cache"))
    if not os.path.ismount(where):
        return
    filler = where / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    try:
        ended(process, (0, 2))
    finally:
        filler.unlink()


def broken(place: Place, process: subprocess.Popen, chance: random.Random) -> None:
    if not (place.folder / "failing_disk.so").exists():
        return
    failing = place.folder / "failing"
    failing.touch()
    try:
        ended(process, (0, 1, 2))
    finally:
        failing.unlink()


def away(place: Place, process: subprocess.Popen, chance: random.Random) -> None:
    place.store.down()
    time.sleep(chance.choice((3, 15)))
    place.store.up()


def stopped(place: Place, process: subprocess.Popen, chance: random.Random) -> None:
    place.server.down()
    time.sleep(chance.choice((3, 20)))
    place.server.up()


def ended(process: subprocess.Popen, codes: tuple[int, ...]) -> None:
    assert process.wait(timeout=400) in codes


FAULTS: dict[str, Callable[[Place, subprocess.Popen, random.Random], None]] = {
    "kill": kill,
    "term": term,
    "worker": worker,
    "locked": locked,
    "full": full,
    "broken": broken,
    "away": away,
    "stopped": stopped,
}


def breaks(place: Place, schedule: list[tuple[str, str, int]], chance: random.Random) -> None:
    """Runs a search to its end; in the first sessions something breaks."""
    finished: dict[int, int] = {}  # trials that were told to be finished, and their epochs
    for session in range(SESSIONS):
        before, began = len(place.events()), time.monotonic()
        process = place.start(resumed=session > 0 and (place.run / "settings.toml").exists())
        if session < len(schedule):
            kind, moment, number = schedule[session]
            until = time.monotonic() + 300
            while process.poll() is None and not has_come(place, moment, number, before):
                assert time.monotonic() < until
                time.sleep(0.02)
            if time.monotonic() - began < EARLY:
                time.sleep(EARLY)  # Python itself has to start before it can be told to end
            if process.poll() is None:
                FAULTS[kind](place, process, chance)
        code = process.wait(timeout=600)
        assert code in (0, 2, 130, -signal.SIGKILL), f"exit code {code}"
        now = {
            r.number: r.epochs
            for r in read_trials(EventLog(place.run / "trials.jsonl"))
            if r.status == "finished"
        }
        assert finished.items() <= now.items(), "a finished trial was lost"
        finished = now
        if code == 0 and session >= len(schedule) - 1:
            return
    raise AssertionError("the search did not come to its end")


def check(place: Place) -> None:
    """What must hold when the search has ended, whatever broke."""
    storage = open_storage(place.server.url if place.server else f"sqlite:///{place.run}/study.db")
    study = optuna.load_study(study_name="faulty", storage=storage)
    states = {trial.number: trial.state for trial in study.trials}
    assert TrialState.RUNNING not in states.values()
    facts = json.loads((place.run / "report.json").read_text())
    over = [each for each in facts["trials"] if each["status"] in ("finished", "stopped")]
    assert len(over) >= 4
    assert all(states[each["number"]].is_finished() for each in over)
    cache = place.folder / "cache"
    assert features(["--cache", str(cache), "verify"]) == 0  # no segment is half written
    best = facts["best"]
    data = dataset.load(place.photos, cache=cache, image_size=32, per_class=(place.train, 8))
    said = classifier.load(place.run).probabilities(list(data.validation.pictures))
    right = float((said.argmax(axis=1) == data.validation.labels).mean())
    assert right == pytest.approx(best["validation"]["accuracy"])
    with np.load(place.run / "weights" / f"{best['trial']}.npz", allow_pickle=False) as weights:
        assert weights.files
    # Of a trial that more trials than were asked for would have gone on with.
    waiting = {each["number"] for each in facts["trials"] if each["status"] == "interrupted"}
    assert {int(each.stem) for each in (place.run / "checkpoints").glob("*")} <= waiting


def soaked(schedule: list[tuple[str, str, int]]) -> Any:
    return pytest.param(schedule, marks=pytest.mark.soak)


@pytest.fixture
def place(photos, tmp_path) -> Iterator[Place]:
    disks = [tmp_path / "runs", tmp_path / "cache"]
    for each in disks:
        each.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "none", str(each)]
        subprocess.run(mount, capture_output=True)
    if compiler := shutil.which("cc"):
        source, target = HERE / "failing_disk.c", tmp_path / "failing_disk.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", target, source, "-ldl"], check=True)
    yield Place(tmp_path, photos, f"mark-{uuid.uuid4().hex}")
    for each in filter(os.path.ismount, disks):
        subprocess.run(["umount", "-l", str(each)], check=True)


@pytest.mark.parametrize(
    "schedule",
    [
        [("full", "epoch", 2)],
        soaked([("broken", "weights", 1), ("locked", "start", 1)]),
        soaked([("worker", "epoch", 3), ("term", "end", 2)]),
    ],
    ids=lambda schedule: "-".join(kind for kind, *_ in schedule),
)
def test_a_search_survives(place, schedule):
    # One network, which each process that trains compiles once.
    place.space = ("network=vgg16", "unfrozen=0", "augmentation=none", "pooling=average")
    place.space += ("regularization=none",)
    breaks(place, schedule, random.Random(0))
    check(place)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_a_search_survives_whatever_breaks(place, seed):
    chance = random.Random(seed)
    schedule = [
        (chance.choice(KINDS), chance.choice(MOMENTS), chance.randint(1, 6))
        for _ in range(chance.randint(1, 3))
    ]
    print(f"seed {seed}: {schedule}")
    breaks(place, schedule, chance)
    check(place)


@pytest.mark.soak
def test_a_search_survives_a_builder(place):
    """Of so many pictures the features are built ahead, by processes of their own."""
    place.train = 600
    breaks(place, [("worker", "build", 1)], random.Random(0))
    check(place)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_a_search_survives_its_store_being_away(place, seed):
    chance = random.Random(seed)
    with running(Amazon) as store:
        place.store = store
        kinds = [("away", chance.choice(MOMENTS[3:]), chance.randint(1, 6)), ("kill", "end", 2)]
        chance.shuffle(kinds)
        print(f"seed {seed}: {kinds}")
        breaks(place, kinds, chance)
        check(place)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_a_search_survives_its_database_being_away(place, seed, tmp_path_factory):
    chance = random.Random(seed)
    with serving(tmp_path_factory.mktemp("server")) as server:
        place.server = server
        kinds = [("stopped", chance.choice(MOMENTS[3:]), chance.randint(1, 6)), ("kill", "end", 2)]
        chance.shuffle(kinds)
        print(f"seed {seed}: {kinds}")
        breaks(place, kinds, chance)
        check(place)
