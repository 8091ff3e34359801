"""Files that appear whole or not at all, also when the machine stops in the midst."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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


def write_text(path: Path, text: str) -> None:
    """Writes a text file, UTF-8 with line feeds."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def sync(path: Path) -> None:
    """Makes sure that a file's content, or what was renamed in a folder, outlives the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
