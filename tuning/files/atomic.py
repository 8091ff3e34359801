"""Files and folders that appear whole or not at all, also when the machine stops in the midst."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft's path beside `path`, with its ending.

    Whoever enters the context writes the draft, which takes its place when the context ends well.

    Raises:
        OSError: If the folder cannot be written.
    """
    draft = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield draft
        sync(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def drop_drafts(folder: Path) -> None:
    """Removes drafts whose writers were killed; nobody may be writing in the folder."""
    for draft in folder.glob(f".*.{'[0-9a-f]' * 32}*"):
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, UTF-8 with line feeds."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def appearing(folder: Path, is_whole: Callable[[Path], bool] = Path.is_dir) -> Iterator[Path]:
    """A draft folder beside `folder`, which takes its place when the context ends well.

    Several processes may do so at once: the first one's stays, the others' drafts are dropped.

    Args:
        folder: Where it is to lie.
        is_whole: Whether what lies there by then is as good as the draft; else it makes room.

    Raises:
        OSError: If the folder around cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        yield draft
        while not _took_place(draft, folder):
            if is_whole(folder):
                return
            grave = draft.with_name(f"{draft.name}.removed")
            with suppress(FileNotFoundError):  # another process removes it, too
                folder.rename(grave)
                remove(grave)
    finally:
        remove(draft)


def _took_place(draft: Path, folder: Path) -> bool:
    try:
        draft.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


def remove(path: Path) -> None:
    """Removes a folder with all in it, or a file, as far as it can."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Makes sure that a file's content, or what was renamed in a folder, outlives the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
