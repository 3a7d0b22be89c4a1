"""A second look at a small face, enlarged: where its eyes, nose and mouth are, to the pixel that matters.

A detector finds a face of 20 pixels, but its landmarks are off by a pixel or two, which is as if a large face were cut
out at the wrong place: the network that tells people apart sees somebody else. On an enlarged cut of the same pixels
the detector says it more exactly (docs/decisions/0018 has the figures). Faces that are large enough stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from manyfaces.stages import Detector
from manyfaces.types import Detections, Floats, Pixels

Closer: TypeAlias = Callable[[Pixels, Detections], Detections]
"""From a picture and its faces to the same faces with better landmarks."""

LITTLE = 40
"""Faces whose box has a shorter side than this are looked at again; from 100 on it gains nothing."""

SHOWN = 64
"""How large a face is made for it. Of 32, 48, 64, 96 and 128 pixels this was the best and nearly the cheapest."""

AROUND = 2.0
"""Sides of the cut in sides of the face: a detector wants to see the whole head."""

STRAY = 0.5
"""How far, in sides of the face, what is found may lie from the middle; beyond, it is the neighbour."""


def as_seen(image: Pixels, faces: Detections, /) -> Detections:
    """A `Closer` that does not look again."""
    del image
    return faces


def look_closer(detect: Detector, image: Pixels, faces: Detections, /) -> Detections:
    """Boxes and scores stay; where the second look finds nothing, the landmarks stay too.

    Each face is a call of its own, so that what is said of it does not hang on who else is looked at.
    """
    sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(axis=1, initial=np.inf)
    little = np.flatnonzero((sides > 0) & (sides < LITTLE))
    if not len(little):
        return faces
    landmarks = faces.landmarks.copy()
    for face in little:
        landmarks[face] = _again(detect, image, faces.boxes[face], landmarks[face])
    return Detections(faces.boxes, faces.scores, landmarks)


def _again(detect: Detector, image: Pixels, box: Floats, landmarks: Floats) -> Floats:
    cut, scale, corner = _enlarged(image, box)
    found = detect([cut])[0]
    if not len(found):
        return landmarks
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    away = np.abs(middles - len(cut) / 2).max(axis=1)
    nearest = int(away.argmin())
    if away[nearest] > STRAY * SHOWN:
        return landmarks
    moved: Floats = ((found.landmarks[nearest] + 0.5) / scale + corner - 0.5).astype(np.float32)
    return moved


def _enlarged(image: Pixels, box: Floats) -> tuple[Pixels, float, Floats]:
    """A square around the face, black outside the picture; how much it was enlarged, and its corner in the picture."""
    shorter, longer = sorted((box[2:] - box[:2]).tolist())
    scale = SHOWN / shorter
    side = round(AROUND * min(longer, 2 * shorter) * scale)
    corner: Floats = ((box[:2] + box[2:] - side / scale) / 2).astype(np.float32)
    shift = scale * (0.5 - corner) - 0.5  # pixel centres lie at half coordinates
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC), np.uint8), scale, corner
