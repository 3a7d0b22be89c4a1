"""From five landmarks to the crop a network was trained on: one function for every head.

Landmarks are fitted to the template of the model's card by the similarity transform (turn, scale, shift) of least
squares, after Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991). In
the plane it has a closed form, so all faces are solved at once.
"""

from __future__ import annotations

import cv2
import numpy as np

from manyfaces.card import InputSpec
from manyfaces.kernels import crops as kernel
from manyfaces.types import Floats, Integers, Pixels


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
    """Cut every face of one picture as `spec` asks: (n, height, width, channels), RGB or grey."""
    return Pyramid(image).align(landmarks, spec)


class Pyramid:
    """A picture and its halves, made as they are asked for, so that several heads share them.

    A face far larger than the crop is read from a picture shrunk by halves first; sampling it directly would skip
    pixels and look like noise to the network.
    """

    def __init__(self, image: Pixels) -> None:
        self._levels = [image]

    def align(self, landmarks: Floats, spec: InputSpec) -> Pixels:
        matrices = similarity_transforms(landmarks, np.asarray(spec.template, np.float32))
        crops = np.empty((len(matrices), spec.height, spec.width, spec.depth), np.uint8)
        levels = _levels(matrices)
        matrices = _at_levels(matrices, levels)
        for level in np.unique(levels).tolist():
            _cut(self._level(level), matrices, np.flatnonzero(levels == level), crops)
        return crops

    def _level(self, level: int) -> Pixels:
        while len(self._levels) <= level:
            self._levels.append(_halved(self._levels[-1]))
        return self._levels[level]


def _levels(matrices: Floats) -> Integers:
    """How often the picture may be halved so that each crop still needs no enlarging."""
    scales = np.maximum(np.nan_to_num(np.hypot(matrices[:, 0, 0], matrices[:, 1, 0]), nan=1.0), 1e-6)
    levels: Integers = np.clip(np.floor(-np.log2(scales)), 0, 8).astype(np.int64)
    return levels


def _halved(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    smaller = cv2.resize(image, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)


def _at_levels(matrices: Floats, levels: Integers) -> Floats:
    """The same transforms, reading from pictures halved `levels` times; pixel centres lie at half coordinates."""
    factors = (2.0**levels).astype(np.float32)
    scaled: Floats = matrices.copy()
    scaled[:, :, 2] += matrices[:, :, :2].sum(axis=2) * ((factors - 1) / 2)[:, None]
    scaled[:, :, :2] *= factors[:, None, None]
    return scaled


def _cut(image: Pixels, matrices: Floats, which: Integers, crops: Pixels) -> None:
    """Fill `crops[which]`, without the interpreter where the kernel is compiled and face by face where it is not."""
    if kernel.COMPILED:
        kernel.cut(image, matrices, which, crops)
        return
    for face in which:
        cut_by_opencv(image, matrices[face], crops[face])


def cut_by_opencv(image: Pixels, matrix: Floats, crop: Pixels) -> None:
    """What the kernel does, to within one grey level, for one face."""
    height, width, depth = crop.shape
    if not np.isfinite(matrix).all():
        crop[:] = 0
        return
    cut = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    if depth == 1:
        cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY, dst=crop[..., 0])
    else:
        crop[:] = cut
