"""Object stores as the search uses them: a real S3 server, copies, and stores that go away."""

import dataclasses
import json
import logging
import platform
import re
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from tuning.data import dataset
from tuning.errors import UserError
from tuning.files.object_store import ObjectPath
from tuning.files.shared_folder import SharedFolder, fetch_file, fetch_folder
from tuning.options import kinds
from tuning.records import claim
from tuning.records.event_log import EventLog
from tuning.records.mirror import Mirror
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import TrialRecord

pytestmark = pytest.mark.slow


@pytest.fixture
def place(object_store, request):
    return ObjectPath(object_store.url(re.sub(r"\W", "-", request.node.name)))


def test_what_is_written_is_read(place, tmp_path):
    (place / "a" / "b").write(b"one")
    (place / "a" / "b").write(b"two")
    assert (place / "a" / "b").read() == b"two"
    assert (place / "a" / "b").exists()
    assert not (place / "a").exists()
    assert {name: size for name, (size, _) in place.files().items()} == {"a/b": 3}
    (place / "a" / "b").download(tmp_path / "new" / "file")
    assert (tmp_path / "new" / "file").read_bytes() == b"two"
    (place / "c").upload(tmp_path / "new" / "file")
    assert sorted(place.files()) == ["a/b", "c"]
    (place / "c").remove()
    (place / "c").remove()
    assert sorted(place.files()) == ["a/b"]


def test_what_is_not_there_is_missing_at_once(place, tmp_path):
    began = time.monotonic()
    with pytest.raises(FileNotFoundError):
        (place / "none").read()
    with pytest.raises(FileNotFoundError):
        (place / "none").download(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
    assert place.files() == {}
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (("little-data/", "no-such-bucket/"), "no-such-bucket/x cannot be used: .*bucket"),
        (("endpoint_override", "endpoint_overide"), "little-data/x is no place in a store"),
    ],
)
def test_a_place_that_cannot_be_used_is_told_in_a_line(object_store, wrong, why):
    place = ObjectPath(object_store.url("x").replace(*wrong))
    with pytest.raises(UserError, match=why) as told:
        place.check()
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 300


def test_a_store_that_is_away_is_waited_for_and_that_is_said(object_store, place, caplog):
    (place / "file").write(b"kept")
    object_store.down()
    back = threading.Timer(10, object_store.up)
    back.start()
    try:
        with caplog.at_level(logging.WARNING, "tuning"):
            assert (place / "file").read() == b"kept"
    finally:
        back.join()
    assert "cannot be reached, trying again" in caplog.text


def test_a_store_that_stays_away_is_given_up(object_store, place, monkeypatch):
    monkeypatch.setattr("tuning.files.object_store.PATIENCE", 1.0)
    object_store.down()
    try:
        with pytest.raises(OSError, match="onnect"):
            (place / "file").read()
    finally:
        object_store.up()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s3://key:secret@bucket/x", "no place in a URL"),
        ("ftp://somewhere/x", "neither a folder nor s3:// or gs://"),
    ],
)
def test_what_is_no_location(text, why):
    with pytest.raises(Exception, match=why) as told:
        kinds.LOCATION.read(text)
    assert "secret" not in str(told.value)


def test_a_public_bucket_needs_no_credentials():
    assert kinds.LOCATION.read("gs://anonymous@bucket/x") == ObjectPath("gs://anonymous@bucket/x")


# --- copies


def test_a_file_is_fetched_once_a_machine_and_only_if_it_is_whole(place, machine):
    folder = SharedFolder(place)
    assert not folder.fetch("file").exists()
    machine("sender")
    folder.here.mkdir(parents=True)
    (folder.here / "file").write_bytes(b"one")
    folder.send("file")
    home = machine("reader")
    with pytest.raises(OSError, match="is damaged"):
        folder.fetch("file", lambda file: file.read_bytes() == b"other")
    assert folder.fetch("file").read_bytes() == b"one"
    assert folder.here.is_relative_to(home)
    (place / "file").write(b"two")
    assert folder.fetch("file").read_bytes() == b"one"
    assert folder.fetch_anew("file").read_bytes() == b"two"
    folder.remove("file")
    assert not folder.fetch_anew("file").exists()
    assert not (place / "file").exists()


def test_weights_may_lie_in_a_store(place, machine):
    (place / "weights.npz").write(b"numbers")
    url = place.url.replace("?", "/weights.npz?")
    with open(fetch_file(url), "rb") as file:
        assert file.read() == b"numbers"
    with pytest.raises(UserError, match=rf"no other\.npz in {place.url[:2]}://"):
        fetch_file(place.url.replace("?", "/other.npz?"))
    assert fetch_file("imagenet") == "imagenet"


def test_pictures_are_fetched_and_follow_the_store(place, machine, photos):
    for split, count in {"train": 6, "validation": 3}.items():
        for name in ("cats", "dogs"):
            for file in sorted((photos / split / name).iterdir())[:count]:
                (place / split / name / file.name).upload(file)
    if place.url.startswith("s3:"):  # the other server has no such names
        (place / "../outside.jpg").write(b"")
    cache = place / "cache"
    here = dataset.load(fetch_folder(place), cache=cache, image_size=32)
    assert here.counts()["train"] == {"cats": 6, "dogs": 6}
    assert fetch_folder(place) == here.root
    machine("worker")  # it gets the decoded pictures, and never sees the files
    found = dataclasses.replace(here.train).pictures
    np.testing.assert_array_equal(found, here.train.pictures)
    machine("here")
    gone = next(name for name in place.files() if name.startswith("train/cats"))
    (place / gone).remove()
    assert (
        dataset.load(fetch_folder(place), cache=cache, image_size=32).counts()["train"]["cats"] == 5
    )
    with pytest.raises(UserError, match="There is nothing in"):
        fetch_folder(place / "empty")


def test_decoded_pictures_that_were_altered_are_refused(place, machine, photos):
    here = dataset.load(photos, cache=place, image_size=32, per_class=(4, 2))
    file = here.train.folder.place / "pictures.npy"
    content = bytearray(file.read())
    content[-1] ^= 1
    file.write(bytes(content))
    machine("worker")
    with pytest.raises(OSError, match="damaged"):
        dataclasses.replace(here.train).pictures  # noqa: B018


# --- run folders


def retried(number: int) -> dict:
    return {"event": "retry", "number": number, "reason": "", "at": 0.0}


def test_a_run_folder_is_sent_as_trials_end_and_brought_elsewhere(place, tmp_path):
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (folder / "tune").mkdir(parents=True)
    (folder / "tune" / "events").write_bytes(b"large")
    events = EventLog(folder / "trials.jsonl")
    with Mirror(RunFolder(folder, place)) as mirror:
        events.write(**retried(0))
        mirror.end(TrialRecord(0, {}, 0.0))
        until = time.monotonic() + 60
        while "trials.jsonl" not in place.files():
            assert time.monotonic() < until
            time.sleep(0.05)
        assert "tune/events" not in place.files()
        (place / "weights/3.npz").write(b"of a worker")
        mirror.bring("weights/")
        assert (folder / "weights/3.npz").read_bytes() == b"of a worker"
        (place / "weights/4.npz").write(b"not among the best")
    assert sorted(place.files()) == ["trials.jsonl", "tune/events", "weights/3.npz"]
    Mirror(RunFolder(elsewhere, place)).bring()
    assert [each.name for each in elsewhere.iterdir()] == ["trials.jsonl"]
    copy = EventLog(elsewhere / "trials.jsonl")
    assert copy.read() == events.read()
    # What this machine could not send is not lost when the run goes on here.
    copy.write(**retried(1))
    Mirror(RunFolder(elsewhere, place)).bring()
    assert len(copy.read()) == 2


def test_of_trials_a_store_never_knows_more_than_of_the_study(place, tmp_path, monkeypatch):
    """Else who goes on with the run would propose a trial once more, as another."""
    folder = tmp_path / "run"
    folder.mkdir()
    events = EventLog(folder / "trials.jsonl")
    with closing(sqlite3.connect(folder / "study.db")) as study:
        study.execute("create table trials (number)")
    events.write(**retried(0))
    send = Mirror._send_one

    def meanwhile(mirror, place, name):
        send(mirror, place, name)
        if name == "study.db":
            events.write(**retried(1))

    monkeypatch.setattr(Mirror, "_send_one", meanwhile)
    copy = EventLog(tmp_path / "copy.jsonl")
    with Mirror(RunFolder(folder, place)) as mirror:
        mirror.end(TrialRecord(0, {}, 0.0))
        mirror._waiting.result(60)
        (place / "trials.jsonl").download(copy.path)
        assert [event["number"] for event in copy.read()] == [0]
    (place / "trials.jsonl").download(copy.path)
    assert [event["number"] for event in copy.read()] == [0, 1]


def test_a_search_goes_on_while_its_run_folder_cannot_be_sent(
    object_store, place, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("tuning.files.object_store.PATIENCE", 0.5)
    object_store.down()
    try:
        with Mirror(RunFolder(tmp_path, place)):
            (tmp_path / "file").write_bytes(b"kept here")
    finally:
        object_store.up()
    assert f"is behind {tmp_path}" in caplog.text


def test_of_several_that_make_an_object_at_once_one_does(place):
    words = [str(number).encode() for number in range(8)]
    with ThreadPoolExecutor(len(words)) as pool:
        made = list(pool.map((place / "claim").create, words))
    assert made.count(True) == 1
    assert (place / "claim").read() == words[made.index(True)]
    assert not (place / "claim").create(b"later")


def test_one_search_at_a_time_writes_to_a_run_in_a_store(place, tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "BEAT", 0.3)
    folder = RunFolder(tmp_path / "run", place)
    with claim.claimed(folder) as first:
        second = claim.claimed(folder)
        with pytest.raises(UserError, match=r"Another search is at work on .*, on "):
            second.__enter__()
        assert not first.lost
        other = claim.Claim(first.place)  # as when the store was long away
        until = time.monotonic() + 20
        while not first.lost and time.monotonic() < until:
            other.place.write(other.content())  # its signs of life
            time.sleep(0.1)
        assert first.lost
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "trials.jsonl").write_text("{}\n")
        with Mirror(folder, first):
            pass
        assert sorted(place.files()) == ["claim.json"]  # which is another's by now
    assert sorted(place.files()) == ["claim.json"]


@pytest.mark.parametrize(
    ("host", "waits"), [("another.example", True), (platform.node(), False)], ids=["there", "here"]
)
def test_the_claim_of_a_search_that_was_killed_is_taken_over(
    place, tmp_path, monkeypatch, host, waits
):
    monkeypatch.setattr(claim, "SILENCE", 3.0)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    known = {"owner": "x", "host": host, "process": gone.pid, "beat": 4}
    (place / claim.NAME).write(json.dumps(known).encode())
    began = time.monotonic()
    with claim.claimed(RunFolder(tmp_path / "run", place)) as ours:
        assert json.loads(ours.place.read())["owner"] == ours.owner
    assert (time.monotonic() - began > 3) == waits or place.url.startswith("gs")
    assert place.files() == {}
