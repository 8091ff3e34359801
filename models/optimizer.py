"""Today's way to train, as one optimizer whose settings are variables.

A rate that warms up and falls along a cosine to the end of the training (Loshchilov and Hutter,
"SGDR", arXiv 1608.03983), another for each layer (Howard and Ruder, arXiv 1801.06146), decoupled
weight decay ("AdamW", arXiv 1711.05101), gradients clipped by their global norm, and an
exponential moving average of the weights. Keras has most of it as constants, so that each trial of
a search would be compiled anew; here a network is compiled once and trained with any settings.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

SETTINGS = ("peak", "warmup", "steps", "decay", "clip", "average")


class Schedule(keras.optimizers.Optimizer):  # type: ignore[misc]
    """An optimizer's schedule, in a class before the one that updates.

    Attributes:
        averages: The moving averages of what it trains.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(learning_rate=self._rate, **settings)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Called by Keras, with what is trained."""
        if self.built:
            return
        super().build(variables)
        for name in SETTINGS:
            setattr(self, name, self.add_variable((), initializer="zeros", name=name))
        self.factors = self.add_variable((len(variables),), initializer="ones", name="factors")
        self.averages = self.add_optimizer_variables(variables, "average")
        # Called, lest Keras takes them for the optimizer's own.
        self._trained: Callable[[], Sequence[keras.Variable]] = lambda: variables
        # As usual, biases do not decay.
        self._decays = [len(variable.shape) > 1 for variable in variables]

    def restart(
        self,
        *,
        peak: float,
        warmup: float,
        steps: int,
        decay: float = 0.0,
        clip: float = math.inf,
        average: float = 0.0,
        factors: Sequence[float] | None = None,
    ) -> None:
        """Begins to train what it was built for, from its values as they are.

        Args:
            peak: The highest rate.
            warmup: The share of the steps until it is reached.
            steps: The number of steps, at whose end the rate is 0.
            decay: The share of a kernel that a step at rate 1 takes away.
            clip: The largest global norm of gradients; longer ones are shortened to it.
            average: The share of the average that stays in a step; 0: no average.
            factors: What the rate of each variable is multiplied by; None: 1.
        """
        own = {"peak": peak, "warmup": max(1.0, warmup * steps), "steps": float(steps)}
        own |= {"decay": decay, "clip": clip, "average": average}
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        for name, value in own.items():
            getattr(self, name).assign(value)
        self.factors.assign(np.ones(len(self._trained())) if factors is None else factors)
        for kept, variable in zip(self.averages, self._trained(), strict=True):
            # NumPy's, since JAX gives the memory of its own arrays away in a step.
            kept.assign(np.array(ops.convert_to_numpy(variable)))

    def _rate(self) -> Any:
        done = ops.cast(ops.convert_to_tensor(self.iterations), "float32")
        peak, warmup, steps = map(ops.convert_to_tensor, (self.peak, self.warmup, self.steps))
        rise = ops.minimum((done + 1) / warmup, 1.0)
        return peak * rise * (1 + ops.cos(math.pi * ops.minimum(done / steps, 1.0))) / 2

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Called by Keras, with the gradients of a step."""
        squares = [ops.sum(ops.square(each)) for each in grads]
        norm = ops.sqrt(functools.reduce(ops.add, squares))
        # Of no length at all is what no limit shortens.
        share = ops.minimum(self.clip / ops.maximum(norm, 1e-12), 1.0)
        # Keras goes through gradients and variables in this order.
        self._turn = iter(range(len(grads)))
        super().apply([each * share for each in grads], trainable_variables)
        done = ops.cast(ops.convert_to_tensor(self.iterations), "float32")
        # An average that is young forgets faster, so that it does not remember the beginning.
        stays = ops.minimum(ops.convert_to_tensor(self.average), (1 + done) / (10 + done))
        for kept, variable in zip(self.averages, self._trained(), strict=True):
            kept.assign(kept + (1 - stays) * (variable - kept))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Called by Keras, for each variable of a step in turn."""
        number = next(self._turn)
        rate = learning_rate * self.factors[number]
        if self._decays[number]:
            self.assign_sub(variable, rate * self.decay * variable)
        super().update_step(gradient, variable, rate)


@functools.cache
def scheduled(base: type[keras.optimizers.Optimizer]) -> type[Schedule]:
    """A class of optimizers that update as those of `base`, by a schedule."""
    return type("Scheduled", (Schedule, base), {})
