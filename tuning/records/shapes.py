"""Checks a JSON value against type hints, and names the place where it departs from them."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict


def expect(value: Any, hint: Any, where: str = "") -> None:
    """Walks the type hints.

    Args:
        value: What was read from JSON.
        hint: A `TypedDict`, a dataclass, mapping, sequence, literal, optional or plain type.
        where: The path so far, as in ``trials[3].epochs``.

    Raises:
        ValueError: A key is missing or has a value of the wrong type; it is named.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        if value is not None:
            expect(value, inner, where)
    elif is_typeddict(hint):
        _rule(isinstance(value, dict), value, where, "a table")
        for key, inner in get_type_hints(hint).items():
            name = f"{where}.{key}".lstrip(".")
            if key not in value:
                if key in hint.__optional_keys__:
                    continue
                raise ValueError(f"{name} is missing")
            expect(value[key], inner, name)
    elif dataclasses.is_dataclass(hint):
        _rule(isinstance(value, dict), value, where, "a table")
        hints = get_type_hints(hint)
        for each in dataclasses.fields(hint):
            name = f"{where}.{each.name}".lstrip(".")
            if each.name in value:
                expect(value[each.name], hints[each.name], name)
            elif each.default is dataclasses.MISSING:
                raise ValueError(f"{name} is missing")
    elif origin is Literal:
        _rule(value in arguments, value, where, f"one of {', '.join(arguments)}")
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        _rule(isinstance(value, dict), value, where, "a table")
        for key, item in value.items():
            expect(item, arguments[1], f"{where}.{key}")
    elif isinstance(origin, type) and issubclass(origin, Sequence):
        _rule(isinstance(value, list | tuple), value, where, "a list")
        if origin is tuple and Ellipsis not in arguments:
            _rule(len(value) == len(arguments), value, where, f"a list of {len(arguments)}")
        for index, item in enumerate(value):
            expect(item, arguments[0], f"{where}[{index}]")
    elif hint is not Any:
        kinds = (int, float) if hint is float else (hint,)
        matches = isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
        _rule(matches, value, where, f"of type {hint.__name__}")


def _rule(holds: bool, value: object, where: str, rule: str) -> None:
    if not holds:
        shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
        raise ValueError(f"{where or 'it'} is {shown}, but must be {rule}")
