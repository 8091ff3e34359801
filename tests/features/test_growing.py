"""Pictures that come, go and move: only what is new is computed, and all is what it should be."""

import os
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from models import backbones
from tuning.data import dataset
from tuning.data.folds import fold
from tuning.data.parts import Rows
from tuning.features import FeatureCache, View, maintenance
from tuning.features import cache as feature_cache
from tuning.features.__main__ import main as tend
from tuning.process import backend
from tuning.records.event_log import EventLog
from tuning.report.gather import cache_statistics

TOP, VIEW = "block5_pool", View("medium", 1)
VGG16 = ("vgg16", 32, "random", "rescale")


@pytest.fixture
def backbone(thin):
    return thin


@pytest.fixture
def folder(photos, tmp_path):
    """20 photos a class, not divided into splits, and five that may come."""
    for name in ("cats", "dogs"):
        for number, file in enumerate(sorted((photos / "train" / name).iterdir())[:25]):
            place = tmp_path / ("data" if number < 20 else "more") / name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    return tmp_path / "data"


def load(folder, features, **options):
    return dataset.load(folder, cache=features.root, **{"image_size": 32, "holdout": 0} | options)


def computed(features, data, backbone):
    """The pictures that go through frozen layers for a search with folds, whose views are one."""
    before = cache_statistics(features.events)["passes_computed"]
    for part in (fold(data, 0, 4), data):
        features.features(part.train, backbone, TOP, VIEW)
        features.features(part.validation, backbone, TOP)
    features.release()
    after = cache_statistics(features.events)
    assert after["multiples"] == 0
    return after["passes_computed"] - before


def check(features, data, backbone, expected):
    for split, view in ((data.train, VIEW), (data.validation, View())):
        wanted = expected(split, backbone, TOP, view)
        found = features.features(split, backbone, TOP, view)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * wanted.max())


@pytest.mark.slow
def test_only_what_is_new_is_computed(folder, features, backbone, expected, tmp_path):
    assert computed(features, load(folder, features), backbone) == 2 * 40  # each of two views
    for name in ("cats", "dogs"):
        for file in sorted((tmp_path / "more" / name).iterdir()):
            shutil.copy(file, folder / name)
    assert computed(features, load(folder, features), backbone) == 2 * 10
    check(features, load(folder, features), backbone, expected)
    for name in ("cats", "dogs"):
        for file in sorted((folder / name).iterdir())[3:13]:
            file.unlink()
    assert computed(features, load(folder, features), backbone) == 0
    for file in sorted((folder / "cats").iterdir())[:3]:
        file.rename(folder / "dogs" / f"no-{file.name}")
    assert computed(features, load(folder, features), backbone) == 0
    check(features, load(folder, features), backbone, expected)
    other = load(folder, features, split_seed=1)
    assert computed(features, other, backbone) == 0
    check(features, other, backbone, expected)


@pytest.mark.slow
def test_a_picture_that_lies_there_twice_is_computed_once(folder, features, backbone, expected):
    one = sorted((folder / "cats").iterdir())[0]
    for number in range(3):
        shutil.copy(one, folder / "cats" / f"again-{number}.jpg")
    data = load(folder, features)
    assert computed(features, data, backbone) == 2 * 40
    check(features, data, backbone, expected)


@pytest.mark.slow
def test_a_picture_at_another_size_is_the_same_one(folder, features, backbone, expected):
    data = load(folder, features)
    large = data.at(64)
    assert large.train.pictures.shape == (len(data.train), 64, 64, 3)
    fresh = load(folder, features, image_size=64)
    for ours, theirs in zip(large.splits, fresh.splits, strict=True):
        np.testing.assert_array_equal(ours.pictures, theirs.pictures)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
    assert large.fingerprint == fresh.fingerprint != data.fingerprint
    np.testing.assert_array_equal(large.train.digests, data.train.digests)
    back = large.at(32)
    assert back.fingerprint == data.fingerprint
    check(features, back, backbone, expected)
    part = fold(data, 1, 4).at(64)
    wanted = fold(large, 1, 4)
    np.testing.assert_array_equal(part.train.pictures[:], wanted.train.pictures[:])
    assert part.train.fingerprint == wanted.train.fingerprint


def test_another_size_is_that_of_the_same_files(folder, features):
    data = load(folder, features)
    file = folder / data.train.paths[0]
    Image.new("RGB", (30, 30)).save(file)
    with pytest.raises(dataset.UserError, match="have changed since they were read"):
        data.at(64)


@pytest.mark.slow
def test_a_deeper_pass_starts_where_each_picture_has_come_to(
    folder, features, backbone, expected, tmp_path
):
    earlier = load(folder, features)
    features.features(earlier.train, backbone, "block4_pool")
    for name in ("cats", "dogs"):
        for file in sorted((tmp_path / "more" / name).iterdir()):
            shutil.copy(file, folder / name)
    data = load(folder, features)
    found = features.features(data.train, backbone, TOP)
    events = [e for e in features.events.read() if e["event"] == "build" and e["frontier"] == TOP]
    assert [event["start"] for event in events] == ["block4_pool", "picture"]
    assert sum(event["pictures"] for event in events) == len(data.train)
    wanted = expected(data.train, backbone, TOP, View())
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * wanted.max())


def test_many_segments_become_one(folder, features, backbone, monkeypatch):
    monkeypatch.setattr(feature_cache, "MOST_SEGMENTS", 2)
    data = load(folder, features)
    for share in (0.5, 0.3):
        features.features(load(folder, features, holdout=share).train, backbone, TOP)
        features.release()
    found = features.features(data.train, backbone, TOP)
    assert isinstance(found, np.memmap)
    key = features.entry(data.train, backbone, TOP).key
    assert len(list((features.folder / key).iterdir())) == 1
    alone = FeatureCache(features.root / "alone", "float32")
    np.testing.assert_array_equal(found, alone.features(data.train, backbone, TOP))


@pytest.mark.slow
def test_a_damaged_segment_costs_its_own_pictures(folder, features, backbone, tmp_path):
    computed(features, load(folder, features), backbone)
    for name in ("cats", "dogs"):
        for file in sorted((tmp_path / "more" / name).iterdir()):
            shutil.copy(file, folder / name)
    data = load(folder, features)
    assert computed(features, data, backbone) == 2 * 10
    fresh = FeatureCache(features.root, "float32", events=features.events)
    before = np.array(fresh.features(data.train, backbone, TOP, VIEW))
    key = features.entry(data.train, backbone, TOP, VIEW).key
    hurt = min((features.folder / key).glob("*/features.npy"), key=lambda f: f.stat().st_size)
    hurt.write_bytes(hurt.read_bytes()[:-1] + b"\x55")
    again = FeatureCache(features.root, "float32", events=features.events)
    found = again.features(data.train, backbone, TOP, VIEW)
    assert isinstance(found, Rows)
    np.testing.assert_allclose(found[:], before, rtol=1e-5, atol=1e-6)
    built = [e for e in features.events.read() if e["event"] == "build"][-1]
    assert built["pictures"] < 10


@pytest.mark.slow
@pytest.mark.parametrize("damages", [200, pytest.param(1000, marks=pytest.mark.soak)])
def test_flips_and_cuts_are_found_and_mended(damages, folder, features, backbone, capsys):
    """Of features, their headers, and decoded pictures with theirs."""
    draw = random.Random(0)
    data = load(folder, features)
    wanted = np.array(features.features(data.train, backbone, TOP, VIEW))
    pixels = np.array(data.train.pictures)
    features.release()
    files = [
        file
        for kind in ("features/*/*", "pictures/*")
        for file in features.root.glob(f"{kind}/*")
        if file.suffix in (".npy", ".json")
    ]
    whole = {file: file.read_bytes() for file in files}
    assert len(files) >= 10
    for number in range(damages):
        file = draw.choice(files)
        content = bytearray(whole[file])
        at = draw.randrange(len(content))
        if number % 4:
            content[at] ^= 1 << draw.randrange(8)
        else:
            del content[at:]
        file.write_bytes(content)
        code = tend(["--cache", str(features.root), "verify"])
        told = capsys.readouterr().out
        assert (code, told.count("removed, ")) == (1, 1), (file, at, told)
        file.parent.mkdir(parents=True, exist_ok=True)
        for each in files:
            if each.parent == file.parent:  # nothing else was removed
                each.write_bytes(whole[each])
    shutil.rmtree(draw.choice(files).parent)
    again = load(folder, features)
    np.testing.assert_array_equal(again.train.pictures, pixels)
    np.testing.assert_array_equal(features.features(again.train, backbone, TOP, VIEW), wanted)


def _append(folder, root, events, numbers, ready, go):
    backend.follow(os.environ.get("KERAS_BACKEND", "tensorflow"))
    features = FeatureCache(root, "float32", events=EventLog(events))
    backbone = backbones.load(*VGG16)  # which another process finds by name
    parts = [load(folder, features, split_seed=number) for number in numbers]
    ready.release()
    go.wait()
    for part in parts:
        features.features(part.train, backbone, TOP)


@pytest.mark.slow
def test_two_processes_append_to_one_entry_and_compute_each_picture_once(
    folder, features, expected, processes
):
    ready, go = processes.Semaphore(0), processes.Event()
    events = features.root.parent / "cache.jsonl"
    where = (folder, features.root, events)
    workers = [
        processes.Process(target=_append, args=(*where, seeds, ready, go))
        for seeds in ((0, 1, 2), (3, 4, 5))
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire(timeout=600)
    go.set()
    for worker in workers:
        worker.join(600)
        assert worker.exitcode == 0
    data = load(folder, features)
    seen = {
        bytes(each)
        for seed in range(6)
        for each in load(folder, features, split_seed=seed).train.digests
    }
    assert cache_statistics(features.events)["passes_computed"] == len(seen)
    assert len(maintenance.segments(features.folder)) > 3
    check(features, data, backbones.load(*VGG16), expected)
