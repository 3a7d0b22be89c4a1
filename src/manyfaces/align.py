"""From five landmarks to the crop a network was trained on: one function for every head.

Landmarks are fitted to the template of the model's card by the similarity transform (turn, scale, shift) of least
squares, after Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991). In
the plane it has a closed form, so all faces are solved at once.
"""

from __future__ import annotations

import cv2
import numpy as np

from manyfaces.card import InputSpec
from manyfaces.types import Floats, Pixels


def similarity_transforms(landmarks: Floats, template: Floats) -> Floats:
    """The (n, 2, 3) matrices that move each face's landmarks (n, 5, 2) onto the template (5, 2)."""
    centres = landmarks.mean(axis=1, keepdims=True)
    target_centre = template.mean(axis=0)
    source = landmarks - centres
    target = template - target_centre
    spread = np.maximum((source**2).sum(axis=(1, 2)), np.float32(1e-6))
    a = (source * target).sum(axis=(1, 2)) / spread
    b = (source[..., 0] * target[:, 1] - source[..., 1] * target[:, 0]).sum(axis=1) / spread
    rotation = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], axis=1)
    shift = target_centre - (rotation @ centres.transpose(0, 2, 1))[..., 0]
    return np.concatenate([rotation, shift[..., None]], axis=2).astype(np.float32)


def align(image: Pixels, landmarks: Floats, spec: InputSpec) -> Pixels:
    """Cut every face of one picture as `spec` asks: (n, height, width, channels), RGB or grey.

    A face far larger than the crop is read from a picture shrunk by halves first; sampling it directly would skip
    pixels and look like noise to the network.
    """
    matrices = similarity_transforms(landmarks, np.asarray(spec.template, np.float32))
    crops = np.empty((len(matrices), spec.height, spec.width, spec.depth), np.uint8)
    pyramid = [image]
    for crop, matrix in zip(crops, matrices, strict=True):
        level = _level(matrix)
        while len(pyramid) <= level:
            pyramid.append(_halved(pyramid[-1]))
        _cut(pyramid[min(level, len(pyramid) - 1)], _at_level(matrix, level), crop)
    return crops


def _level(matrix: Floats) -> int:
    """How often the picture may be halved so that the crop still needs no enlarging."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return int(np.clip(np.floor(-np.log2(max(scale, 1e-6))), 0, 8))


def _halved(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    smaller = cv2.resize(image, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)


def _at_level(matrix: Floats, level: int) -> Floats:
    """The same transform, reading from a picture halved `level` times; pixel centres lie at half coordinates."""
    factor = 2.0**level
    shift = (factor - 1) / 2
    scaled: Floats = matrix.copy()
    scaled[:, 2] += matrix[:, :2] @ np.array([shift, shift], np.float32)
    scaled[:, :2] *= factor
    return scaled


def _cut(image: Pixels, matrix: Floats, crop: Pixels) -> None:
    height, width, depth = crop.shape
    cut = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    if depth == 1:
        cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY, dst=crop[..., 0])
    else:
        crop[:] = cut
