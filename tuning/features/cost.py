"""Which frontiers are worth their bytes.

Disk is what a search runs out of: an entry is kept for every view of every policy. A frontier is
stored when each byte of it spares at least `SPACE` floating point operations of the forward pass
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

Where computing is quick, as on a GPU, a disk's time is dearer than its room: what is computed in
less time than it takes to write, to read and to copy it to the device is not stored, and where a
network then begins at the picture each epoch has a view of its own. That is decided by rates that
are measured once a run.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from models.backbones import Backbone
from models.units import PICTURE

SPACE = 16_000  # FLOP that a byte must spare to be worth its room


@dataclass(frozen=True)
class Rates:
    """How quick the machines are that trials run on.

    Attributes:
        forward: FLOP/s of what one trial gets.
        disk: Bytes/s of the place where features lie, written and read.
        precision: What a matrix product is quickest in there: `float32`, on GPUs `tf32` or
            `bfloat16`; None in runs of earlier versions, which did not measure it.
        copied: Bytes/s from the machine's memory into the GPU's; None where trials have no GPU,
            and in runs of earlier versions.
    """

    forward: float
    disk: float
    precision: str | None = None
    copied: float | None = None


def worth(rates: Rates | None) -> float:
    """FLOP that a byte must spare to be stored.

    Its room's worth; or, if that is more, what can be computed while it is written, read once and
    copied to the device.
    """
    if rates is None:
        return SPACE
    seconds = 2 / rates.disk + (1 / rates.copied if rates.copied else 0)
    return max(SPACE, rates.forward * seconds)


def spared(backbone: Backbone, frontier: str, bytes_per_number: int = 2) -> float:
    """FLOP of the forward pass from the picture that a stored byte spares at each reading."""
    stored = math.prod(backbone.shape(frontier)) * bytes_per_number
    return backbone.flops(PICTURE, frontier) / stored


def stored(backbone: Backbone, worth: float = SPACE) -> list[str]:
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
