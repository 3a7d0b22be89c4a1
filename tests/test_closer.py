"""A second look at small faces: where it helps, what it leaves alone, and what happens when it finds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfaces.build import build_detector
from manyfaces.closer import LITTLE, as_seen, look_closer
from manyfaces.options import Options
from manyfaces.types import Detections, Pixels


def faces(*boxes: tuple[float, float, float, float]) -> Detections:
    sized = np.array(boxes, np.float32).reshape(-1, 4)
    middles = (sized[:, :2] + sized[:, 2:]) / 2
    landmarks = np.repeat(middles[:, None], 5, axis=1).astype(np.float32)
    return Detections(sized, np.full(len(sized), 0.9, np.float32), landmarks)


def dot(image: Pixels) -> Detections:
    """Finds the brightest spot and calls it a face of which every landmark lies in its middle."""
    weight = image.astype(np.float64).sum(axis=2)
    weight[weight < weight.max() / 2] = 0
    total = max(weight.sum(), 1)
    x = (weight.sum(axis=0) * np.arange(weight.shape[1])).sum() / total
    y = (weight.sum(axis=1) * np.arange(weight.shape[0])).sum() / total
    return faces((x - 5, y - 5, x + 5, y + 5))


def dots(images: Sequence[Pixels]) -> list[Detections]:
    return [dot(image) for image in images]


def blind(images: Sequence[Pixels]) -> list[Detections]:
    return [Detections.empty() for _ in images]


def forbidden(images: Sequence[Pixels]) -> list[Detections]:
    raise AssertionError("nobody should look again")


@settings(max_examples=60, deadline=None)
@given(st.integers(12, 88), st.integers(12, 68), st.integers(10, 39), st.floats(-4, 4))
def test_what_the_second_look_sees_is_said_in_the_pictures_pixels(x: int, y: int, side: int, off: float) -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    near = faces((x + off - side / 2, y - side / 2, x + off + side / 2, y + side / 2))
    again = look_closer(dots, image, near)
    assert again.landmarks[0] == pytest.approx(np.full((5, 2), (x, y), np.float32), abs=0.3)
    assert again.boxes is near.boxes
    assert again.scores is near.scores


def test_large_faces_and_no_faces_are_not_looked_at_again() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    large = faces((10, 10, 10 + LITTLE, 90), (50, 50, 180, 180))
    assert look_closer(forbidden, image, large) is large
    assert len(look_closer(forbidden, image, Detections.empty())) == 0
    assert as_seen(image, large) is large


def test_where_nothing_is_found_the_landmarks_stay() -> None:
    small = faces((10, 10, 30, 30))
    again = look_closer(blind, np.zeros((60, 60, 3), np.uint8), small)
    assert (again.landmarks == small.landmarks).all()


def test_a_neighbour_is_not_taken_for_the_face() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[49:52, 66:69] = 255
    small = faces((40, 40, 60, 60))
    assert (look_closer(dots, image, small).landmarks == small.landmarks).all()


def test_boxes_beyond_the_picture_and_without_size_do_no_harm() -> None:
    strange = faces((-15, -15, 5, 5), (95, 95, 130, 130), (20, 20, 20, 60), (5, 5, 12, 95))
    again = look_closer(dots, np.full((100, 100, 3), 7, np.uint8), strange)
    assert np.isfinite(again.landmarks).all()


def test_a_face_made_small_is_aligned_better(astronaut: Pixels) -> None:
    """Landmarks of the face shrunk to 16 pixels, against those of the large one."""
    detect = build_detector(Options(emotion=False, precision="f32"))
    (large,) = detect([astronaut])
    scale = 16 / float((large.boxes[0, 2:] - large.boxes[0, :2]).min())
    small = np.asarray(cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    (found,) = detect([small])
    truth = (large.landmarks[0] + 0.5) * scale - 0.5
    before, after = (
        float(np.abs(one.landmarks[0] - truth).mean()) for one in (found, partial(look_closer, detect)(small, found))
    )
    assert after < before
