"""Where a network can be cut.

That is at the tensors of a Keras functional model that alone separate what comes before from what
comes after. Nested models are taken apart first.

The one method of Keras that is not public is `Function._run_through_graph`, by which
`keras.models.clone_model` goes as well.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from models.undrawn import undrawn
from models.units import PICTURE, Unit

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


class Graph:
    """Functional models from one picture to one tensor, one behind the other, flat.

    Args:
        models: The models, each with one input and one output, nested models perhaps.
        image_size: Side of the pictures in pixels; None: that of the first model's input.

    Attributes:
        models: The models.
        steps: Their calls, in an order in which they can be made.
        names: The name of each operation that is called, by its `id`. What Keras counts in a
            process (`conv2d_7`) is counted in this graph instead, so that it is the same in others.

    Raises:
        GraphError: If one is no functional model, or has several inputs or outputs, or takes no
            pictures of this size.
    """

    def __init__(self, *models: keras.Model, image_size: int | None = None) -> None:
        self.models = models
        flat = [_functional_or_error(model) for model in models]
        (given,) = flat[0].inputs
        shape = (image_size, image_size, 3) if image_size else given.shape[1:]
        self.steps: list[Step] = []
        self._picture = keras.Input(shape, dtype=given.dtype, name=PICTURE)
        tensor = self._picture
        for model in flat:
            try:
                (tensor,) = keras.tree.flatten(_replay(model, [tensor], self.steps.append))
            except (ValueError, TypeError) as error:
                # Whatever a layer says of a shape that it does not take.
                reason = str(error).strip().splitlines()[0]
                raise GraphError(
                    f"{model.name} takes no pictures of {shape[0]} pixels a side ({reason})."
                ) from error
        self._output = tensor
        self.names = _names(step.operation for step in self.steps)

    @cached_property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """The layers with weights, by name, in the order of their first calls."""
        operations = (step.operation for step in self.steps)
        return {self.names[id(each)]: each for each in operations if getattr(each, "weights", ())}

    @property
    def digest(self) -> str:
        """Hex SHA-256 of what is computed, but for the weights."""
        made = {id(self._picture): 0}
        facts = []
        for step in self.steps:
            arguments = keras.tree.map_structure(
                lambda each: ["tensor", made[id(each)]] if id(each) in made else each,
                step.arguments,
            )
            made.update((id(each), len(made)) for each in step.outputs)
            kind = type(step.operation).__name__
            facts.append([kind, _nameless(_config(step.operation)), arguments])
        text = json.dumps(facts, sort_keys=True, default=lambda each: type(each).__name__)
        return hashlib.sha256(text.encode()).hexdigest()

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
        last = len(self.steps) - 1
        for place, (step, following) in enumerate(zip(ends, [*ends[1:], last], strict=True)):
            stretch = self.steps[step + 1 : following + 1]
            # The first unit begins at the picture, whatever comes before its kernel.
            inside = step > preprocessing and step >= first and any(s.kernels for s in stretch)
            if step == last or (inside and place < len(ends) - 1):
                name = self.names[id(self.steps[step].operation)]
                found[_unused(name, found)] = self._end_of(step)
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

    @cached_property
    def unit_of(self) -> dict[str, int]:
        """The unit that each layer with weights lies in, by the layer's name."""
        ends = {id(self._tensors[unit.end]) for unit in self.units}
        found: dict[str, int] = {}
        number = 0
        for step in self.steps:
            found.setdefault(self.names[id(step.operation)], number)
            number += any(id(each) in ends for each in step.outputs)
        return {name: found[name] for name in self.layers}

    def shape(self, frontier: str) -> tuple[int, ...]:
        """The shape of one picture at a frontier."""
        return tuple(self._tensors[frontier].shape[1:])

    def flops(self, start: str, end: str) -> int:
        """Floating point operations of one picture between two frontiers, see `Step.flops`."""
        low, high = self.frontiers.index(start), self.frontiers.index(end)
        return sum(unit.flops for unit in self.units[low:high])

    def frontier_above(self, layer: str) -> str | None:
        """The first frontier that a layer's output has gone into, None if there is no such layer.

        Args:
            layer: A layer's name, or a frontier's.
        """
        if layer in self._tensors:
            return layer
        ends = {id(tensor): name for name, tensor in self._tensors.items()}
        seen = False
        for step in self.steps:
            seen = seen or layer in (self.names[id(step.operation)], step.operation.name)
            name = next((ends[id(each)] for each in step.outputs if id(each) in ends), None)
            if seen and name:
                return name
        return None

    @undrawn()
    def section(
        self, start: str, end: str, trainable: bool = False, precision: str = "float32"
    ) -> keras.Model:
        """A copy of the layers behind frontier `start`, up to and with frontier `end`.

        `section(PICTURE, f)` and then `section(f, frontiers[-1])` are the whole network. Its layers
        have the graph's names and weights to be set.

        Args:
            start: The frontier whose output, (B, …), goes in.
            end: The frontier whose output comes out; the same gives what does nothing.
            trainable: Whether the layers learn. Batch normalisation never does, and goes by the
                moments that it has; what the network drops out it drops in training, if it learns.
            precision: `bfloat16` has its layers compute in that, and give it out, with weights in
                float32; with anything else they do as Keras has them do.

        Raises:
            GraphError: If `start` lies behind `end`.
        """
        if self.frontiers.index(start) > self.frontiers.index(end):
            raise GraphError(f"The frontier {start!r} lies behind {end!r}.")
        first, last = self._tensors[start], self._tensors[end]
        inputs = keras.Input(first.shape[1:], dtype=first.dtype, name=start)
        name = f"{start}_to_{end}"
        if start == end:  # Keras before 3.13 refuses a model without a layer
            return keras.Model(inputs, keras.layers.Identity(name="identity")(inputs), name=name)
        values = {id(first): inputs}
        copies: dict[int, Any] = {}

        def value(argument: Any) -> Any:
            return values[id(argument)] if isinstance(argument, keras.KerasTensor) else argument

        steps = iter(self.steps)
        if start != PICTURE:
            next(step for step in steps if any(each is first for each in step.outputs))
        for step in steps:
            arguments, options = keras.tree.map_structure(value, step.arguments)
            if not trainable and _drops(step):
                (outputs,) = (value(each) for each in step.inputs)
            else:
                operation = step.operation
                if id(operation) not in copies:
                    name_here = self.names[id(operation)]
                    copies[id(operation)] = copy = _copy(operation, name_here, trainable)
                    if precision == "bfloat16" and isinstance(copy, keras.layers.Layer):
                        copy.dtype_policy = "mixed_bfloat16"
                outputs = copies[id(operation)](*arguments, **options)
            flat = keras.tree.flatten(outputs)
            values.update((id(of), each) for of, each in zip(step.outputs, flat, strict=True))
            if id(last) in values:
                break
        model = keras.Model(inputs, values[id(last)], name=name)
        model.trainable = trainable
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        return model


def _copy(operation: Any, name: str, drops: bool) -> Any:
    if isinstance(operation, keras.layers.Normalization) and not operation.weights:
        # Its mean and variance are tensors, which Keras' converter to ONNX takes for inputs.
        deviation = np.maximum(np.sqrt(np.ravel(operation.input_variance)), keras.config.epsilon())
        scale, mean = 1 / deviation, np.ravel(operation.input_mean)
        return keras.layers.Rescaling(scale.tolist(), (-mean * scale).tolist(), name=name)
    if getattr(operation, "activation", None) is keras.activations.gelu and not operation.weights:
        return functools.partial(_gelu, name=name)
    config = _config(operation)
    if _is_depthwise(operation):
        # Keras has TensorFlow compile a convolution in groups by XLA, which no converter to ONNX
        # takes; this one computes the same, from a kernel of another shape.
        for key in ("filters", "groups", "kernel_initializer", "kernel_regularizer"):
            del config[key]
        del config["kernel_constraint"]
        return keras.layers.DepthwiseConv2D(**config | {"name": name})
    if not drops:  # of what has weights too
        config |= {key: 0.0 for key in _DROPPING if isinstance(config.get(key), float)}
    if "name" in config:
        config["name"] = name
    return operation.__class__.from_config(config)


def _gelu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """As Keras', of which TensorFlow makes an operation that ONNX has not."""
    inside = keras.Input(x.shape[1:])
    # A model of its own, since its operations have names that Keras counts.
    outside = 0.5 * inside * (1.0 + keras.ops.erf(inside * 0.5**0.5))
    return keras.Model(inside, outside, name=name)(x)


def _is_depthwise(operation: Any) -> bool:
    conv = isinstance(operation, keras.layers.Conv2D) and operation.groups > 1
    return conv and operation.groups == operation.filters and operation.kernel.shape[-2] == 1


# What layers call the share that they drop in training.
_DROPPING = ("dropout", "recurrent_dropout", "rate", "drop_rate", "drop_path_rate")


def _drops(step: Step) -> bool:
    """Whether a layer does something in training alone, and that by chance."""
    operation = step.operation
    if not isinstance(operation, keras.layers.Layer) or operation.weights:
        return False
    alike = [each.shape for each in step.inputs] == [each.shape for each in step.outputs]
    return alike and len(operation.variables) > 0


def _config(operation: Any) -> dict[str, Any]:
    found: dict[str, Any] = operation.get_config()
    return dict(found)


def _nameless(config: Any) -> Any:
    """A configuration without the names that Keras counts."""
    if isinstance(config, dict):
        return {key: _nameless(each) for key, each in config.items() if key != "name"}
    if isinstance(config, list | tuple):
        return [_nameless(each) for each in config]
    return config


def _names(operations: Iterable[Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    taken = {PICTURE}
    for each in operations:
        if id(each) not in found:
            kind = type(each).__name__
            # As Keras makes a name of a class, to which it adds a number.
            usual = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind))
            counted = re.fullmatch(rf"{re.escape(usual.lower())}(_\d+)?", each.name)
            found[id(each)] = name = _unused(usual.lower() if counted else each.name, taken)
            taken.add(name)
    return found


def _unused(name: str, taken: Any) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _functional_or_error(model: Any) -> Any:
    whole = _functional(model)
    if whole is None:
        raise GraphError(
            f"{model.name} is no functional model, so nobody can see where it may be cut; "
            "build it by keras.Model(inputs, outputs)."
        )
    for what, tensors in (("input", whole.inputs), ("output", whole.outputs)):
        if len(tensors) != 1:
            raise GraphError(f"{model.name} has {len(tensors)} {what}s, but must have one.")
    return whole


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
