"""From the numbers a detection network puts out to boxes: decoding and non-maximum suppression, both ours.

YuNet divides the picture into cells of 8, 16 and 32 pixels. For every cell it gives the probability of a face (the
geometric mean of two outputs), the box as an offset from the cell and a logarithm of its size, and five points. See Wu
et al., "YuNet: A Tiny Millisecond-level Face Detector" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from manyfaces.kernels import boxes as kernel
from manyfaces.types import LANDMARKS, Detections, Floats, Integers

STRIDES = (8, 16, 32)


def decode(outputs: Mapping[str, Floats], item: int, padded_width: int, threshold: float) -> Detections:
    """Every cell of one picture of the batch that is a face with at least this score."""
    squares = [outputs[f"cls_{stride}"][item, :, 0] * outputs[f"obj_{stride}"][item, :, 0] for stride in STRIDES]
    chosen = [np.flatnonzero(square >= threshold**2) for square in squares]
    ends = np.cumsum([len(cells) for cells in chosen])
    boxes, scores = np.empty((ends[-1], 4), np.float32), np.empty(ends[-1], np.float32)
    landmarks = np.empty((ends[-1], 2 * LANDMARKS), np.float32)
    for stride, square, cells, end in zip(STRIDES, squares, chosen, ends, strict=True):
        mine = slice(end - len(cells), end)
        shapes, points = outputs[f"bbox_{stride}"][item], outputs[f"kps_{stride}"][item]
        columns = padded_width // stride
        place = kernel.place if kernel.COMPILED else place_by_numpy
        place(cells, square, shapes, points, columns, stride, boxes[mine], scores[mine], landmarks[mine])
    return Detections(boxes, scores, landmarks.reshape(-1, LANDMARKS, 2))


def place_by_numpy(
    cells: Integers,
    faces: Floats,
    shapes: Floats,
    points: Floats,
    columns: int,
    stride: int,
    boxes: Floats,
    scores: Floats,
    landmarks: Floats,
) -> None:
    """What the kernel does, to rounding, where it is not compiled: its loops would take 14 ms for a thousand cells."""
    corners = np.stack([cells % columns, cells // columns], axis=1)
    shape = shapes[cells].astype(np.float64)
    centres = (corners + shape[:, :2]) * stride
    halves = np.exp(np.minimum(shape[:, 2:], kernel.LARGEST)) * stride / 2
    boxes[:] = np.concatenate([centres - halves, centres + halves], axis=1)
    scores[:] = np.sqrt(np.minimum(faces[cells], 1))
    landmarks[:] = (points[cells] + np.tile(corners, LANDMARKS)) * stride


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
    return detections[order[kernel.survivors(detections.boxes[order], overlap)]]
