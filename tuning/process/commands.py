"""What all commands of this project share: how mistakes are told, and exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from tuning.errors import UserError


class Parser(argparse.ArgumentParser):
    """Tells a mistake as `UserError`."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        # argparse prints the whole usage first, which pushes the mistake out of sight.
        raise UserError(f"{message} (see {self.prog} --help)")


def exit_code(work: Callable[[], int]) -> int:
    """The exit code of a command's work; 2 for a user's mistake, told in a line; 130 for Ctrl-C."""
    try:
        return work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
