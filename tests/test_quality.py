"""What a face is worth: sizes, blur, turned heads, faces at the edge."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.quality import assess, inside, sharpness, yaw
from manyfaces.types import Detections, Floats

HEAD = np.array([[-1, -0.9, 0], [1, -0.9, 0], [0, 0.1, 0.75], [-0.75, 1.1, 0], [0.75, 1.1, 0]])
"""A head in space: eyes, nose, corners of the mouth; x right, y down, z towards the camera."""


def seen(turn: float, tilt: float = 0, size: float = 40, at: tuple[float, float] = (200, 200)) -> Floats:
    """The landmarks of the head turned to a side and tilted, in degrees."""
    a, b = np.radians([turn, tilt])
    about_the_neck = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    in_the_picture = np.array([[np.cos(b), -np.sin(b)], [np.sin(b), np.cos(b)]])
    flat = (HEAD @ about_the_neck.T)[:, :2]
    return (flat @ in_the_picture.T * size + at)[None].astype(np.float32)


@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(5, 500))
def test_yaw_is_the_angle_of_the_head_however_it_is_tilted_and_however_big(
    turn: float, tilt: float, size: float
) -> None:
    assert float(yaw(seen(turn, tilt, size))[0]) == pytest.approx(abs(turn) / 90, abs=0.02)


def test_yaw_of_landmarks_that_fall_together_is_still_a_number() -> None:
    values = yaw(np.zeros((3, 5, 2), np.float32))
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()


def test_blur_takes_sharpness_away(astronaut: npt.NDArray[np.uint8]) -> None:
    face = cv2.resize(astronaut[60:220, 150:310], (112, 112), interpolation=cv2.INTER_AREA)
    blurred = [face, *(cv2.GaussianBlur(face, None, sigma) for sigma in (0.7, 1.5, 3, 6))]
    values = sharpness(np.stack(blurred))
    assert (np.diff(values) < 0).all()
    assert values[0] > 100
    assert values[-1] < 10


def test_sharpness_of_grey_crops_is_that_of_the_same_crops_in_grey_rgb(astronaut: npt.NDArray[np.uint8]) -> None:
    grey = cv2.cvtColor(astronaut[60:172, 150:262], cv2.COLOR_RGB2GRAY)
    in_colour = np.repeat(grey[..., None], 3, axis=2)
    assert sharpness(grey[None, ..., None])[0] == pytest.approx(sharpness(in_colour[None])[0], rel=1e-3)


def test_an_even_crop_has_no_sharpness() -> None:
    assert sharpness(np.full((1, 112, 112, 3), 90, np.uint8))[0] == 0


def test_inside_is_the_share_of_the_box_within_the_picture() -> None:
    boxes = np.array([[10, 10, 20, 20], [-5, 0, 5, 10], [95, 45, 105, 55], [200, 0, 210, 10], [5, 5, 5, 9]], np.float32)
    np.testing.assert_allclose(inside(boxes, 100, 50), [1, 0.5, 0.25, 0, 0])


@given(st.tuples(*[st.floats(-200, 200, width=32)] * 4))
def test_inside_is_always_a_share(box: tuple[float, float, float, float]) -> None:
    value = float(inside(np.array([box], np.float32), 100, 100)[0])
    assert 0 <= value <= 1 + 1e-6


def test_assess_gives_one_figure_of_each_kind_per_face() -> None:
    boxes = np.array([[0, 0, 30, 40], [-10, 0, 10, 60]], np.float32)
    detections = Detections(boxes, np.ones(2, np.float32), np.concatenate([seen(0), seen(45)]))
    qualities = assess(detections, np.zeros((2, 112, 112, 3), np.uint8), 100, 100)
    np.testing.assert_allclose(qualities.size, [30, 20])
    np.testing.assert_allclose(qualities.inside, [1, 0.5])
    np.testing.assert_allclose(qualities.yaw, [0, 0.5], atol=0.01)


def test_assess_of_no_faces_is_empty() -> None:
    assert len(assess(Detections.empty(), np.empty((0, 112, 112, 3), np.uint8), 100, 100)) == 0
