"""Where a user's HyperModel comes from: a name, in a module of anybody's, or itself."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner

from tuning.data.dataset import Dataset
from tuning.errors import UserError, one_line
from tuning.training.context import NamedHyperModel, PickledHyperModel
from tuning.training.imported import imported


def load(
    source: NamedHyperModel | PickledHyperModel,
    dataset: Dataset,
    features: tuple[int, ...] | None = None,
) -> keras_tuner.HyperModel:
    """The HyperModel for these pictures.

    Args:
        source: The name or the pickle of an instance, of a class, or of a function `build(hp)`. A
            class is called with those of `input_shape`, `classes` and `num_classes` that it takes.
        dataset: The pictures.
        features: The shape of what its models take of a picture, where it has a backbone.

    Raises:
        UserError: Why it cannot be had.
    """
    found, spec = _found(source)
    if inspect.isclass(found) and issubclass(found, keras_tuner.HyperModel):
        found = _instance(spec, found, dataset, features)
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


def backbone_of(source: NamedHyperModel | PickledHyperModel) -> str | None:
    """The frozen network whose features its models take, by the attribute `backbone`.

    Raises:
        UserError: If that is no name, or the HyperModel cannot be had.
    """
    found, spec = _found(source)
    name = getattr(found, "backbone", None)
    if name is None or isinstance(name, str):
        return name
    raise UserError(
        f"--hypermodel {spec}: its attribute `backbone` is {type(name).__name__}, but must be "
        "text, as --backbone takes it: a name of keras.applications, module:function, or a "
        ".keras file."
    )


def _found(source: NamedHyperModel | PickledHyperModel) -> tuple[Any, str]:
    if isinstance(source, NamedHyperModel):
        return imported("--hypermodel", source.name, source.folder), source.name
    found = pickle.loads(source.content)
    return found, getattr(found, "__name__", type(found).__name__)


class _Built(keras_tuner.HyperModel):  # type: ignore[misc]
    """What a function `build(hp)` builds."""

    def __init__(self, function: Callable[[keras_tuner.HyperParameters], keras.Model]) -> None:
        super().__init__()
        self.function = function

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return self.function(hp)


def _instance(
    spec: str,
    kind: type[keras_tuner.HyperModel],
    dataset: Dataset,
    features: tuple[int, ...] | None,
) -> keras_tuner.HyperModel:
    image_size, classes = dataset.image_size, len(dataset.classes)
    known = {
        "input_shape": features or (image_size, image_size, 3),
        "classes": classes,
        "num_classes": classes,
    }
    takes = inspect.signature(kind).parameters
    try:
        return kind(**{name: value for name, value in known.items() if name in takes})
    except (Exception, SystemExit) as error:  # whatever its constructor does
        raise UserError(f"--hypermodel {spec} cannot be made: {one_line(error)}") from error
