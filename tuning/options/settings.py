"""Settings files: options as TOML, by their names."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tuning.errors import UserError
from tuning.files import atomic
from tuning.files.given import read_text
from tuning.options import kinds
from tuning.options.option import about, flag
from tuning.options.options import Options
from tuning.wording import meant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "settings.toml"  # in the run folder
NAMED = 10  # other runs, by name the last


def write(path: Path, options: Options) -> None:
    """Writes options, whole or not at all, without passwords."""
    import tomli_w

    atomic.write_text(path, tomli_w.dumps(options.as_dict()))


def read(path: Path) -> dict[str, Any]:
    """The values of a settings file by the names of options, as they are written.

    Raises:
        UserError: If the file cannot be read, or names an option that there is not.
    """
    try:
        table = tomllib.loads(read_text(path, "The settings"))
    except ValueError as error:
        raise UserError(f"The settings {path} are no TOML: {error}.") from None
    known = [each.name for each in fields(Options)]
    values = {name.replace("-", "_"): value for name, value in table.items()}
    for name in values:
        if name not in known:
            raise UserError(f"{_place(path, name)}: there is no option {name}{meant(name, known)}")
    return values


def from_file(path: Path, **given: Any) -> Options:
    """The options of a settings file for a new run; what is given goes before it.

    Raises:
        UserError: As `read`, and as `Options`.
    """
    # Not by the settings: another run has another name.
    saved = {name: value for name, value in read(path).items() if name != "name"}
    return _options(path, saved, given)


def extended(folder: Path, **given: Any) -> Options:
    """The options of a new run that begins as an earlier one did; what is given goes before it.

    Args:
        folder: The earlier run's folder.
        given: The options that differ, `extend` among them.

    Raises:
        UserError: If there is no such run; as `Options`.
    """
    if not (folder / FILE).is_file():
        raise UserError(f"There is no run {folder} to extend; {_others(folder)}.")
    # Where its points came from does not matter to who takes the best of them.
    own = ("name", "extend", "enqueue", "warm_start", "experiments")
    began = _saved(folder)
    saved = {name: value for name, value in began.items() if name not in own}
    if "experiments" in began:
        saved["space"] = "article"  # in which they lie
    if "hypermodel" in given:
        _must_be_the_same(saved.get("hypermodel"), given["hypermodel"])
    return _options(folder / FILE, {"runs": folder.parent} | saved, given)


def resumed(folder: Path, **given: Any) -> Options:
    """The options of a run that goes on, and may be given more.

    Args:
        folder: The run folder.
        given: The options that change.

    Raises:
        UserError: If there is no such run, or an option cannot change; as `Options`.
    """
    if not (folder / FILE).is_file():
        raise UserError(f"There is no run {folder} to resume; {_others(folder)}.")
    saved = _saved(folder)
    resumable = [each.name for each in fields(Options) if about(each).resumable]
    if "hypermodel" in given:
        _must_be_the_same(saved.get("hypermodel"), given["hypermodel"])
        resumable.append("hypermodel")
    fixed = sorted({each.name for each in fields(Options)} & set(given) - set(resumable))
    if fixed:
        raise UserError(
            f"{flag(fixed[0])} cannot be changed by --resume; start a new run and give it what was "
            "found with --warm-start."
        )
    # Not by the settings: a folder may have been moved, or renamed.
    given = {"runs": folder.parent} | given | {"name": folder.name}
    return _options(folder / FILE, saved, given)


def _saved(folder: Path) -> dict[str, Any]:
    """The settings of a run, without defaults of its version that have no meaning in it."""
    saved = read(folder / FILE)
    for each in fields(Options):
        if saved.get(each.name) not in (None, False):
            for other in about(each).excludes:
                saved.pop(other, None)
    return saved


def _must_be_the_same(saved: str | None, given: Any) -> None:
    """Raises UserError if a run is resumed with another HyperModel than it began with."""
    if (name := kinds.IMPORTED.write(given)) != saved:
        raise UserError(
            f"The run searches {saved or 'the levers'}, not the HyperModel {name}; start a new run."
        )


def _options(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> Options:
    try:
        return Options(**{**saved, **given})
    except UserError as error:
        Options(**given)  # which says what is wrong with that alone
        named = re.match(r"--([\w-]+)", str(error))
        raise UserError(f"{_place(path, named[1] if named else None)}: {error}") from None


def _place(path: Path, name: str | None) -> str:
    """The file and the line in which an option stands, as far as there is one."""
    if name is not None:
        wanted = re.compile(rf"\s*\[?\s*[\"']?{re.sub('[-_]', '[-_]', name)}[\"']?\s*[=.\]]")
        with contextlib.suppress(OSError, ValueError):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if wanted.match(line):
                    return f"{path}, line {number}"
    return str(path)


def _others(folder: Path) -> str:
    if not folder.parent.is_dir():
        return "give its folder's name, and with --runs where it lies"
    runs = sorted(file.parent.name for file in folder.parent.glob(f"*/{FILE}"))
    if not runs:
        return f"there is none in {folder.parent}"
    return f"there are {', '.join(runs[-NAMED:])}{' and others' if len(runs) > NAMED else ''}"
