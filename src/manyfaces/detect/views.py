"""What a detector looks at: a picture at several scales, the finest in tiles when the picture is large.

A detector has a range of face sizes in which it is sure. A pyramid of levels, each four times coarser than the one
before, covers every size; each level answers only for the sizes that it sees best, so that a face is rarely found twice
and the pattern of a cheek seen too close is no face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from manyfaces.types import Floats, Pixels

STEP = 4
"""Between two levels. A detector's sure range spans a factor of 25, so neighbouring levels overlap generously."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a detector can do at one look: the face sizes it is sure of, in pixels of what it is shown, and the longest
    side of a picture it takes whole."""

    smallest: float
    largest: float
    side: int


@dataclass(frozen=True, slots=True)
class View:
    """One look: a part of the picture, shown at `scale`, and the face sizes it answers for, all in picture pixels."""

    left: int
    top: int
    width: int
    height: int
    scale: float
    smallest: float
    largest: float

    @property
    def shown_size(self) -> tuple[int, int]:
        return max(round(self.width * self.scale), 1), max(round(self.height * self.scale), 1)

    def show(self, image: Pixels) -> Pixels:
        part = image[self.top : self.top + self.height, self.left : self.left + self.width]
        if self.shown_size == (self.width, self.height):
            return part
        shrinking = self.scale < 1
        resized = cv2.resize(part, self.shown_size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)


def plan_views(width: int, height: int, reach: Reach, min_face: float, max_face: float) -> list[View]:
    """The views that together find every face of min_face to max_face pixels in a picture of this size."""
    scale = _first_scale(reach, min_face)
    biggest = min(max_face, min(width, height))
    smallest = min_face
    views: list[View] = []
    while True:
        tiled = max(width, height) * scale > reach.side
        largest = (_overlap(reach) if tiled else reach.largest) / scale
        if largest >= biggest:
            return [*views, *_cover(width, height, scale, reach, smallest, max_face)]
        views += _cover(width, height, scale, reach, smallest, largest)
        smallest, scale = largest / 2, scale / STEP


def closer_views(centres: Floats, width: int, height: int, side: int, scale: float, reach: Reach) -> list[View]:
    """Square windows, enlarged, that together hold all these places well inside; each centre opens a window unless an
    earlier one shows it already."""
    side = min(side, width, height)
    views: list[View] = []
    waiting = centres
    while len(waiting):
        left, top = np.clip(np.round(waiting[0] - side / 2), 0, (width - side, height - side)).astype(int).tolist()
        views.append(View(left, top, side, side, scale, 0, 3 * reach.smallest))
        inside = np.abs(waiting - (left + side / 2, top + side / 2)).max(axis=1) < side / 2 - 2 * reach.smallest
        inside[0] = True
        waiting = waiting[~inside]
    return views


def _first_scale(reach: Reach, min_face: float) -> float:
    """Enlarge only for faces too small to be seen; shrink at once when only large ones are wanted."""
    return float(np.clip(2.0 ** np.round(np.log2(reach.smallest / max(min_face, 1.0))), 1 / 64, 4))


def _overlap(reach: Reach) -> int:
    """How far tiles share their edges, in shown pixels: a face up to this size lies whole in one of them. Three times
    what the next level needs to see it, so that no size falls between the two."""
    return int(3 * STEP * reach.smallest)


def _cover(width: int, height: int, scale: float, reach: Reach, smallest: float, largest: float) -> Iterator[View]:
    """One level: a single view, or equal tiles that overlap."""
    side, overlap = reach.side / scale, _overlap(reach) / scale
    for top, rows in _stretches(height, side, overlap):
        for left, columns in _stretches(width, side, overlap):
            yield View(left, top, columns, rows, scale, smallest, largest)


def _stretches(length: int, side: float, overlap: float) -> list[tuple[int, int]]:
    """Cut a length into equal overlapping stretches of at most `side`."""
    if length <= side:
        return [(0, length)]
    count = int(np.ceil((length - overlap) / (side - overlap)))
    stretch = int(np.ceil((length + overlap * (count - 1)) / count))
    return [(round(start), stretch) for start in np.linspace(0, length - stretch, count)]
