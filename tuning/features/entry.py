"""What an entry of the cache is: features of one kind, which pictures are added to.

Its key says all that a picture's features depend on but the picture. They lie in segments, each
for some pictures, which are never changed: who needs more adds one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.backbones import Backbone
from tuning.data import decoded
from tuning.data.dataset import Split
from tuning.data.decoding import DecodeSettings
from tuning.data.parts import Part

FORMAT = 3  # part of every key: raised when entries or augmentation policies change their meaning
BLOCK = 64  # pictures of a forward pass and of a checksum; part of what a segment's bytes depend on
DIGEST = 16  # bytes of a picture's identity


@dataclass(frozen=True)
class View:
    """One look at every picture: an augmentation policy and the number of its draw."""

    policy: str = "none"
    number: int = 0

    def __str__(self) -> str:
        return self.policy if self.policy == "none" else f"{self.policy}/{self.number}"


PLAIN = View()  # the pictures as they are


@dataclass(frozen=True)
class Entry:
    """Features of one kind, and the pictures that somebody needs them of.

    Attributes:
        identity: All that a picture's features depend on.
        split: The pictures.
        view: The view of them.
        frontier: The frontier whose output it holds.
        row_shape: The shape of one picture's features, (H, W, C) as a rule.
    """

    identity: dict[str, Any]
    split: Split | Part
    view: View
    frontier: str
    row_shape: tuple[int, ...]

    @property
    def key(self) -> str:
        """Hex SHA-256 of the identity: the name of its folder."""
        return digest(self.identity)

    @cached_property
    def pictures(self) -> tuple[bytes, ...]:
        """The identity of each of the split's pictures, in their order."""
        return pictures(self.split.digests.tobytes())

    @property
    def content(self) -> str:
        """Hex SHA-256 of all that the split's features depend on, in their order."""
        return hashlib.sha256(self.key.encode() + b"".join(self.pictures)).hexdigest()

    def __str__(self) -> str:
        return f"{self.frontier} of {self.split.name}, view {self.view}"


@dataclass(frozen=True)
class Segment:
    """Some pictures' features of an entry.

    Attributes:
        entry: The entry.
        pictures: Identities of the pictures, a row each; none comes twice.
    """

    entry: Entry
    pictures: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """The name of its folder in the entry's."""
        return segment_name(self.pictures)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all features, (N, H, W, C)."""
        return (len(self.pictures), *self.entry.row_shape)


def identify(
    split: Split | Part,
    backbone: Backbone,
    frontier: str,
    view: View,
    dtype: str,
    precision: str = "float32",
) -> Entry:
    """The entry for these features."""
    identity = {
        "backbone": backbone.name,
        "weights": backbone.weights.checksum,
        "preprocessing": backbone.preprocessing,
        "image_size": backbone.image_size,
        "decoding": _decoding(split.settings),
        "frontier": frontier,
        "policy": view.policy,
        "view": view.number,
        "dtype": dtype,
        "precision": precision,
        "format": FORMAT,
    }
    if backbone.architecture is not None:
        identity["architecture"] = backbone.architecture
    return Entry(identity, split, view, frontier, backbone.shape(frontier))


def _decoding(settings: DecodeSettings) -> list[Any]:
    levels = list(astuple(settings.levels)) if settings.levels else None
    # Entries of earlier versions, which knew no other, keep their names.
    return [decoded.FORMAT, levels, *([settings.keep_aspect] if settings.keep_aspect else [])]


def digest(facts: dict[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON."""
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def pictures(digests: bytes) -> tuple[bytes, ...]:
    """The identities that stand one after the other."""
    return tuple(digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST))


def segment_name(of: Iterable[bytes]) -> str:
    """The first half of the hex SHA-256 of identities of pictures."""
    return hashlib.sha256(b"".join(of)).hexdigest()[:32]


def checksum(rows: np.ndarray) -> str:
    """Hex SHA-256 of the bytes of some rows."""
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
