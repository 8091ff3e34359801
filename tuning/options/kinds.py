"""The kinds of values that options take: each reads text, and writes a value as that text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.files.object_store import PUBLIC, SCHEMES, ObjectPath, is_url
from tuning.options.choices import METRICS

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


def _weights(text: str) -> str:
    name, source = split_weights(text)
    known = source in ("imagenet", "random") or is_url(source)
    found = source if known else _absolute(source)
    return f"{name}={found}" if name else found


def split_weights(text: str) -> tuple[str | None, str]:
    """The backbone that weights are said to be of, if that is said, and where they are from."""
    found = re.fullmatch(r"([\w-]+)=(.+)", text)
    return (found[1], found[2]) if found else (None, text)


def _backbone(text: str) -> str:
    is_file = text.endswith(".keras") and not is_url(text)
    return _absolute(text) if is_file else text


def _absolute(text: str) -> str:
    # A file is meant where the user stands, also when workers stand elsewhere.
    return str(Path(text).expanduser().absolute())


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
    return Path(text).expanduser()


def _size_in_bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(|KB|MB|GB|TB)", text.strip().upper())
    if not found:
        raise ValueError(f"{text!r} is not a size such as 500MB or 20GB")
    return int(float(found[1]) * UNITS[found[2]])


def _share(text: str) -> float:
    value = _float(text)
    if not 0 <= value < 1:
        raise ValueError(f"{text!r} is not a share from 0 to below 1")
    return value


def _amount(text: str) -> float:
    value = _float(text)
    if not 0 <= value < 1025 or (value > 1 and value != int(value)):
        raise ValueError(f"{text!r} is not a share of 1, or a whole number")
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
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def _repeats(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if not found or int(found[1]) < 1 or int(found[2]) < 2:
        raise ValueError(
            f"{text!r} is not of the form 3x5: configurations, times seeds (2 or more)"
        )
    return int(found[1]), int(found[2])


def _folder_name(text: str) -> str:
    if not re.fullmatch(r"[\w.@+-]+", text) or text in (".", ".."):
        raise ValueError(f"{text!r} must be a plain folder name: letters, digits and . _ - + @")
    return text


def _import_name(text: str) -> str:
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


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text.strip()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


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


TEXT = Kind(str)
PATH = Kind(lambda text: Path(text).expanduser())
LOCATION = Kind(_location, lambda value: getattr(value, "url", None) or str(value))
WEIGHTS = Kind(_weights)
BACKBONE = Kind(_backbone)
SIZE = Kind(_size_in_bytes, lambda value: str(int(value)))
SHARE = Kind(_share, _number)
AMOUNT = Kind(_amount, _number)
POSITIVE = Kind(_positive, _number)
SECONDS = Kind(_seconds, lambda value: f"{value:.17g}s")
REPEATS = Kind(_repeats, lambda value: "x".join(map(str, value)))
FOLDER_NAME = Kind(_folder_name)
IMPORTED = Kind(_import_name, _name_of, objects=True)
METRIC = Kind(_metric)
INTEGER = Kind(_integer)
SWITCH = Kind(_switch, lambda value: str(value).lower())


def whole(low: int, high: int | None = None) -> Kind:
    """Whole numbers from `low` on, or to `high`."""

    def read(text: str) -> int:
        sign = "[+-]?" if high is None else ""
        fits = re.fullmatch(rf"{sign}\d+", text.strip())
        if not fits or not low <= int(text) <= (int(text) if high is None else high):
            ends = f"of at least {low}" if high is None else f"from {low} to {high}"
            raise ValueError(f"{text!r} is not a whole number {ends}")
        return int(text)

    return Kind(read)


def one_of(names: Collection[str]) -> Kind:
    """Some names."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"invalid choice: {text!r} (choose from {', '.join(names)})")
        return text

    return Kind(read)
