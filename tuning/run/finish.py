"""The end of a run: the best model, its one look at the test split, the report."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from models.network import temper
from tuning.data.dataset import Dataset, Split
from tuning.data.parts import Part
from tuning.errors import UserError
from tuning.evaluation import repeats, scores, temperature
from tuning.evaluation.importances import importances
from tuning.evaluation.pareto import pareto_front
from tuning.evaluation.pictures import sheets
from tuning.evaluation.repeats import Repeat
from tuning.export import card, familiar, formats
from tuning.export.familiar import Familiar
from tuning.export.heat import HeatMaps
from tuning.export.model import build
from tuning.export.model import write as write_model
from tuning.export.proof import PICTURES, Proof
from tuning.process.commands import INTERRUPTED, MISTAKE
from tuning.records import outcome
from tuning.records.facts import Confirmation, CrossValidation, Facts, Score, Sheet
from tuning.records.outcome import RunOutcome
from tuning.records.run_folder import CONFIRMATION, FOLDS
from tuning.records.trial_log import RunEnding, TrialLog, TrialRecord, rank
from tuning.report.gather import gather
from tuning.report.render import write
from tuning.run import ensemble
from tuning.run.console import in_short
from tuning.run.examine import examine
from tuning.run.progress import Progress
from tuning.scheduling import tune
from tuning.scheduling.optuna_private import proposed
from tuning.scheduling.tune import Run
from tuning.training.best import load_arrays
from tuning.training.networks import probabilities

if TYPE_CHECKING:
    import keras

FAILED = 1  # exit code of a search that came to nothing
KEPT_WEIGHTS = 5  # best trials whose weights stay in the run folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """What came of a run.

    Attributes:
        facts: The facts of its report.
        in_short: What a terminal says of it.
        error: What went wrong, and what to do; None where nothing did.
        code: The exit code of its command.
    """

    facts: Facts
    in_short: str
    error: str | None
    code: int


@dataclass(frozen=True)
class _Final:
    """The model that is taken home.

    Attributes:
        data: The pictures that the winner was trained on and validated by.
        alone: The winner's model, calibrated.
        model: The same, or an ensemble.
        raw: What it said of the validation pictures before it got a temperature, (N, classes).
        temperature: The temperature; 1 for none, or where each of an ensemble has its own.
        joined: The ensemble.
        notes: What the report is to say of it.
    """

    data: Dataset
    alone: keras.Model
    model: keras.Model
    raw: np.ndarray
    temperature: float
    joined: ensemble.Joined | None = None
    notes: tuple[str, ...] = ()


def finish(run: Run, ending: RunEnding, console: Console) -> Finished:
    """Confirms the best, exports the winner's model, tests it once, writes report and card.

    Args:
        run: The run, whose trials are over.
        ending: The way they were run.
        console: The terminal, or notebook, that shows the progress of further trainings.
    """
    folder = run.folder
    ranking = rank(run.trial_log.trials)
    winner, confirmed = _confirm(run, ranking, ending, console)
    crossed = _cross_validate(run, winner, ending, console)
    found = RunOutcome(
        ending,
        warnings=[*ending.notes, *_unfinished(run, confirmed, crossed)],
        **_of_the_study(run),
    )
    fault = None
    if winner:
        final = _final(run, winner, ranking)
        path = write_model(final.model, run.context.dataset, folder.best)
        familiar.write(_familiar(run, winner, final.alone), folder.best)
        with Proof(
            path, final.model, np.asarray(run.context.dataset.validation.pictures[:PICTURES])
        ) as proof:
            found = dataclasses.replace(
                found,
                trial=winner.number,
                model=str(path.relative_to(folder.path)),
                confirmation=confirmed,
                cross_validation=crossed,
                shown=_shown(run, ranking),
                warnings=[*found.warnings, *final.notes],
                ensemble=ensemble.facts(final.joined, final.alone, run) if final.joined else None,
                **({} if run.interrupted() or ending.full else _examined(run, ranking)),
                **_measure(final, run.context.metric),
            )
            fault = proof.fault()
    if fault:
        fault = f"The model in {folder.best} cannot be used by others: {fault}"
        found = dataclasses.replace(found, warnings=[*found.warnings, fault])
    for record in ranking[max(KEPT_WEIGHTS, run.options.ensemble or 0) :]:
        if record is not winner:
            folder.weights(record.number).unlink(missing_ok=True)
    outcome.write(found, folder)
    facts = gather(folder)
    write(facts, folder.path)
    if winner:
        card.write(facts, folder.path)
        _export_formats(run)
    return Finished(
        facts, in_short(facts, run.options.folder), *_verdict(run, ending, winner, fault)
    )


def _final(run: Run, winner: TrialRecord, ranking: list[TrialRecord]) -> _Final:
    """Makes the model that is taken home."""
    weights = load_arrays(run.folder.weights(winner.number))
    alone = build(run.context, winner.hyperparameters, weights)
    data = run.context.of_trial(winner.number, winner.experiment).dataset
    said = probabilities(alone, data.validation.pictures)
    fitted = temperature.better(said, data.validation.labels)
    if fitted != 1 and not temper(alone, fitted):
        fitted = 1.0
    final = _Final(data, alone, alone, said, fitted)
    if run.options.ensemble is None:
        return final
    joined = ensemble.join(run, winner, ranking)
    if isinstance(joined, str):
        return dataclasses.replace(final, notes=(joined,))
    raw = joined.validation.mean(axis=0)
    return dataclasses.replace(final, model=joined.model, raw=raw, temperature=1, joined=joined)


def _verdict(
    run: Run, ending: RunEnding, winner: TrialRecord | None, fault: str | None
) -> tuple[str | None, int]:
    """What went wrong, and the exit code."""
    if run.interrupted():
        return None, INTERRUPTED
    if ending.full:
        reason = ending.full.rstrip(".")
        return f"{reason}. Then go on with --resume {run.options.name}.", MISTAKE
    if ending.failing:
        reasons = [each.reason for each in run.trial_log.trials if each.status == "failed"]
        return f"{ending.ended}, {reasons[-1]}", FAILED
    if winner is None and ending.ended:
        reason = f"{ending.ended}, before any trial finished an epoch: there is no model"
        return f"{reason}; --resume {run.options.name} goes on, with more.", FAILED
    if winner is None:
        reasons = [each.reason for each in run.trial_log.trials if each.status == "failed"]
        why = f": {reasons[-1]}" if reasons else "."
        return f"No trial finished an epoch, so there is no model{why}", FAILED
    return (fault, FAILED) if fault else (None, 0)


def _examined(run: Run, ranking: list[TrialRecord]) -> dict[str, Any]:
    """See `examine`; where a cache is full or away, the report does without."""
    try:
        return dict(examine(run, ranking))
    except (UserError, OSError) as error:
        log.warning("Labels were not examined: %s", error)
        return {}


def _confirm(
    run: Run, ranking: list[TrialRecord], ending: RunEnding, console: Console
) -> tuple[TrialRecord | None, Confirmation | None]:
    """The winner: of the confirmation where one was asked for and came to its end."""
    winner = ranking[0] if ranking else None
    if not winner or not run.options.confirm or _ends_here(run, ending):
        return winner, None
    # A run that ended before has kept the weights of its best alone.
    able = [each for each in ranking if run.folder.weights(each.number).exists()]
    number, times = run.options.confirm
    repeated = repeats.confirming(able, number, times, run.options.seed)
    found = repeats.confirmation(repeated, _train_again(run, repeated, CONFIRMATION, console))
    return (run.trial_log.records[found["winner"]] if found else winner), found


def _cross_validate(
    run: Run, winner: TrialRecord | None, ending: RunEnding, console: Console
) -> CrossValidation | None:
    if not winner or not run.options.folds or _ends_here(run, ending):
        return None
    folded = repeats.folding(winner, run.options.folds, run.options.seed)
    return repeats.cross_validation(folded, _train_again(run, folded, FOLDS, console))


def _ends_here(run: Run, ending: RunEnding) -> bool:
    """Whether there is to be no further training; a budget is one of the search alone."""
    return run.interrupted() or ending.failing or bool(ending.full)


def _train_again(
    run: Run, repeated: list[Repeat], name: str, console: Console
) -> dict[int, TrialRecord]:
    """Trains configurations again; returns their records by place."""
    console.print(f"{name}: {len(repeated)} trainings")
    folder = run.folder.beside(name)
    progress = Progress(len(repeated), run.folder.cache_events, None, console, run.context.metric)
    trial_log = TrialLog(folder.trials, [progress])
    progress.open()
    try:
        tune.repeat(repeated, run, trial_log, folder)
    finally:
        trial_log.close()
    return trial_log.records


def _unfinished(
    run: Run, confirmed: Confirmation | None, crossed: CrossValidation | None
) -> list[str]:
    asked = {"--confirm": (run.options.confirm, confirmed), "--folds": (run.options.folds, crossed)}
    return [
        f"Not all trainings of {flag} came to their end; --resume {run.options.name} goes on."
        for flag, (wanted, found) in asked.items()
        if wanted and not found
    ]


def _export_formats(run: Run) -> None:
    """Other formats of the model; one that cannot be written does not make the run a failure."""
    try:
        if run.options.export:
            formats.export(run.folder.path, run.options.export)
    except UserError as error:
        log.warning("%s", error)


def _familiar(run: Run, winner: TrialRecord, model: keras.Model) -> Familiar | None:
    """See `familiar.measure`; where a cache is full or away, the model does without."""
    context = run.context.of_trial(winner.number, winner.experiment)
    try:
        return familiar.measure(context, winner.hyperparameters, model)
    except (UserError, OSError) as error:
        log.warning("What the model was shown was not kept: %s", error)
        return None


def _measure(final: _Final, metric: str) -> dict[str, Any]:
    """What the final model does on validation pictures, and, once, on test pictures."""
    data, model, raw, fitted = final.data, final.model, final.raw, final.temperature

    def judged(said: np.ndarray, raw: np.ndarray, split: Split | Part) -> Score:
        found = scores.measure(said, split.labels, data.classes, metric)
        if fitted != 1:
            before = scores.measure(raw, split.labels, data.classes, metric)
            assert before["loss"] is not None
            assert before["calibration"] is not None
            error = before["calibration"]["error"]
            found["raw"] = {"temperature": fitted, "loss": before["loss"], "error": error}
        return found

    split: Split | Part = data.validation
    said = raw if fitted == 1 else temperature.apply(raw, fitted)
    found = {"validation": judged(said, raw, split)}
    if data.test is not None:
        split = data.test
        together = final.joined.test if final.joined else None
        said = probabilities(model, split.pictures) if together is None else together.mean(axis=0)
        found["test"] = judged(said, temperature.apply(said, 1 / fitted), split)
    heated = HeatMaps(model).drawn if HeatMaps.can(model) else None
    return {**found, "mistakes": scores.mistakes(said, split, data.classes, heated)}


def _shown(run: Run, ranking: list[TrialRecord]) -> list[Sheet]:
    """What augmentation made of training pictures; what a user's HyperModel does is not known."""
    context = run.context
    return [] if context.hypermodel else sheets(ranking, context.dataset.train, context.views)


def _of_the_study(run: Run) -> dict[str, Any]:
    """What the study as a whole says, trials taken over among them."""
    if run.options.experiments is not None:
        return {}  # three points chosen by hand say nothing of levers
    own = set(run.trial_log.records)
    return {
        "importances": importances(proposed(run.study)),
        "front": pareto_front(run.study, run.options.objective, own),
    }
