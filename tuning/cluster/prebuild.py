"""Builds, before the first trial, the features that the points to be tried first will need."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

import ray

from models.backbones import Backbone
from models.units import PICTURE
from tuning.cluster.resources import Resources
from tuning.data.dataset import Split
from tuning.errors import NoRoom
from tuning.features import View
from tuning.features.entry import BLOCK
from tuning.features.forward import ForwardPass, PassResult
from tuning.features.writer import Overflow
from tuning.training.context import TrialContext
from tuning.training.reads import Reading, TrialReads

# Floating point operations that pay for the start of builders: some five seconds of a few cores.
# Below, who needs features first computes them.
WORTH = 5e11
MOST_BLOCKS = {"cpu": 4, "gpu": 16}  # of a shard, so that progress is seen
ATTEMPTS = 4  # at a shard whose process or machine is lost


class Stopped(Exception):
    """The user or the clock ended it."""


def missing(context: TrialContext, points: list[dict[str, Any]]) -> dict[Reading, int]:
    """What trials of these hyperparameters lack, shallow depths first: number of pictures each."""
    found: dict[str, Reading] = {}
    if context.hypermodel is None:
        for point in points:
            for each in TrialReads(context, point).all():
                found.setdefault(context.cache.entry(*_key(each)).content, each)
    shallow_first = sorted(found.values(), key=lambda e: e.backbone.order(e.frontier))
    lacking = ((each, context.cache.missing(*_key(each))) for each in shallow_first)
    return {each: pictures for each, pictures in lacking if pictures}


def _key(each: Reading) -> tuple[Split, Backbone, str, View]:
    assert isinstance(each.split, Split)  # folds are trained when all is there
    return each.split, each.backbone, each.frontier, each.view


def build(
    context: TrialContext,
    points: list[dict[str, Any]],
    share: Resources,
    watch: Callable[[int, int], None],
    stop: Callable[[], bool],
) -> None:
    """Builds what `points` need on all GPUs, or CPUs, at once.

    Args:
        context: What all trials share.
        points: The hyperparameters of the trials to come.
        share: What one builder gets, and how many there is room for.
        watch: The listener that is told how many pictures have gone through, and how many will.
        stop: The question, asked between shards, whether to end here.
    """
    wanted = missing(context, points)
    # Depths of one view follow each other, since the deeper starts from the shallower.
    views: dict[tuple[str, Backbone, View], list[Reading]] = {}
    for each in wanted:
        place = (each.split.name, each.backbone, each.view)
        views.setdefault(place, []).append(each)
    work = sum(
        wanted[deepest] * deepest.backbone.flops(PICTURE, deepest.frontier)
        for *_, deepest in views.values()
    )
    if work < WORTH:
        return
    pictures = sum(wanted.values())
    with (
        _Builders(context, share, pictures, watch, stop) as builders,
        ThreadPoolExecutor(builders.passes_at_once) as pool,
    ):
        try:
            list(pool.map(builders.build, views.values()))
        # A shard that is lost again and again, or a full disk: the trials that need it say why.
        except (Stopped, NoRoom, OSError, ray.exceptions.RayActorError):
            pool.shutdown(cancel_futures=True)


class _Builders:
    """Processes that run shards of passes."""

    def __init__(
        self,
        context: TrialContext,
        share: Resources,
        pictures: int,
        watch: Callable[[int, int], None],
        stop: Callable[[], bool],
    ) -> None:
        self.context, self.watch, self.stop = context, watch, stop
        self.done, self.pictures = 0, pictures
        self.telling = Lock()
        blocks = math.ceil(len(context.dataset.train) / BLOCK)
        self.blocks = min(
            MOST_BLOCKS["cpu" if share.threads else "gpu"], math.ceil(blocks / share.at_once)
        )
        self.passes_at_once = 1 + math.ceil(share.at_once / math.ceil(blocks / self.blocks))
        self.free: SimpleQueue[Any] = SimpleQueue()
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_restarts": -1}
        self.actors = [
            ray.remote(_Builder).options(**options).remote(context, share.threads)
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

    def build(self, readings: list[Reading]) -> None:
        for each in readings:
            self.context.cache.build(*_key(each), self.run)

    def run(self, job: ForwardPass, backbone: Backbone) -> PassResult:
        # It is read again, by each builder once.
        which = {"network": backbone.name, "preprocessing": backbone.preprocessing}
        found = self.pool.map(lambda rows: self._shard(job, which, rows), job.shards(self.blocks))
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

    def _shard(self, job: ForwardPass, which: dict[str, str], rows: range) -> PassResult:
        for left in reversed(range(ATTEMPTS)):
            actor = self._actor()
            try:
                found = ray.get(actor.run.remote(job, which, rows))
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

    def __init__(self, context: TrialContext, threads: int | None) -> None:
        if threads:
            from tuning.process.cores import bind

            bind(threads)
        self.context = context

    def run(self, job: ForwardPass, which: dict[str, str], rows: range) -> PassResult | str:
        """What was written, or the frontier whose values float16 cannot hold."""
        try:
            backbone = self.context.backbone_for(which)
            assert backbone is not None
            return job.run(backbone, rows)
        except Overflow as overflow:
            return overflow.frontier
