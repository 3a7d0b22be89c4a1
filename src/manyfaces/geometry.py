"""Boxes as rectangles: how much two share, how much of one lies in the picture. Boxes are xyxy, n at a time.

A box turned inside out (right of its own right edge) has no area and shares nothing; it is never an error, because
detectors and predictions do produce them.
"""

from __future__ import annotations

import numpy as np

from manyfaces.types import Floats

TINY = np.float32(1e-9)
"""Keeps a division by an empty box at zero instead of NaN."""


def areas(boxes: Floats) -> Floats:
    """The (n,) areas in square pixels."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: Floats = sides[:, 0] * sides[:, 1]
    return product


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """The (n, m) areas that every box shares with every other."""
    width = np.minimum(boxes[:, None, 2], others[None, :, 2]) - np.maximum(boxes[:, None, 0], others[None, :, 0])
    height = np.minimum(boxes[:, None, 3], others[None, :, 3]) - np.maximum(boxes[:, None, 1], others[None, :, 1])
    shared: Floats = np.maximum(width, 0) * np.maximum(height, 0)
    return shared


def iou(boxes: Floats, others: Floats) -> Floats:
    """The (n, m) intersections over unions: 1 for the same box, 0 for boxes apart."""
    shared = overlaps(boxes, others)
    union = areas(boxes)[:, None] + areas(others)[None, :] - shared
    share: Floats = shared / np.maximum(union, TINY)
    return share


def clipped(boxes: Floats, width: float, height: float) -> Floats:
    """The same boxes cut off at the edges of a picture."""
    corner = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, 0, corner).astype(boxes.dtype, copy=False)


def inside(boxes: Floats, width: float, height: float) -> Floats:
    """The (n,) shares of the boxes' areas that lie within a picture."""
    share: Floats = areas(clipped(boxes, width, height)) / np.maximum(areas(boxes), TINY)
    return share
