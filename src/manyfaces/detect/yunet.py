"""YuNet: 76,000 parameters, faces of 10 to 300 pixels with five landmarks, in any number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from manyfaces.detect.decode import concatenate, decode, suppress
from manyfaces.detect.views import Reach, View, plan_views
from manyfaces.errors import UsageError
from manyfaces.runtime import Network
from manyfaces.types import Detections, Floats, Pixels

REACH = Reach(smallest=8, largest=300, side=1920)
"""Measured on crowds shrunk and selfies enlarged (docs/decisions/0001); the side lets full HD through whole."""

OVERLAP = 0.3
"""Two faces whose boxes share more than this are one; YuNet's authors use the same."""

ALIGNMENT = 32
"""Pictures are padded to a multiple of the coarsest cell."""


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
    """A `Detector`: looks at each picture in as many views as its size asks for, equal views in one batch."""

    def __init__(self, network: Network, wanted: Wanted | None = None, batch_pixels: int = 1920 * 1088 * 2) -> None:
        self._network = network
        self._wanted = wanted or Wanted()
        self._batch_pixels = batch_pixels

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
        looks: dict[tuple[int, int], list[tuple[int, View]]] = defaultdict(list)
        for which, image in enumerate(images):
            for view in _views(image.shape[1], image.shape[0], self._wanted.min_face, self._wanted.max_face):
                looks[_padded(view)].append((which, view))
        found: list[list[Detections]] = [[] for _ in images]
        for padded, group in looks.items():
            size = max(self._batch_pixels // (padded[0] * padded[1]), 1)
            for start in range(0, len(group), size):
                self._look(images, group[start : start + size], padded, found)
        return [self._merged(parts) for parts in found]

    def _look(
        self,
        images: Sequence[Pixels],
        group: Sequence[tuple[int, View]],
        padded: tuple[int, int],
        found: list[list[Detections]],
    ) -> None:
        """Run one batch of equally large views and add what each shows to its picture's findings."""
        width, height = padded
        batch = np.zeros((len(group), height, width, 3), np.uint8)
        for place, (which, view) in zip(batch, group, strict=True):
            shown_width, shown_height = view.shown_size
            place[:shown_height, :shown_width] = view.show(images[which])
        outputs = self._network(batch)
        for item, (which, view) in enumerate(group):
            seen = suppress(decode(outputs, item, width, self._wanted.threshold), OVERLAP)
            found[which].append(_answer(seen, view, images[which]))

    def _merged(self, parts: list[Detections]) -> Detections:
        everything = suppress(concatenate(parts), OVERLAP)
        sides = np.minimum(*(everything.boxes[:, 2:] - everything.boxes[:, :2]).T)
        return everything[(sides >= self._wanted.min_face) & (sides <= self._wanted.max_face)]


@lru_cache(maxsize=64)
def _views(width: int, height: int, min_face: float, max_face: float) -> list[View]:
    return plan_views(width, height, REACH, min_face, max_face)


def _padded(view: View) -> tuple[int, int]:
    width, height = view.shown_size
    return -(-width // ALIGNMENT) * ALIGNMENT, -(-height // ALIGNMENT) * ALIGNMENT


def _answer(seen: Detections, view: View, image: Pixels) -> Detections:
    """What the view found, in the picture's pixels, less what another view sees better."""
    stretch = np.float32(1 / view.scale)
    corner = np.array([view.left, view.top], np.float32)
    boxes = seen.boxes * stretch + np.tile(corner, 2)
    sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
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
