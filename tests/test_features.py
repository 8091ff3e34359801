"""The feature cache: computed once, exact, shared, and never trusted when damaged."""

import json
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from models import vgg16
from models.augmentation import augment
from models.weights import load as load_weights
from tuning import dataset
from tuning.features import FeatureCache, Frozen, View
from tuning.journal import Journal


@pytest.fixture
def data(photos, cache):
    return dataset.load(photos, cache=cache, image_size=48, per_class=(10, 4))


@pytest.fixture(scope="module")
def frozen():
    return Frozen(load_weights("random"), "rescale", 48)


@pytest.fixture
def features(cache):
    return FeatureCache(cache, "float32", journal=Journal(cache.parent / "cache.jsonl"))


def expected(split, frozen, frontier, view):
    pixels = np.asarray(split.pictures, np.float32)
    if view.policy != "none":
        pixels = augment(pixels, view.policy, view.number, split.digests)
    model = vgg16.section(vgg16.PICTURE, frontier, 48, frozen.weights.arrays)
    return model.predict(pixels, verbose=0)


@pytest.mark.parametrize("frontier", ["block5_pool", "block4_pool", "block5_conv1", "block3_pool"])
@pytest.mark.parametrize("view", [View(), View("article", 3)], ids=str)
def test_holds_what_the_frozen_layers_compute(data, features, frozen, frontier, view):
    found = features.features(data.train, frozen, frontier, view)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    wanted = expected(data.train, frozen, frontier, view)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * wanted.max())


def test_each_entry_is_built_once_and_then_found(data, features, frozen):
    for _ in range(3):
        features.features(data.train, frozen, "block5_pool")
    again = FeatureCache(features.root, "float32", journal=features.journal)
    again.features(data.train, frozen, "block5_pool")
    told = features.journal.statistics()
    assert told["hits"] == 3
    assert told["multiples"] == 0
    assert told["builds"] == 3  # block 5's, and the pools below it that the pass went through


def test_a_deeper_entry_starts_at_the_nearest_stored_one(data, features, frozen):
    deep = features.features(data.train, frozen, "block4_pool", View("flip", 0))
    top = features.features(data.train, frozen, "block5_pool", View("flip", 0))
    builds = [e for e in features.journal.read() if e["event"] == "build"]
    assert builds[-1]["frontier"] == "block5_pool"
    assert builds[-1]["start"] == "block4_pool"
    suffix = vgg16.section("block4_pool", "block5_pool", 48, frozen.weights.arrays)
    np.testing.assert_allclose(top, suffix.predict(deep, verbose=0), rtol=1e-5, atol=1e-5)


def test_what_the_key_depends_on(data, features, frozen, cache):
    keys = {
        features.key(data.train, frozen, "block5_pool"),
        features.key(data.validation, frozen, "block5_pool"),
        features.key(data.train, frozen, "block4_pool"),
        features.key(data.train, frozen, "block5_pool", View("flip", 0)),
        features.key(data.train, frozen, "block5_pool", View("flip", 1)),
        features.key(data.train, Frozen(frozen.weights, "imagenet", 48), "block5_pool"),
        FeatureCache(cache, "float16").key(data.train, frozen, "block5_pool"),
    }
    assert len(keys) == 7
    moved = FeatureCache(cache / "elsewhere", "float32")
    assert moved.key(data.train, frozen, "block5_pool") in keys


def test_float16_rounds_and_nothing_more(data, features, frozen, cache):
    exact = features.features(data.train, frozen, "block5_pool")
    half = FeatureCache(cache, "float16").features(data.train, frozen, "block5_pool")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, exact, rtol=2e-3, atol=1e-4 * exact.max())


def test_what_overflows_float16_is_kept_as_float32(data, cache, frozen):
    arrays = {name: np.array(value) for name, value in frozen.weights.arrays.items()}
    arrays["block5_conv3/kernel"] *= 1e7
    weights = type(frozen.weights)("scaled", arrays, "scaled")
    found = FeatureCache(cache, "float16").features(
        data.train, Frozen(weights, "rescale", 48), "block5_pool"
    )
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.max() > 65504


def _truncate(path):
    os.truncate(path / "features.npy", 1000)


def _garble_header(path):
    (path / "entry.json").write_text("{")


def _foreign(path):
    header = json.loads((path / "entry.json").read_text())
    header["identity"]["weights"] = "another"
    (path / "entry.json").write_text(json.dumps(header))


def _half(path):
    (path / "entry.json").unlink()


@pytest.mark.parametrize("harm", [_truncate, _garble_header, _foreign, _half])
def test_a_damaged_entry_is_rebuilt(data, features, frozen, harm):
    before = np.array(features.features(data.train, frozen, "block5_pool"))
    harm(features.root / "features" / features.key(data.train, frozen, "block5_pool"))
    fresh = FeatureCache(features.root, "float32", journal=features.journal)
    after = fresh.features(data.train, frozen, "block5_pool")
    # Rebuilt from block4_pool, which is whole.
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    assert features.journal.statistics()["multiples"] == 0
    assert any(event["event"] == "damaged" for event in features.journal.read())


def test_nothing_is_left_when_a_build_fails(data, features, frozen):
    broken = type(frozen.weights)("broken", {}, "broken")
    with pytest.raises(KeyError):
        features.features(data.train, Frozen(broken, "rescale", 48), "block5_pool")
    assert not list((features.root / "features").glob("*")) or all(
        (each / "entry.json").exists() for each in (features.root / "features").iterdir()
    )


def _use(cache, data, journal, ready, go):
    features = FeatureCache(cache, "float32", journal=Journal(journal))
    frozen = Frozen(load_weights("random"), "rescale", 48)
    ready.release()
    go.wait()
    features.features(data.train, frozen, "block4_pool", View("article", 0))


@pytest.mark.slow
def test_of_three_processes_one_builds(data, cache):
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    journal = cache.parent / "cache.jsonl"
    workers = [
        context.Process(target=_use, args=(cache, data, journal, ready, go)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire(timeout=60)
    go.set()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    told = Journal(journal).statistics()
    assert told["multiples"] == 0
    assert told["hits"] == 2


@pytest.mark.slow
def test_when_the_builder_dies_another_takes_over(photos, cache, frozen):
    data = dataset.load(photos, cache=cache, image_size=48, per_class=(400, 4))
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    journal = cache.parent / "cache.jsonl"
    builder = context.Process(target=_use, args=(cache, data, journal, ready, go))
    builder.start()
    go.set()
    deadline = time.monotonic() + 60
    while not any(event["event"] == "building" for event in Journal(journal).read()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()
    features = FeatureCache(cache, "float32", journal=Journal(journal))
    found = features.features(data.train, frozen, "block4_pool", View("article", 0))
    assert found.shape == (800, 3, 3, 512)
    assert features.journal.statistics()["multiples"] == 0
