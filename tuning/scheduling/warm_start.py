"""What a search takes over from an earlier one.

Trials that were trained on the same pictures with the same frozen network are as good as its own.
Of others the values say nothing here: their best points are tried anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import optuna
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from models.backbones import Backbone
from search_spaces.constraints import ConstraintError
from search_spaces.experiments import BACKBONE
from tuning.errors import UserError
from tuning.options import Options
from tuning.options.option import masked
from tuning.records import metadata
from tuning.records.metadata import RunMetadata
from tuning.records.run_folder import STUDY, RunFolder
from tuning.records.trial_log import rank, read_trials
from tuning.scheduling.optuna_private import proposed
from tuning.scheduling.space import Space
from tuning.scheduling.storages import name_in, open_storage
from tuning.wording import count

BEST = 10  # points of a search on other pictures that are tried

log = logging.getLogger(__name__)


class Conditions(TypedDict):
    """What the trials of a study are trained on; a study has them among its attributes.

    Those of different conditions cannot be compared.
    """

    fingerprint: str  # of the pictures, see `Dataset`
    image_size: int
    weights: str  # their checksum
    backbone: str


OTHER = {
    "image_size": "at another image size",
    "fingerprint": "on other pictures, or another split of them",
    "weights": "from other weights",
    "backbone": "with another backbone",
}


def conditions_of(known: RunMetadata) -> Conditions:
    """What a run's trials are trained on."""
    data = known["data"]
    return {
        "fingerprint": data["fingerprint"],
        "image_size": data["image_size"],
        "weights": known["weights"]["checksum"],
        "backbone": known["weights"].get("backbone", BACKBONE),
    }


class Known(TypedDict):
    """By what trials of frozen networks are compared."""

    weights: str
    backbone: str


def known_as(searched: Sequence[Backbone]) -> Known:
    """Names and checksums of the networks that are searched."""
    return {
        "weights": "+".join(each.weights.checksum for each in searched),
        "backbone": "+".join(each.name for each in searched) or BACKBONE,
    }


def enqueue(study: Study, space: Space, points: Iterable[dict[str, Any]]) -> None:
    """Lets points be tried first; one that waits already is not tried twice."""
    for point in points:
        study.enqueue_trial(space.asked(point)[0], skip_if_exists=True)


def best_points(options: Options, space: Space) -> list[dict[str, Any]]:
    """The best points of the run that is extended, the very best first.

    Raises:
        UserError: If there is no such run, or none of its trials lies in the space.
    """
    assert options.extend
    folder = RunFolder(options.folder.parent / options.extend)
    if not folder.settings.is_file():
        raise UserError(f"There is no run {folder.path} to extend.")
    ranked = [record.hyperparameters for record in rank(read_trials(folder.trials))]
    found = _fitting(space, ranked)[:BEST]
    if not found:
        raise UserError(
            f"--extend {options.extend}: none of its {count(len(ranked), 'trial')} with an epoch "
            "lies in this search's space."
        )
    return found


def take_over(study: Study, source: str, space: Space, conditions: Conditions) -> int:
    """Adds the finished trials of an earlier study, each marked with where it is from.

    Where they were trained under other conditions the best points are enqueued instead.

    Args:
        study: The new study.
        source: A run folder, or STORAGE#STUDY; of a storage with one study its name may be left.
        space: The new study's space; earlier trials outside it are left out.
        conditions: What the new study's trials will be trained on.

    Returns:
        How many trials, or points, were taken over.

    Raises:
        UserError: If there is no such study, it had other objectives, or none of its trials lies
            in the space.
    """
    earlier = earlier_study(source)
    if earlier.directions != study.directions:
        raise UserError(f"--warm-start {masked(source)} was searched for other objectives.")
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    found = proposed(earlier).get_trials(deepcopy=False, states=states)
    differences = _differences(_conditions(earlier, source), conditions)
    if differences:
        points = _fitting(space, map(_point, _ranked(found, earlier.directions[0])))[:BEST]
        enqueue(study, space, points)
        added = len(points)
        log.warning(
            "--warm-start %s: its trials were trained %s, so that they are no observations here; "
            "its best %s tried first",
            masked(source),
            " and ".join(differences),
            "point is" if added == 1 else f"{added} points are",
        )
    else:
        added = sum(_add(study, space, trial, earlier.study_name) for trial in found)
    if not added:
        raise UserError(
            f"--warm-start {masked(source)}: none of its {len(found)} finished trials lies in this "
            "search's space."
        )
    return added


def _add(study: Study, space: Space, trial: FrozenTrial, name: str) -> bool:
    for point in _fitting(space, [_point(trial)]):
        parameters, distributions = space.asked(point)
        study.add_trial(
            optuna.trial.create_trial(
                state=trial.state,
                values=trial.values,
                params=parameters,
                distributions=distributions,
                user_attrs={**trial.user_attrs, "from": f"{name} {trial.number}"},
                intermediate_values=trial.intermediate_values,
            )
        )
        return True
    return False


def _point(trial: FrozenTrial) -> dict[str, Any]:
    point: dict[str, Any] = trial.user_attrs.get("hyperparameters", trial.params)
    return point


def _ranked(trials: list[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Those with a value, the best by the first objective first."""
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    valued = [trial for trial in trials if trial.values]
    return sorted(valued, key=lambda trial: sign * trial.values[0])


def _fitting(space: Space, points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points that lie in the space, each once."""
    found: list[dict[str, Any]] = []
    for point in points:
        try:
            whole = space.complete(point)
        except ConstraintError:
            continue
        if whole not in found:
            found.append(whole)
    return found


def _differences(earlier: Mapping[str, Any], ours: Conditions) -> list[str]:
    # Another size makes other pixels, which needs no saying.
    found = [name for name in OTHER if earlier.get(name) != ours[name]]  # type: ignore[literal-required]
    if "image_size" in found and "fingerprint" in found:
        found.remove("fingerprint")
    return [OTHER[name] for name in found]


def _conditions(study: Study, source: str) -> Mapping[str, Any]:
    """Under which a study's trials were trained; empty where nothing says so."""
    known: Mapping[str, Any] = study.user_attrs.get("conditions", {})
    folder = Path(source).expanduser()
    if not known and folder.is_dir():  # of a version that did not write them into the study
        try:
            return conditions_of(metadata.read(RunFolder(folder)))
        except UserError:
            return {}
    return known


def earlier_study(source: str) -> Study:
    """The study that --warm-start names, see `take_over`.

    Raises:
        UserError: If there is none.
    """
    folder = Path(source).expanduser()
    where, _, name = source.partition("#")
    if folder.is_dir():
        if not (folder / STUDY).is_file():
            raise UserError(f"--warm-start {source} has no study.db; give STORAGE#STUDY.")
        where = RunFolder(folder.resolve()).storage
    elif "://" not in where and not Path(where).expanduser().is_file():
        raise UserError(f"--warm-start {source}: there is no such run folder or storage.")
    file = where.removeprefix("sqlite:///")
    if where.startswith("sqlite:///") and not Path(file).is_file():
        # Optuna would make one.
        raise UserError(f"--warm-start {source}: there is no file {file}.")
    store = open_storage(where)
    names = optuna.get_all_study_names(store)
    name = name or name_in(store, folder.resolve().name if folder.is_dir() else "")
    if name not in names:
        raise UserError(
            f"--warm-start {masked(source)}: the storage has the studies "
            f"{', '.join(sorted(names)) or '(none)'}; name one as STORAGE#STUDY."
        )
    return optuna.load_study(study_name=name, storage=store)
