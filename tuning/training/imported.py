"""What a user names as `package.module:Name`, in a module of anybody's."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from tuning.errors import UserError, one_line
from tuning.process.packages import NAMES, share_names


def imported(option: str, spec: str, folder: str) -> Any:
    """What has this name.

    Args:
        option: The option that asks for it, for errors.
        spec: `package.module:Name`.
        folder: The folder where the module may lie, beside installed ones.

    Raises:
        UserError: Why it cannot be had.
    """
    module, colon, name = spec.partition(":")
    if not colon or not module or not name:
        raise UserError(f"{option} {spec} is not of the form package.module:Name.")
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        share_names(Path(folder))
        return getattr(importlib.import_module(module), name)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        why = one_line(error)
        if module in NAMES:
            why += f" (this project has a package {module} too, which hides yours: rename it)"
        raise UserError(f"{option} {spec} cannot be imported: {why}") from error
