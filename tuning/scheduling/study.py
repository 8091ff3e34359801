"""The Optuna study of a run: begun, resumed, told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from search_spaces.experiments import Experiment
from tuning.errors import UserError
from tuning.options import Options
from tuning.options.choices import OBJECTIVES
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import OVER, TrialLog
from tuning.scheduling.optuna_private import begin_beside, set_waiting
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.space import Space
from tuning.scheduling.storages import name_in
from tuning.scheduling.warm_start import Conditions, best_points, enqueue, take_over

DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
STATUSES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


def open_study(
    options: Options,
    space: Space,
    folder: RunFolder,
    store: BaseStorage,
    trial_log: TrialLog,
    resumed: bool,
    conditions: Conditions,
) -> Study:
    """The study of a run: a new one with its first points enqueued, or the one to go on with.

    Args:
        options: What the user asked for.
        space: The space that is searched.
        folder: The run folder.
        store: The storage.
        trial_log: What happened to trials so far; it learns what the study knows more.
        resumed: Whether the run is resumed.
        conditions: What its trials will be trained on.

    Raises:
        UserError: If it cannot be had.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if resumed:
        # With the seed alone it would propose once more what it proposed at first.
        seed = options.seed + 1000 * (1 + len(trial_log.records))
        name = options.name if options.storage else name_in(store, options.name)
        study = resume(store, name, build_sampler(options.sampler, seed))
        if study is not None:
            reconcile(study, trial_log)
            return study
    sampler = build_sampler(options.sampler, options.seed)
    study = create(store, options.name, sampler, options.objective, begun=folder.is_empty)
    try:
        study.set_user_attr("conditions", dict(conditions))
        if options.extend:
            enqueue(study, space, best_points(options, space))
        if options.warm_start:
            take_over(study, options.warm_start, space, conditions)
        enqueue(study, space, space.first_points(options))
        # A run of experiments alone, of a version that had no study for them.
        rebuild(study, space.experiments(options.experiments or ()), trial_log)
    except UserError:
        optuna.delete_study(study_name=options.name, storage=store)
        raise
    return study


def create(
    store: BaseStorage,
    name: str,
    sampler: optuna.samplers.BaseSampler,
    objectives: Sequence[str],
    begun: bool = False,
) -> Study:
    """A new study.

    Args:
        store: The storage.
        name: The study's name, the run's.
        sampler: The proposer.
        objectives: Some of `choices.OBJECTIVES`.
        begun: Whether the run was begun before, and no trial of it: a study that it left is
            begun anew as well.

    Raises:
        UserError: If the storage has one of this name.
    """
    directions = [DIRECTIONS[OBJECTIVES[each]] for each in objectives]
    for attempt in range(2):
        try:
            return optuna.create_study(
                storage=store, study_name=name, sampler=sampler, directions=directions
            )
        except optuna.exceptions.DuplicatedStudyError:
            if (
                attempt
                or not begun
                or count_begun(optuna.load_study(study_name=name, storage=store))
            ):
                break
            optuna.delete_study(study_name=name, storage=store)
    raise UserError(
        f"The storage has a study {name} already; choose another --name, or go on with it: "
        f"--resume {name}."
    )


def resume(store: BaseStorage, name: str, sampler: optuna.samplers.BaseSampler) -> Study | None:
    """The study of a run that was interrupted, None if the storage has none.

    Trials that were running wait to go on.
    """
    try:
        study = optuna.load_study(study_name=name, storage=store, sampler=sampler)
    except KeyError:
        return None
    release(study)
    return study


def rebuild(study: Study, experiments: Sequence[Experiment], trial_log: TrialLog) -> None:
    """Tells a new study what a run of experiments alone has in its log.

    Raises:
        UserError: If the log has other trials.
    """
    for number, record in enumerate(trial_log.trials):
        points = [each.hyperparameters(record.hyperparameters["epochs"]) for each in experiments]
        if record.number != number or points[number : number + 1] != [record.hyperparameters]:
            raise UserError(
                f"The storage has no study {study.study_name}; give the --storage that has it, or "
                "the run folder the name with which it began."
            )
        attributes = {"hyperparameters": record.hyperparameters}
        trial = begin_beside(study, experiments[number].name, attributes)
        if record.status in OVER:
            states = {status: state for state, status in STATUSES.items()}
            value = record.best_score if record.status == "finished" else None
            study.tell(trial, value, state=states[record.status])
    release(study)


def release(study: Study) -> None:
    """Lets trials that run no longer wait to be asked for again; they keep their values."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        set_waiting(study, trial)


def count_finished(study: Study) -> int:
    """The number of the run's own trials that are over, those of its warm start not counted."""
    return len(_own(study, tuple(STATUSES)))


def count_begun(study: Study) -> int:
    """The number of the run's own trials that were proposed."""
    return len(_own(study, (*STATUSES, TrialState.RUNNING)))


def _own(study: Study, states: tuple[TrialState, ...]) -> list[Any]:
    found = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in found if "from" not in trial.user_attrs]


def reconcile(study: Study, trial_log: TrialLog) -> None:
    """Tells the trial log which trials the study knows to be over.

    A trial's end is told to the study first, so a run that was killed in between has it there.
    """
    for trial in study.get_trials(deepcopy=False, states=tuple(STATUSES)):
        record = trial_log.records.get(trial.number)
        if record is not None and record.status not in OVER:
            trial_log.end(trial.number, STATUSES[trial.state], trial.user_attrs.get("reason"))
