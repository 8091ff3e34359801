"""Dashboards that people already use, told what trials do; each beside TensorBoard's files."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuning.errors import UserError

PACKAGES = {"mlflow": ("mlflow", "mlflow-skinny"), "wandb": ("wandb", "wandb")}


def check(names: Sequence[str], dashboard: bool) -> None:
    """Makes sure that what the loggers, and Ray's dashboard if it is wanted, need is there.

    Raises:
        UserError: If a package is not installed.
    """
    if dashboard and importlib.util.find_spec("aiohttp_cors") is None:
        raise UserError("--dashboard needs more of Ray: pip install 'ray[default]'")
    for name in names:
        module, package = PACKAGES[name]
        if importlib.util.find_spec(module) is None:
            raise UserError(f"--log {name} needs the package {module}: pip install {package}")


def callbacks(names: Sequence[str], run: str, folder: Path) -> list[Any]:
    """Ray's own callbacks for these loggers.

    MLflow's go to `MLFLOW_TRACKING_URI`, or into `mlflow.db` of the run folder; those of Weights &
    Biases to the project that `WANDB_PROJECT` names, as its own variables say.

    Args:
        names: Of `choices.LOGGERS`.
        run: The run's name: MLflow's experiment, a group of Weights & Biases.
        folder: The run folder.
    """
    found: list[Any] = []
    if "mlflow" in names:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        found.append(MLflowLoggerCallback(tracking_uri=where, experiment_name=run))
    if "wandb" in names:
        from ray.air.integrations.wandb import WandbLoggerCallback

        project = os.environ.get("WANDB_PROJECT", "little-data-tuner")
        found.append(WandbLoggerCallback(project=project, group=run))
    return found
