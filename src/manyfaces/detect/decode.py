"""From the numbers a detection network puts out to boxes: decoding and non-maximum suppression, both ours.

YuNet divides the picture into cells of 8, 16 and 32 pixels. For every cell it gives the probability of a face (the
geometric mean of two outputs), the box as an offset from the cell and a logarithm of its size, and five points. See Wu
et al., "YuNet: A Tiny Millisecond-level Face Detector" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from manyfaces.types import LANDMARKS, Detections, Floats, Integers

STRIDES = (8, 16, 32)


def decode(outputs: Mapping[str, Floats], item: int, padded_width: int, threshold: float) -> Detections:
    """Every cell of one picture of the batch that is a face with at least this score."""
    return concatenate([_decode_stride(outputs, item, padded_width, stride, threshold) for stride in STRIDES])


def _decode_stride(
    outputs: Mapping[str, Floats], item: int, padded_width: int, stride: int, threshold: float
) -> Detections:
    face = outputs[f"cls_{stride}"][item, :, 0] * outputs[f"obj_{stride}"][item, :, 0]
    cells = np.flatnonzero(face >= threshold**2)
    columns = padded_width // stride
    corners = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    shape = outputs[f"bbox_{stride}"][item, cells]
    centres = (corners + shape[:, :2]) * stride
    halves = np.exp(shape[:, 2:]) * (stride / 2)
    points = outputs[f"kps_{stride}"][item, cells].reshape(-1, LANDMARKS, 2)
    return Detections(
        boxes=np.concatenate([centres - halves, centres + halves], axis=1),
        scores=np.sqrt(np.clip(face[cells], 0, 1)),
        landmarks=(points + corners[:, None]) * stride,
    )


def concatenate(parts: list[Detections]) -> Detections:
    if not parts:
        return Detections.empty()
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
    )


def suppress(detections: Detections, overlap: float) -> Detections:
    """Of boxes that share more than `overlap` (intersection over union) keep the one of best score; best first."""
    order = np.argsort(-detections.scores, kind="stable")
    return detections[order[_survivors(detections.boxes[order], overlap)]]


def _survivors(boxes: Floats, overlap: float) -> Integers:
    """Indices of the boxes that no earlier surviving box covers."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.arange(len(boxes))
    kept: list[int] = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[waiting, :2])
        opposite = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = np.prod(np.maximum(opposite - corner, 0), axis=1)
        waiting = waiting[shared <= overlap * (areas[best] + areas[waiting] - shared)]
    return np.array(kept, np.int64)
