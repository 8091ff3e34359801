"""One option: all that is to be said of it, beside the default that the dataclass has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from typing import Any

from tuning.errors import UserError
from tuning.options.kinds import SWITCH, Kind

MASK = "***"  # in place of a password


@dataclass(frozen=True)
class Option:
    """What an option takes, and what it is for.

    Attributes:
        kind: The kind of its values.
        help: A phrase for `--help`, which adds the default.
        group: The heading of `--help` that it stands under.
        metavar: The word for a value in `--help`; None for a switch.
        many: `+` for one value or more, `*` for any number, nothing for one value.
        resumable: Whether a resumed run may be given another value.
        secret: Whether a value may have a password in it, which is not written down.
        excludes: The options that have no meaning beside this one.
    """

    kind: Kind
    help: str
    group: str
    metavar: str | None
    many: str = ""
    resumable: bool = False
    secret: bool = False
    excludes: tuple[str, ...] = ()

    def normalize(self, value: Any) -> Any:
        """A value of this option from what a user wrote: text, or a value in Python or TOML.

        Raises:
            ValueError: What is wrong with it, in one line.
        """
        if not self.many:
            return self._one(value)
        if isinstance(value, Mapping):
            value = [f"{name}={_words(each)}" for name, each in value.items()]
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(self._one(item) for item in items)

    def plain(self, value: Any) -> Any:
        """A value as TOML has it, without a password; `normalize` takes it back."""
        if self.many:
            return [self._plain(item) for item in value]
        return self._plain(value)

    def _one(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.kind.read(value)
        if self.kind.objects:
            return value
        try:
            text = self.kind.write(value)
        except (TypeError, ValueError, OverflowError):
            text = str(value)
        return self.kind.read(text)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return masked(value) if self.secret else value
        text = self.kind.write(value)
        if isinstance(value, bool | int | float) and _is_number(text, value):
            return value
        return text


def _is_number(text: str, value: float) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return isinstance(value, bool)


def option(
    default: Any,
    kind: Kind,
    metavar: str | None,
    help: str,
    *,
    group: str,
    many: str = "",
    resumable: bool = False,
    secret: bool = False,
    excludes: tuple[str, ...] = (),
) -> Any:
    """A field of `Options` with its default and an `Option`, whose attributes are the arguments."""
    about = Option(kind, help, group, metavar, many, resumable, secret, excludes)
    return field(default=default, metadata={"option": about})


def about(each: Field[Any]) -> Option:
    """What is said of a field of `Options`."""
    found: Option = each.metadata["option"]
    return found


def is_switch(each: Option) -> bool:
    """Whether the option is given without a value."""
    return each.kind is SWITCH


def flag(name: str) -> str:
    """The name of a field as the command line has it."""
    return f"--{name.replace('_', '-')}"


def masked(where: str) -> str:
    """A storage's URL with its password masked; anything else as it is."""
    head, colon, rest = where.partition("://")
    user, at, host = rest.rpartition("@")
    if not colon or not at or ":" not in user:
        return where
    return f"{head}://{user.partition(':')[0]}:{MASK}@{host}"


def user_error(name: str, error: ValueError) -> UserError:
    """A `ValueError` of `Option.normalize` as the user is told of it."""
    return UserError(f"{flag(name)}: {error}")


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_words, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
