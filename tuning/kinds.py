"""What values the command line takes; each raises `argparse.ArgumentTypeError` in one line."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from tuning.places import PUBLIC, SCHEMES, Place, is_url

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def size_in_bytes(text: str) -> int:
    """`20GB` to a number of bytes; raises `argparse.ArgumentTypeError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(|KB|MB|GB|TB)", text.strip().upper())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB or 20GB")
    return int(float(found[1]) * UNITS[found[2]])


def source(text: str) -> str:
    """Where weights come from."""
    # A file is meant where the user stands, also when workers stand elsewhere.
    known = text in ("imagenet", "random") or is_url(text)
    return text if known else str(Path(text).expanduser().absolute())


def location(text: str) -> Path | Place:
    """A folder, or a place in an object store."""
    if is_url(text):
        if "@" in text.partition("?")[0].removeprefix(PUBLIC):
            raise argparse.ArgumentTypeError(
                "a key has no place in a URL: give it as the store's "
                "own tools take it, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return Place(text)
    if "://" in text:
        known = " or ".join(f"{scheme}://" for scheme in SCHEMES)
        raise argparse.ArgumentTypeError(f"{text!r} is neither a folder nor {known}")
    return Path(text).expanduser()


def at_least(low: int) -> Any:
    """A whole number from `low` on."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text.strip()) or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
        return int(text)

    return number


def up_to(high: int) -> Any:
    """A whole number from 0 to `high`."""

    def number(text: str) -> int:
        if not re.fullmatch(r"\d+", text.strip()) or int(text) > high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {high}")
        return int(text)

    return number


def share(text: str) -> float:
    """From 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to below 1")
    return value


def amount(text: str) -> float:
    """Of GPUs: whole ones, or a share of one."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1025 or (value > 1 and value != int(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share of 1, or a whole number")
    return value


def seconds(text: str) -> float:
    """`45s`, `30m`, `2h` to seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 45s, 30m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def repeats(text: str) -> tuple[int, int]:
    """`3x5`: how many configurations, how often each."""
    found = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if not found or int(found[1]) < 1 or int(found[2]) < 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form 3x5: configurations, times seeds (2 or more)"
        )
    return int(found[1]), int(found[2])
