"""Where a user's HyperModel comes from: a name, in a module of theirs or of anybody's."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable

import keras
import keras_tuner

from tuning.errors import UserError, one_line


def load(
    spec: str, image_size: int, classes: int, folder: str | None = None
) -> keras_tuner.HyperModel:
    """The HyperModel of a name.

    Args:
        spec: `package.module:Name`, of an instance, of a class, or of a function `build(hp)`. A
            class is called with those of `input_shape`, `classes` and `num_classes` that it takes.
        image_size: Side of the square pictures in pixels.
        classes: Number of classes.
        folder: Where the module may lie, beside installed ones.

    Raises:
        UserError: Why it cannot be had.
    """
    module, colon, name = spec.partition(":")
    if not colon or not module or not name:
        raise UserError(f"--hypermodel {spec} is not of the form package.module:Name.")
    if folder is not None and folder not in sys.path:
        sys.path.append(folder)
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module does when it is imported
        raise UserError(f"--hypermodel {spec} cannot be imported: {one_line(error)}") from error
    if inspect.isclass(found) and issubclass(found, keras_tuner.HyperModel):
        found = _instance(spec, found, image_size, classes)
    elif inspect.isfunction(found):
        found = _Built(found)
    if not isinstance(found, keras_tuner.HyperModel):
        raise UserError(
            f"--hypermodel {spec} is {type(found).__name__}, but must be a keras_tuner.HyperModel: "
            "a class, an instance, or a function build(hp)."
        )
    if type(found).fit is not keras_tuner.HyperModel.fit:
        raise UserError(
            f"--hypermodel {spec} has a `fit` of its own, which is not supported: ask for what is "
            "tuned in `build`, also for `batch_size` and `epochs`."
        )
    return found


class _Built(keras_tuner.HyperModel):  # type: ignore[misc]
    """What a function `build(hp)` builds."""

    def __init__(self, function: Callable[[keras_tuner.HyperParameters], keras.Model]) -> None:
        super().__init__()
        self.function = function

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return self.function(hp)


def _instance(
    spec: str, kind: type[keras_tuner.HyperModel], image_size: int, classes: int
) -> keras_tuner.HyperModel:
    known = {
        "input_shape": (image_size, image_size, 3),
        "classes": classes,
        "num_classes": classes,
    }
    takes = inspect.signature(kind).parameters
    try:
        return kind(**{name: value for name, value in known.items() if name in takes})
    except Exception as error:  # whatever its constructor does
        raise UserError(f"--hypermodel {spec} cannot be made: {one_line(error)}") from error
