"""A whole epoch as one call: Keras' own training step, scanned over arrays that lie on the device.

A call from Python takes a GPU longer than a step of a head, and a batch that is copied there longer
than the step. So what is read lies on the device, rows are gathered there, and one compiled
function goes through all batches. What a search varies (rates, dropout, penalties) are variables of
the network, thus arguments: a shape is compiled once.

The one place that imports JAX. A Keras whose `fit` scans its steps itself, as those after 3.15 do,
can take the place of `Scan`.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.monitoring
import keras
import numpy as np

from tuning.data.parts import Rows
from tuning.process.spent import clock
from tuning.training.keras_private import build_metrics

EVALUATION_BATCH = 256  # rows; a GPU is no faster with more
SHARE = 0.4  # of a device's free memory that columns may take; what is left is for the steps
ON_CPU = 2 * 2**30  # bytes that they may take where the device's memory is the machine's

Column = tuple[str | None, np.ndarray | Rows]  # the name of its content, and (N, …)


class Scan:
    """The epochs and evaluations of one compiled network, each one call.

    Args:
        training: The model that is trained, compiled and with its optimizer built.
        model: The model from what goes in, without augmentation, to probabilities.
    """

    def __init__(self, training: keras.Model, model: keras.Model) -> None:
        self.training, self.model = training, model
        self._built = False
        self._train = jax.jit(self._steps, donate_argnums=0)
        self._evaluate = jax.jit(self._batches)

    def epoch(
        self, columns: Sequence[Column], labels: np.ndarray, order: np.ndarray, size: int
    ) -> dict[str, float] | None:
        """Trains once on rows of columns, batch by batch.

        Args:
            columns: The network's inputs.
            labels: The class of each row, (N, 1), or shares of classes, (N, units).
            order: The rows to take, in this order: full batches, or one that is not.
            size: The rows of a batch.

        Returns:
            Mean `loss` and `accuracy`, None where the device has no room for the columns.
        """
        inputs = _placed(columns)
        if inputs is None:
            return None
        if not self._built:
            first = tuple(column[order[:1]] for _, column in columns)
            x = first if len(first) > 1 else first[0]
            build_metrics(self.training, (x, labels[order[:1]]))
            self._built = True
        if labels.dtype.kind != "f":
            labels = labels.astype(np.int32)
        batches = order.reshape(-1, min(size, len(order))).astype(np.int32)
        groups = self._variables()
        values = [[variable.value for variable in group] for group in groups]
        values, logs = self._train(values, inputs, labels, batches)
        for group, found in zip(groups, values, strict=True):
            for variable, value in zip(group, found, strict=True):
                variable.assign(value)
        values = jax.device_get(logs)
        return {name: float(values[name]) for name in ("loss", "accuracy")}

    def probabilities(self, column: Column) -> np.ndarray | None:
        """What the network says of rows (N, units); None where the device has no room for them."""
        inputs = _placed([column])
        if inputs is None:
            return None
        model = self.model
        groups = model.trainable_variables, model.non_trainable_variables
        values = [[variable.value for variable in group] for group in groups]
        return np.asarray(self._evaluate(values, inputs[0]))

    def _variables(self) -> list[list[keras.Variable]]:
        training = self.training
        groups = training.trainable_variables, training.non_trainable_variables
        return [*map(list, groups), list(training.optimizer.variables)]

    def _steps(self, values: Any, columns: Any, labels: Any, batches: Any) -> Any:
        metrics = [jax.numpy.zeros(v.shape, v.dtype) for v in self.training.metrics_variables]

        def step(state: Any, rows: Any) -> Any:
            taken = tuple(column[rows] for column in columns)
            inputs = taken if len(taken) > 1 else taken[0]
            logs, state = self.training.train_step(state, (inputs, labels[rows]))
            return tuple(map(list, state)), logs

        state, logs = jax.lax.scan(step, (*values, metrics), batches)
        # Metrics are means so far: the last step's are the epoch's.
        return list(state[:3]), {name: each[-1] for name, each in logs.items()}

    def _batches(self, values: Any, column: Any) -> Any:
        number = len(column)
        size = min(EVALUATION_BATCH, number)
        rows = np.arange(-(-number // size) * size).clip(max=number - 1).reshape(-1, size)

        def batch(taken: Any) -> Any:
            return self.model.stateless_call(*values, column[taken], training=False)[0]

        said = jax.lax.map(batch, rows)
        return said.reshape(-1, said.shape[-1])[:number]


class _Placed:
    """Columns on the device by the names of their contents, the least recently used given back."""

    def __init__(self) -> None:
        self.kept: OrderedDict[str, jax.Array] = OrderedDict()
        self.limit: float | None = None
        self.part = 1.0  # of the device, which this process has

    def get(self, column: Column) -> jax.Array | None:
        """A column there; None where it has no room even alone."""
        name, array = column
        if name is None:
            return jax.device_put(np.asarray(array))  # small, and of one epoch
        if name not in self.kept:
            if self.limit is None:
                self.limit = self.part * _room()
            size = math.prod(array.shape) * array.dtype.itemsize
            if size > self.limit:
                return None
            while self.kept and size + sum(each.nbytes for each in self.kept.values()) > self.limit:
                self.kept.popitem(last=False)
            self.kept[name] = jax.device_put(np.asarray(array))
        self.kept.move_to_end(name)
        return self.kept[name]


_device = _Placed()


def _placed(columns: Sequence[Column]) -> tuple[jax.Array, ...] | None:
    found = [_device.get(each) for each in columns]
    return None if any(each is None for each in found) else tuple(found)


def _room() -> float:
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return ON_CPU
    free: float = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return SHARE * free


def _count(event: str, seconds: float, **more: Any) -> None:
    if event.endswith(("/backend_compile_duration", "/jaxpr_to_mlir_module_duration")):
        clock.add("compiling", seconds)


jax.monitoring.register_event_duration_secs_listener(_count)


def share_device(part: float) -> None:
    """Leaves the rest of the device's memory to the processes that it is shared with.

    Args:
        part: The share of the device that this process has; several devices count as one.
    """
    _device.part = min(part, 1.0)


def forget() -> None:
    """Gives all columns of this process back."""
    _device.kept.clear()


def keep_compiled(folder: Path) -> None:
    """Keeps compiled functions on this machine's disk, for all processes and runs.

    Args:
        folder: The folder they lie in.
    """
    os.makedirs(folder, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # By default small heads, whose compiling takes less than a second, are left out.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
