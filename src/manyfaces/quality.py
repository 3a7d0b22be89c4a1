"""What a face is worth as evidence: how big, how sharp, how far turned, how much of it is in the picture.

Runs on every face of every frame, so it uses only what is there already: the box, the landmarks, the aligned crop.
"""

from __future__ import annotations

import cv2
import numpy as np

from manyfaces.types import Detections, Floats, Pixels, Qualities

NOSE_DEPTH = 0.75
"""How far the tip of the nose stands before the line of the eyes, in halves of the distance between the eyes. Together
with the shift of the nose it gives the angle of the head; people differ by about a fifth, which is good enough here."""


def assess(detections: Detections, crops: Pixels, width: int, height: int) -> Qualities:
    """The qualities of the faces of one picture of `width` x `height`; `crops` are their aligned cuts, RGB or grey."""
    sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
    return Qualities(
        size=sides.min(axis=1).astype(np.float32),
        sharpness=sharpness(crops),
        yaw=yaw(detections.landmarks),
        inside=inside(detections.boxes, width, height),
    )


def sharpness(crops: Pixels) -> Floats:
    """The variance of the Laplacian of each grey crop: edges that are blurred away leave it small.

    It grows with the size of the crop; limits are meant for 112x112.
    """
    values = np.empty(len(crops), np.float32)
    for which, crop in enumerate(crops):
        grey = crop[..., 0] if crop.shape[-1] == 1 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
        _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
        values[which] = float(deviation[0, 0]) ** 2
    return values


def yaw(landmarks: Floats) -> Floats:
    """How far each head (n, 5, 2) is turned to a side, 0 frontal to 1 profile; times 90 it is about the angle.

    Turning by an angle moves the nose by its depth times the sine and brings the eyes together by the cosine. Measured
    across the line from the eyes to the mouth, so that a head that is tilted or nods does not count as turned.
    """
    right_eye, left_eye, nose = landmarks[:, 0], landmarks[:, 1], landmarks[:, 2]
    eyes = (right_eye + left_eye) / 2
    down = (landmarks[:, 3] + landmarks[:, 4]) / 2 - eyes
    length = np.maximum(np.hypot(down[:, 0], down[:, 1]), np.float32(1e-6))
    across = np.stack([down[:, 1], -down[:, 0]], axis=1) / length[:, None]
    shift = np.abs(((nose - eyes) * across).sum(axis=1)) / NOSE_DEPTH
    half_distance = np.abs(((left_eye - right_eye) * across).sum(axis=1)) / 2
    share: Floats = (np.arctan2(shift, half_distance) / (np.pi / 2)).astype(np.float32)
    return share


def inside(boxes: Floats, width: int, height: int) -> Floats:
    """The share of each box that lies within the picture."""
    limits = np.array([width, height, width, height], np.float32)
    cut = np.clip(boxes, 0, limits)
    whole = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    visible = np.prod(cut[:, 2:] - cut[:, :2], axis=1)
    shares: Floats = np.where(whole > 0, visible / np.maximum(whole, np.float32(1e-9)), 0).astype(np.float32)
    return shares
