"""Alignment: landmarks land on the template, whatever turn, scale and shift the face had."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.align import align, similarity_transforms
from manyfaces.card import InputSpec
from manyfaces.types import Pixels

TEMPLATE = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))
SPEC = InputSpec(112, 112, "rgb", template=TEMPLATE)
angles = st.floats(-3.1, 3.1)
scales = st.floats(0.2, 20)
shifts = st.floats(-2000, 2000)


def moved(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (np.array(TEMPLATE) @ turn.T * scale + (x, y)).astype(np.float32)[None]


@given(angles, scales, shifts, shifts)
def test_a_moved_template_is_brought_home(angle: float, scale: float, x: float, y: float) -> None:
    landmarks = moved(angle, scale, x, y)
    matrix = similarity_transforms(landmarks, np.array(TEMPLATE, np.float32))[0]
    home = landmarks[0] @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(home - TEMPLATE).max() < 0.1


@given(angles, scales)
def test_the_transform_never_shears_or_mirrors(angle: float, scale: float) -> None:
    wobbly = moved(angle, scale, 5, 5) + np.random.default_rng(0).normal(0, scale, (1, 5, 2)).astype(np.float32)
    turn = similarity_transforms(wobbly, np.array(TEMPLATE, np.float32))[0, :, :2]
    assert np.linalg.det(turn) > 0
    assert np.allclose(turn @ turn.T, np.eye(2) * np.linalg.det(turn), atol=1e-4 * max(1, np.linalg.det(turn)))


def test_the_same_face_at_any_size_gives_the_same_crop(astronaut: Pixels) -> None:
    """A face far larger than the crop is shrunk cleanly: no skipped pixels, no shift."""
    import cv2

    eyes = np.array([[207, 112], [243, 111], [228, 133], [212, 146], [243, 146]], np.float32)
    small = align(astronaut, eyes[None], SPEC)[0].astype(float)
    large = cv2.resize(astronaut, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    again = align(large, (eyes * 6 + 2.5)[None], SPEC)[0].astype(float)
    assert np.abs(small - again).mean() < 3


def test_grey_is_one_channel_and_the_picture_stays_as_it_was(astronaut: Pixels) -> None:
    before = astronaut.copy()
    grey = align(astronaut, moved(0, 1, 100, 100), InputSpec(48, 48, "grey", template=TEMPLATE))
    assert grey.shape == (1, 48, 48, 1)
    assert grey.std() > 5
    assert np.array_equal(before, astronaut)


def test_no_faces_no_crops(astronaut: Pixels) -> None:
    assert align(astronaut, np.empty((0, 5, 2), np.float32), SPEC).shape == (0, 112, 112, 3)


def test_a_face_outside_the_picture_is_black() -> None:
    crop = align(np.full((50, 50, 3), 200, np.uint8), moved(0, 1, 5000, 5000), SPEC)
    assert not crop.any()
