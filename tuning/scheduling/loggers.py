"""Dashboards that people already use, told what trials do; each beside TensorBoard's files."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from typing import Any

from tuning.errors import UserError
from tuning.records.run_folder import RunFolder
from tuning.scheduling.step import epochs_of

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


class _EachEpochAndEnd:
    """A logger of Ray's that is told each epoch, where a result lists several, and each end.

    Of trials that run when the search is ended Ray Tune tells none: MLflow's would run for ever,
    and those of Weights & Biases be waited for for half an hour.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._running: set[Any] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune."""
        self._running.add(trial)
        super().on_trial_start(iteration, trials, trial, **info)  # type: ignore[misc]

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune."""
        self._running.discard(trial)
        super().on_trial_complete(iteration, trials, trial, **info)  # type: ignore[misc]

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Ray Tune."""
        self._running.discard(trial)
        super().on_trial_error(iteration, trials, trial, **info)  # type: ignore[misc]

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Called by Ray Tune."""
        while self._running:
            self.log_trial_end(self._running.pop(), failed=True)  # type: ignore[attr-defined]
        super().on_experiment_end(trials, **info)  # type: ignore[misc]

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Called by Ray Tune."""
        for epoch in epochs_of(result):
            values = {name: value for name, value in epoch.items() if name != "epochs"}
            values["training_iteration"] = epoch["epoch"]
            super().on_trial_result(iteration, trials, trial, values, **info)  # type: ignore[misc]


def _telling_all(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (_EachEpochAndEnd, kind), {})


def files() -> list[Any]:
    """Ray's own callbacks for TensorBoard, `result.json` and `progress.csv` in a trial's folder."""
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback

    kinds = (CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback)
    return [_telling_all(each)() for each in kinds]


def callbacks(names: Sequence[str], folder: RunFolder) -> list[Any]:
    """Ray's own callbacks for these loggers.

    MLflow's go to `MLFLOW_TRACKING_URI`, or into `mlflow.db` of the run folder; those of Weights &
    Biases to the project that `WANDB_PROJECT` names, as its own variables say.

    Args:
        names: Some of `choices.LOGGERS`.
        folder: The run folder; its name is MLflow's experiment, a group of Weights & Biases.
    """
    found: list[Any] = []
    if "mlflow" in names:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        where = os.environ.get("MLFLOW_TRACKING_URI") or folder.mlflow
        kind = _telling_all(MLflowLoggerCallback)
        found.append(kind(tracking_uri=where, experiment_name=folder.name))
    if "wandb" in names:
        from ray.air.integrations.wandb import WandbLoggerCallback

        project = os.environ.get("WANDB_PROJECT", "little-data-tuner")
        found.append(_telling_all(WandbLoggerCallback)(project=project, group=folder.name))
    return found
