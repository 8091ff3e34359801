"""Features built ahead of the first trial, by real Ray actors, and rights handed out by one."""

import os
import signal
import threading
import time

import pytest
import ray

from models import vgg16
from search_spaces.experiments import EXPERIMENTS
from tuning.cluster import leases, prebuild
from tuning.cluster.joining import connect
from tuning.cluster.leases import LeasedLocks
from tuning.cluster.resources import Resources
from tuning.data import dataset
from tuning.features import FeatureCache, View
from tuning.records.event_log import EventLog
from tuning.report.gather import cache_statistics
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from

pytestmark = pytest.mark.slow
POINTS = [each.hyperparameters(3) for each in EXPERIMENTS]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    connect(None)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def data(photos, tmp_path_factory):
    """Whole blocks of pictures."""
    decoded = tmp_path_factory.mktemp("decoded")
    return dataset.load(photos, cache=decoded, image_size=48, per_class=(64, 32))


@pytest.fixture
def context(data, cache):
    features = FeatureCache(cache, events=EventLog(cache.parent / "cache.jsonl"))
    return TrialContext(data, features, vgg16_from("random"), views=2)


def stored(context):
    return list(context.cache.folder.glob("*/*/entry.json"))


def test_what_is_missing_for_the_experiments(context):
    found = {(e.split.name, e.frontier, str(e.view)) for e in prebuild.missing(context, POINTS)}
    assert found == {
        ("train", "block5_pool", "none"),
        ("validation", "block5_pool", "none"),
        ("validation", "block4_pool", "none"),
        ("train", "block4_pool", "article/0"),
        ("train", "block4_pool", "article/1"),
    }


def test_what_is_recomputed_in_each_step_is_not_needed(context):
    deep = POINTS[2] | {"unfrozen": 9}
    found = [(each.split.name, each.frontier) for each in prebuild.missing(context, [deep])]
    assert found == [("train", "block5_pool")]  # for its head


def test_all_is_built_once_in_parallel_though_a_builder_dies(context):
    told = []
    share = Resources(0.0, 1, 2)

    def watch(*at):
        if not told:
            os.kill(_builders()[0], signal.SIGKILL)
        told.append(at)

    prebuild.build(context, POINTS, share, watch, lambda: False)
    assert told
    assert prebuild.missing(context, POINTS) == {}
    statistics = cache_statistics(context.cache.events)
    assert statistics["multiples"] == 0
    assert statistics["builds"] == len(stored(context))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    before = context.cache.events.read()
    prebuild.build(context, POINTS, share, watch, lambda: False)
    assert context.cache.events.read() == before
    # The same bytes as one process makes, whole.
    view = View("article", 1)
    found = [
        cache.features(context.dataset.train, context.backbone, "block4_pool", view).tobytes()
        for cache in (FeatureCache(context.cache.root / "alone"), context.cache)
    ]
    assert found[0] == found[1]


def test_ending_early_leaves_no_half_entry(context):
    prebuild.build(context, POINTS, Resources(0.0, 1, 2), lambda *at: None, lambda: True)
    assert list(context.cache.folder.iterdir()) == []


def _builders():
    """Of this process' Ray; other tests have their own."""
    import psutil  # which Ray brings along

    return [
        each.pid
        for each in psutil.Process().children(recursive=True)
        if "".join(each.cmdline()).startswith("ray::_Builder")
    ]


@ray.remote
class Holder:
    """Takes a right and keeps it."""

    def hold(self, name):
        self.context = LeasedLocks().hold(name)
        self.context.__enter__()
        return os.getpid()


def test_one_holder_at_a_time_in_a_cluster():
    inside, most = [], []

    def work():
        with LeasedLocks().hold("one"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 6


def test_the_right_of_who_died_passes_on():
    holder = Holder.options(num_cpus=0).remote()
    pid = ray.get(holder.hold.remote("passes"))
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    with LeasedLocks().hold("passes"):
        waited = time.monotonic() - began
    assert waited < leases.LEASE + 5


def test_a_living_holder_keeps_its_right_beyond_a_lease():
    holder = Holder.options(num_cpus=0).remote()
    ray.get(holder.hold.remote("kept"))
    time.sleep(leases.LEASE + 2)
    assert not leases._ask("request", "kept", "another")
    ray.kill(holder)


def test_the_depth_of_a_need_orders_it(context):
    order = [vgg16.FRONTIERS.index(each.frontier) for each in prebuild.missing(context, POINTS)]
    assert order == sorted(order)
