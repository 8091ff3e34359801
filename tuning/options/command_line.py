"""The command line of a search, derived from `Options`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from tuning.options.kinds import Kind
from tuning.options.option import about, flag, is_switch
from tuning.options.options import Options
from tuning.process.commands import Parser


def parser() -> argparse.ArgumentParser:
    """The command line of `tuning/search.py`; values stay text."""
    found = Parser(
        prog="python tuning/search.py",
        description="Searches the best image classifier for little data: augmentation, dropout, "
        "L1/L2 and unfrozen layers of VGG16, on shared, cached features. Without --data it shows "
        "itself on an embedded demo.",
        epilog="What comes after a search: little-data-tuner predict, report, serve, export and "
        "features, each with a --help of its own.",
        argument_default=argparse.SUPPRESS,
    )
    groups: dict[str, Any] = {}
    for each in fields(Options):
        of = about(each)
        group = groups.setdefault(of.group, found.add_argument_group(of.group))
        if is_switch(of):
            group.add_argument(flag(each.name), action="store_true", help=of.help)
            continue
        many: dict[str, Any] = {"nargs": of.many, "action": "extend"} if of.many else {}
        default = "" if each.default in (None, ()) else f" (default {each.default})"
        text = (of.help + default).replace("%", "%%")
        group.add_argument(flag(each.name), metavar=of.metavar, help=text, **many)
    place = groups["place"]
    place.add_argument(
        "--resume",
        metavar="NAME",
        help="go on with a run that ended before its end; more --trials or time may be asked for",
    )
    place.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of these options, such as a run's settings.toml; flags go first",
    )
    return found


def parse(arguments: list[str] | None = None) -> dict[str, Any]:
    """What the command line gives, without defaults: options by name, `resume` and `config`.

    Raises:
        UserError: If it is not written as a command line is; values are not looked at.
    """
    return vars(parser().parse_args(arguments))


def argument_type(kind: Kind) -> Callable[[str], Any]:
    """What argparse takes for a kind of values, in commands that are not derived from `Options`."""

    def read(text: str) -> Any:
        try:
            return kind.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read
