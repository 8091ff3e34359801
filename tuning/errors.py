"""Whose error it is: the user's, who can act on it, a disk's or a system's, or this program's."""

from __future__ import annotations

import errno
import os
import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
LONG = 400  # characters without a space, which are no name and no path
LIBRARY = Path(sysconfig.get_paths()["stdlib"])
# What an operating system refuses, and what a user can do about it.
REFUSALS = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "make room",
    errno.EROFS: "give another place",
    errno.EACCES: "change its permissions, or give another place",
    errno.EPERM: "change its permissions, or give another place",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOTDIR: "give another place",
    errno.EISDIR: "give another place",
    errno.EEXIST: "give another place",
    errno.ELOOP: "give another place",
    errno.EIO: "look after the disk",
    errno.ESTALE: "look after the disk",
    errno.EMFILE: "allow more open files, ulimit -n",
    errno.ENFILE: "allow more open files",
}
# What libraries make of them, which keep the words and lose the number.
WORDS = {
    "No space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Read-only file system": errno.EROFS,
    "readonly database": errno.EACCES,
    "unable to open database file": errno.EACCES,
    "Input/output error": errno.EIO,
    "disk I/O error": errno.EIO,
}


class UserError(Exception):
    """A mistake in the input: one line that says what is wrong, where, and what to do.

    Entry points print it without a traceback and exit with code 2. What it quotes may have line
    breaks, or go on for pages; it has not.
    """

    def __init__(self, text: object) -> None:
        words = re.sub(rf"\S{{{LONG},}}", lambda word: f"{word[0][: LONG // 4]}…", str(text))
        super().__init__(" ".join(words.split()))


class NoRoom(UserError):
    """A disk is full: where, how much is wanted, and what to do."""


def one_line(error: BaseException) -> str:
    """An error of anybody's: its kind and what it says, without line breaks."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # Keras writes some words in bold
    return f"{type(error).__name__}: {' '.join(text.split())}"


def refusal(error: BaseException) -> str | None:
    """A line on what the operating system refused; None where it is no such error."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in REFUSALS:
            file = each.filename if isinstance(each.filename, str | os.PathLike) else None
            place = f"{os.fspath(file)}: " if file else ""
            return f"{place}{os.strerror(each.errno)}; {REFUSALS[each.errno]}."
    for each in _chain(error):
        for words, number in WORDS.items():
            if words in str(each):
                return f"{os.strerror(number)}; {REFUSALS[number]}."
    return None


def is_full(text: str) -> bool:
    """Whether an error, as text, says that a disk is full."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(words in text for words, number in WORDS.items() if number in full)


def where(error: BaseException) -> str:
    """The last line, ours or the user's, that an error came through, as `in head.py:12`."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if "site-packages" not in file.parts and not file.is_relative_to(LIBRARY):
            name = file.relative_to(HERE).as_posix() if file.is_relative_to(HERE) else file.name
            return f"in {name}:{frame.lineno}"
    return "in a library"


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
