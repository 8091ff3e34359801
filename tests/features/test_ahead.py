"""Features built ahead of the first trial, by real Ray actors, and rights handed out by one."""

import os
import signal
import threading
import time

import pytest
import ray

from models import vgg16
from search_spaces.experiments import EXPERIMENTS
from tuning import ahead, dataset
from tuning.cluster import connect
from tuning.features import FeatureCache, View, distributed
from tuning.features.distributed import ActorRights
from tuning.journal import Journal
from tuning.machines import Resources
from tuning.setting import Setting

pytestmark = pytest.mark.slow
POINTS = [each.hyperparameters(3) for each in EXPERIMENTS]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    connect(None)
    yield
    ray.shutdown()


@pytest.fixture
def setting(photos, cache):
    data = dataset.load(photos, cache=cache, image_size=48, per_class=(100, 40))
    features = FeatureCache(cache, journal=Journal(cache.parent / "cache.jsonl"))
    return Setting(data, features, "random", views=2)


def stored(setting):
    return list(setting.cache.folder.glob("*/entry.json"))


def test_needs_of_the_experiments(setting):
    found = {(e.split.name, e.frontier, str(e.view)) for e in ahead.needs(setting, POINTS)}
    assert found == {
        ("train", "block5_pool", "none"),
        ("validation", "block5_pool", "none"),
        ("validation", "block4_pool", "none"),
        ("train", "block4_pool", "article/0"),
        ("train", "block4_pool", "article/1"),
    }


def test_what_is_recomputed_in_each_step_is_not_needed(setting):
    deep = POINTS[2] | {"unfrozen": 9}
    found = [(each.split.name, each.frontier) for each in ahead.needs(setting, [deep])]
    assert found == [("train", "block5_pool")]  # for its head


def test_all_is_built_once_in_parallel_though_a_builder_dies(setting):
    told = []
    share = Resources(0.0, 1, 2)

    def watch(*at):
        if not told:
            os.kill(_builders()[0], signal.SIGKILL)
        told.append(at)

    ahead.build(setting, POINTS, share, watch, lambda: False)
    assert told
    assert ahead.needs(setting, POINTS) == []
    statistics = setting.cache.journal.statistics()
    assert statistics["multiples"] == 0
    assert statistics["builds"] == len(stored(setting))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    before = setting.cache.journal.read()
    ahead.build(setting, POINTS, share, watch, lambda: False)
    assert setting.cache.journal.read() == before
    # The same bytes as one process makes, whole.
    view = View("article", 1)
    found = [
        cache.features(setting.dataset.train, setting.frozen, "block4_pool", view).tobytes()
        for cache in (FeatureCache(setting.cache.root / "alone"), setting.cache)
    ]
    assert found[0] == found[1]


def test_ending_early_leaves_no_half_entry(setting):
    ahead.build(setting, POINTS, Resources(0.0, 1, 2), lambda *at: None, lambda: True)
    assert list(setting.cache.folder.iterdir()) == []


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
        self.context = ActorRights().hold(name)
        self.context.__enter__()
        return os.getpid()


def test_one_holder_at_a_time_in_a_cluster():
    inside, most = [], []

    def work():
        with ActorRights().hold("one"):
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
    with ActorRights().hold("passes"):
        waited = time.monotonic() - began
    assert waited < distributed.LEASE + 5


def test_a_living_holder_keeps_its_right_beyond_a_lease():
    holder = Holder.options(num_cpus=0).remote()
    ray.get(holder.hold.remote("kept"))
    time.sleep(distributed.LEASE + 2)
    assert not distributed._ask("request", "kept", "another")
    ray.kill(holder)


def test_the_depth_of_a_need_orders_it(setting):
    order = [vgg16.FRONTIERS.index(each.frontier) for each in ahead.needs(setting, POINTS)]
    assert order == sorted(order)
