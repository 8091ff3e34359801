"""Which frontiers are worth their bytes.

Disk is what a search runs out of: an entry is kept for every view of every policy. A frontier is
stored when each byte of it spares at least `WORTH` floating point operations of the forward pass
from the picture, each time it is read. Of VGG16 at 150 pixels and in float16 that is (kFLOP a
byte):

    block1_conv1  0.03    block3_conv1  7.2     block4_conv2  31.8
    block1_pool   2.4     block3_conv2  9.5     block4_pool   146
    block2_conv1  1.8     block3_pool   49.8    block5_conv1  151
    block2_pool   12.1    block4_conv1  27.2    block5_pool   808

So VGG16 is stored from block3_pool on; what is cut below begins at the picture. Of networks whose
blocks widen inside, the ends of blocks are stored and what is cut between them begins at the one
below. With the 2 cores of a laptop, 16 kFLOP a byte mean that a GiB spares 75 s whenever it is
read. The top is always stored: all heads are trained on it.
"""

from __future__ import annotations

import itertools
import math

from models.backbones import Backbone
from models.units import PICTURE

WORTH = 16_000  # FLOP a byte


def spared(backbone: Backbone, frontier: str, bytes_per_number: int = 2) -> float:
    """FLOP of the forward pass from the picture that a stored byte spares at each reading."""
    stored = math.prod(backbone.shape(frontier)) * bytes_per_number
    return backbone.flops(PICTURE, frontier) / stored


def stored(backbone: Backbone, worth: float = WORTH) -> list[str]:
    """The frontiers that are worth storing, from the picture on; others are recomputed."""
    return [
        each
        for each in backbone.frontiers[1:]
        if each == backbone.top or spared(backbone, each) >= worth
    ]


def kept_in_passing(backbone: Backbone) -> list[str]:
    """Frontiers that are kept whenever a forward pass goes through them: where pictures shrink.

    2 % of the pass's time in writing (VGG16) buys that no later trial, which unfreezes more layers,
    starts again at the picture.
    """
    places = {each: math.prod(backbone.shape(each)[:-1]) for each in backbone.frontiers}
    pairs = itertools.pairwise(backbone.frontiers)
    return [high for low, high in pairs if places[high] < places[low]]
