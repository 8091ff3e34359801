"""Text files that a user gives."""

from __future__ import annotations

from pathlib import Path

from tuning.errors import UserError


def read_text(path: Path, what: str, encoding: str = "utf-8") -> str:
    """What is in a text file.

    Args:
        path: The file.
        what: What it is to the user, for errors.
        encoding: Its encoding.

    Raises:
        UserError: If it is none, or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would keep us waiting, a device for ever
            raise UserError(f"{what} {path} is no file.")
        return path.read_text(encoding=encoding)
    except UnicodeDecodeError:
        raise UserError(f"{what} {path} is not text in UTF-8.") from None
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}.") from None
