"""What all commands of this project share: how mistakes and faults are told, and exit codes."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tuning.errors import UserError, one_line, refusal, where
from tuning.wording import meant, visible

MISTAKE, INTERRUPTED, FAULT = 2, 130, 70  # exit codes; the last is BSD's for a program's own fault
LOG = "fault.log"  # in the run folder


class Parser(argparse.ArgumentParser):
    """Tells a mistake as `UserError`.

    An option is written out: what is short for one today may be short for two tomorrow.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; beside an option that there is not stands the one that is meant."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            known = re.findall(r"--[\w-]+", self.format_usage())
            name = next((each.partition("=")[0] for each in unknown if each.startswith("--")), "")
            # Known and not recognised: it stands behind an action, which has options of its own.
            hint = f"; put {name} first" if name in known else meant(name, known)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        # argparse prints the whole usage first, which pushes the mistake out of sight.
        raise UserError(f"{message} (see {self.prog} --help)")


def exit_code(work: Callable[[], int]) -> int:
    """The exit code of a command's work.

    A user's mistake, or what a disk or an operating system refuses, is told in a line and gives 2,
    Ctrl-C 130, a fault of this program's own 70: its traceback is in a file, which the line names.
    """
    try:
        return work()
    except UserError as error:
        _tell(f"error: {error}")
    except BrokenPipeError:
        # The reader, `head` perhaps, has seen enough; Python would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _tell("interrupted")
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and not _is_ours(error.name):
            _tell(
                f"error: {error.name} is not installed for {sys.executable}; pip install -e . in "
                "the project's folder brings it, or call this with the Python that has it."
            )
            return MISTAKE
        if reason := refusal(error):
            _tell(f"error: {reason}")
            _forget_output()
            return MISTAKE
        log = getattr(error, "log", None) or keep(error, _somewhere())
        _tell(f"error: a fault of this program's own, {one_line(error)}, {where(error)}; see {log}")
        return FAULT
    return MISTAKE


def _is_ours(module: str | None) -> bool:
    return module is None or module.partition(".")[0] in ("tuning", "models", "search_spaces")


def keep(error: BaseException, log: Path) -> Path | str:
    """Appends an error's traceback to a file; returns where it is."""
    text = "".join(traceback.format_exception(error))
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        _tell(text)
        return "above"
    error.log = log  # type: ignore[attr-defined]
    return log


def _somewhere() -> Path:
    return Path(tempfile.mkdtemp(prefix="little-data-tuner-")) / LOG


def _tell(line: str) -> None:
    print(visible(line, keep="\n"), file=sys.stderr)


def _forget_output() -> None:
    """Drops what could not be written; Python would try, and complain, once more when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
