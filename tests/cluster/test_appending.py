"""Machines that append to one entry at once, with rights that one actor hands out."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from object_store import Amazon
from ray import cloudpickle

from models import backbones
from tuning.cluster.joining import connect
from tuning.cluster.leases import LeasedLocks
from tuning.cluster.remote_events import RemoteEventLog
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.files.object_store import ObjectPath
from tuning.records.event_log import EventLog
from tuning.report.gather import cache_statistics

pytestmark = pytest.mark.slow
SIZE, TOP = 32, "block5_pool"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    connect(None)
    # Workers do not find the tests.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.shutdown()


@ray.remote
class Machine:
    """One with a home of its own."""

    def __init__(self, home: str) -> None:
        os.environ["XDG_CACHE_HOME"] = home

    def use(self, cache: FeatureCache, folder: Path, seeds: list[int]) -> list[np.ndarray]:
        """The features of training splits that differ, at this very moment."""
        backbone = backbones.load("vgg16", SIZE, "random", "rescale")
        found = []
        for seed in seeds:
            data = split(cache, folder, seed)
            found.append(np.array(cache.features(data.train, backbone, TOP)[:]))
        return found


def split(cache: FeatureCache, folder: Path, seed: int) -> dataset.Dataset:
    return dataset.load(folder, cache=cache.root, image_size=SIZE, holdout=0.4, split_seed=seed)


@pytest.mark.parametrize("object_store", [Amazon], ids=["s3"], indirect=True)
def test_each_picture_is_computed_once_whoever_needs_it(object_store, machine, photos, tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for file in sorted((photos / "train" / name).iterdir())[:20]:
            shutil.copy(file, tmp_path / "data" / name)
    events = EventLog(tmp_path / "cache.jsonl")
    cache = FeatureCache(
        ObjectPath(object_store.url("growing")),
        "float32",
        events=RemoteEventLog.start(events),
        locks=LeasedLocks(),
    )
    machines = [
        Machine.options(num_cpus=0).remote(str(tmp_path / name))  # type: ignore[attr-defined]
        for name in ("one", "two")
    ]
    seeds = [0, 1, 2], [3, 4, 5]
    found = ray.get(
        [
            each.use.remote(cache, tmp_path / "data", own)
            for each, own in zip(machines, seeds, strict=True)
        ]
    )
    splits = [split(cache, tmp_path / "data", seed).train for seed in range(6)]
    pictures = {bytes(digest) for each in splits for digest in each.digests}
    built = [event for event in events.read() if event["event"] == "build"]
    assert len({event["segment"] for event in built}) > 2
    assert cache_statistics(events)["passes_computed"] == len(pictures)
    alone = FeatureCache(tmp_path / "alone", "float32")
    backbone = backbones.load("vgg16", SIZE, "random", "rescale")
    for each, ours in zip(splits, [*found[0], *found[1]], strict=True):
        wanted = alone.features(each, backbone, TOP)
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5 * wanted[:].max())
