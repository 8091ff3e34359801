"""What the end of a run found out: `findings.json` in the run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuning.errors import UserError
from tuning.files import atomic
from tuning.records import shapes
from tuning.records.facts import (
    Confirmation,
    CrossValidation,
    Doubts,
    Ensemble,
    Front,
    Importances,
    LearningCurve,
    Mistakes,
    Score,
    Sheet,
    finite,
)
from tuning.records.run_folder import RunFolder
from tuning.records.trial_log import RunEnding


@dataclass(frozen=True)
class RunOutcome:
    """All that the report knows beside what was written while the search went on.

    Attributes:
        ending: The way the trials were run, and what ended them.
        trial: The winner's number, None if no trial finished an epoch.
        validation: The winner's score; None: accuracy and loss as its trial told them.
        test: The winner's score on the test split, None where there is none.
        mistakes: The pictures that the winner takes for something else.
        model: The exported model's path in the run folder.
        ensemble: The trials that answer together in it; None: the winner alone.
        confirmation: Repeats of the best configurations.
        cross_validation: The winner's configuration on folds.
        importances: Shares of the levers.
        front: The Pareto front of several objectives.
        shown: What augmentation made of some training pictures.
        doubts: Labels that may be wrong.
        learning_curve: What fewer training pictures would have reached.
        warnings: What the user should know, a line each.
    """

    ending: RunEnding
    trial: int | None = None
    validation: Score | None = None
    test: Score | None = None
    mistakes: Mistakes | None = None
    model: str | None = None
    ensemble: Ensemble | None = None
    confirmation: Confirmation | None = None
    cross_validation: CrossValidation | None = None
    importances: Importances | None = None
    front: Front | None = None
    shown: Sequence[Sheet] = ()
    doubts: Doubts | None = None
    learning_curve: LearningCurve | None = None
    warnings: Sequence[str] = ()


# Runs of all versions have the ending under this key.
ENDING = "manner"


def write(outcome: RunOutcome, folder: RunFolder) -> None:
    """Writes it down, whole or not at all."""
    content: dict[str, Any] = finite(asdict(outcome))
    content = {ENDING: content.pop("ending"), **content}
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    atomic.write_text(folder.outcome, text + "\n")


def read(folder: RunFolder) -> RunOutcome | None:
    """What `write` wrote; None while the search goes on.

    Raises:
        UserError: If it is damaged.
    """
    path = folder.outcome
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["ending"] = content.pop(ENDING)
        shapes.expect(content, RunOutcome)
        return RunOutcome(RunEnding(**content.pop("ending")), **content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def reopen(folder: RunFolder) -> None:
    """Keeps the outcome aside: a search that is resumed has found nothing yet."""
    if folder.outcome.exists():
        number = len(folder.earlier_outcomes())
        folder.outcome.replace(folder.path / f"earlier-{number}.json")


def earlier_looks(folder: RunFolder) -> int:
    """How often the test split was looked at by models of sessions that ended before."""
    looks = 0
    for file in folder.earlier_outcomes():
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            looks += content["test"] is not None
        except (OSError, ValueError, KeyError, TypeError):
            looks += 1  # a damaged one may have looked
    return looks
