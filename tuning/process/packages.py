"""Names in a process that this project and its user may both want: `models`, `search_spaces`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from tuning.errors import UserError

OURS = Path(__file__).resolve().parents[2]  # the folder that holds our packages
NAMES = {"models": "backbones.py", "search_spaces": "levers.py"}  # with a file that ours has


def share_names(folder: Path | None = None) -> None:
    """Lets packages of these names have modules of ours and of the user's.

    Whichever package Python found first looks for modules in the other's folder as well, so
    `models.vgg16` is ours and `models.resnet` the user's.

    Args:
        folder: The folder where the user's packages may lie; None: those that Python finds.

    Raises:
        UserError: If both have a module of one name.
    """
    for name in NAMES:
        ours = _ours(name)
        package = importlib.import_module(name)
        # A module becomes a package; a namespace would forget ours when `sys.path` changes.
        paths = package.__path__ = list(getattr(package, "__path__", ()))
        theirs = [Path(each) for each in paths if Path(each).resolve() != ours]
        if folder is not None and (folder / name).is_dir() and folder.resolve() != OURS:
            theirs.append(folder / name)
        for each in theirs:
            _no_clash(name, ours, each)
        for each in (ours, *theirs):
            if str(each) not in paths:
                paths.append(str(each))


def _ours(name: str) -> Path:
    """The folder of a package of ours, which in Ray's workers does not lie beside this one's."""
    folders = [OURS, *map(Path, sys.path)]
    there = (each / name for each in folders if (each / name / NAMES[name]).is_file())
    return next(there, OURS / name).resolve()


def _no_clash(name: str, ours: Path, theirs: Path) -> None:
    both = _modules(ours) & _modules(theirs)
    if both:
        raise UserError(
            f"{theirs} and this project both have a module {name}.{min(both)}; rename yours."
        )


def _modules(folder: Path) -> set[str]:
    found = {file.stem for file in folder.glob("*.py")}
    found |= {each.parent.name for each in folder.glob("*/__init__.py")}
    return found - {"__init__", "__pycache__"}
