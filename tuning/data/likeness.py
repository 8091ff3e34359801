"""Pictures that are nearly the same: saved anew, made smaller, or taken a moment later.

On both sides of a split they make an accuracy better than it is.
"""

from __future__ import annotations

import numpy as np

SIDE = 32  # pixels of the pictures that are compared
CELL = 2  # pixels that are averaged, to either side
# Correlation of two pictures. Among the article's 2,800 photos no two that differ come above 0.90;
# copies at quality 60 or half the size stay above 0.997, with 15 % more light above 0.98, and cut
# or moved by 2 % of a side above 0.92, most above 0.96.
NEAR = 0.95
# Where more pictures than this hang together, being alike is how these pictures are: then only what
# is nearer counts.
STRICTER = (NEAR, 0.97, 0.98, 0.99, 0.995, 0.999)
LARGEST = 0.05  # share of all pictures
FEW = 12  # pictures, that may always hang together
FLAT = 1.0  # grey levels: a picture that varies by less is not compared
CHUNK = 2048  # rows of a product


def clusters(pictures: np.ndarray) -> np.ndarray:
    """Which pictures hang together, each with one that is nearly the same.

    Args:
        pictures: uint8 (N, 32, 32, 3).

    Returns:
        int (N,), alike for pictures that hang together.
    """
    vectors, compared = _vectors(pictures)
    one, other, near = _pairs(vectors, compared)
    number = len(pictures)
    found = np.arange(number)
    for least in STRICTER:
        kept = near >= least
        found = components(number, one[kept], other[kept])
        if np.bincount(found, minlength=1).max(initial=0) <= max(FEW, LARGEST * number):
            return found
    return np.arange(number)


def components(number: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The components, int (N,), of a graph of N nodes with edges between `one` and `other`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(one)), (one, other)), shape=(number, number))
    return np.asarray(connected_components(edges, directed=False)[1])


def first_of_each(kinds: np.ndarray) -> np.ndarray:
    """The row of the first of each row's kind, int (N,)."""
    _, first, which = np.unique(kinds, return_index=True, return_inverse=True)
    return np.asarray(first[which], int)


def _vectors(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (N, D) of what pictures look like, whatever their light; which vary at all."""
    cells = SIDE // CELL
    shape = (len(pictures), cells, CELL, cells, CELL, 3)
    small = pictures.reshape(shape).mean((2, 4), dtype=np.float32)
    small -= small.mean((1, 2), keepdims=True)  # of each channel
    vectors = small.reshape(len(pictures), cells * cells * 3)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    deviation = length[:, 0] / np.sqrt(vectors.shape[1])
    return vectors / np.maximum(length, 1e-6), deviation >= FLAT


def _pairs(vectors: np.ndarray, compared: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs that are near: the first, the second, and their correlation."""
    rows = np.flatnonzero(compared)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    blocks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    for number, block in enumerate(blocks):
        for other_block in blocks[number:]:
            near = vectors[block] @ vectors[other_block].T
            if other_block is block:
                near = np.triu(near, 1)  # each pair once, and none with itself
            first, second = np.nonzero(near >= NEAR)
            found.append((block[first], other_block[second], near[first, second]))
    if not found:
        nothing = np.zeros(0, int)
        return nothing, nothing, np.zeros(0)
    one, other, near = (np.concatenate(each) for each in zip(*found, strict=True))
    return one, other, near
