"""The machines of a Ray cluster, and how they are shared out among trials."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from tuning.errors import UserError

BOOTSTRAP = "~/ray_bootstrap_config.yaml"  # the cluster file, where `ray up` leaves it on the head
FIRST_WORKER = 600.0  # seconds that it may take to join: it may have to install packages
LOOK = 5.0  # seconds between two looks at which machines there are
TYPE = "ray.io/node-group"  # label of a node that `ray up` or its autoscaler started


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resources:
    """What one trial gets.

    Attributes:
        gpus: A whole number, or a share of one.
        cpus: Cores.
        at_once: The number of trials that have room.
    """

    gpus: float
    cpus: int
    at_once: int

    @property
    def threads(self) -> int | None:
        """Threads of a process that computes on the CPU; None: it computes on a GPU."""
        return None if self.gpus else self.cpus


def await_first_worker() -> None:
    """Where `ray up` is still starting workers, the first one shows what they have."""
    until = time.monotonic() + FIRST_WORKER
    if _head_is_alone():
        log.info("waiting for the first of the cluster's workers")
    while _head_is_alone() and time.monotonic() < until:
        time.sleep(1)


def resources_per_trial(gpus_per_trial: float | None, cpus_per_trial: int | None) -> Resources:
    """Shares out what the cluster has: one GPU a trial where there are GPUs, else CPUs.

    Nodes that the autoscaler starts when trials wait for them count like those that are there.
    Without GPUs up to four trials run at once: more would outrun the sampler, which learns from
    finished trials.

    Raises:
        UserError: If no machine can run such a trial.
    """
    nodes = _nodes()
    found = share_out(nodes, gpus_per_trial, cpus_per_trial)
    if not found.at_once:
        has = max((node.get("GPU", 0), node.get("CPU", 0)) for node in nodes)
        raise UserError(
            f"A trial is to get GPU: {found.gpus:g}, CPU: {found.cpus}; no machine has both, the "
            f"largest has GPU: {has[0]:g}, CPU: {has[1]:g}. Ask for less with --gpus-per-trial or "
            "--cpus-per-trial."
        )
    return found


def share_out(
    nodes: list[dict[str, float]], gpus_per_trial: float | None, cpus_per_trial: int | None
) -> Resources:
    """As `resources_per_trial`, for machines that have so many `GPU` and `CPU` each."""
    gpus = sum(node.get("GPU", 0) for node in nodes)
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpu = gpus_per_trial if gpus_per_trial is not None else (1.0 if gpus else 0.0)
    if gpu:
        slots = [int(node.get("GPU", 0) / gpu) for node in nodes]
        each = [node.get("CPU", 1) // most for node, most in zip(nodes, slots, strict=True) if most]
        cpu = cpus_per_trial or int(max(1, min(each, default=1)))
    else:
        cpu = cpus_per_trial or int(max(1, cpus // 4))
        slots = [int(node.get("CPU", 0)) for node in nodes]
    room = [
        min(most, int(node.get("CPU", 0) // cpu)) for node, most in zip(nodes, slots, strict=True)
    ]
    return Resources(gpu, cpu, sum(room))


def has_gpu() -> bool:
    """Whether a node that is there, or may come, has a GPU."""
    return any(node.get("GPU", 0) for node in _nodes())


class Capacity:
    """How many trials have room now: on a cluster machines come and go while a search goes on.

    Args:
        share: What each trial gets.
        fixed: Whether it is this machine alone.

    Attributes:
        most: The most that had room so far.
    """

    def __init__(self, share: Resources, fixed: bool) -> None:
        self.share = share
        self.fixed = fixed
        self.most = self.now = share.at_once
        self._looked = time.monotonic()

    def __call__(self) -> int:
        """Looked at anew every few seconds."""
        if not self.fixed and time.monotonic() > self._looked + LOOK:
            self._looked = time.monotonic()
            self.now = share_out(_nodes(), self.share.gpus, self.share.cpus).at_once
            self.most = max(self.most, self.now)
        return self.now


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _nodes() -> list[dict[str, float]]:
    """The resources of each node that is there, or may come."""
    alive = _alive()
    return [node["Resources"] for node in alive] + _to_come(alive)


def _head_is_alone() -> bool:
    """Whether there is a head without a GPU, and workers that are to be there are not."""
    alive = _alive()
    return len(alive) == 1 and "GPU" not in alive[0]["Resources"] and _promised(alive) > 0


def _file(alive: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The cluster file by which `ray up` started these nodes, None for others."""
    file = Path(BOOTSTRAP).expanduser()
    if not any(TYPE in node["Labels"] for node in alive) or not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _promised(alive: list[dict[str, Any]]) -> int:
    """How many workers `ray up` starts at once, whether trials wait for them or not."""
    if (file := _file(alive)) is None:
        return 0
    if "worker_ips" in file["provider"]:
        return len(file["provider"]["worker_ips"])
    types = file["available_node_types"].items()
    return sum(each.get("min_workers", 0) for name, each in types if name != file["head_node_type"])


def _to_come(alive: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The resources of each node that the autoscaler may yet start, the favoured types first."""
    if (file := _file(alive)) is None:
        return []
    types = file["available_node_types"]
    workers = [types[name] for name in types if name != file["head_node_type"]]
    workers.sort(key=lambda each: -each.get("priority", 0))
    possible = [each["resources"] for each in workers for _ in range(each["max_workers"])]
    return possible[: max(0, file["max_workers"] - (len(alive) - 1))]
