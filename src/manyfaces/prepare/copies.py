"""Which faces are copies of one photo: the same file, the same pixels, or nearly the same picture.

A photo is saved again smaller, compressed again or cut closer, and its face comes out of the alignment nearly the same.
Two photos of one person do not: the light, the head or the mouth has moved. So two faces count as copies where their
vectors are nearly one and their crops, made small and grey, correlate; docs/decisions/0015 has the measurement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from manyfaces.types import Floats, Integers, Pixels

ALIKE = 0.85
"""The least similarity of the vectors of copies."""

CORRELATED = 0.98
"""The least correlation of their crops."""

SMALL = 24
"""The side of the grey crops that are correlated: what compression and a slightly other cut do is averaged away."""

AT_ONCE = 4_000_000
"""Similarities held in memory at a time."""


def grouped(digests: Sequence[str], decoded: Sequence[str], crops: Pixels, vectors: Floats) -> Integers:
    """A number for each face, from 0 in the order of the faces, equal for copies and copies of copies."""
    parents = list(range(len(digests)))
    for first, second in (*_equal(digests), *_equal(decoded), *near(crops, vectors).tolist()):
        low, high = sorted((_root(parents, first), _root(parents, second)))
        parents[high] = low
    roots = [_root(parents, face) for face in range(len(parents))]
    return np.unique(np.array(roots, np.int64), return_inverse=True)[1].astype(np.int64)


def near(crops: Pixels, vectors: Floats) -> Integers:
    """Every pair of faces (m, 2) that look like copies, the earlier first."""
    pairs = np.concatenate([np.empty((0, 2), np.int64), *_alike(vectors)])
    thumbs = thumbnails(crops)
    return pairs[(thumbs[pairs[:, 0]] * thumbs[pairs[:, 1]]).sum(axis=1) >= CORRELATED]


def thumbnails(crops: Pixels) -> Floats:
    """Each crop small, grey, without its mean and of unit length, so that a product is a correlation. The border, which
    shows more of the background than of the face, is left away."""
    small = np.empty((len(crops), SMALL * SMALL), np.float32)
    edge = crops.shape[1] // 8
    for which, crop in enumerate(crops):
        grey = cv2.cvtColor(crop[edge:-edge, edge:-edge], cv2.COLOR_RGB2GRAY)
        small[which] = cv2.resize(grey, (SMALL, SMALL), interpolation=cv2.INTER_AREA).reshape(-1)
    small -= small.mean(axis=1, keepdims=True)
    return np.asarray(small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6), np.float32)


def _alike(vectors: Floats) -> Iterator[Integers]:
    """Pairs of like vectors, some rows against all later ones at a time."""
    step = max(AT_ONCE // max(len(vectors), 1), 1)
    for start in range(0, len(vectors), step):
        likeness = vectors[start : start + step] @ vectors[start:].T
        pairs = np.argwhere(likeness >= ALIKE) + start
        yield pairs[pairs[:, 0] < pairs[:, 1]].astype(np.int64)


def _equal(keys: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Each face that has the key of an earlier one, with that one."""
    first: dict[str, int] = {}
    for face, key in enumerate(keys):
        earlier = first.setdefault(key, face)
        if earlier != face:
            yield earlier, face


def _root(parents: list[int], face: int) -> int:
    while parents[face] != face:
        parents[face] = parents[parents[face]]
        face = parents[face]
    return face
