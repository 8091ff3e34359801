"""Who proposes: Optuna's samplers by their names on the command line."""

from __future__ import annotations

import importlib.util
from typing import Any

import optuna
from optuna.study import Study

from tuning.errors import UserError

NEEDED = {"gp": ("scipy", "torch"), "cmaes": ("cmaes",), "qmc": ("scipy",)}


def build_sampler(kind: str, seed: int) -> optuna.samplers.BaseSampler:
    """The proposer of a name in `choices.SAMPLERS`.

    Raises:
        UserError: If it needs a package that is not installed.
    """
    samplers = optuna.samplers
    for package in NEEDED.get(kind, ()):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"--sampler {kind} needs the package {package}: pip install {package}")
    if kind == "gp":
        return samplers.GPSampler(seed=seed)
    if kind == "cmaes":
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if kind == "qmc":
        return samplers.QMCSampler(seed=seed, warn_independent_sampling=False)
    if kind == "random":
        return samplers.RandomSampler(seed=seed)
    if kind == "grid":
        return Grid(seed=seed)
    return samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def set_up_logging() -> None:
    """Lets Optuna set up its logger, so that what a run changes of it can be put back."""
    optuna.logging.get_verbosity()


class Grid(optuna.samplers.BruteForceSampler):
    """Every point of the space once; `exhausted` when there is none left.

    Optuna's own ends `Study.optimize` then, which is not what runs here.
    """

    exhausted = False

    def after_trial(self, study: Study, trial: Any, state: Any, values: Any) -> None:
        """Called by Optuna when a trial is told."""
        try:
            super().after_trial(study, trial, state, values)
        except RuntimeError:  # of Study.stop
            self.exhausted = True
