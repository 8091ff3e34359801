"""Whether a file can hold a model, so that others can load it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import keras

from tuning.errors import UserError, one_line


def check(model: keras.Model, what: str) -> None:
    """Sees whether a trained model could be taken home.

    Args:
        model: A model as it is trained.
        what: The option that it is from, and its value.

    Raises:
        UserError: If it could not.
    """
    if found := strangers(model):
        raise UserError(
            f"{what}: no file can hold {' and '.join(found)} so that others load it: neither "
            "predict nor another program could use the model that is found. Build it of Keras' own "
            "layers and functions, with keras.ops in place of a Lambda."
        )


def strangers(model: keras.Model) -> list[str]:
    """Parts of a model that a file cannot hold, by name: a Lambda's function, a user's own class.

    What lies deep in the configuration (an activation, a regularizer) is found as well.
    """
    if not getattr(model, "inputs", None):
        return [type(model).__name__]
    # As it is taken home: its loss and its optimizer stay behind.
    bare = keras.Model(model.inputs, model.outputs)
    try:
        return sorted(set(_strangers(json.loads(bare.to_json()))))
    except Exception as error:  # whatever a layer's `get_config` does
        return [one_line(error)]


def _strangers(config: Any) -> Iterator[str]:
    if isinstance(config, list):
        for each in config:
            yield from _strangers(each)
    if not isinstance(config, dict):
        return
    name, module = config.get("class_name"), config.get("module")
    if name in ("Lambda", "__lambda__"):
        yield "Lambda"
    elif name and config.get("registered_name") and not _is_keras(module):
        own = config["config"] if name == "function" else config["registered_name"]
        yield str(own).removeprefix("Custom>")
    for each in config.values():
        yield from _strangers(each)


def _is_keras(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == "keras"
