"""Where a network can be cut.

That is at the tensors of a Keras functional model that alone separate what comes before from what
comes after. Nested models are taken apart first.

The one method of Keras that is not public is `Function._run_through_graph`, by which
`keras.models.clone_model` goes as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

PICTURE = "picture"  # the frontier before the first layer: nothing is frozen

# What pixels go through before the first layer that learns; it goes with the pictures.
_PREPROCESSING = (
    keras.layers.Rescaling,
    keras.layers.Normalization,
    keras.layers.Resizing,
    keras.layers.CenterCrop,
)


class GraphError(ValueError):
    """A network that cannot be cut; the reason in one line."""


@dataclass(frozen=True)
class Step:
    """One call of a layer or an operation.

    Attributes:
        operation: What is called.
        arguments: What it is called with, by place and by name.
        outputs: The tensors that come out.
    """

    operation: Any
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    outputs: tuple[keras.KerasTensor, ...]

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """The tensors that go in."""
        flat = keras.tree.flatten(self.arguments)
        return [each for each in flat if isinstance(each, keras.KerasTensor)]

    @property
    def kernels(self) -> list[Any]:
        """The variables of rank 2 and more: of convolutions, dense layers, attention."""
        weights = getattr(self.operation, "weights", ())
        return [each for each in weights if len(each.shape) >= 2]

    @property
    def flops(self) -> int:
        """Floating point operations of one picture, a multiplication and an addition being two.

        Of layers with a kernel, which is applied once at each place of the output. Products of two
        tensors (attention's), normalisation, activations and pooling are left out.
        """
        places = sum(_places(each) for each in self.outputs)
        return sum(2 * int(np.prod(each.shape)) * places for each in self.kernels)


def _places(tensor: keras.KerasTensor) -> int:
    """Of one picture, all axes but the last, which has the channels."""
    return int(np.prod(tensor.shape[1:-1]))


@dataclass(frozen=True)
class Unit:
    """What is frozen or trained as a whole: what lies between two frontiers.

    Attributes:
        start: The frontier before it.
        end: The frontier behind it.
        shape: The shape of one picture at its end.
        parameters: The number of numbers in its layers; one shared with an earlier unit has none.
        flops: Floating point operations of one picture.
    """

    start: str
    end: str
    shape: tuple[int, ...]
    parameters: int
    flops: int


class Graph:
    """A functional model from one picture to one tensor, flat.

    Args:
        model: The model, with one input and one output, nested models perhaps.

    Attributes:
        steps: Its calls, in an order in which they can be made.

    Raises:
        GraphError: If it is no functional model, or has several inputs or outputs.
    """

    def __init__(self, model: keras.Model) -> None:
        whole = _functional(model)
        if whole is None:
            raise GraphError(
                f"{model.name} is no functional model, so nobody can see where it may be cut; "
                "build it by keras.Model(inputs, outputs)."
            )
        for what, tensors in (("input", whole.inputs), ("output", whole.outputs)):
            if len(tensors) != 1:
                raise GraphError(f"{model.name} has {len(tensors)} {what}s, but must have one.")
        (given,) = whole.inputs
        self.steps: list[Step] = []
        self._picture = keras.Input(given.shape[1:], dtype=given.dtype, name=PICTURE)
        (self._output,) = keras.tree.flatten(_replay(whole, [self._picture], self.steps.append))

    @property
    def frontiers(self) -> tuple[str, ...]:
        """Where it can be cut, from the picture to the top: names of the layers before each.

        What follows a frontier begins with a kernel: a stretch without one (an activation,
        pooling) joins the unit before it. No preprocessing lies behind a frontier, but for the
        picture.
        """
        return tuple(self._tensors)

    @cached_property
    def _tensors(self) -> dict[str, keras.KerasTensor]:
        if not self.steps:
            raise GraphError("The network has no layer.")
        ends = self._separating()
        first = self._first_kernel()
        preprocessing = max(
            (
                n
                for n, s in enumerate(self.steps[:first])
                if isinstance(s.operation, _PREPROCESSING)
            ),
            default=-1,
        )
        found = {PICTURE: self._picture}
        names = Counter([PICTURE])
        last = len(self.steps) - 1
        for place, (step, following) in enumerate(zip(ends, [*ends[1:], last], strict=True)):
            stretch = self.steps[step + 1 : following + 1]
            # The first unit begins at the picture, whatever comes before its kernel.
            inside = step > preprocessing and step >= first and any(s.kernels for s in stretch)
            if step == last or (inside and place < len(ends) - 1):
                tensor = self._end_of(step)
                name = self.steps[step].operation.name
                names[name] += 1
                found[name if names[name] == 1 else f"{name}_{names[name]}"] = tensor
        return found

    def _first_kernel(self) -> int:
        found = (number for number, step in enumerate(self.steps) if step.kernels)
        first = next(found, None)
        if first is None:
            raise GraphError(
                "The network has no layer with a kernel, so there is nothing to train."
            )
        return first

    def _separating(self) -> list[int]:
        """Steps behind which one tensor alone is needed, and no layer that was called before.

        From one source to one sink every step that all paths go through stands, in any order of
        the calls, behind all that it depends on and before all that depends on it, so that no
        tensor from before it is needed after it. A layer that is called on both sides would be
        trained on one and frozen on the other.
        """
        needed: dict[int, int] = {}  # the last step that takes a tensor, or calls a layer
        for number, step in enumerate(self.steps):
            needed.update((id(each), number) for each in step.inputs)
            if getattr(step.operation, "weights", ()):
                needed[id(step.operation)] = number
        needed[id(self._output)] = len(self.steps)
        found = []
        reach = needed.get(id(self._picture), -1)  # of what was there before the step's own
        for number, step in enumerate(self.steps):
            reach = max(reach, needed.get(id(step.operation), -1))
            later = [each for each in step.outputs if needed.get(id(each), -1) > number]
            if reach <= number and len(later) == 1:
                found.append(number)
            reach = max([reach, *(needed.get(id(each), -1) for each in step.outputs)])
        return found

    def _end_of(self, step: int) -> keras.KerasTensor:
        after = {id(t) for each in self.steps[step + 1 :] for t in each.inputs}
        after.add(id(self._output))
        (tensor,) = (each for each in self.steps[step].outputs if id(each) in after)
        return tensor

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What lies between frontiers, from the picture on."""
        ends = {id(tensor): name for name, tensor in self._tensors.items()}
        found: list[Unit] = []
        start, flops, parameters = PICTURE, 0, 0
        seen: set[int] = set()
        for step in self.steps:
            flops += step.flops
            if id(step.operation) not in seen:
                seen.add(id(step.operation))
                weights = getattr(step.operation, "weights", ())
                parameters += sum(int(np.prod(each.shape)) for each in weights)
            name = next((ends[id(each)] for each in step.outputs if id(each) in ends), None)
            if name:
                shape = tuple(self._tensors[name].shape[1:])
                found.append(Unit(start, name, shape, parameters, flops))
                start, flops, parameters = name, 0, 0
        return tuple(found)

    def shape(self, frontier: str) -> tuple[int, ...]:
        """The shape of one picture at a frontier."""
        return tuple(self._tensors[frontier].shape[1:])

    def flops(self, start: str, end: str) -> int:
        """Floating point operations of one picture between two frontiers, see `Step.flops`."""
        low, high = self.frontiers.index(start), self.frontiers.index(end)
        return sum(unit.flops for unit in self.units[low:high])

    def section(self, start: str, end: str) -> keras.Model:
        """The layers behind frontier `start`, up to and with frontier `end`; weights are shared.

        `section(PICTURE, f)` and then `section(f, frontiers[-1])` are the whole network.

        Raises:
            GraphError: If `start` does not lie before `end`.
        """
        if self.frontiers.index(start) >= self.frontiers.index(end):
            raise GraphError(f"The frontier {start!r} does not lie before {end!r}.")
        first, last = self._tensors[start], self._tensors[end]
        inputs = keras.Input(first.shape[1:], dtype=first.dtype, name=start)
        values = {id(first): inputs}

        def value(argument: Any) -> Any:
            return values[id(argument)] if isinstance(argument, keras.KerasTensor) else argument

        steps = iter(self.steps)
        if start != PICTURE:
            next(step for step in steps if any(each is first for each in step.outputs))
        for step in steps:
            arguments, options = keras.tree.map_structure(value, step.arguments)
            outputs = keras.tree.flatten(step.operation(*arguments, **options))
            values.update((id(of), each) for of, each in zip(step.outputs, outputs, strict=True))
            if id(last) in values:
                break
        return keras.Model(inputs, values[id(last)], name=f"{start}_to_{end}")


def _functional(operation: Any) -> Any | None:
    """The functional model that an operation is, None for a layer."""
    if isinstance(operation, keras.Sequential):
        operation = operation._functional
    return operation if isinstance(operation, keras.Function) else None


def _replay(model: Any, inputs: Sequence[Any], record: Callable[[Step], None]) -> Any:
    """Calls what a functional model calls, of models inside it as well, on other inputs."""

    def caller(operation: Any) -> Callable[..., Any]:
        inner = _functional(operation)

        def call(*arguments: Any, **options: Any) -> Any:
            if inner is not None:
                flat = keras.tree.flatten((arguments, options))
                tensors = [each for each in flat if isinstance(each, keras.KerasTensor)]
                return _replay(inner, tensors, record)
            found = operation(*arguments, **options)
            record(Step(operation, (arguments, options), tuple(keras.tree.flatten(found))))
            return found

        return call

    return model._run_through_graph(list(inputs), operation_fn=caller)
