"""From a command line to options; of a run in an object store, its settings are fetched first."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from tuning.errors import UserError
from tuning.files.object_store import ObjectPath
from tuning.options import RUNS, Options, command_line, kinds, settings
from tuning.options.option import masked
from tuning.records.mirror import Mirror
from tuning.records.run_folder import RunFolder

CONSOLE = "little-data-tuner"  # the command that pip installs


def read_options(arguments: list[str] | None = None) -> tuple[Options, bool]:
    """What a command line asks for, and whether it resumes a run.

    Raises:
        UserError: What is wrong with it, in one line.
    """
    given = command_line.parse(arguments)
    name, config = given.pop("resume", None), given.pop("config", None)
    if name is not None:
        if config is not None:
            raise UserError(
                "--config is for new runs, and --resume goes on with the run's own settings: give "
                "what is to change as options."
            )
        return resumed_options(name, **given), True
    if "extend" in given and config is None:
        return extended_options(given.pop("extend"), **given), False
    return settings.from_file(config, **given) if config else Options(**given), False


def typed(arguments: list[str]) -> str:
    """What the user typed, without passwords."""
    console = Path(sys.argv[0]).name == CONSOLE
    command = [CONSOLE] if console else ["python", "tuning/search.py"]
    return shlex.join([*command, *map(masked, arguments)])


def resumed_options(name: str, /, **given: Any) -> Options:
    """The options of a run that goes on; what is given goes before what it began with.

    Raises:
        UserError: If there is no such run, or an option cannot change.
    """
    folder, runs = _there(name, given)
    if folder.counterpart is None:
        return settings.resumed(folder.path, **given)
    if not folder.settings.is_file():
        raise UserError(f"There is no run {folder.counterpart} to resume.")
    return settings.resumed(folder.path, **given | {"runs": runs})


def extended_options(name: str, /, **given: Any) -> Options:
    """The options of a new run that begins as another one did, where `given` says nothing else.

    Raises:
        UserError: If there is no such run.
    """
    folder, runs = _there(name, given)
    if folder.counterpart is not None:
        given |= {"runs": runs}
    return settings.extended(folder.path, **given | {"extend": name})


def _there(name: str, given: dict[str, Any]) -> tuple[RunFolder, Path | ObjectPath]:
    """A run's folder, brought here if need be, and where runs lie."""
    runs = Options(runs=given.get("runs", RUNS)).runs
    try:
        name = kinds.FOLDER_NAME.read(name)
    except ValueError as error:
        raise UserError(f"The run's name: {error}; where it lies is said by --runs.") from None
    if not isinstance(runs, ObjectPath):
        return RunFolder(runs / name), runs
    # The store's word is the last: this machine may never have seen the run.
    folder = RunFolder(RUNS / name, runs / name)
    Mirror(folder).bring()
    return folder, runs
