"""The first look at a very large gallery: 512 signs instead of 128 numbers for each face.

A sketch holds on which side of 512 fixed planes a vector lies. Two vectors at an angle of a differ in a share a / pi of
them, whatever the faces of this gallery are like; so there is nothing to train, nothing ages as people come and go, and
a face is added by writing 64 bytes and removed by wiping them. Counting differing bits reads an eighth of what the
exact product reads. The rows with the fewest are then compared exactly (docs/decisions/0016).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from manyfaces.gallery.roster import Words
from manyfaces.types import Floats, Integers

BITS = 512
WORDS = BITS // 64

SHARE = 100
"""One row in so many is compared exactly. docs/decisions/0016 has the recall for other shares."""

ROWS_AT_ONCE = 65_536
"""So many rows' bits are counted at a time: half a megabyte, which stays in the processor's cache."""

SEED = 5


def can_count_bits() -> bool:
    """NumPy does since its second version; with the first, every face is compared, which is slower and as right."""
    return hasattr(np, "bitwise_count")


class Sketcher:
    """Makes sketches of vectors of one length. The planes are Hadamard's, each set with signs of its own: they stand
    square to each other, and come out bit for bit the same on every machine."""

    def __init__(self, size: int) -> None:
        order = 1 << max(size - 1, 1).bit_length()
        hadamard = _hadamard(order)
        random = np.random.Generator(np.random.PCG64(SEED))
        sets = -(-BITS // order)
        signs = random.integers(0, 2, (sets, 1, order)) * 2 - 1
        planes = (hadamard[None] * signs).reshape(-1, order)[:BITS, :size]
        self._planes = np.ascontiguousarray(planes.T, np.float32)

    def __call__(self, vectors: Floats) -> Words:
        """The sketches of vectors (n, size) as (WORDS, n)."""
        packed = np.packbits(vectors @ self._planes > 0, axis=1)
        return np.ascontiguousarray(packed.view("<u8").T)


def _hadamard(order: int) -> npt.NDArray[np.int64]:
    matrix = np.ones((1, 1), np.int64)
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def nearest_rows(sketches: Words, asked: Words, most: int) -> Integers:
    """The rows whose sketches differ least from the one asked about: `most` of them, and those that differ as little as
    the last."""
    differing = differing_bits(sketches, asked)
    most = min(most, len(differing))
    bar = np.partition(differing, most - 1)[most - 1]
    return np.flatnonzero(differing <= bar)


def differing_bits(sketches: Words, asked: Words) -> npt.NDArray[np.uint16]:
    count = sketches.shape[1]
    differing = np.zeros(count, np.uint16)
    for start in range(0, count, ROWS_AT_ONCE):
        part = slice(start, min(start + ROWS_AT_ONCE, count))
        for word, own in zip(sketches, asked, strict=True):
            differing[part] += np.bitwise_count(word[part] ^ own)
    return differing
