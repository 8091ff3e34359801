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

from tuning.cluster.resources import Resources
from tuning.errors import NoRoom, UserError, is_full, one_line, refusal, where
from tuning.files.shared_folder import SharedFolder
from tuning.process import card
from tuning.process.backend import follow
from tuning.process.commands import keep
from tuning.process.cores import bind
from tuning.process.spent import clock
from tuning.records.run_folder import checkpoint_file
from tuning.training.context import TrialContext

STEP = 0.5  # seconds of epochs in one, after which their results are told
WRITING = 0.05  # share of a trial's time that checkpoints may take


def out_of_memory(error: Exception) -> bool:
    """Whether it says so, in TensorFlow's, JAX's or Python's words."""
    words = f"{type(error).__name__}: {error}"
    return bool(re.search("ResourceExhausted|RESOURCE_EXHAUSTED|MemoryError", words))


class _Rest:
    """This process's time between two steps, of one trial or two."""

    def __init__(self) -> None:
        self.since: float | None = None

    def begin(self) -> None:
        self.since = time.perf_counter()

    def end(self) -> None:
        if self.since is not None:
            clock.add("waiting", time.perf_counter() - self.since)


_rest = _Rest()


class _Warnings(logging.Handler):
    """Keeps them, to be told with the next result."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{platform.node()}: {record.getMessage()}")


class Worker(tune.Trainable):  # type: ignore[misc]
    """Runs one trial after the other in one process, some epochs a step.

    What Ray, Optuna and the loggers do with a result takes longer than an epoch of a head on a GPU,
    so a step is up to half a second of epochs, and its result lists them. It ends where the
    scheduler may stop the trial, which looks at no epoch in between.

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
        share: Resources,
        backend: str,
        rungs: frozenset[int],
    ) -> None:
        """Takes the first trial; the other arguments are the same for all.

        What takes seconds is left to the first step: Tune gives a trial whose worker is still
        starting to one that becomes free, and drops the new worker, so where trials are shorter
        than that start, none but the first worker would ever be used.
        """
        self.share = share
        self.backend = backend
        self.rungs = rungs
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
        self.again = False  # whether it has begun again with an empty device
        return True

    def _begin(self) -> None:
        """Begins the trial, or goes on with it."""
        if self.share.threads:
            bind(self.share.threads)  # before Keras is imported
        follow(self.backend)
        self.saved = time.monotonic()
        self.writing = 0.0
        self._settle_on_gpu()
        self.trial = self.make(self.config)
        checkpoint = self.folder.fetch_anew(checkpoint_file(self.config["number"]))
        if checkpoint.exists():
            self.trial.restore(checkpoint)

    def _settle_on_gpu(self) -> None:
        """Keeps to the trial's part of its memory, and what JAX compiles for all workers and runs.

        A network takes seconds to compile.
        """
        import keras

        from tuning.process.backend import has_gpu

        if keras.backend.backend() == "jax" and has_gpu():
            from tuning.training import scan

            scan.share_device(self.share.gpus)
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
        """Trains some epochs.

        Returns:
            What `Trial.run_epoch` says of the last, `over`, `worker`, `warnings` and `epochs`: what
            it says of each.
        """
        epochs: list[dict[str, Any]] = []
        _rest.end()
        try:
            with clock.on("other"):
                return self._step(epochs)
        finally:
            if epochs:
                epochs[-1] |= {"spent": clock.take(), "gpu_busy": card.busy()}
            _rest.begin()

    def _step(self, epochs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.failed:
            try:
                if self.trial is None:
                    self._begin()
                self._keep()
                return self._train(epochs)
            except Exception as error:
                if not self.again and out_of_memory(error):
                    self._forget()
                    epochs.clear()
                    return self._step(epochs)
                if isinstance(error, NoRoom) or is_full(one_line(error)):
                    reason = str(error) if isinstance(error, NoRoom) else refusal(error)
                    return {"full": reason, "done": True, "epochs": epochs}
                self._fault(error)
        return {"failed": self.failed, "done": True, "epochs": epochs}

    def _train(self, epochs: list[dict[str, Any]]) -> dict[str, Any]:
        """Adds what is said of each epoch to `epochs`."""
        until = time.monotonic() + STEP
        try:
            epochs.append(self._epoch())
            while not self._pauses(epochs[-1]) and time.monotonic() < until:
                epochs.append(self._epoch())
        finally:
            self._keep_best(len(epochs))
        last = epochs[-1]
        lines, self.warnings.lines = self.warnings.lines, []
        return {
            **last,
            "epochs": epochs,
            "done": last["over"],
            "worker": f"{platform.node()} {os.getpid()}",
            "warnings": lines,
        }

    def _pauses(self, epoch: dict[str, Any]) -> bool:
        return epoch["over"] or epoch["epoch"] in self.rungs

    def _epoch(self) -> dict[str, Any]:
        result: dict[str, Any] = self.trial.run_epoch()
        # Ray says `done` of a trial that it stops as well.
        result["over"] = self.trial.is_over(self.config.get("patience"))
        return result

    def _keep_best(self, epochs: int) -> None:
        """Keeps the weights of the trial's best epoch, if it is one of so many last ones."""
        from tuning.training.trial import save_best

        if self.trial.best.epoch > self.trial.epoch - epochs:
            save_best(self.trial, self.folder, self.config["number"])

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
        if out_of_memory(error):
            self._forget()
            self.failed = "out of memory; a smaller --image-size or fewer unfrozen layers need less"
        elif not expected:
            name = f"fault-{self.config['number']}.log"
            keep(error, self.folder.here / name)
            self.folder.send(name)
            self.failed += f", {where(error)}; see {name}"

    def _forget(self) -> None:
        """Gives all memory back: networks and features of trials before may fill the device."""
        from tuning.training.networks import forget

        self.trial, self.again = None, True
        forget()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The run folder holds the checkpoints; Ray need not copy them."""
