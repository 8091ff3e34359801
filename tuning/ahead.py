"""Builds, before the first trial, the features that the points to be tried first will need."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import ray

from models import vgg16
from tuning.dataset import Split
from tuning.features import Frozen, View
from tuning.features.draft import Overflow
from tuning.features.entry import BLOCK, PLAIN
from tuning.features.forward import Pass, Written
from tuning.machines import Resources
from tuning.setting import Setting

# Floating point operations that pay for the start of builders: some five seconds of a few cores.
# Below, who needs features first computes them.
WORTH = 5e11
MOST_BLOCKS = 4  # of a shard, so that progress is seen
ATTEMPTS = 4  # at a shard whose process or machine is lost


class Stopped(Exception):
    """The user or the clock ended it."""


@dataclass(frozen=True)
class Need:
    """One entry that a trial will read."""

    split: Split
    frontier: str
    view: View


def needs(setting: Setting, points: list[dict[str, Any]]) -> list[Need]:
    """The entries that are missing for trials of these hyperparameters, shallow ones first."""
    dataset, cache = setting.dataset, setting.cache
    found: dict[tuple[str, str, View], Need] = {}

    def add(split: Split, frontier: str, view: View = PLAIN) -> None:
        found.setdefault((split.name, frontier, view), Need(split, frontier, view))

    for point in points:
        usual = point.get("preprocessing", setting.preprocessing) == setting.preprocessing
        if point.get("network") != "vgg16" or not usual:
            continue
        if point["unfrozen"]:
            add(dataset.train, vgg16.TOP)  # its head is trained alone first
        start = cache.start(vgg16.frontier(point["unfrozen"]))
        if start == vgg16.PICTURE:
            continue
        add(dataset.validation, start)
        policy = point["augmentation"]
        views = min(setting.views, point["epochs"]) if policy != "none" else 1
        for number in range(views):
            add(dataset.train, start, View(policy, number))
    missing = [
        each
        for each in found.values()
        if not cache.holds(each.split, setting.frozen, each.frontier, each.view)
    ]
    return sorted(missing, key=lambda each: vgg16.FRONTIERS.index(each.frontier))


def build(
    setting: Setting,
    points: list[dict[str, Any]],
    share: Resources,
    watch: Callable[[int, int], None],
    stop: Callable[[], bool],
) -> None:
    """Builds what `points` need on all GPUs, or CPUs, at once.

    Args:
        setting: What all trials share.
        points: Hyperparameters of the trials to come.
        share: What one builder gets, and how many there is room for.
        watch: Is told how many pictures have gone through the network, and how many will.
        stop: Asked between shards whether to end here.
    """
    missing = needs(setting, points)
    # Depths of one view follow each other, since the deeper starts from the shallower.
    views: dict[tuple[str, View], list[Need]] = {}
    for each in missing:
        views.setdefault((each.split.name, each.view), []).append(each)
    size = setting.dataset.image_size
    work = sum(
        len(deepest.split) * vgg16.flops(vgg16.PICTURE, deepest.frontier, size)
        for *_, deepest in views.values()
    )
    if work < WORTH:
        return
    pictures = sum(len(each.split) for each in missing)
    with (
        _Builders(setting, share, pictures, watch, stop) as builders,
        ThreadPoolExecutor(builders.passes_at_once) as pool,
    ):
        try:
            list(pool.map(builders.build, views.values()))
        # A shard that is lost again and again: the trials that need it will say why.
        except (Stopped, ray.exceptions.RayActorError):
            pool.shutdown(cancel_futures=True)


class _Builders:
    """Processes that run shards of passes."""

    def __init__(
        self,
        setting: Setting,
        share: Resources,
        pictures: int,
        watch: Callable[[int, int], None],
        stop: Callable[[], bool],
    ) -> None:
        self.setting, self.watch, self.stop = setting, watch, stop
        self.done, self.pictures = 0, pictures
        self.telling = Lock()
        blocks = math.ceil(len(setting.dataset.train) / BLOCK)
        self.blocks = min(MOST_BLOCKS, math.ceil(blocks / share.at_once))
        self.passes_at_once = 1 + math.ceil(share.at_once / math.ceil(blocks / self.blocks))
        self.free: SimpleQueue[Any] = SimpleQueue()
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_restarts": -1}
        self.actors = [
            ray.remote(_Builder).options(**options).remote(setting, share.threads)
            for _ in range(share.at_once)
        ]
        self.pool = ThreadPoolExecutor(share.at_once)
        for actor in self.actors:
            self._await(actor)

    def __enter__(self) -> _Builders:
        return self

    def __exit__(self, *reason: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        for actor in self.actors:
            ray.kill(actor)  # and its GPU is free for trials

    def build(self, needs: list[Need]) -> None:
        cache, frozen = self.setting.cache, self.setting.frozen
        for each in needs:
            cache.build(each.split, frozen, each.frontier, each.view, self.run)

    def run(self, job: Pass, frozen: Frozen) -> Written:
        found = self.pool.map(lambda rows: self._shard(job, rows), job.shards(self.blocks))
        return functools.reduce(operator.add, found)

    def _await(self, actor: Any) -> None:
        """Gets it work once it is there: at once, or on a machine that is yet to come."""
        ready = actor.__ray_ready__.options(max_task_retries=-1).remote()
        ready.future().add_done_callback(lambda _: self.free.put(actor))

    def _actor(self) -> Any:
        """The next that is free."""
        while not self.stop():
            with suppress(Empty):
                return self.free.get(timeout=1)
        raise Stopped

    def _shard(self, job: Pass, rows: range) -> Written:
        for left in reversed(range(ATTEMPTS)):
            actor = self._actor()
            try:
                found = ray.get(actor.run.remote(job, rows))
                break
            except ray.exceptions.RayActorError:
                if not left:
                    raise
            finally:
                self._await(actor)
        if isinstance(found, str):
            raise Overflow(found)
        with self.telling:  # in order
            self.done += len(rows)
            self.watch(self.done, max(self.done, self.pictures))
        return found  # type: ignore[no-any-return]


class _Builder:
    """Runs in a process of its own."""

    def __init__(self, setting: Setting, threads: int | None) -> None:
        if threads:
            from tuning.threads import bind

            bind(threads)
        self.setting = setting

    def run(self, job: Pass, rows: range) -> Written | str:
        """What was written, or the frontier whose values float16 cannot hold."""
        try:
            return job.run(self.setting.frozen, rows)
        except Overflow as overflow:
            return overflow.frontier
