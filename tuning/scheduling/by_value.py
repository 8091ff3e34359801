"""Objects of a user's module or notebook, pickled so that a worker does without the module."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from ray import cloudpickle


def pickle_by_value(thing: Any) -> bytes:
    """The pickle of an object or a class, with the code of its module where that is a file.

    Installed packages are referred to by name, as are built-in ones.
    """
    module = sys.modules.get(getattr(thing, "__module__", None) or type(thing).__module__)
    source = getattr(module, "__file__", None) or ""
    if module is None or module.__name__ == "__main__" or "site-packages" in source:
        return bytes(cloudpickle.dumps(thing))
    if inspect.isbuiltin(thing) or not source:
        return bytes(cloudpickle.dumps(thing))
    cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(thing))
    finally:
        cloudpickle.unregister_pickle_by_value(module)
