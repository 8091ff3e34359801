"""The feature cache: computed once, exact, shared, and never trusted when damaged."""

import functools
import json
import operator
import os
import re
import resource
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import backbones
from tuning.data import dataset
from tuning.data.decoding import DecodeSettings, Levels
from tuning.errors import UserError
from tuning.features import FeatureCache, View, maintenance
from tuning.process import backend
from tuning.records.event_log import EventLog
from tuning.report.gather import cache_statistics


@pytest.mark.parametrize("frontier", ["block5_pool", "block4_pool", "block5_conv1", "block3_pool"])
@pytest.mark.parametrize("view", [View(), View("article", 3)], ids=str)
def test_holds_what_the_frozen_layers_compute(data, features, backbone, expected, frontier, view):
    found = features.features(data.train, backbone, frontier, view)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    wanted = expected(data.train, backbone, frontier, view)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * wanted.max())


def test_each_entry_is_built_once_and_then_found(data, features, backbone):
    for _ in range(3):
        features.features(data.train, backbone, "block5_pool")
    again = FeatureCache(features.root, "float32", events=features.events)
    again.features(data.train, backbone, "block5_pool")
    told = cache_statistics(features.events)
    assert told["hits"] == 3
    assert told["multiples"] == 0
    assert told["builds"] == 3  # block 5's, and the pools below it that the pass went through


def test_a_deeper_entry_starts_at_the_nearest_stored_one(data, features, backbone):
    deep = features.features(data.train, backbone, "block4_pool", View("flip", 0))
    top = features.features(data.train, backbone, "block5_pool", View("flip", 0))
    builds = [e for e in features.events.read() if e["event"] == "build"]
    assert builds[-1]["frontier"] == "block5_pool"
    assert builds[-1]["start"] == "block4_pool"
    suffix = backbone.section("block4_pool", "block5_pool")
    np.testing.assert_allclose(top, suffix.predict(deep, verbose=0), rtol=1e-5, atol=1e-5)


def test_what_the_key_depends_on(data, features, backbone, cache):
    other = backbones.load("vgg16", 32, "random", "imagenet")
    larger = backbones.load("vgg16", 48, "random", "rescale")
    deep = replace(data.train, settings=DecodeSettings(Levels(0, 4095)))
    cropped = replace(data.train, settings=DecodeSettings(keep_aspect="crop"))
    entries = [
        features.entry(data.train, backbone, "block5_pool"),
        features.entry(data.train, backbone, "block4_pool"),
        features.entry(data.train, backbone, "block5_pool", View("flip", 0)),
        features.entry(data.train, backbone, "block5_pool", View("flip", 1)),
        features.entry(data.train, other, "block5_pool"),
        features.entry(data.train, larger, "block5_pool"),
        features.entry(deep, backbone, "block5_pool"),
        features.entry(cropped, backbone, "block5_pool"),
        FeatureCache(cache, "float16").entry(data.train, backbone, "block5_pool"),
    ]
    assert len({entry.key for entry in entries}) == len(entries)
    # The pictures are told by what lies in it, and by the name of that.
    validation = features.entry(data.validation, backbone, "block5_pool")
    assert validation.key == entries[0].key
    assert validation.content != entries[0].content
    moved = FeatureCache(cache / "elsewhere", "float32")
    assert moved.entry(data.train, backbone, "block5_pool").content == entries[0].content


def test_float16_rounds_and_nothing_more(data, features, backbone, cache):
    exact = features.features(data.train, backbone, "block5_pool")
    half = FeatureCache(cache, "float16").features(data.train, backbone, "block5_pool")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, exact, rtol=2e-3, atol=1e-4 * exact.max())


def test_what_overflows_float16_is_kept_as_float32(data, cache, backbone):
    arrays = {name: np.array(value) for name, value in backbone.weights.arrays.items()}
    arrays["block5_conv3/kernel"] *= 1e7
    weights = type(backbone.weights)("scaled", arrays, "scaled")
    found = FeatureCache(cache, "float16").features(
        data.train, replace(backbone, weights=weights), "block5_pool"
    )
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.max() > 65504


def _truncate(path):
    os.truncate(path / "features.npy", 1000)


def _cut_to_other_rows(path):
    rows = np.load(path / "features.npy")[:-1]
    np.save(path / "features.npy", rows)


def _garble_header(path):
    (path / "entry.json").write_text("{")


def _foreign(path):
    header = json.loads((path / "entry.json").read_text())
    header["identity"]["weights"] = "another"
    (path / "entry.json").write_text(json.dumps(header))


def _half(path):
    (path / "entry.json").unlink()


def _no_features(path):
    (path / "features.npy").unlink()


def _altered(path):
    # One number, and the file's size stays; its time tells that somebody was there.
    with (path / "features.npy").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\x00\x00\xc0\x7f")


def _torn_head(path):
    # One bit in what NumPy reads as Python: a bracket that is never closed.
    with (path / "features.npy").open("r+b") as file:
        head = file.read(128)
        file.seek(head.index(b")"))
        file.write(b"(")


def _pickle(path):
    np.save(path / "features.npy", np.array([{"run": "me"}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (_truncate, "cannot be read|bytes instead of"),
        (_cut_to_other_rows, "bytes instead of"),
        (_garble_header, "cannot be read"),
        (_foreign, "something else than its place says"),
        (_half, "no header"),
        (_no_features, "features are missing"),
        (_altered, "content has changed"),
        (_torn_head, "cannot be read"),
        (_pickle, "cannot be read"),
    ],
)
def test_a_damaged_segment_is_named_and_built_again(data, features, backbone, place, harm, reason):
    before = np.array(features.features(data.train, backbone, "block5_pool"))
    harm(features.folder / place(data.train, "block5_pool"))
    fresh = FeatureCache(features.root, "float32", events=features.events)
    after = fresh.features(data.train, backbone, "block5_pool")
    # Rebuilt from block4_pool, which is whole.
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    assert cache_statistics(features.events)["multiples"] == 0
    told = [event for event in features.events.read() if event["event"] == "damaged"]
    assert len(told) == 1
    assert told[0]["frontier"] == "block5_pool"
    assert re.search(reason, told[0]["reason"])


def test_verifying_finds_what_a_first_look_does_not(data, features, backbone, place):
    before = np.array(features.features(data.train, backbone, "block5_pool"))
    file = features.folder / place(data.train, "block5_pool") / "features.npy"
    times = file.stat()
    _altered(file.parent)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a failing disk would leave it
    trusting = FeatureCache(features.root, "float32", events=features.events)
    assert np.isnan(trusting.features(data.train, backbone, "block5_pool")).any()
    careful = FeatureCache(features.root, "float32", verify=True, events=features.events)
    after = careful.features(data.train, backbone, "block5_pool")
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def test_a_copied_cache_is_taken_as_it_is(data, features, backbone, tmp_path):
    features.features(data.train, backbone, "block5_pool")
    shutil.copytree(features.root, tmp_path / "copy", copy_function=shutil.copyfile)
    events = EventLog(tmp_path / "copy.jsonl")
    copied = FeatureCache(tmp_path / "copy", "float32", events=events)
    copied.features(data.train, backbone, "block5_pool")
    assert [event["event"] for event in events.read()] == ["use"]


@pytest.mark.slow
def test_an_entry_is_the_same_bytes_whoever_builds_which_part(photos, cache, thin):
    """Whole, and in shards of one and two blocks in any order."""
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(100, 4))

    def in_shards(blocks):
        def run(job, backbone):
            shards = job.shards(blocks)
            done = {rows.start: job.run(backbone, rows) for rows in reversed(shards)}
            parts = [done[rows.start] for rows in shards]
            return functools.reduce(operator.add, parts)

        return run

    found = []
    for index, runner in enumerate((None, in_shards(1), in_shards(2))):
        features = FeatureCache(cache / str(index))
        if runner:
            features.build(data.train, thin, "block5_conv1", View("medium", 2), runner)
        array = features.features(data.train, thin, "block5_conv1", View("medium", 2))
        header = json.loads((Path(array.filename).parent / "entry.json").read_text())
        found.append((array.tobytes(), header["checksums"]))
    assert len(data.train) == 200
    assert len(found[0][1]) == 4
    assert found[0] == found[1] == found[2]


def test_nothing_is_left_when_a_build_fails(data, features, backbone):
    broken = type(backbone.weights)("broken", {}, "broken")
    with pytest.raises(KeyError):
        features.features(data.train, replace(backbone, weights=broken), "block5_pool")
    assert list(features.folder.iterdir()) == []


def test_a_disk_that_is_too_small_is_told_before_the_work(data, backbone, small_disk):
    features = FeatureCache(small_disk, "float32", events=EventLog(small_disk / "cache.jsonl"))
    with pytest.raises(
        UserError, match=r"need [\d.]+ [KM]iB, but .* has [\d.]+ \w+ free: make room"
    ):
        features.features(data.train, backbone, "block4_pool", View("article", 0))
    assert list(features.folder.iterdir()) == []
    assert features.events.read() == []


def test_a_disk_that_fills_up_meanwhile_is_told_too(data, features, backbone):
    def run(job, backbone):
        # The operating system refuses to write beyond this, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        return job.run(backbone, range(len(data.train)))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(UserError, match=r"cannot be written to .*: File too large"):
            features.build(data.train, backbone, "block5_pool", View(), run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert list(features.folder.iterdir()) == []


def test_what_a_dead_builder_left_is_in_nobodys_way(data, features, backbone):
    key = features.entry(data.train, backbone, "block5_pool").key
    (features.folder / f".{key}").mkdir(parents=True)
    (features.folder / f".{key}" / "features.npy").write_bytes(b"half")
    features.features(data.train, backbone, "block5_pool")
    assert not list(features.folder.glob(".*"))


def test_the_limit_makes_room_among_what_is_not_in_use(data, features, backbone, place):
    def build(number):
        view = View("flip", number)
        features.features(data.train, backbone, "block5_pool", view)
        mapped.append(place(data.train, "block5_pool", view))
        return {
            each.folder.relative_to(features.folder).as_posix()
            for each in maintenance.segments(features.folder)
        }

    mapped = []
    first = build(0)
    size = sum(each.bytes for each in maintenance.segments(features.folder))
    features.limit = int(1.1 * size)
    second = build(1)
    assert first & second == {mapped[0]}  # of the pass's three segments the one that is in use
    features.release()
    assert mapped[0] not in build(2)
    assert sum(each.bytes for each in maintenance.segments(features.folder)) <= features.limit
    folders = {each.parent for each in features.folder.glob("*/*")}
    assert folders == set(features.folder.iterdir())  # none is left empty


def _use(cache, data, events, ready, go):
    backend.follow(os.environ.get("KERAS_BACKEND", "tensorflow"))
    features = FeatureCache(cache, "float32", events=EventLog(events))
    backbone = backbones.load("vgg16", 32, "random", "rescale")
    ready.release()
    go.wait()
    features.features(data.train, backbone, "block4_pool", View("article", 0))


@pytest.mark.slow
def test_of_three_processes_one_builds(data, cache, processes):
    ready, go = processes.Semaphore(0), processes.Event()
    events = cache.parent / "cache.jsonl"
    workers = [
        processes.Process(target=_use, args=(cache, data, events, ready, go)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire(timeout=600)
    go.set()
    for worker in workers:
        worker.join(600)
        assert worker.exitcode == 0
    told = cache_statistics(EventLog(events))
    assert told["multiples"] == 0
    assert told["hits"] == 2


@pytest.mark.slow
def test_when_the_builder_dies_another_takes_over(photos, cache, backbone, processes):
    data = dataset.load(photos, cache=cache, image_size=32, per_class=(100, 4))
    ready, go = processes.Semaphore(0), processes.Event()
    events = cache.parent / "cache.jsonl"
    builder = processes.Process(target=_use, args=(cache, data, events, ready, go))
    builder.start()
    go.set()
    deadline = time.monotonic() + 600
    while not any(event["event"] == "building" for event in EventLog(events).read()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()
    features = FeatureCache(cache, "float32", events=EventLog(events))
    found = features.features(data.train, backbone, "block4_pool", View("article", 0))
    assert found.shape == (200, 2, 2, 512)
    assert cache_statistics(features.events)["multiples"] == 0
