"""YuNet: 76,000 parameters, faces of 10 to 300 pixels with five landmarks, in any number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from manyfaces.detect.decode import concatenate, decode, suppress
from manyfaces.detect.views import Reach, View, closer_views, plan_views
from manyfaces.errors import UsageError
from manyfaces.runtime import Network
from manyfaces.types import Detections, Floats, Pixels

REACH = Reach(smallest=8, largest=300, side=1920)
"""Measured on crowds shrunk and selfies enlarged (docs/decisions/0001); the side lets full HD through whole."""

OVERLAP = 0.3
"""Two faces whose boxes share more than this are one; YuNet's authors use the same."""

ALIGNMENT = 32
"""Pictures are padded to a multiple of the coarsest cell."""

BATCH_PIXELS = 2 * 1920 * 1088
"""The most that goes through the network in one call; more gains no speed and takes memory."""

FAINT = 0.2
"""Scores from here up to the threshold earn a small face a second look. Faces of 12 pixels score 0.3 and more."""

WINDOW, MOST_DOUBTS = 96, 64
"""Pixels of a second look before it is enlarged, and how many doubts are followed: both bound its price."""

Look = tuple[int, View]
"""Which picture, and what part of it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which faces to report: score at least `threshold`, shorter side of min_face to max_face pixels."""

    threshold: float = 0.6
    min_face: float = 8
    max_face: float = float("inf")

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise UsageError(f"score threshold {self.threshold}: must lie between 0 and 1")
        if not (0 < self.min_face < float("inf") and self.min_face <= self.max_face):
            raise UsageError(f"face sizes {self.min_face} to {self.max_face}: must be positive, smallest first")


class YuNet:
    """A `Detector`: looks at each picture in as many views as its size asks for, equal views in one batch.

    Where the finest view shows something faint and small, a second, enlarged look decides. It finds the 12-pixel faces
    of a crowd for the price of a few windows, where enlarging the whole picture would cost four times as much.
    """

    def __init__(self, network: Network, wanted: Wanted | None = None) -> None:
        self._network = network
        self._wanted = wanted or Wanted()

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
        first = [(which, view) for which, image in enumerate(images) for view in self._views(image)]
        seen = self._look(images, first, min(FAINT, self._wanted.threshold))
        second = [(which, view) for which, image in enumerate(images) for view in self._doubts(image, seen[which])]
        sure = self._look(images, second, self._wanted.threshold)
        return [self._merged([*seen[which], *sure[which]]) for which in range(len(images))]

    def _views(self, image: Pixels) -> list[View]:
        return _plan(image.shape[1], image.shape[0], self._wanted.min_face, self._wanted.max_face)

    def _look(self, images: Sequence[Pixels], looks: Sequence[Look], threshold: float) -> list[list[Detections]]:
        """What each picture's views show, view by view."""
        groups: dict[tuple[int, int], list[Look]] = defaultdict(list)
        for look in looks:
            groups[_padded(look[1])].append(look)
        found: list[list[Detections]] = [[] for _ in images]
        for padded, group in groups.items():
            size = max(BATCH_PIXELS // (padded[0] * padded[1]), 1)
            for start in range(0, len(group), size):
                batch = group[start : start + size]
                for (which, view), seen in zip(batch, self._run(images, batch, padded, threshold), strict=True):
                    found[which].append(_answer(seen, view, images[which]))
        return found

    def _run(
        self, images: Sequence[Pixels], batch: Sequence[Look], padded: tuple[int, int], threshold: float
    ) -> list[Detections]:
        """One call of the network for views of one size; boxes in the pixels that were shown."""
        width, height = padded
        pixels = np.empty((len(batch), height, width, 3), np.uint8)
        for place, (which, view) in zip(pixels, batch, strict=True):
            shown_width, shown_height = view.shown_size
            place[:shown_height, :shown_width] = view.show(images[which])
            place[shown_height:] = 0
            place[:shown_height, shown_width:] = 0
        outputs = self._network(pixels)
        return [suppress(decode(outputs, item, width, threshold), OVERLAP) for item in range(len(batch))]

    def _doubts(self, image: Pixels, seen: list[Detections]) -> list[View]:
        """Where to look closer: small faces that the first look was not sure of, the likeliest first."""
        everything = concatenate(seen)
        scale = self._views(image)[0].scale
        small = _sides(everything.boxes) * scale < 2.5 * REACH.smallest
        doubtful = everything[small & (everything.scores < self._wanted.threshold)]
        best = doubtful[np.argsort(-doubtful.scores, kind="stable")][:MOST_DOUBTS]
        centres: Floats = ((best.boxes[:, :2] + best.boxes[:, 2:]) / 2).astype(np.float32)
        return closer_views(centres, image.shape[1], image.shape[0], int(WINDOW / scale), 2 * scale, REACH)

    def _merged(self, parts: list[Detections]) -> Detections:
        everything = concatenate(parts)
        everything = suppress(everything[everything.scores >= self._wanted.threshold], OVERLAP)
        shorter = np.minimum(*(everything.boxes[:, 2:] - everything.boxes[:, :2]).T)
        return everything[(shorter >= self._wanted.min_face) & (shorter <= self._wanted.max_face)]


def _sides(boxes: Floats) -> Floats:
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    sides: Floats = np.sqrt(sizes[:, 0] * sizes[:, 1])
    return sides


@lru_cache(maxsize=64)
def _plan(width: int, height: int, min_face: float, max_face: float) -> list[View]:
    return plan_views(width, height, REACH, min_face, max_face)


def _padded(view: View) -> tuple[int, int]:
    width, height = view.shown_size
    return -(-width // ALIGNMENT) * ALIGNMENT, -(-height // ALIGNMENT) * ALIGNMENT


def _answer(seen: Detections, view: View, image: Pixels) -> Detections:
    """What the view found, in the picture's pixels, less what another view sees better."""
    stretch = np.float32(1 / view.scale)
    corner = np.array([view.left, view.top], np.float32)
    boxes = seen.boxes * stretch + np.tile(corner, 2)
    sides = _sides(boxes)
    mine = (sides >= view.smallest) & (sides <= view.largest) & ~_cut_by_tile(boxes, view, image)
    return Detections(boxes, seen.scores, seen.landmarks * stretch + corner)[mine]


def _cut_by_tile(boxes: Floats, view: View, image: Pixels) -> npt.NDArray[np.bool_]:
    """Faces that touch an edge of the view inside the picture: the neighbouring tile sees them whole."""
    edge = 2 / view.scale
    height, width = image.shape[:2]
    right, bottom = view.left + view.width, view.top + view.height
    cut: npt.NDArray[np.bool_] = (
        ((boxes[:, 0] < view.left + edge) & (view.left > 0))
        | ((boxes[:, 1] < view.top + edge) & (view.top > 0))
        | ((boxes[:, 2] > right - edge) & (right < width))
        | ((boxes[:, 3] > bottom - edge) & (bottom < height))
    )
    return cut
