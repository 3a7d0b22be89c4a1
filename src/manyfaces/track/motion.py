"""Where a face will be: a constant-velocity Kalman filter for every face at once, in columns.

A face is its centre (x, y, in pixels) and its shape (logarithms of width and height). The two halves are filtered alike
but with their own noises; x and y share one covariance, and so do width and height, because nothing ever tells them
apart. Positions are measured in units of the face's own size when it comes to noise, so a face near the camera may move
more pixels than a far one. All functions return new columns and leave their arguments as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from manyfaces.kernels import tracks as kernel
from manyfaces.types import Floats, Index

Doubles = npt.NDArray[np.float64]

PLACE, SHAPE = 0, 1
"""Rows of the noise tables below, and of the covariances' second axis."""


@dataclass(frozen=True, slots=True)
class Noises:
    """How faces move and how detectors err, for (place, shape); places in face sizes, shapes in logarithms.

    measured: standard deviation of a detected centre and of a detected logarithmic size.
    speed: standard deviation of the speed of a face just born, per second.
    push: how fast speeds change: variance gained per second (faces bob, stop and turn).
    """

    measured: tuple[float, float] = (0.1, 0.12)
    speed: tuple[float, float] = (2.0, 0.2)
    push: tuple[float, float] = (1.0, 0.02)


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What is believed of n faces: values and speeds (n, 4) as x, y, log width, log height; covariances (n, 2, 3) of
    place and shape, each the variance of the value, its covariance with the speed, and the variance of the speed."""

    values: Doubles
    speeds: Doubles
    spreads: Doubles

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: Index) -> Motion:
        return Motion(self.values[which], self.speeds[which], self.spreads[which])


def observed(boxes: Floats) -> Doubles:
    """Boxes (n, 4) as the values of a `Motion`."""
    corners = boxes.astype(np.float64)
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 1e-3)
    return np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, np.log(sides)], axis=1)


def boxes_of(values: Doubles) -> Floats:
    """The values of a `Motion` as boxes (n, 4)."""
    half = np.exp(values[:, 2:]) / 2
    return np.concatenate([values[:, :2] - half, values[:, :2] + half], axis=1).astype(np.float32)


def sizes(values: Doubles) -> Doubles:
    """The (n,) face sizes in pixels: the side of a square of the same area."""
    return np.exp((values[:, 2] + values[:, 3]) / 2)


def born(values: Doubles, noises: Noises) -> Motion:
    """Faces seen for the first time: where they are is known, how they move is not."""
    spreads = np.zeros((len(values), 2, 3))
    spreads[:, :, 0] = np.square(noises.measured)
    spreads[:, :, 2] = np.square(noises.speed)
    return Motion(values, np.zeros_like(values), spreads)


def joined(first: Motion, second: Motion) -> Motion:
    return Motion(
        np.concatenate([first.values, second.values]),
        np.concatenate([first.speeds, second.speeds]),
        np.concatenate([first.spreads, second.spreads]),
    )


def moved(motion: Motion, seconds: Doubles, noises: Noises) -> Motion:
    """Where the faces are believed to be `seconds` (n,) later, and how much less sure that is."""
    values, spreads = np.empty((len(motion), 4)), np.empty((len(motion), 2, 3))
    kernel.move(motion.values, motion.speeds, motion.spreads, seconds, np.asarray(noises.push), values, spreads)
    return replace(motion, values=values, spreads=spreads)


def corrected(motion: Motion, seen: Doubles, noises: Noises) -> Motion:
    """The same faces after each was seen at `seen` (n, 4)."""
    after = Motion(np.empty((len(motion), 4)), np.empty((len(motion), 4)), np.empty((len(motion), 2, 3)))
    before = (motion.values, motion.speeds, motion.spreads)
    kernel.correct(*before, seen, np.square(noises.measured), after.values, after.speeds, after.spreads)
    return after


def nearby(motion: Motion, seen: Doubles, reach: Doubles) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pairs (face, sighting) no farther apart in x than the face's `reach` (n,) in pixels: found by sorting, so that
    a thousand faces do not make a million pairs."""
    order = np.argsort(seen[:, 0])
    sorted_x = seen[order, 0]
    first = np.searchsorted(sorted_x, motion.values[:, 0] - reach, "left")
    last = np.searchsorted(sorted_x, motion.values[:, 0] + reach, "right")
    counts = last - first
    face = np.repeat(np.arange(len(motion)), counts)
    start_of_face = np.repeat(np.cumsum(counts) - counts, counts)
    place = np.arange(len(face)) - start_of_face + np.repeat(first, counts)
    return face, order[place]


def surprises(motion: Motion, seen: Doubles, noises: Noises) -> Doubles:
    """How badly each face (n,) fits a sighting (n, 4): twice the negative logarithm of the likelihood, less constants.

    The logarithm of the spread is part of it: among two faces that could both be here, the one that was expected
    exactly here wins over one that could be anywhere.
    """
    fits = np.empty(len(motion))
    kernel.fit_all(motion.values, motion.spreads, seen, np.square(noises.measured), fits)
    return fits
