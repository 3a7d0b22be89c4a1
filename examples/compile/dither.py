# cython: annotation_typing=False, boundscheck=False, wraparound=False, cdivision=True
"""Grey pictures in black and white by Floyd and Steinberg: each pixel hands what it was rounded by to its neighbours.

Every pixel waits for the one before it, so NumPy has nothing to do at once, and Python takes about a microsecond for
each step. This is where compiling pays. The file also runs as it stands, without Cython.
"""

from __future__ import annotations

import numpy as np

try:
    import cython
except ImportError:
    from manyfaces.kernels import shadow as cython  # the same names, which do nothing


def picture(side: int) -> np.ndarray:
    """A slope from dark to bright with a ripple on it."""
    row = np.arange(side)
    return (127.5 + 60 * (row / side - 0.5) + 60 * np.sin(row[:, None] / 9)).astype(np.float64) * np.ones((side, 1))


def dithered(grey: np.ndarray) -> np.ndarray:
    """0 and 255 instead of the shades between."""
    work = np.pad(grey, ((0, 1), (1, 1)))
    _spread(work, grey.shape[0], grey.shape[1])
    return work[:-1, 1:-1].astype(np.uint8)


@cython.locals(
    work="double[:, ::1]",
    high="Py_ssize_t",
    wide="Py_ssize_t",
    row="Py_ssize_t",
    column="Py_ssize_t",
    shade="double",
    error="double",
)
def _spread(work: np.ndarray, high: int, wide: int) -> None:
    for row in range(high):
        for column in range(1, wide + 1):
            shade = 255.0 if work[row, column] >= 128 else 0.0
            error = work[row, column] - shade
            work[row, column] = shade
            work[row, column + 1] += error * 7 / 16
            work[row + 1, column - 1] += error * 3 / 16
            work[row + 1, column] += error * 5 / 16
            work[row + 1, column + 1] += error * 1 / 16
