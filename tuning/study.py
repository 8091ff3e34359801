"""The Optuna study of a run: where it is stored, who proposes, what it begins with."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from search_spaces.narrowing import NarrowingError
from tuning.choices import OBJECTIVES
from tuning.errors import UserError
from tuning.grid import Grid
from tuning.records import OVER, Ledger
from tuning.settings import MASK, masked
from tuning.space import Space

NEEDED = {"gp": ("scipy", "torch"), "cmaes": ("cmaes",), "qmc": ("scipy",)}
DRIVERS = {"postgresql": "psycopg[binary]", "mysql": "pymysql"}
DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
TOLD = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def sampler(kind: str, seed: int) -> optuna.samplers.BaseSampler:
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


def storage(where: str) -> BaseStorage:
    """Opens a storage: a database by its URL, or a journal file by its path.

    Raises:
        UserError: Why it cannot be opened, without its password.
    """
    if "://" not in where:
        path = Path(where).expanduser().absolute()
        if not path.parent.is_dir():
            raise UserError(f"The folder of the storage {path} does not exist.")
        return JournalStorage(JournalFileBackend(str(path)))
    if f":{MASK}@" in where:
        raise UserError(f"The password of {where} is not kept in settings; give --storage again.")
    kind = where.partition(":")[0].partition("+")[0]
    # A connection that a database closed in the meantime is opened again.
    engine = {} if kind == "sqlite" else {"pool_pre_ping": True}
    driven = where
    for plain, driver in (
        ("mysql://", "mysql+pymysql://"),
        ("postgresql://", "postgresql+psycopg://"),
    ):
        driven = driven.replace(plain, driver, 1)
    try:
        return RDBStorage(driven, engine_kwargs=engine)
    except ImportError:
        package = DRIVERS.get(kind, kind)
        raise UserError(
            f"--storage {masked(where)} needs the package {package}: pip install {package}"
        ) from None
    except Exception as error:
        # SQLAlchemy's and the drivers' own, of many kinds; their first line says what is wrong.
        reason = str(error).splitlines()[0].replace(where, masked(where))
        raise UserError(f"The storage {masked(where)} cannot be opened: {reason}") from None


def default_storage(folder: Path) -> str:
    """SQLite in the run folder."""
    return f"sqlite:///{folder / 'study.db'}"


def create(
    store: BaseStorage, name: str, sampler: optuna.samplers.BaseSampler, objectives: Sequence[str]
) -> Study:
    """A new study.

    Raises:
        UserError: If the storage has one of this name.
    """
    try:
        return optuna.create_study(
            storage=store,
            study_name=name,
            sampler=sampler,
            directions=[DIRECTIONS[OBJECTIVES[each]] for each in objectives],
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise UserError(
            f"The storage has a study {name} already; choose another --name, or go on with it: "
            f"--resume {name}."
        ) from None


def resume(store: BaseStorage, name: str, sampler: optuna.samplers.BaseSampler) -> Study:
    """The study of a run that was interrupted; trials that were running wait to go on."""
    try:
        study = optuna.load_study(study_name=name, storage=store, sampler=sampler)
    except KeyError:
        raise UserError(f"The storage has no study {name}; give the --storage it has.") from None
    release(study)
    return study


def release(study: Study) -> None:
    """Lets trials that run no longer wait to be asked for again; they keep their values."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def told(study: Study) -> int:
    """How many trials of the run itself are over, those of its warm start not counted."""
    over = study.get_trials(deepcopy=False, states=TOLD)
    return sum("from" not in trial.user_attrs for trial in over)


def take_over(study: Study, source: str, space: Space) -> int:
    """Adds the finished trials of an earlier study, each marked with where it is from.

    Args:
        study: The new one.
        source: A run folder, or STORAGE#STUDY; of a storage with one study its name may be left.
        space: Of the new study; earlier trials outside it are left out.

    Returns:
        How many trials were added.

    Raises:
        UserError: If there is no such study, it had other objectives, or none of its trials lies
            in the space.
    """
    earlier = _earlier(source)
    if earlier.directions != study.directions:
        raise UserError(f"--warm-start {masked(source)} was searched for other objectives.")
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    found = earlier.get_trials(deepcopy=False, states=states)
    added = 0
    for trial in found:
        point = trial.user_attrs.get("hyperparameters", trial.params)
        try:
            parameters, distributions = space.asked(space.complete(point))
        except NarrowingError:
            continue
        study.add_trial(
            optuna.trial.create_trial(
                state=trial.state,
                values=trial.values,
                params=parameters,
                distributions=distributions,
                user_attrs={**trial.user_attrs, "from": f"{earlier.study_name} {trial.number}"},
                intermediate_values=trial.intermediate_values,
            )
        )
        added += 1
    if not added:
        raise UserError(
            f"--warm-start {masked(source)}: none of its {len(found)} finished trials lies in this "
            "search's space."
        )
    return added


def _earlier(source: str) -> Study:
    folder = Path(source).expanduser()
    where, _, name = source.partition("#")
    if folder.is_dir():
        if not (folder / "study.db").is_file():
            raise UserError(f"--warm-start {source} has no study.db; give STORAGE#STUDY.")
        where, name = default_storage(folder.resolve()), folder.resolve().name
    elif "://" not in where and not Path(where).expanduser().is_file():
        raise UserError(f"--warm-start {source}: there is no such run folder or storage.")
    store = storage(where)
    names = optuna.get_all_study_names(store)
    if not name and len(names) == 1:
        name = names[0]
    if name not in names and len(names) == 1 and folder.is_dir():
        name = names[0]  # of a folder that was renamed
    if name not in names:
        raise UserError(
            f"--warm-start {masked(source)}: the storage has the studies "
            f"{', '.join(sorted(names)) or '(none)'}; name one as STORAGE#STUDY."
        )
    return optuna.load_study(study_name=name, storage=store)


def reconcile(study: Study, ledger: Ledger) -> None:
    """Tells the ledger which trials the study knows to be over.

    A trial's end is told to the study first, so a run that was killed in between has it there.
    """
    states = {
        TrialState.COMPLETE: "finished",
        TrialState.PRUNED: "stopped",
        TrialState.FAIL: "failed",
    }
    for trial in study.get_trials(deepcopy=False, states=TOLD):
        record = ledger.records.get(trial.number)
        if record is not None and record.status not in OVER:
            ledger.end(trial.number, states[trial.state], trial.user_attrs.get("reason"))
