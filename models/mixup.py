"""Mixup: pictures and labels of a batch are blended in pairs.

Zhang, Cissé, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (arXiv 1710.09412).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="little_data_tuner")
class Mixup(keras.layers.Layer):  # type: ignore[misc]
    """Blends each picture of a batch with its partner: the first with the last, and so on.

    Call it with [pictures, shares]: (B, S, S, 3), and what each keeps of itself, (B, 1) in 0..1.
    Returns the shape of the pictures. As batches are of random pictures, so are the pairs.
    """

    def call(self, inputs: Any) -> Any:
        """See the class."""
        pictures, shares = inputs
        given = 1 - ops.reshape(shares, (-1, 1, 1, 1))
        # Written as the picture plus a change, so that a share of one leaves it exactly as it is.
        return pictures + given * (ops.flip(pictures, axis=0) - pictures)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the pictures."""
        return input_shape[0]


def draw(
    alpha: float,
    labels: np.ndarray,
    classes: int,
    order: np.ndarray,
    batch_size: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """What pictures keep of themselves in an epoch, and the labels that come of it.

    Args:
        alpha: The parameter of the shares' distribution Beta(alpha, alpha); 0: nothing is blended.
        labels: Class of each picture, (N,).
        classes: Number of classes.
        order: Rows of the pictures in the order of the epoch.
        batch_size: Pictures of a batch; the last one may be smaller.
        random: Where shares are drawn from.

    Returns:
        Shares (N, 1); labels, float32 (N, 1), the share of the second class of two, else
        (N, classes). Pictures out of the order keep all of themselves.
    """
    partners = np.arange(len(labels))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        partners[batch] = batch[::-1]
    shares = np.ones((len(labels), 1), np.float32)
    if alpha:
        shares[order, 0] = random.beta(alpha, alpha, len(order))
    truth = np.eye(classes, dtype=np.float32)[labels]
    mixed = shares * truth + (1 - shares) * truth[partners]
    return shares, mixed[:, 1:] if classes == 2 else mixed


def accuracy(labels: Any, probabilities: Any) -> Any:
    """Whether the class that most of a picture is of is the most probable one.

    Args:
        labels: As `draw` returns them, of a batch.
        probabilities: The network's, in the same shape.

    Returns:
        0 or 1, (B,).
    """
    if probabilities.shape[-1] == 1:
        right = ops.equal(labels > 0.5, probabilities > 0.5)
        return ops.cast(ops.squeeze(right, -1), "float32")
    return ops.cast(ops.equal(ops.argmax(labels, -1), ops.argmax(probabilities, -1)), "float32")
