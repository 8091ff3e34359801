"""Searches the best image classifier for little data: `python tuning/search.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):  # as a script: the packages lie beside this file's folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tuning.process.interrupt import leave_at_once

if __name__ == "__main__":
    leave_at_once()  # from the first moment: imports take seconds

from typing import TYPE_CHECKING

from tuning.files.shared_folder import SharedFolder
from tuning.process.backend import leave_cards_to_trials
from tuning.process.commands import exit_code
from tuning.process.surroundings import quietly

if TYPE_CHECKING:
    from rich.console import Console

    from tuning.options import Options
    from tuning.run.finish import Finished


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns its exit code, see `process.commands`."""
    return exit_code(lambda: _main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: list[str]) -> int:
    from rich.console import Console

    from tuning.run.request import read_options, typed
    from tuning.wording import visible

    leave_cards_to_trials()
    options, resumed = read_options(arguments)
    finished = search(options, resumed, typed(arguments), Console(soft_wrap=True))
    print(visible(finished.in_short, keep="\n"))
    if finished.error:
        print(visible(f"error: {finished.error}"), file=sys.stderr)
    return finished.code


def search(options: Options, resumed: bool, command: str, console: Console) -> Finished:
    """A run from what the user asks for to its report: prepare, begin, tune, finish.

    Args:
        options: The user's.
        resumed: Whether it goes on with a run.
        command: What the user typed.
        console: The terminal, or notebook, that shows progress.

    Raises:
        UserError: A mistake, in one line.
    """
    from tuning.run.console import tell
    from tuning.scheduling.samplers import set_up_logging

    set_up_logging()
    with quietly(tell(console), SharedFolder(options.cache).here / "native.log"):
        from tuning.run.prepare import prepare

        prepared = prepare(options, resumed)
        from tuning.run.begin import begin
        from tuning.run.finish import finish
        from tuning.scheduling import tune

        with begin(prepared, command, console) as run:
            return finish(run, tune.search(run), console)


if __name__ == "__main__":
    sys.exit(main())
