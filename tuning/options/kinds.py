"""The kinds of values that options take: each reads text, and writes a value as that text."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.files.object_store import PUBLIC, SCHEMES, ObjectPath, is_url
from tuning.options.choices import METRICS

SHOWN = 40  # characters of a wrong value
DIGITS = 30  # of a whole number
SMALLEST = 0.01  # share of a GPU; Ray counts in ten-thousandths
MOST = 10**6  # of a whole number, unless an option says otherwise
LONGEST = 255  # bytes of a file's name
OBJECT = "object "  # begins what settings have in place of a Python object
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class Kind:
    """A kind of values.

    Attributes:
        read: The way from text to a value; raises `ValueError` with what is wrong, in one line.
        write: The way from a value to text that `read` takes.
        objects: Whether a value that is no text is taken as it is.
    """

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    objects: bool = False


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    if "\0" in text:
        raise ValueError(f"{text!r} has a character that ends text")
    return text


def _path(text: str) -> Path:
    """A path that an operating system can have, whether anything lies there or not."""
    path = Path(_text(text))
    if any(len(os.fsencode(part)) > LONGEST for part in path.parts):
        raise ValueError(f"{shorten(text)!r} has a name of more than {LONGEST} bytes")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{text!r}: there is no such user") from None


def _storage(text: str) -> str:
    if "://" not in _text(text):
        _path(text.partition("#")[0])
    return text


def shorten(text: str) -> str:
    """The beginning of a long text, for a line that names it."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _weights(text: str) -> str:
    name, source = split_weights(_text(text))
    known = source in ("imagenet", "random") or is_url(source)
    found = source if known else _absolute(source)
    return f"{name}={found}" if name else found


def split_weights(text: str) -> tuple[str | None, str]:
    """The backbone that weights are said to be of, if that is said, and where they are from."""
    found = re.fullmatch(r"([\w-]+)=(.+)", text)
    return (found[1], found[2]) if found else (None, text)


def _backbone(text: str) -> str:
    is_file = text.endswith(".keras") and not is_url(text)
    return _absolute(text) if is_file else _text(text)


def _absolute(text: str) -> str:
    # A file is meant where the user stands, also when workers stand elsewhere.
    return str(_path(text).absolute())


def _location(text: str) -> Path | ObjectPath:
    if is_url(text):
        if "@" in text.partition("?")[0].removeprefix(PUBLIC):
            raise ValueError(
                "a key has no place in a URL: give it as the store's "
                "own tools take it, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return ObjectPath(text)
    if "://" in text:
        known = " or ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ValueError(f"{text!r} is neither a folder nor {known}")
    return _path(text)


def _size_in_bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(|KB|MB|GB|TB)", text.strip().upper())
    if not found:
        raise ValueError(f"{text!r} is not a size such as 500MB or 20GB")
    return int(_finite(text, float(found[1]) * UNITS[found[2]]))


def _finite(text: str, value: float) -> float:
    if math.isinf(value):
        raise ValueError(f"{shorten(text)!r} is too large")
    return value


def _share(text: str) -> float:
    value = _float(text)
    if not 0 <= value < 1:
        raise ValueError(f"{text!r} is not a share from 0 to below 1")
    return value


def _part(text: str) -> float:
    value = _float(text)
    if not 0 < value < 1:
        raise ValueError(f"{text!r} is not a share above 0 and below 1")
    return value


def _goal(text: str) -> float:
    value = _float(text)
    if not 0 < value <= 1:
        raise ValueError(f"{text!r} is not a share above 0, at most 1")
    return value


def _amount(text: str) -> float:
    value = _float(text)
    if not 0 <= value < 1025 or (value > 1 and value != int(value)):
        raise ValueError(f"{text!r} is not a share of 1, or a whole number")
    if 0 < value < SMALLEST:
        raise ValueError(f"{text!r} is a smaller share than {SMALLEST}")
    return value


def _positive(text: str) -> float:
    value = _float(text)
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} is not a number above 0")
    return value


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found or float(found[1]) == 0:
        raise ValueError(f"{text!r} is not a time such as 45s, 30m or 2h")
    return _finite(text, float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]])


def _repeats(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if not found or int(found[1]) < 1 or int(found[2]) < 2:
        raise ValueError(
            f"{text!r} is not of the form 3x5: configurations, times seeds (2 or more)"
        )
    if max(map(len, found.groups())) > 3:
        raise ValueError(f"{shorten(text)!r} asks for too much: 999x999 at most")
    return int(found[1]), int(found[2])


def _folder_name(text: str) -> str:
    if len(os.fsencode(text)) > LONGEST:
        raise ValueError(f"{shorten(text)!r} is longer than {LONGEST} bytes")
    if not re.fullmatch(r"[\w.@+-]+", text) or text in (".", ".."):
        raise ValueError(f"{text!r} must be a plain folder name: letters, digits and . _ - + @")
    return text


def _import_name(text: str) -> str:
    _text(text)
    if text.startswith(OBJECT):
        raise ValueError(
            f"{text.removeprefix(OBJECT)} was given as a Python object, which settings cannot "
            "hold; give it again, as in resume(folder, hypermodel=…)"
        )
    return text


def _name_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{OBJECT}{kind.__module__}.{kind.__qualname__}"


def _metric(text: str) -> str:
    if text not in METRICS and not (text.startswith("recall:") and text != "recall:"):
        names = ", ".join(METRICS)
        raise ValueError(f"invalid choice: {text!r} (choose from {names}, recall:CLASS)")
    return text


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _number(value: Any) -> str:
    # 17 digits tell every float from every other.
    return f"{value:.17g}" if isinstance(value, float) else str(value)


TEXT = Kind(_text)
PATH = Kind(_path)
LOCATION = Kind(_location, lambda value: getattr(value, "url", None) or str(value))
STORAGE = Kind(_storage)
WEIGHTS = Kind(_weights)
BACKBONE = Kind(_backbone)
SIZE = Kind(_size_in_bytes, lambda value: str(int(value)))
SHARE = Kind(_share, _number)
PART = Kind(_part, _number)
GOAL = Kind(_goal, _number)
AMOUNT = Kind(_amount, _number)
POSITIVE = Kind(_positive, _number)
SECONDS = Kind(_seconds, lambda value: f"{value:.17g}s")
REPEATS = Kind(_repeats, lambda value: "x".join(map(str, value)))
FOLDER_NAME = Kind(_folder_name)
IMPORTED = Kind(_import_name, _name_of, objects=True)
METRIC = Kind(_metric)
SWITCH = Kind(_switch, lambda value: str(value).lower())


def whole(low: int, high: int = MOST) -> Kind:
    """Whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text.strip()):
            raise ValueError(f"{shorten(text)!r} is not a whole number of at least {low}")
        # Of thousands of digits Python makes no number.
        value = int(text) if len(text.strip()) <= DIGITS else math.inf
        if value < low:
            raise ValueError(f"{text!r} is not a whole number of at least {low}")
        if value > high:
            raise ValueError(f"{shorten(text)!r} is more than {high:,}")
        return int(value)

    return Kind(read)


SEED = whole(0, 2**31 - 1)  # NumPy takes 32 bits; repeats and divisions add to it


def one_of(names: Collection[str]) -> Kind:
    """Some names."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"invalid choice: {text!r} (choose from {', '.join(names)})")
        return text

    return Kind(read)
