# cython: language_level=3, annotation_typing=False, boundscheck=False, wraparound=False, cdivision=True
"""The loops behind alignment: faces of one picture cut straight into the batch; and a batch spread out into planes.

Faces are cut in whole numbers, so that every machine, compiled or not, gives the same pixels. Places in the picture are
counted in units of 2**-24 pixels. The part of the picture that a face needs is first copied into a patch, black beyond
the edges, with three colours side by side in one number (21 bits each), or grey: so one multiplication weighs three
colours, and the loop over the crop has no edges to mind. The weights of the four pixels around a place add up to 2**13.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from manyfaces.types import Floats, Integers, Pixels

try:
    import cython
except ImportError:
    from manyfaces.kernels import shadow as cython

COMPILED: bool = cython.compiled

FARTHEST = 2.0**20
"""Places farther away, in pixels, might not fit into 64 bits; no picture is so large."""

COLOURS = (1, 1 << 21, 1 << 42)
GREY = (9798, 19235, 3735)
"""What red, green and blue are multiplied by to make one number of the patch: to stand side by side, or, with OpenCV's
weights, to be grey in units of 2**-15."""

HALF = (1 << 12) + (1 << 33) + (1 << 54)
GREY_HALF = 1 << 27
"""Half a grey level in each lane of a weighted sum, so that cutting off the weights' bits rounds."""


def cut(image: Pixels, matrices: Floats, which: Integers, crops: Pixels) -> None:
    """Fill `crops[which]` of (n, h, w, 3 RGB or 1 grey) with the faces of one RGB picture that the `matrices` (n, 2, 3)
    move onto the crop."""
    backs = _inverses(matrices[which])
    windows = _windows(backs, image.shape[1], image.shape[0], crops.shape[2], crops.shape[1])
    patch = np.empty(int((windows[:, 2] * windows[:, 3]).max(initial=0)), np.int64)
    lanes = np.array(GREY if crops.shape[3] == 1 else COLOURS, np.int64)
    rows = np.ascontiguousarray(image).reshape(len(image), -1)
    _cut(rows, backs, windows, patch, lanes, np.asarray(which, np.int64), crops)


def _inverses(matrices: Floats) -> Integers:
    """The way back from crop to picture, (n, 6) in units of places.

    As in OpenCV, a matrix that cannot be inverted reads the picture's first pixel everywhere. One that is not a number
    or leads too far away reads nothing.
    """
    a, b, x, c, d, y = np.asarray(matrices, np.float64).reshape(-1, 6).T
    with np.errstate(all="ignore"):
        area = a * d - b * c
        e, f, g, h = np.stack([d, -b, -c, a]) * np.where(area == 0, 0, 1 / area)
        backs = np.stack([e, f, -e * x - f * y, g, h, -g * x - h * y], axis=1)
    known = (np.abs(backs) < FARTHEST).all(axis=1)
    nowhere = np.array([0, 0, -FARTHEST, 0, 0, -FARTHEST])
    whole: Integers = np.rint(np.where(known[:, None], backs, nowhere) * 2**24).astype(np.int64)
    return whole


def _windows(backs: Integers, width: int, height: int, crop_width: int, crop_height: int) -> Integers:
    """The part of the picture that each crop reads, (n, 5): left, top, width, height, and whether that is all it reads.
    A window may reach one pixel over the picture's edge, into the black."""
    corners = np.array(
        [[0, 0, 1], [crop_width - 1, 0, 1], [0, crop_height - 1, 1], [crop_width - 1, crop_height - 1, 1]]
    )
    places = (backs.reshape(-1, 2, 3) @ corners.T) >> 24
    wanted = np.concatenate([places.min(axis=2), places.max(axis=2) + 2], axis=1)
    limits = np.array([width + 1, height + 1] * 2)
    had = np.clip(wanted, -1, limits)
    whole = (wanted == had).all(axis=1, keepdims=True)
    return np.concatenate([had[:, :2], had[:, 2:] - had[:, :2], whole], axis=1).astype(np.int64)


@cython.locals(
    image="const unsigned char[:, ::1]",
    backs="const long long[:, ::1]",
    windows="const long long[:, ::1]",
    patch="long long[::1]",
    lanes="const long long[::1]",
    which="const long long[::1]",
    crops="unsigned char[:, :, :, ::1]",
    half="long long",
    number="Py_ssize_t",
)
def _cut(
    image: Pixels, backs: Integers, windows: Integers, patch: Integers, lanes: Integers, which: Integers, crops: Pixels
) -> None:
    half = GREY_HALF if crops.shape[3] == 1 else HALF
    with cython.nogil:
        for number in range(which.shape[0]):
            _fill(image, windows, number, lanes, patch)
            _sample(patch, backs, windows, number, half, which[number], crops)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.returns("void")
@cython.locals(
    image="const unsigned char[:, ::1]",
    windows="const long long[:, ::1]",
    number="Py_ssize_t",
    lanes="const long long[::1]",
    patch="long long[::1]",
    left="Py_ssize_t",
    width="Py_ssize_t",
    row="Py_ssize_t",
    column="Py_ssize_t",
    y="Py_ssize_t",
    start="Py_ssize_t",
    at="Py_ssize_t",
    first="Py_ssize_t",
    last="Py_ssize_t",
    red="long long",
    green="long long",
    blue="long long",
)
def _fill(image: Pixels, windows: Integers, number: int, lanes: Integers, patch: Integers) -> None:
    """Copy one window of the picture into the patch, black where it leaves the picture."""
    left = windows[number, 0]
    width = windows[number, 2]
    red, green, blue = lanes[0], lanes[1], lanes[2]
    first = min(max(0, -left), width)
    last = max(first, min(width, image.shape[1] // 3 - left))
    for row in range(windows[number, 3]):
        y = windows[number, 1] + row
        start = row * width
        for column in range(width if y < 0 or y >= image.shape[0] else first):
            patch[start + column] = 0
        if 0 <= y < image.shape[0]:
            for column in range(first, last):
                at = 3 * (left + column)
                patch[start + column] = image[y, at] * red + image[y, at + 1] * green + image[y, at + 2] * blue
            for column in range(last, width):
                patch[start + column] = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.returns("void")
@cython.locals(
    patch="const long long[::1]",
    backs="const long long[:, ::1]",
    windows="const long long[:, ::1]",
    number="Py_ssize_t",
    half="long long",
    face="Py_ssize_t",
    crops="unsigned char[:, :, :, ::1]",
    grey="bint",
    whole="bint",
    row="Py_ssize_t",
    column="Py_ssize_t",
    width="Py_ssize_t",
    at="Py_ssize_t",
    widest="long long",
    highest="long long",
    x="long long",
    y="long long",
    across="long long",
    down="long long",
    u="long long",
    v="long long",
    both="long long",
    mixed="long long",
)
def _sample(
    patch: Integers, backs: Integers, windows: Integers, number: int, half: int, face: int, crops: Pixels
) -> None:
    """Mix every pixel of one crop from the four of the patch around its place."""
    grey = crops.shape[3] == 1
    width = windows[number, 2]
    whole = windows[number, 4]
    across, down = backs[number, 0], backs[number, 3]
    widest = (windows[number, 2] - 1) << 24
    highest = (windows[number, 3] - 1) << 24
    for row in range(crops.shape[1]):
        x = backs[number, 1] * row + backs[number, 2] - (windows[number, 0] << 24)
        y = backs[number, 4] * row + backs[number, 5] - (windows[number, 1] << 24)
        for column in range(crops.shape[2]):
            mixed = 0
            if whole or (0 <= x < widest and 0 <= y < highest):
                at = (y >> 24) * width + (x >> 24)
                u = (x >> 11) & 8191
                v = (y >> 11) & 8191
                both = (u * v) >> 13
                mixed = (
                    patch[at] * (8192 - u - v + both)
                    + patch[at + 1] * (u - both)
                    + patch[at + width] * (v - both)
                    + patch[at + width + 1] * both
                    + half
                )
            if grey:
                crops[face, row, column, 0] = mixed >> 28
            else:
                crops[face, row, column, 0] = (mixed >> 13) & 255
                crops[face, row, column, 1] = (mixed >> 34) & 255
                crops[face, row, column, 2] = (mixed >> 55) & 255
            x += across
            y += down


def planes(pixels: Pixels, mean: float, scale: float, backwards: bool) -> Floats:
    """A batch (n, h, w, c) as (n, c, h, w) of (pixel - mean) / scale; `backwards` turns RGB into BGR."""
    values = (np.arange(256, dtype=np.float32) - np.float32(mean)) / np.float32(scale)
    count, height, width, depth = pixels.shape
    spread = np.empty((count, depth, height, width), np.float32)
    _spread(np.ascontiguousarray(pixels), values.astype(np.float32), backwards, spread)
    return spread


@cython.locals(
    pixels="const unsigned char[:, :, :, ::1]",
    values="const float[::1]",
    backwards="bint",
    spread="float[:, :, :, ::1]",
    item="Py_ssize_t",
    plane="Py_ssize_t",
    channel="Py_ssize_t",
    row="Py_ssize_t",
    column="Py_ssize_t",
)
def _spread(pixels: Pixels, values: Floats, backwards: bool, spread: npt.NDArray[np.float32]) -> None:
    with cython.nogil:
        for item in range(pixels.shape[0]):
            for plane in range(pixels.shape[3]):
                channel = pixels.shape[3] - 1 - plane if backwards else plane
                for row in range(pixels.shape[1]):
                    for column in range(pixels.shape[2]):
                        spread[item, plane, row, column] = values[pixels[item, row, column, channel]]
