"""Which frontiers are worth their bytes.

Disk is what a search runs out of: an entry is kept for every view of every policy. A frontier is
stored when each byte of it spares at least `WORTH` floating point operations of the forward pass
from the picture, each time it is read. At 150 pixels and in float16 that is (kFLOP a byte):

    block1_conv1  0.03    block2_conv2  2.9    block3_conv3  11.8    block4_conv3  36.6
    block1_conv2  0.6     block2_pool   12.1   block3_pool   49.8    block4_pool  146
    block1_pool   2.4     block3_conv1  7.2    block4_conv1  27.2    block5_conv1..3 151 to 160
    block2_conv1  1.8     block3_conv2  9.5    block4_conv2  31.8    block5_pool  808

There is a gap between block3_conv3 and block4_conv1, wherever the threshold lies in it. With the
2 cores of a laptop, 16 kFLOP a byte mean that a GiB spares 75 s whenever it is read.
"""

from __future__ import annotations

import math

from models import vgg16

WORTH = 16_000  # FLOP a byte


def spared(frontier: str, image_size: int, bytes_per_number: int = 2) -> float:
    """FLOP of the forward pass from the picture that a stored byte spares at each reading."""
    stored = math.prod(vgg16.output_shape(frontier, image_size)) * bytes_per_number
    return vgg16.flops(vgg16.PICTURE, frontier, image_size) / stored


def lowest_stored(image_size: int, worth: float = WORTH) -> str:
    """The lowest frontier from which on all are worth storing; those below are recomputed."""
    lowest = vgg16.TOP
    for frontier in reversed(vgg16.FRONTIERS):
        if spared(frontier, image_size) < worth:
            break
        lowest = frontier
    return lowest
