"""The product from Python: what the command line does, for notebooks and programs."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tuning.errors import UserError
from tuning.options import Options
from tuning.process.commands import INTERRUPTED
from tuning.records import facts
from tuning.run.console import in_short
from tuning.run.request import extended_options, resumed_options
from tuning.search import search

if TYPE_CHECKING:
    import keras

__all__ = ["Options", "Result", "UserError", "extend", "load", "resume", "tune"]


@dataclass(frozen=True)
class Result:
    """What a run came to; printed, it says so in a few lines.

    Attributes:
        folder: The run folder, with the report in it.
    """

    folder: Path

    @cached_property
    def facts(self) -> facts.Facts:
        """The facts of the report, as report.json holds them."""
        return facts.load(self.folder)

    @cached_property
    def model(self) -> keras.Model:
        """The best trial's model: pictures (B, height, width, 3) in 0..255 to probabilities.

        These are (B, 1), of the second class, for two classes, else (B, classes).

        Raises:
            UserError: If no trial finished an epoch.
        """
        from tuning.export import classifier

        return classifier.load(self.folder).model

    def __str__(self) -> str:
        return in_short(self.facts, self.folder)

    def _repr_html_(self) -> str:
        """The report, as a notebook shows it."""
        report = (self.folder / "report.html").read_text(encoding="utf-8")
        # A page of its own: neither its styles nor what it may load mix with the notebook's.
        return (
            f'<iframe srcdoc="{html.escape(report)}" title="Best-trial report" '
            'style="width: 100%; height: 40em; border: 1px solid #8884"></iframe>'
        )


def tune(options: Options, *, progress: bool = True) -> Result:
    """Searches the best classifier, as `python tuning/search.py` does.

    What it changes in the process (environment, warnings, logging, signal handlers, the
    descriptor of stderr) is put back. Ray is shut down, unless it was there before.

    Args:
        options: What is asked for.
        progress: Whether the progress is shown; nothing else is printed.

    Raises:
        UserError: A mistake in the request, in one line; or the search came to nothing: trial
            after trial failed alike, a budget ended before there was a model, a disk was full.
        KeyboardInterrupt: Ctrl-C was pressed; the report of what was done by then is written.
    """
    if not isinstance(options, Options):
        raise UserError(f"tune() takes Options, as tune(Options(data={str(options)!r})).")
    return _run(options, False, progress)


def resume(folder: str | Path, *, progress: bool = True, **changed: Any) -> Result:
    """Goes on with a run that ended before its end.

    Args:
        folder: The run folder.
        progress: Whether the progress is shown, as in `tune`.
        changed: The options that change, such as `trials`; a HyperModel that was given as an
            object must be given again.

    Raises:
        UserError: If there is no such run, or an option cannot change; as `tune`.
        KeyboardInterrupt: As `tune`.
    """
    path = Path(folder).expanduser()
    options = resumed_options(path.name, **{"runs": path.parent, **changed})
    return _run(options, True, progress)


def extend(folder: str | Path, *, progress: bool = True, **changed: Any) -> Result:
    """Begins a new run as an earlier one was begun, on pictures that may be others by now.

    Its ten best points are tried first; none of its trials counts as observed.

    Args:
        folder: The earlier run's folder; the new one lies beside it.
        progress: Whether the progress is shown, as in `tune`.
        changed: The options that differ, such as `name`.

    Raises:
        UserError: If there is no such run, or none of its trials lies in the space; as `tune`.
        KeyboardInterrupt: As `tune`.
    """
    path = Path(folder).expanduser()
    options = extended_options(path.name, **{"runs": path.parent, **changed})
    return _run(options, False, progress)


def load(folder: str | Path) -> Result:
    """An earlier run's result.

    Args:
        folder: The run folder.

    Raises:
        UserError: If it holds no report.
    """
    result = Result(Path(folder).expanduser().resolve())
    _ = result.facts
    return result


def _run(options: Options, resumed: bool, progress: bool) -> Result:
    console = Console(soft_wrap=True, quiet=not progress)
    finished = search(options, resumed, _typed(options), console)
    if finished.code == INTERRUPTED:
        raise KeyboardInterrupt
    if finished.error:
        raise UserError(f"{finished.error.rstrip('.')}; the report is in {options.folder}.")
    return load(options.folder)


def _typed(options: Options) -> str:
    """What the user may have typed: what is not as it is by default."""
    usual = Options(data=options.data).as_dict()
    given = {name: value for name, value in options.as_dict().items() if value != usual.get(name)}
    if options.data:
        given = {"data": str(options.data)} | given
    return f"tune(Options({', '.join(f'{name}={value!r}' for name, value in given.items())}))"
