# cython: language_level=3, annotation_typing=False, boundscheck=False, wraparound=False, cdivision=True
"""The loops behind detection: cells that hold a face to boxes, and of boxes on top of each other the best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from manyfaces.types import Floats, Integers

try:
    import cython
except ImportError:
    from manyfaces.kernels import shadow as cython

if cython.compiled:
    from cython.cimports.libc.math import exp, sqrt
else:
    from math import exp, sqrt

COMPILED: bool = cython.compiled

LARGEST = 80.0
"""The logarithm of a side is cut off here, short of what float32 holds, so that no network makes an endless box."""


@cython.locals(
    cells="const long long[::1]",
    faces="const float[:]",
    shapes="const float[:, :]",
    points="const float[:, :]",
    columns="long long",
    stride="double",
    boxes="float[:, ::1]",
    scores="float[::1]",
    landmarks="float[:, ::1]",
    which="Py_ssize_t",
    cell="long long",
    number="Py_ssize_t",
    left="double",
    top="double",
    x="double",
    y="double",
    half_width="double",
    half_height="double",
    largest="double",
)
def place(
    cells: Integers,
    faces: Floats,
    shapes: Floats,
    points: Floats,
    columns: int,
    stride: float,
    boxes: Floats,
    scores: Floats,
    landmarks: Floats,
) -> None:
    """Write the box (n, 4), score (n,) and landmarks (n, 10) of each chosen cell of one grid of `columns`.

    `faces` (m,) are the squared scores of all m cells, `shapes` (m, 4) their offsets and logarithms of size, `points`
    (m, 10) their landmarks, both in cells of `stride` pixels.
    """
    largest = LARGEST
    with cython.nogil:
        for which in range(cells.shape[0]):
            cell = cells[which]
            left = cell % columns
            top = cell // columns
            x = (left + shapes[cell, 0]) * stride
            y = (top + shapes[cell, 1]) * stride
            half_width = shapes[cell, 2]
            half_height = shapes[cell, 3]
            half_width = exp(largest if half_width > largest else half_width) * stride / 2
            half_height = exp(largest if half_height > largest else half_height) * stride / 2
            boxes[which, 0] = x - half_width
            boxes[which, 1] = y - half_height
            boxes[which, 2] = x + half_width
            boxes[which, 3] = y + half_height
            scores[which] = sqrt(1.0 if faces[cell] > 1 else faces[cell])
            for number in range(5):
                landmarks[which, 2 * number] = (points[cell, 2 * number] + left) * stride
                landmarks[which, 2 * number + 1] = (points[cell, 2 * number + 1] + top) * stride


def survivors(boxes: Floats, overlap: float) -> Integers:
    """Of boxes (n, 4), best first: the positions of those that share no more than `overlap` (intersection over union)
    with any better survivor. Boxes without an area, or that are no numbers, share nothing."""
    corners = np.ascontiguousarray(boxes, np.float64)
    kept = np.empty(len(corners), np.int64)
    return kept[: _survivors(corners, _columns(corners), overlap, kept)]


def _columns(corners: npt.NDArray[np.float64]) -> Integers:
    """The upright strip of the picture in which each box begins, strips being as wide as the widest box: boxes that
    overlap begin in the same strip or in neighbours. -1 for boxes that overlap nothing."""
    solid = np.isfinite(corners).all(axis=1) & (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    columns = np.full(len(corners), -1, np.int64)
    if solid.any():
        lefts = corners[solid, 0]
        widest = (corners[solid, 2] - lefts).max() * 1.001
        columns[solid] = np.minimum((lefts - lefts.min()) / widest, len(corners)).astype(np.int64)
    return columns


@cython.locals(
    corners="const double[:, ::1]",
    columns="const long long[::1]",
    overlap="double",
    kept="long long[::1]",
    newest="long long[::1]",
    older="long long[::1]",
    areas="double[::1]",
    count="Py_ssize_t",
    box="long long",
    other="long long",
    column="long long",
    neighbour="long long",
    covered="bint",
    width="double",
    height="double",
    shared="double",
)
def _survivors(corners: npt.NDArray[np.float64], columns: Integers, overlap: float, kept: Integers) -> int:
    """Each strip keeps its survivors as a chain, `newest` to `older`, so that a box meets only those near it."""
    newest = np.full(len(corners) + 3, -1, np.int64)
    older = np.empty(len(corners), np.int64)
    areas = np.empty(len(corners), np.float64)
    count = 0
    with cython.nogil:
        for box in range(corners.shape[0]):
            column = columns[box]
            covered = False
            if column >= 0:
                areas[box] = (corners[box, 2] - corners[box, 0]) * (corners[box, 3] - corners[box, 1])
            for neighbour in range(column, column + 3 if column >= 0 else column):
                other = newest[neighbour]
                while other >= 0:
                    width = min(corners[box, 2], corners[other, 2]) - max(corners[box, 0], corners[other, 0])
                    height = min(corners[box, 3], corners[other, 3]) - max(corners[box, 1], corners[other, 1])
                    if width > 0 and height > 0:
                        shared = width * height
                        if shared > overlap * (areas[box] + areas[other] - shared):
                            covered = True
                            break
                    other = older[other]
                if covered:
                    break
            if not covered:
                kept[count] = box
                count += 1
                if column >= 0:  # strip s has its chain at s + 1, so that the first strip has a neighbour too
                    older[box] = newest[column + 1]
                    newest[column + 1] = box
    return count
