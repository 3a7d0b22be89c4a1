"""Which faces are copies of one photo: the same file, the same pixels, or nearly the same picture.

A photo is saved again smaller, compressed again or cut closer. The landmarks found in it then lie a little elsewhere,
so the crop is moved, turned and scaled a little; moved back onto the other one, it fits nearly perfectly. Two photos of
one person never do: the light, the head or the mouth has moved. docs/decisions/0015 has the measurement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from manyfaces.types import Floats, Integers, Pixels

ALIKE = 0.6
"""The least similarity of the vectors of copies."""

SMALL, SLIDE, FITS = 28, 5, 0.8
"""A quick look first: the middle of one small grey crop slides over the other, so many pixels to each side, and
correlates at least so much somewhere. It spares nine in ten pairs of one person the slow look."""

LARGE, MARGIN, REGISTERED = 56, 6, 0.985
"""The slow look: the least correlation of two crops of this size when one is moved onto the other."""

SMOOTHED = 3
"""Pixels over which the slow look smooths both crops, since compression leaves grain."""

MOST_ZOOM = 1.4
"""How much larger or smaller, turned or slanted one crop may be made to fit; with more, anything fits anything."""

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
    small = _greys(crops, SMALL) if len(pairs) else []
    likely = [(one, two) for one, two in pairs.tolist() if _slides_onto(small[one], small[two])]
    faces = sorted({face for pair in likely for face in pair})
    large = dict(zip(faces, _greys(crops[faces], LARGE), strict=True))
    copies = [(one, two) for one, two in likely if registered(large[one], large[two]) >= REGISTERED]
    return np.array(copies, np.int64).reshape(-1, 2)


def _greys(crops: Pixels, side: int) -> list[Pixels]:
    greys = (cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops)
    return [np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for grey in greys]


def _slides_onto(first: Pixels, second: Pixels) -> bool:
    middle = first[SLIDE:-SLIDE, SLIDE:-SLIDE]
    return float(cv2.matchTemplate(second, middle, cv2.TM_CCOEFF_NORMED).max()) >= FITS


def registered(first: Pixels, second: Pixels) -> float:
    """How well two grey crops correlate when the second is moved, turned and scaled onto the middle of the first; 0
    where they cannot be brought together, or only by bending one beyond recognition.

    Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization" (2008):
    brightness and contrast do not matter to it.
    """
    middle = first[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32)
    warp = np.array([[1, 0, MARGIN], [0, 1, MARGIN]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    onto, everything = second.astype(np.float32), np.full(second.shape, 255, np.uint8)
    try:
        correlation, found = cv2.findTransformECC(middle, onto, warp, cv2.MOTION_AFFINE, stop, everything, SMOOTHED)
    except cv2.error:  # what has no structure, or too little in common
        return 0.0
    return float(correlation) if _is_slight(np.asarray(found, np.float32)[:, :2]) else 0.0


def _is_slight(bend: npt.NDArray[np.float32]) -> bool:
    stretches = np.linalg.svd(bend, compute_uv=False)
    return bool(stretches.min() >= 1 / MOST_ZOOM and stretches.max() <= MOST_ZOOM and np.linalg.det(bend) > 0)


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
