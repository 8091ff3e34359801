"""The one place that touches what is private in Keras (3.15).

That is `Optimizer._all_reduce_sum_gradients`.
"""

from __future__ import annotations

import keras


def unshare(optimizer: keras.optimizers.Optimizer) -> None:
    """Lets an optimizer go with its network when nobody needs them."""
    # One replica has nothing to add up. TensorFlow's adding up registers a gradient of its own,
    # which nobody asks for, in a table of the whole process, and with it keeps the graph and all
    # its variables for ever: 60 MiB for each network with three unfrozen layers.
    optimizer._all_reduce_sum_gradients = list
