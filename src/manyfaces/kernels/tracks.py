# cython: language_level=3, annotation_typing=False, boundscheck=False, wraparound=False, cdivision=True
"""The loops behind tracking: where faces are expected, how well a sighting fits, and who goes with whom.

The formulas are explained where they are used, in `track/motion.py` and `track/assign.py`. Of every face there are four
values (x, y, log width, log height); the first two share one covariance, the last two another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from manyfaces.types import Integers

try:
    import cython
except ImportError:
    from manyfaces.kernels import shadow as cython

if cython.compiled:
    from cython.cimports.libc.math import exp, log
else:
    from math import exp, log

COMPILED: bool = cython.compiled

INFINITE = float("inf")

Doubles = npt.NDArray[np.float64]


@cython.locals(
    values="const double[:, :]",
    speeds="const double[:, :]",
    spreads="const double[:, :, :]",
    seconds="const double[:]",
    push="const double[:]",
    new_values="double[:, ::1]",
    new_spreads="double[:, :, ::1]",
    face="Py_ssize_t",
    part="Py_ssize_t",
    time="double",
    speed="double",
    both="double",
    pushed="double",
)
def move(
    values: Doubles,
    speeds: Doubles,
    spreads: Doubles,
    seconds: Doubles,
    push: Doubles,
    new_values: Doubles,
    new_spreads: Doubles,
) -> None:
    """The Kalman filter's prediction, for each face over its own time."""
    with cython.nogil:
        for face in range(values.shape[0]):
            time = seconds[face]
            for part in range(4):
                new_values[face, part] = values[face, part] + speeds[face, part] * time
            for part in range(2):
                both, speed = spreads[face, part, 1], spreads[face, part, 2]
                pushed = push[part] * time
                new_spreads[face, part, 0] = (
                    spreads[face, part, 0] + 2 * both * time + speed * time * time + pushed * time * time / 3
                )
                new_spreads[face, part, 1] = both + speed * time + pushed * time / 2
                new_spreads[face, part, 2] = speed + pushed


@cython.locals(
    values="const double[:, :]",
    speeds="const double[:, :]",
    spreads="const double[:, :, :]",
    seen="const double[:, :]",
    noise="const double[:]",
    new_values="double[:, ::1]",
    new_speeds="double[:, ::1]",
    new_spreads="double[:, :, ::1]",
    face="Py_ssize_t",
    part="Py_ssize_t",
    which="Py_ssize_t",
    gain="double",
    push="double",
    error="double",
)
def correct(
    values: Doubles,
    speeds: Doubles,
    spreads: Doubles,
    seen: Doubles,
    noise: Doubles,
    new_values: Doubles,
    new_speeds: Doubles,
    new_spreads: Doubles,
) -> None:
    """The Kalman filter's correction, each face by its own sighting."""
    with cython.nogil:
        for face in range(values.shape[0]):
            for part in range(2):
                gain = spreads[face, part, 0] / (spreads[face, part, 0] + noise[part])
                push = spreads[face, part, 1] / (spreads[face, part, 0] + noise[part])
                for which in range(2 * part, 2 * part + 2):
                    error = seen[face, which] - values[face, which]
                    new_values[face, which] = values[face, which] + gain * error
                    new_speeds[face, which] = speeds[face, which] + push * error
                new_spreads[face, part, 0] = spreads[face, part, 0] * (1 - gain)
                new_spreads[face, part, 1] = spreads[face, part, 1] * (1 - gain)
                new_spreads[face, part, 2] = spreads[face, part, 2] - push * spreads[face, part, 1]


@cython.locals(
    values="const double[:, :]",
    spreads="const double[:, :, :]",
    seen="const double[:, :]",
    noise="const double[:]",
    fits="double[::1]",
    face="Py_ssize_t",
    part="Py_ssize_t",
    scale="double",
    total="double",
    first="double",
    second="double",
    fit="double",
)
def fit_all(values: Doubles, spreads: Doubles, seen: Doubles, noise: Doubles, fits: Doubles) -> None:
    """How badly each face fits the sighting beside it; errors of place are measured in sizes of the face."""
    with cython.nogil:
        for face in range(values.shape[0]):
            scale = exp(min((values[face, 2] + values[face, 3]) / 2, 300.0))
            fit = 0
            for part in range(2):
                first = seen[face, 2 * part] - values[face, 2 * part]
                second = seen[face, 2 * part + 1] - values[face, 2 * part + 1]
                if part == 0:
                    first = first / scale
                    second = second / scale
                total = spreads[face, part, 0] + noise[part]
                fit = fit + (first * first + second * second) / total + 2 * log(total / noise[part])
            fits[face] = fit


def owners(costs: Doubles) -> Integers:
    """The row that owns each column, or -1, at the least sum of costs (rows, columns), finite, with rows <= columns."""
    rows, columns = costs.shape
    owner = np.full(columns + 1, -1, np.int64)
    before = np.empty(columns, np.int64)
    done = np.empty(columns + 1, np.int64)
    _seat(costs, np.zeros(rows), np.zeros(columns + 1), np.empty(columns), owner, before, done)
    return owner[:columns]


@cython.locals(
    costs="const double[:, :]",
    row_price="double[::1]",
    column_price="double[::1]",
    reach="double[::1]",
    owner="long long[::1]",
    before="long long[::1]",
    done="long long[::1]",
    infinite="double",
    columns="Py_ssize_t",
    row="Py_ssize_t",
    column="Py_ssize_t",
    at="Py_ssize_t",
    following="Py_ssize_t",
    asking="Py_ssize_t",
    step="double",
    reduced="double",
)
def _seat(
    costs: Doubles,
    row_price: Doubles,
    column_price: Doubles,
    reach: Doubles,
    owner: Integers,
    before: Integers,
    done: Integers,
) -> None:
    """Each row in turn looks for the cheapest way to a free column, in which rows seated earlier may have to move one
    on. The column after the last is the place where the row to be seated stands at first."""
    infinite = INFINITE
    with cython.nogil:
        columns = costs.shape[1]
        for row in range(costs.shape[0]):
            owner[columns] = row
            at = columns
            done[columns] = 0
            for column in range(columns):
                reach[column] = infinite
                before[column] = columns
                done[column] = 0
            while owner[at] != -1:
                done[at] = 1
                asking = owner[at]
                step = infinite
                following = at
                for column in range(columns):
                    if done[column]:
                        continue
                    reduced = costs[asking, column] - row_price[asking] - column_price[column]
                    if reduced < reach[column]:
                        reach[column] = reduced
                        before[column] = at
                    if reach[column] < step:
                        step = reach[column]
                        following = column
                for column in range(columns + 1):
                    if done[column]:
                        row_price[owner[column]] += step
                        column_price[column] -= step
                    elif column < columns:
                        reach[column] -= step
                at = following
            while at != columns:
                owner[at] = owner[before[at]]
                at = before[at]
