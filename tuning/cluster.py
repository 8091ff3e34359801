"""The Ray cluster: joining it, and sharing out what it has."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import optuna
import ray

import models
import search_spaces
import tuning


@dataclass(frozen=True)
class Resources:
    """What one trial gets.

    Attributes:
        gpus: A whole number, or a share of one.
        cpus: Cores.
        at_once: How many trials have room.
    """

    gpus: float
    cpus: int
    at_once: int

    @property
    def threads(self) -> int | None:
        """Threads of a process that computes on the CPU; None: it computes on a GPU."""
        return None if self.gpus else self.cpus


def connect(address: str | None) -> None:
    """Joins the cluster at `address`, or starts Ray on this machine alone.

    The packages travel with Ray's runtime environment, so no node needs them installed.
    """
    # Ray's own lines would drown ours; what concerns the user is said by us.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_SYNCER"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # the search ends itself
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    packages = [
        str(Path(str(package.__file__)).parent) for package in (tuning, models, search_spaces)
    ]
    ray.init(
        address=address,
        include_dashboard=None if address else False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        runtime_env={
            "py_modules": packages,
            "env_vars": {
                "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                # Both frameworks would take a GPU's whole memory, also a trial's with half a GPU.
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            },
        },
    )


def resources(gpus_per_trial: float | None, cpus_per_trial: int | None) -> Resources:
    """Shares out what the cluster has: one GPU a trial where there are GPUs, else CPUs.

    Without GPUs up to four trials run at once: more would outrun the sampler, which learns from
    finished trials.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(node.get("GPU", 0) for node in nodes)
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpu = gpus_per_trial if gpus_per_trial is not None else (1.0 if gpus else 0.0)
    if gpu:
        fitting = [node for node in nodes if node.get("GPU", 0) >= gpu]
        slots = sum(int(node["GPU"] / gpu) for node in fitting)
        per_slot = [node.get("CPU", 1) // int(node["GPU"] / gpu) for node in fitting]
        cpu = cpus_per_trial or int(max(1, min(per_slot, default=1)))
    else:
        cpu = cpus_per_trial or int(max(1, cpus // 4))
        slots = sum(int(node.get("CPU", 0) // cpu) for node in nodes)
    return Resources(gpu, cpu, slots)
