"""What makes faces hard to know, done to good photos: shrunk, blurred, darkened, half hidden.

Each hardship is a function from a photo and the five landmarks of its face to the harder photo and where the landmarks
are in it. What is done follows the face's own size, so that a large and a small photo become equally hard.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np

from manyfaces.align import similarity_transforms
from manyfaces.card import InputSpec
from manyfaces.types import Floats, Pixels

Harder: TypeAlias = tuple[Pixels, Floats]
Hardship: TypeAlias = Callable[[Pixels, Floats, float, InputSpec], Harder]
"""From the photo, the landmarks (5, 2), the shorter side of the face's box and the crop that the network takes."""

LOWER = ((2, 66), (110, 66), (110, 124), (2, 124))
EYES = ((22, 41), (90, 41), (90, 62), (22, 62))
"""What a mask and dark glasses hide, as corners in the aligned crop of 112 pixels."""

MASK, GLASSES = (168, 190, 205), (18, 18, 20)
BLUR = 0.05
"""Deviation of the Gaussian, in sides of the box: a face of 100 pixels loses what is finer than 5."""

LIGHT, NOISE = 0.1, 3.0
"""What is left of the light, and the deviation of the sensor's noise in grey levels."""


def same(image: Pixels, landmarks: Floats, side: float, spec: InputSpec) -> Harder:
    del side, spec
    return image, landmarks


def shrunk(image: Pixels, landmarks: Floats, side: float, spec: InputSpec, *, pixels: int) -> Harder:
    """The whole photo, so small that the face's box has this many pixels on its shorter side."""
    del spec
    if side <= pixels:
        return image, landmarks
    height, width = image.shape[:2]
    size = (max(round(width * pixels / side), 1), max(round(height * pixels / side), 1))
    smaller = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    factors = np.array([size[0] / width, size[1] / height], np.float32)
    moved: Floats = ((landmarks + 0.5) * factors - 0.5).astype(np.float32)  # pixel centres lie at half coordinates
    return smaller, moved


def blurred(image: Pixels, landmarks: Floats, side: float, spec: InputSpec) -> Harder:
    del spec
    return np.asarray(cv2.GaussianBlur(image, (0, 0), BLUR * side), np.uint8), landmarks


def darkened(image: Pixels, landmarks: Floats, side: float, spec: InputSpec) -> Harder:
    """A tenth of the light, and the noise of a sensor on it; the same noise for the same photo."""
    del side, spec
    noise = np.random.default_rng(0).normal(0, NOISE, image.shape)
    return np.clip(np.round(image * LIGHT + noise), 0, 255).astype(np.uint8), landmarks


def hidden(
    image: Pixels,
    landmarks: Floats,
    side: float,
    spec: InputSpec,
    *,
    corners: tuple[tuple[int, int], ...],
    colour: tuple[int, int, int],
) -> Harder:
    """A part of the face under one colour, turned and scaled with the face."""
    del side
    matrix = similarity_transforms(landmarks[None], np.asarray(spec.template, np.float32))[0]
    back = cv2.invertAffineTransform(matrix)
    scaled = np.array(corners, np.float32) * (spec.width / 112)
    polygon = np.round(scaled @ back[:, :2].T + back[:, 2]).astype(np.int32)
    covered = image.copy()
    cv2.fillConvexPoly(covered, polygon, colour)
    return covered, landmarks


HARDSHIPS: dict[str, Hardship] = {
    "as it is": same,
    "32 pixels": partial(shrunk, pixels=32),
    "24 pixels": partial(shrunk, pixels=24),
    "16 pixels": partial(shrunk, pixels=16),
    "blurred": blurred,
    "darkened": darkened,
    "lower half hidden": partial(hidden, corners=LOWER, colour=MASK),
    "eyes hidden": partial(hidden, corners=EYES, colour=GLASSES),
}
