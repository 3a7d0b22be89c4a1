"""The Haar cascade of 2001, for comparison: what the tutorials use. It misses many faces of a crowd and all turned
ones.

OpenCV 4 carries it; OpenCV 5 dropped it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from manyfaces.errors import UsageError
from manyfaces.types import Detections, Floats, Pixels

TYPICAL_LANDMARKS = np.array([[0.31, 0.40], [0.69, 0.40], [0.50, 0.59], [0.35, 0.77], [0.65, 0.77]], np.float32)
"""Where the five points lie in a Haar box on average; the cascade gives none, and alignment needs some."""


class HaarCascade:
    """A `Detector`. The cascade knows no score: every face it reports has 1."""

    def __init__(self, min_face: float = 20, max_face: float = float("inf")) -> None:
        if not hasattr(cv2, "CascadeClassifier"):
            raise UsageError(
                f"the installed OpenCV {cv2.__version__} no longer carries the Haar cascade; use --detector yunet, "
                "or run  pip install 'opencv-python-headless<5'"
            )
        path = Path(cv2.__file__).with_name("data") / "haarcascade_frontalface_default.xml"
        self._cascade = cv2.CascadeClassifier(str(path))
        self._smallest = (max(round(min_face), 20),) * 2
        self._largest = (0, 0) if max_face == float("inf") else (round(max_face),) * 2

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
        return [self._detect(image) for image in images]

    def _detect(self, image: Pixels) -> Detections:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        found = self._cascade.detectMultiScale(grey, 1.1, 4, minSize=self._smallest, maxSize=self._largest)
        corners = np.asarray(found, np.float32).reshape(-1, 4)
        return _with_typical_landmarks(corners[:, :2], corners[:, 2:])


def _with_typical_landmarks(corners: Floats, sizes: Floats) -> Detections:
    return Detections(
        boxes=np.concatenate([corners, corners + sizes], axis=1),
        scores=np.ones(len(corners), np.float32),
        landmarks=corners[:, None] + sizes[:, None] * TYPICAL_LANDMARKS,
    )
