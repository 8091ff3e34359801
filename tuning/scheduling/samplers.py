"""Who proposes: Optuna's samplers by their names on the command line."""

from __future__ import annotations

import importlib.util
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial

from tuning.errors import UserError
from tuning.scheduling.optuna_private import EXPERIMENT, proposed

NEEDED = {"gp": ("scipy", "torch"), "cmaes": ("cmaes",), "qmc": ("scipy",)}


def build_sampler(kind: str, seed: int) -> optuna.samplers.BaseSampler:
    """The proposer of a name in `choices.SAMPLERS`.

    Raises:
        UserError: If it needs a package that is not installed.
    """
    for package in NEEDED.get(kind, ()):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"--sampler {kind} needs the package {package}: pip install {package}")
    return Proposer(_sampler(kind, seed))


def _sampler(kind: str, seed: int) -> optuna.samplers.BaseSampler:
    samplers = optuna.samplers
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


class Proposer(optuna.samplers.BaseSampler):
    """A sampler that does not see the article's experiments, see `optuna_private.proposed`.

    Args:
        sampler: The one that proposes.
    """

    def __init__(self, sampler: optuna.samplers.BaseSampler) -> None:
        self.sampler = sampler
        self._seen: tuple[int, Study] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to propose."""
        return bool(getattr(self.sampler, "exhausted", False))

    def reseed_rng(self) -> None:
        """See Optuna, as for all methods."""
        self.sampler.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """The parameters that are proposed together."""
        return self.sampler.infer_relative_search_space(self._of(study, trial), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        """Proposes these."""
        return self.sampler.sample_relative(self._of(study, trial), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """Proposes one alone."""
        return self.sampler.sample_independent(
            self._of(study, trial), trial, param_name, param_distribution
        )

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """A trial has been asked for."""
        if EXPERIMENT not in trial.user_attrs:
            self.sampler.before_trial(proposed(study), trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Any) -> None:
        """A trial is told."""
        if EXPERIMENT not in trial.user_attrs:
            self.sampler.after_trial(proposed(study), trial, state, values)

    def _of(self, study: Study, trial: FrozenTrial) -> Study:
        # One for all parameters of a trial: with it goes what Optuna keeps of a storage's answers.
        if self._seen is None or self._seen[0] != trial.number:
            self._seen = trial.number, proposed(study)
        return self._seen[1]


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
