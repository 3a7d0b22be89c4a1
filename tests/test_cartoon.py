"""Drawn people are taken for people: found, told apart, and known again by the networks that real ones meet."""

from __future__ import annotations

import numpy as np
import pytest

from manyfaces.align import align
from manyfaces.cartoon import CAST, EXPRESSIONS, cast, crowd_frames, draw_person, expression_at
from manyfaces.detect.yunet import YuNet
from manyfaces.heads.identity import IdentityHead
from manyfaces.runtime import Runtime, load_network
from manyfaces.types import Crops, Floats, Pixels
from manyfaces.weights import load


@pytest.fixture(scope="module")
def detector() -> YuNet:
    weights = load("yunet")
    return YuNet(load_network(weights.content, weights.card.input, Runtime(precision="f32")))


@pytest.fixture(scope="module")
def identity() -> IdentityHead:
    weights = load("sface")
    network = load_network(weights.content, weights.card.input, Runtime(precision="f32"))
    return IdentityHead(network, weights.card.input, weights.card.identifier)


def portrait(seed: int, expression: str, size: int) -> Pixels:
    """A drawn person before a plain wall, with a margin."""
    patch, cover = draw_person(seed, expression, size)
    margin = size // 6
    wall = np.full((size + 2 * margin, size + 2 * margin, 3), 165, np.float32)
    inner = wall[margin : margin + size, margin : margin + size]
    inner += (patch - inner) * cover[..., None]
    return wall.astype(np.uint8)


def embedding(picture: Pixels, detector: YuNet, identity: IdentityHead) -> Floats:
    (found,) = detector([picture])
    assert len(found) == 1
    crops = Crops(align(picture, found.landmarks, identity.spec), np.zeros(1, np.int64))
    return identity(crops).vectors[0]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_drawn_face_is_found_where_it_is(detector: YuNet, expression: str) -> None:
    (found,) = detector([portrait(CAST[0], expression, 160)])
    assert len(found) == 1
    assert found.scores[0] > 0.7
    right_eye, left_eye, nose, right_mouth, left_mouth = found.landmarks[0]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


@pytest.mark.parametrize("size", [56, 80, 300])
def test_it_is_found_at_every_size(detector: YuNet, size: int) -> None:
    (found,) = detector([portrait(CAST[-1], "happy", size)])
    assert len(found) == 1


def test_the_cast_is_told_apart_and_known_again(detector: YuNet, identity: IdentityHead) -> None:
    views = [(seed, *view) for seed in CAST for view in (("neutral", 200), ("happy", 120), ("sad", 200))]
    vectors = np.array([embedding(portrait(*view), detector, identity) for view in views])
    alike = vectors @ vectors.T
    same = np.equal.outer([view[0] for view in views], [view[0] for view in views])
    assert alike[same].min() > 0.7
    assert alike[~same].max() < 0.6


def test_the_same_seed_is_the_same_drawing() -> None:
    first, second = draw_person(5, "fear", 60), draw_person(5, "fear", 60)
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
    assert (first[0] != draw_person(6, "fear", 60)[0]).any()


def test_expressions_differ() -> None:
    drawn = [draw_person(3, expression, 96)[0].astype(int) for expression in EXPRESSIONS]
    assert all(np.abs(one - other).mean() > 0.1 for number, one in enumerate(drawn) for other in drawn[:number])


def test_the_cover_is_one_in_the_face_and_nothing_in_the_corner() -> None:
    picture, cover = draw_person(3, "neutral", 100)
    assert (picture.dtype, picture.shape, cover.shape) == (np.uint8, (100, 100, 3), (100, 100))
    assert cover[48, 50] > 0.99
    assert cover[0, 0] < 0.05


def test_an_unknown_expression_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="angry, disgust, fear"):
        draw_person(1, "bored", 50)


def test_a_film_has_its_frames_times_and_people(detector: YuNet) -> None:
    frames = list(crowd_frames(4, seconds=4, fps=2, size=(640, 360)))
    assert [frame.index for frame in frames] == list(range(8))
    assert [frame.seconds for frame in frames] == [number / 2 for number in range(8)]
    assert {frame.image.shape for frame in frames} == {(360, 640, 3)}
    counts = [len(found) for found in detector([frame.image for frame in frames])]
    assert counts[0] == counts[-1] == 4
    assert min(counts) == 3, "one is hidden for a moment"


@pytest.mark.parametrize(("people", "size"), [(0, (64, 48)), (1, (33, 21)), (7, (320, 180))])
def test_any_number_of_people_fits_any_frame(people: int, size: tuple[int, int]) -> None:
    (frame,) = crowd_frames(people, seconds=1, fps=1, size=size)
    assert (frame.width, frame.height) == size


def test_faces_change_over_time_and_between_people() -> None:
    assert len({expression_at(0, float(now)) for now in range(20)}) == 7
    assert len({expression_at(number, 0.0) for number in range(7)}) > 4
    assert len({cast(number) for number in range(50)}) == 50
