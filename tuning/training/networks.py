"""Networks compiled once and trained again and again, by one trial after the other."""

from __future__ import annotations

import functools
import gc
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from models import mixup, network
from models.augmentation import TRANSFORMS, Augment
from models.backbones import Backbone
from models.optimizer import scheduled
from tuning.data.parts import Rows
from tuning.process.backend import has_gpu
from tuning.process.spent import clock
from tuning.training.keras_private import unshare

if keras.backend.backend() == "jax":
    from tuning.training import scan

EVALUATION_BATCH = 128  # pictures; larger ones were no faster
STEPS_AT_ONCE = 10_000  # at most, in one call of the training function: all of an epoch
KEPT = 16  # compiled networks in a process; the next one makes the least recently used go


@dataclass(frozen=True)
class NetworkSpec:
    """What decides which compiled functions fit a trial; all else is variable.

    Attributes:
        unfrozen: Number of trainable units of the backbone.
        start: The frontier whose output goes in.
        augmented: Whether pictures are transformed on their way in.
        mixed: Whether they are blended in pairs then.
        penalties: Those that there are, of `l1` and `l2`.
        width: Units of the dense layer, None for the article's.
        pooling: The head's pooling, see `models.head`.
        optimizer: A name of `SCHEDULED` or `CONSTANT`.
        scheduled: Whether its rate follows a schedule.
        batch_size: Pictures a step.
        image_size: Side of the pictures in pixels.
        classes: Number of classes.
        backbone: The network that is frozen up to there, None for the small convnet.
        precision: What the backbone's layers compute in, see `models.network.trainable`.
    """

    unfrozen: int
    start: str
    augmented: bool
    mixed: bool
    penalties: tuple[str, ...]
    width: int | None
    pooling: str
    optimizer: str
    scheduled: bool
    batch_size: int
    image_size: int
    classes: int
    backbone: Backbone | None
    precision: str = "float32"


class CompiledNetwork:
    """A network of one shape with its compiled training step.

    Attributes:
        model: The network from what goes in, without augmentation, to probabilities.
        user: The trial that called `begin` last; the weights are its own.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec
        self.user: object = None
        self._has_run = False
        self.model = network.trainable(
            {
                "unfrozen": spec.unfrozen,
                "dropout": 0.0,
                "pooling": spec.pooling,
                **({"width": spec.width} if spec.width else {}),
                # Any strength but 0 brings a penalty into the network; `begin` sets it.
                **dict.fromkeys(spec.penalties, 1.0),
            },
            image_size=spec.image_size,
            classes=spec.classes,
            backbone=spec.backbone,
            start=spec.start,
            adjustable=True,
            precision=spec.precision,
        )
        self._training = _disturbed(self.model, spec)
        self._training.compile(
            optimizer=_optimizer(spec),
            loss=network.levers(self.model).cross_entropy,
            # Keras' own takes labels for numbers of classes.
            metrics=[mixup.accuracy if spec.mixed else "accuracy"],
            # On CPU, XLA gains TensorFlow 15 % on a head after a second of compiling, loses as much
            # on convolutions, and cannot compile the affine transform at all.
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
            steps_per_execution=STEPS_AT_ONCE,
        )
        self._scan = scan.Scan(self._training, self.model) if _is_scanned(spec) else None
        optimizer = self._training.optimizer
        optimizer.build(self._training.trainable_variables)
        # Counters begin where they were built, what has a weight's shape begins at zero.
        self._counters = [
            None if v.shape else np.array(keras.ops.convert_to_numpy(v))
            for v in optimizer.variables
        ]

    def begin(
        self,
        user: object,
        hyperparameters: Mapping[str, Any],
        rate: float,
        seed: int,
        *,
        steps: int = 0,
        moments: tuple[np.ndarray, np.ndarray] | None = None,
        head: Sequence[np.ndarray] = (),
        class_weights: np.ndarray | None = None,
    ) -> None:
        """Becomes the network of a new trial, as if it had just been built.

        Args:
            user: The trial.
            hyperparameters: The trial's, of a network of this shape.
            rate: The learning rate, the highest where there is a schedule.
            seed: The seed of initial weights and dropout.
            steps: The number of steps of the whole training, for a schedule.
            moments: Mean and variance (C,) of what the head takes, where it standardises.
            head: What `weights` were of a trial of the same head alone, to begin with.
            class_weights: See `network.restart`.
        """
        self.user = user
        network.restart(self.model, hyperparameters, self.spec.backbone, seed, class_weights)
        if moments is not None:
            network.standardise(self.model, *moments)
        if head:
            for variable, value in zip(self._kept()[-len(head) :], head, strict=True):
                variable.assign(value)
        optimizer = self._training.optimizer
        if self._averages is not None:
            optimizer.restart(
                peak=rate,
                warmup=hyperparameters["warmup"],
                steps=steps,
                decay=hyperparameters["weight_decay"],
                clip=hyperparameters["clip"],
                average=hyperparameters["average"],
                factors=network.factors(
                    self.model, self.spec.backbone, hyperparameters.get("layer_decay", 1.0)
                ),
            )
            return
        for variable, counter in zip(optimizer.variables, self._counters, strict=True):
            # NumPy's, since JAX gives the memory of its own arrays away in a step.
            variable.assign(np.zeros(variable.shape) if counter is None else counter)
        optimizer.learning_rate = rate

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(math.prod(v.shape) for v in self.model.trainable_variables)

    @property
    def weights(self) -> list[np.ndarray]:
        """Copies of what the trial's network is made again of, in the order of `network.kept`.

        Averaged where the optimizer averages.
        """
        fixed = self._kept()[len(self.model.trainable_variables) :]
        return _copies([*(self._averages or self.model.trainable_variables), *fixed])

    @property
    def state(self) -> list[np.ndarray]:
        """Copies of all that training changes, for `restore`; in a process of the same backend."""
        return _copies(self._changing())

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Goes on from where `state` was taken, in this process or another."""
        for variable, value in zip(self._changing(), state, strict=True):
            variable.assign(value)

    def _changing(self) -> list[Any]:
        masks = network.random_states(self.model)
        return [*self.model.trainable_variables, *self._training.optimizer.variables, *masks]

    def _kept(self) -> list[Any]:
        return network.kept(self.model)

    @property
    def _averages(self) -> list[Any] | None:
        """The averages of what is trained, None where the optimizer keeps none."""
        return getattr(self._training.optimizer, "averages", None)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The network has the averaged weights in this context."""
        if self._averages is None:
            yield
            return
        raw = [keras.ops.copy(variable) for variable in self.model.trainable_variables]
        try:
            for variable, average in zip(
                self.model.trainable_variables, self._averages, strict=True
            ):
                # A copy, since JAX gives the memory of what a model has away in a call.
                variable.assign(keras.ops.copy(average))
            yield
        finally:
            for variable, value in zip(self.model.trainable_variables, raw, strict=True):
                variable.assign(value)

    def epoch(self, batches: Batches) -> dict[str, float]:
        """Trains once on every batch, in order; returns mean `loss` and `accuracy`."""
        if self._scan:
            columns = list(zip(batches.names, batches.columns, strict=True))
            logs = self._scan.epoch(columns, batches.labels, batches.order, batches.size)
            if logs is not None:
                return logs
        if _without_pipeline():
            if not self._has_run:
                self._make_metrics(batches.labels[:1])
            self._training.reset_metrics()
            self._training.make_train_function()
            logs = self._training.train_function(self._pulled(batches))
            self._has_run = True
            return {name: float(logs[name]) for name in ("loss", "accuracy")}
        history = self._training.fit(batches, epochs=1, shuffle=False, verbose=0).history
        return {name: float(history[name][0]) for name in ("loss", "accuracy")}

    def _make_metrics(self, labels: np.ndarray) -> None:
        """Makes the metrics' variables: a step that made them would be traced twice."""
        said = np.zeros((len(labels), self.model.output_shape[-1]), np.float32)
        self._training.compute_metrics(None, labels, said)

    def _pulled(self, batches: Batches) -> Iterator[Any]:
        """Batch after batch; until the second is asked for, a new network is compiled."""
        began = time.perf_counter()
        for index in range(len(batches)):
            if index == 1 and not self._has_run:
                clock.add("compiling", time.perf_counter() - began)
            yield batches[index]

    def probabilities(self, inputs: np.ndarray | Rows, name: str | None = None) -> np.ndarray:
        """Probabilities (N, classes) of pictures or features.

        Args:
            inputs: (N, …), a memory map perhaps.
            name: The name of their content.
        """
        with self._averaged():
            said = self._scan.probabilities((name, inputs)) if self._scan and name else None
            return probabilities(self.model, inputs) if said is None else _of_all_classes(said)


def probabilities(model: keras.Model, inputs: np.ndarray | Rows) -> np.ndarray:
    """What a network says of inputs (N, …): (N, classes), also where it has one sigmoid unit."""
    found = []
    for first in range(0, len(inputs), EVALUATION_BATCH):
        batch = inputs[first : first + EVALUATION_BATCH]
        # A batch that is always full is compiled once.
        full = np.zeros((min(EVALUATION_BATCH, len(inputs)), *batch.shape[1:]), batch.dtype)
        full[: len(batch)] = batch
        found.append(np.asarray(model.predict_on_batch(full))[: len(batch)])
    return _of_all_classes(np.concatenate(found))


def _of_all_classes(said: np.ndarray) -> np.ndarray:
    return np.concatenate([1 - said, said], axis=1) if said.shape[1] == 1 else said


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Rows of arrays, or of memory maps, in a given order.

    Args:
        columns: Inputs of the network, (N, …) each; read batch by batch, never whole.
        labels: Class of each row, (N,), or shares of classes, (N, units).
        order: Rows to take, in this order.
        size: Rows in a batch.
        names: The name of each column's content, None for what is drawn for one epoch.
    """

    def __init__(
        self,
        columns: Sequence[np.ndarray | Rows],
        labels: np.ndarray,
        order: np.ndarray,
        size: int,
        names: Sequence[str | None] = (),
    ) -> None:
        super().__init__()
        self.columns, self.order, self.size = columns, order, size
        self.labels = labels.reshape(len(labels), -1)
        self.names = names or [None] * len(columns)

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        rows = self.order[index * self.size : (index + 1) * self.size]
        inputs = tuple(column[rows] for column in self.columns)
        return inputs if len(inputs) > 1 else inputs[0], self.labels[rows]


_compiled: OrderedDict[NetworkSpec, CompiledNetwork] = OrderedDict()


def compiled_network(spec: NetworkSpec) -> CompiledNetwork:
    """This process's network of a spec: the one that was used before, or a new one."""
    if spec not in _compiled:
        while len(_compiled) >= KEPT:
            _compiled.popitem(last=False)
            gc.collect()  # a network and its compiled functions refer to each other
        with clock.on("compiling"):
            _compiled[spec] = CompiledNetwork(spec)
    _compiled.move_to_end(spec)
    return _compiled[spec]


def forget() -> None:
    """Gives all networks of this process back."""
    _compiled.clear()
    gc.collect()
    if keras.backend.backend() == "jax":
        scan.forget()


def _disturbed(model: keras.Model, spec: NetworkSpec) -> keras.Model:
    """The network behind what is done to pictures in training alone."""
    if not (spec.augmented or spec.mixed):
        return model
    inputs = [keras.Input(model.input_shape[1:], name="pictures")]
    (x,) = inputs
    if spec.augmented:
        inputs += [keras.Input((n,), name=name) for name, n in TRANSFORMS.items()]
        x = Augment(name="augment")(inputs)
    if spec.mixed:
        inputs.append(keras.Input((1,), name="shares"))
        x = mixup.Mixup(name="mixup")([x, inputs[-1]])
    return keras.Model(inputs, model(x), name="disturbed")


def _copies(variables: Sequence[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(each)) for each in variables]


MOMENTUM = 0.9  # of SGD, as in the article
CONSTANT: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": functools.partial(keras.optimizers.SGD, momentum=MOMENTUM),
}
SCHEDULED: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "adamw": scheduled(keras.optimizers.Adam),
    "sgd": lambda: scheduled(keras.optimizers.SGD)(momentum=MOMENTUM),
    "rmsprop": scheduled(keras.optimizers.RMSprop),
}


def _optimizer(spec: NetworkSpec) -> keras.optimizers.Optimizer:
    optimizer = (SCHEDULED if spec.scheduled else CONSTANT)[spec.optimizer]()
    unshare(optimizer)
    return optimizer


def _without_pipeline() -> bool:
    # TensorFlow's input pipeline ends an epoch only when its tuner next wakes up, which it does
    # after 10 ms, 20 ms, 40 ms and so on: on few cores a `fit` of 0.7 s takes 1.3 s, one of 3 s
    # takes 5. Its compiled step does without the pipeline.
    return keras.backend.backend() == "tensorflow" and not has_gpu()


def _is_scanned(spec: NetworkSpec) -> bool:
    # On CPU XLA computes the gradients of a convolution that stands in a loop 8 to 15 times slower
    # (https://github.com/jax-ml/jax/issues/12868).
    without_convolutions = spec.backbone is not None and spec.start == spec.backbone.top
    return keras.backend.backend() == "jax" and (without_convolutions or has_gpu())
