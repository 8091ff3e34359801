"""Dropout, penalties and label smoothing whose strengths are variables.

A network built of them is compiled once and trained with any strengths, where Keras' own layers
would be compiled again for each. It computes the same; what is exported has Keras' own.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


class AdjustableDropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout as `keras.layers.Dropout`, which also holds the strengths of a network's loss.

    Args:
        seed: The seed of the masks.
        classes: Number of the network's classes.
        name: The layer's name.

    Attributes:
        rate: Variable, the share of inputs dropped in training, in [0, 1).
        l1: Variable, strength of `penalty` on absolute values.
        l2: Variable, strength of `penalty` on squares.
        smoothing: Variable, share of the truth that `cross_entropy` spreads over all classes.
        class_weights: Variable (classes,), what a picture of each class counts in `cross_entropy`.
    """

    def __init__(self, seed: int, classes: int = 2, name: str = "dropout") -> None:
        super().__init__(name=name)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.rate, self.l1, self.l2, self.smoothing = (
            self.add_weight(shape=(), initializer="zeros", trainable=False, name=each)
            for each in ("rate", "l1", "l2", "smoothing")
        )
        self.class_weights = self.add_weight(
            shape=(classes,), initializer="ones", trainable=False, name="class_weights"
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """See the class; inputs and outputs (B, D)."""
        if not training:
            return inputs
        kept = 1 - ops.cast(self.rate, inputs.dtype)
        draws = keras.random.uniform(
            ops.shape(inputs), dtype=inputs.dtype, seed=self.seed_generator
        )
        return ops.where(draws < kept, inputs / kept, ops.zeros_like(inputs))

    def restart(
        self,
        seed: int,
        dropout: float,
        l1: float,
        l2: float,
        smoothing: float = 0.0,
        class_weights: np.ndarray | None = None,
    ) -> None:
        """Sets the strengths, and the masks to those of `seed` more than the layer's own.

        Without `class_weights` all classes count alike.
        """
        shape = self.class_weights.shape
        self.class_weights.assign(np.ones(shape) if class_weights is None else class_weights)
        self.rate.assign(dropout)
        self.l1.assign(l1)
        self.l2.assign(l2)
        self.smoothing.assign(smoothing)
        state = self.seed_generator.state
        state.assign(ops.convert_to_tensor([self.seed + seed, 0], dtype=state.dtype))

    def penalty(self, l1: bool, l2: bool) -> keras.regularizers.Regularizer:
        """A regularizer of these strengths, as `keras.regularizers.L1L2`; one or both of them."""
        return _Penalty(self, l1, l2)

    def cross_entropy(self, labels: Any, probabilities: Any) -> Any:
        """A loss as Keras' cross-entropies with `label_smoothing` and `class_weight`.

        Args:
            labels: Numbers of the classes, (B, 1), or shares of them, see `models.mixup.draw`.
            probabilities: (B, 1) of the second class of two, else (B, classes).

        Returns:
            (B,).
        """
        units = probabilities.shape[-1]
        share = ops.cast(self.smoothing, probabilities.dtype)
        weights = ops.cast(self.class_weights, probabilities.dtype)
        truth = ops.cast(labels, probabilities.dtype)
        if units == 1:
            counts = weights[0] + (weights[1] - weights[0]) * ops.squeeze(truth, -1)
            truth = (1 - share) * truth + share / 2
            return counts * keras.losses.binary_crossentropy(truth, probabilities)
        if labels.shape[-1] == 1:
            truth = ops.one_hot(ops.squeeze(labels, -1), units, dtype=probabilities.dtype)
        counts = ops.sum(weights * truth, axis=-1)
        truth = (1 - share) * truth + share / units
        return counts * keras.losses.categorical_crossentropy(truth, probabilities)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the inputs."""
        return input_shape


class _Penalty(keras.regularizers.Regularizer):  # type: ignore[misc]
    def __init__(self, levers: AdjustableDropout, l1: bool, l2: bool) -> None:
        self.levers, self.l1, self.l2 = levers, l1, l2

    def __call__(self, x: Any) -> Any:
        total = 0.0
        if self.l1:
            total = total + self.levers.l1 * ops.sum(ops.abs(x))
        if self.l2:
            total = total + self.levers.l2 * ops.sum(ops.square(x))
        return total
