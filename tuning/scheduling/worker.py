"""The process that runs trials, one after the other."""

from __future__ import annotations

import dataclasses
import logging
import os
import platform
import re
import time
from typing import Any

from ray import tune

from tuning.errors import NoRoom, UserError, is_full, one_line, refusal, where
from tuning.files.shared_folder import SharedFolder
from tuning.process.commands import keep
from tuning.process.cores import bind
from tuning.records.run_folder import checkpoint_file
from tuning.training.context import TrialContext

WRITING = 0.05  # share of a trial's time that checkpoints may take


class _Warnings(logging.Handler):
    """Keeps them, to be told with the next result."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{platform.node()}: {record.getMessage()}")


class Worker(tune.Trainable):  # type: ignore[misc]
    """Runs one trial after the other in one process, an epoch a step.

    A trial begins at its checkpoint where there is one: after the death of its process, of its
    machine or of the search. The run folder holds it, so it is found on any machine.

    A trial's own fault ends in a result with `failed`, its reason, and where its traceback is. A
    full disk is no trial's fault: the result has `full`, and the search ends. What may pass (a
    share that is away) is raised, and Ray tries again.
    """

    def setup(
        self,
        config: dict[str, Any],
        context: TrialContext,
        folder: SharedFolder,
        threads: int | None,
    ) -> None:
        """Takes the first trial; the other arguments are the same for all.

        What takes seconds is left to the first step: Tune gives a trial whose worker is still
        starting to one that becomes free, and drops the new worker, so where trials are shorter
        than that start, none but the first worker would ever be used.
        """
        self.threads = threads
        self.warnings = _Warnings()
        logging.getLogger("tuning").addHandler(self.warnings)
        self.context = context
        self.folder = folder
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial, in the same process.

        Args:
            new_config: `number`, `hyperparameters`, perhaps `patience` (see `Trial.is_over`); of a
                repeat also `seed` and `fold`.
        """
        self.config = new_config
        self.trial: Any = None
        self.failed: str | None = None
        return True

    def _begin(self) -> None:
        """Begins the trial, or goes on with it."""
        if self.threads:
            bind(self.threads)
        self.saved = time.monotonic()
        self.writing = 0.0
        self._keep_compiled()
        self.trial = self.make(self.config)
        checkpoint = self.folder.fetch_anew(checkpoint_file(self.config["number"]))
        if checkpoint.exists():
            self.trial.restore(checkpoint)

    def _keep_compiled(self) -> None:
        """Keeps what JAX compiles for a GPU, which takes seconds, for all workers and runs."""
        import keras

        from tuning.training.networks import has_gpu

        if keras.backend.backend() == "jax" and has_gpu():
            from tuning.training import scan

            scan.keep_compiled(self.context.cache.shared.here / "compiled")

    def make(self, config: dict[str, Any]) -> Any:
        """The trial itself."""
        context = self.context
        if "seed" not in config:  # none that is trained again
            context = context.of_trial(config["number"], config.get("experiment"))
        if config.get("fold"):
            from tuning.data.folds import fold

            context = dataclasses.replace(context, dataset=fold(context.dataset, *config["fold"]))
        if "seed" in config:
            context = dataclasses.replace(context, seed=config["seed"])
        if context.hypermodel is not None:
            from tuning.training.hypermodel_trial import HyperModelTrial

            return HyperModelTrial(context, config["hyperparameters"])
        from tuning.training.transfer import TransferTrial

        return TransferTrial(context, config["hyperparameters"])

    def step(self) -> dict[str, Any]:
        """Trains an epoch."""
        if not self.failed:
            try:
                if self.trial is None:
                    self._begin()
                self._keep()
                return self._epoch()
            except Exception as error:
                if isinstance(error, NoRoom) or is_full(one_line(error)):
                    told = str(error) if isinstance(error, NoRoom) else refusal(error)
                    return {"full": told, "done": True}
                self._fault(error)
        return {"failed": self.failed, "done": True}

    def _epoch(self) -> dict[str, Any]:
        from tuning.training.trial import save_best

        result: dict[str, Any] = self.trial.run_epoch()
        save_best(self.trial, self.folder, self.config["number"])
        # Ray says `done` of a trial that it stops as well.
        result["done"] = result["over"] = self.trial.is_over(self.config.get("patience"))
        result["worker"] = f"{platform.node()} {os.getpid()}"
        result["warnings"], self.warnings.lines = self.warnings.lines, []
        return result

    def _keep(self) -> None:
        """Writes a checkpoint of the epochs so far, if it is time for one.

        Not after an epoch but before the next, when the search has taken the epoch's result in: a
        checkpoint is never ahead of what the search knows.
        """
        now = time.monotonic()
        if self.trial.epoch and self.writing <= WRITING * (now - self.saved):
            file = checkpoint_file(self.config["number"])
            self.trial.save(self.folder.here / file)
            self.folder.send(file)
            self.saved = time.monotonic()
            self.writing = self.saved - now

    def _fault(self, error: Exception) -> None:
        if isinstance(error, OSError):
            raise error
        from tuning.training.trial import TrialError

        expected = isinstance(error, TrialError | UserError)
        self.failed = str(error) if expected else one_line(error)
        # TensorFlow and JAX, each in its own words.
        if re.search("ResourceExhausted|RESOURCE_EXHAUSTED|MemoryError", self.failed):
            # The networks of trials before it may hold what the next trial needs.
            from tuning.training.networks import forget

            self.failed = "out of memory; a smaller --image-size or fewer unfrozen layers need less"
            forget()
        elif not expected:
            name = f"fault-{self.config['number']}.log"
            keep(error, self.folder.here / name)
            self.folder.send(name)
            self.failed += f", {where(error)}; see {name}"

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The run folder holds the checkpoints; Ray need not copy them."""
