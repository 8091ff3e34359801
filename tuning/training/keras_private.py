"""The one place that touches what is private in Keras (3.15).

That is `Optimizer._all_reduce_sum_gradients` and `Trainer._symbolic_build`.
"""

from __future__ import annotations

from typing import Any

import keras


def build_metrics(model: keras.Model, batch: tuple[Any, Any]) -> None:
    """Makes the variables of a compiled model's metrics, for inputs and labels as in this batch."""
    # Keras makes them in its first `fit`, which trains.
    model._symbolic_build(data_batch=batch)


def unshare(optimizer: keras.optimizers.Optimizer) -> None:
    """Lets an optimizer go with its network when nobody needs them."""
    # One replica has nothing to add up. TensorFlow's adding up registers a gradient of its own,
    # which nobody asks for, in a table of the whole process, and with it keeps the graph and all
    # its variables for ever: 60 MiB for each network with three unfrozen layers.
    optimizer._all_reduce_sum_gradients = list
