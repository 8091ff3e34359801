"""Little Data Tuner: the best image classifier that a few thousand labelled pictures allow.

    from tuning import Options, tune

    result = tune(Options(data="photos", trials=20))
    print(result)

What is named here is imported when it is first asked for, so that `--help` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuning.process.packages import share_names

if TYPE_CHECKING:
    from tuning.api import Options, Result, UserError, extend, load, resume, tune

__all__ = ["Options", "Result", "UserError", "extend", "load", "resume", "tune"]

share_names()


def __getattr__(name: str) -> Any:
    if name in __all__:
        from tuning import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
