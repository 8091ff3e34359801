"""Settings files: the command line's options as TOML, by their names."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuning.errors import UserError
from tuning.places import Place

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "settings.toml"  # in the run folder
MASK = "***"  # in place of a password


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Writes settings, whole or not at all, without passwords."""
    import tomli_w

    plain = {name: _plain(name, value) for name, value in values.items()}
    handle, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        tomli_w.dump(plain, file)
    os.replace(draft, path)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Path | Place):
        return value.url if isinstance(value, Place) else str(value)
    if name == "storage" or name == "warm_start":
        return masked(value)
    if name == "time_budget" and isinstance(value, float):
        return f"{value:.17g}s"
    if name == "confirm" and isinstance(value, tuple):
        return "x".join(map(str, value))
    return list(value) if isinstance(value, tuple) else value


def masked(where: str) -> str:
    """A storage's URL with its password masked; anything else as it is."""
    head, colon, rest = where.partition("://")
    user, at, host = rest.rpartition("@")
    if not colon or not at or ":" not in user:
        return where
    return f"{head}://{user.partition(':')[0]}:{MASK}@{host}"


def arguments(path: Path, parser: argparse.ArgumentParser) -> list[str]:
    """A settings file as arguments of the command line.

    Raises:
        UserError: If the file cannot be read, or names an option that there is not.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The settings {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"The settings {path} are no TOML: {error}.") from None
    values = {name.replace("-", "_"): value for name, value in table.items()}
    if isinstance(values.get("set"), dict):
        values["set"] = [f"{name}={_text(value)}" for name, value in values["set"].items()]
    known = [action.dest for action in parser._actions]
    for name in values:
        if name not in known or name in ("help", "config"):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"{path}: there is no option {name}{hint}")
    return as_arguments(values, parser)


def as_arguments(values: Mapping[str, Any], parser: argparse.ArgumentParser) -> list[str]:
    """Options by name as arguments of the command line."""
    found: list[str] = []
    flags = {action.dest: action for action in parser._actions}
    for name, value in values.items():
        flag, number = flags[name].option_strings[0], flags[name].nargs
        value = _plain(name, value) if name not in ("storage", "warm_start") else value
        if number == 0:
            found += [flag] if value else []
        elif number in ("+", "*"):
            items = value if isinstance(value, list) else [value]
            found += [flag, *map(_text, items)] if items or number == "*" else []
        else:
            found.append(f"{flag}={_text(value)}")
    return found


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
