"""The article's experiments alone, one after the other in this process.

They go through the same cache and training as every trial of a search.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from search_spaces.experiments import EXPERIMENTS
from tuning.copies import SharedFolder
from tuning.interrupt import BY_USER, gentle
from tuning.options import Options
from tuning.records import OVER, Ledger, Manner
from tuning.setting import Setting
from tuning.space import Space
from tuning.training import Trial, TrialError, save_best


def run(
    options: Options,
    space: Space,
    setting: Setting,
    ledger: Ledger,
    folder: Path,
    watch: Callable[[int, int], None],
) -> Manner:
    """Runs the experiments that the options name, in the article's order."""
    import keras

    chosen = [each for each in EXPERIMENTS if each.name in (options.experiments or ())]
    deadline = time.monotonic() + (options.time_budget or float("inf"))
    status = "finished"
    with gentle() as interrupt:
        for number, experiment in enumerate(chosen):
            if number in ledger.records and ledger.records[number].status in OVER:
                continue
            hyperparameters = experiment.hyperparameters(
                options.epochs, options.space, options.preprocessing
            )
            ledger.start(number, hyperparameters)
            trial = Trial(setting, hyperparameters)
            status, reason = "finished", None
            while trial.epoch < options.epochs:
                if interrupt.raised or time.monotonic() > deadline:
                    status = "interrupted"
                    break
                try:
                    ledger.epoch(number, trial.run_epoch())
                except TrialError as error:
                    status, reason = "failed", str(error)
                    break
                save_best(trial, SharedFolder(options.place or folder), number)
            ledger.end(number, status, reason)
            if status == "interrupted":
                break
    gpus = [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]
    ended = None
    if status == "interrupted":
        ended = BY_USER if interrupt.raised else "the time budget was spent"
    return Manner(ended, False, 1, float(bool(gpus)), os.cpu_count() or 1)
