"""What is drawn is drawn on a copy, inside the picture, in the right colour, and leaves the faces to be seen."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfaces import draw
from manyfaces.types import Face, FrameResult, Pixels

DARK = 7


def face(box: Sequence[float], emotion: str | None = "happy", name: str | None = None, compared: bool = True) -> Face:
    x1, y1, x2, y2 = box
    share = None if emotion is None else 0.87
    return Face(1, (x1, y1, x2, y2), 0.9, (), emotion, {}, share, name, None, 0.6 if compared else None)


def drawn(faces: Sequence[Face], width: int = 320, height: int = 240) -> Pixels:
    picture = np.full((height, width, 3), DARK, np.uint8)
    return draw.annotate(picture, FrameResult("a", 0, 0.0, width, height, tuple(faces)))


def count(picture: Pixels, colour: draw.Colour) -> int:
    return int((picture == np.array(colour, np.uint8)).all(axis=-1).sum())


def test_the_input_is_never_edited() -> None:
    picture = np.full((240, 320, 3), DARK, np.uint8)
    picture.flags.writeable = False
    out = draw.annotate(picture, FrameResult("a", 0, 0.0, 320, 240, (face((50, 50, 150, 170), name="Lan"),)))
    assert (picture == DARK).all()
    assert out.shape == picture.shape
    assert (out != picture).any()


def test_a_picture_that_is_a_mirrored_view_can_be_annotated() -> None:
    picture = np.zeros((240, 320, 3), np.uint8)[:, ::-1, ::-1]
    assert draw.annotate(picture, FrameResult("a", 0, 0.0, 320, 240, (face((50, 50, 150, 170)),))).any()


def test_without_faces_the_copy_is_the_picture() -> None:
    assert (drawn([]) == DARK).all()


@pytest.mark.parametrize("emotion", draw.EMOTION_COLOURS)
def test_the_box_and_the_plate_have_the_emotions_colour(emotion: str) -> None:
    picture = drawn([face((50, 80, 150, 200), emotion, "Lan")])
    assert count(picture[81:199, 45:52], draw.EMOTION_COLOURS[emotion]) > 50
    assert count(picture[55:79], draw.EMOTION_COLOURS[emotion]) > 300


def test_a_stranger_has_a_grey_plate_and_a_coloured_box() -> None:
    picture = drawn([face((50, 80, 150, 200), "sad")])
    assert count(picture, draw.UNKNOWN) > 300
    assert count(picture, draw.EMOTION_COLOURS["sad"]) > 100


def test_where_nobody_looked_for_names_nobody_is_called_unknown() -> None:
    assert draw.label_texts(face((0, 0, 9, 9), "sad", compared=False))[0] == "sad 87 %"
    assert draw.label_texts(face((0, 0, 9, 9), "sad"))[0] == "unknown · sad 87 %"
    assert draw.label_texts(face((0, 0, 9, 9), None, compared=False)) == []


def test_the_fullest_label_names_person_emotion_and_share() -> None:
    assert draw.label_texts(face((0, 0, 9, 9), "happy", "Lan")) == ["Lan · happy 87 %", "Lan · happy", "Lan"]


def test_a_face_of_which_nothing_is_known_is_boxed_in_grey() -> None:
    assert count(drawn([face((50, 80, 150, 200), None, compared=False)]), draw.UNKNOWN) > 100


def test_the_seven_colours_differ_and_none_is_the_unknowns() -> None:
    colours = [*draw.EMOTION_COLOURS.values(), draw.UNKNOWN, draw.NAMED]
    apart = [np.abs(np.subtract(a, b)).sum() for i, a in enumerate(colours) for b in colours[:i]]
    assert min(apart) > 60


def test_a_label_of_another_model_has_a_colour_of_its_own() -> None:
    assert draw.emotion_colour("contempt") == draw.emotion_colour("contempt") != draw.UNKNOWN


@pytest.mark.parametrize("box", [(0, 0, 60, 70), (260, 0, 320, 70), (0, 170, 60, 240), (260, 170, 320, 240)])
def test_labels_at_the_edges_move_inside(box: Sequence[float]) -> None:
    in_the_middle = count(drawn([face((130, 100, 190, 170), name="Nguyễn Lan")]), draw.EMOTION_COLOURS["happy"])
    at_the_edge = count(drawn([face(box, name="Nguyễn Lan")]), draw.EMOTION_COLOURS["happy"])
    assert at_the_edge > 0.7 * in_the_middle


def test_a_face_that_fills_the_picture_still_has_its_label() -> None:
    assert count(drawn([face((0, 0, 320, 240), name="Lan")])[5:60, 5:200], draw.EMOTION_COLOURS["happy"]) > 500


def test_labels_grow_with_the_picture() -> None:
    small = drawn([face((50, 80, 150, 200), name="Lan")])
    large = drawn([face((500, 800, 1500, 2000), name="Lan")], 3200, 2400)
    gold = draw.EMOTION_COLOURS["happy"]
    assert count(large[:790], gold) > 15 * count(small[:79], gold) > 0


def test_labels_of_a_dense_crowd_leave_the_faces_visible() -> None:
    boxes = [
        (40 + 180 * column, 40 + 100 * row, 100 + 180 * column, 115 + 100 * row)
        for column in range(10)
        for row in range(10)
    ]
    picture = drawn([face(box, name="Maximiliane Hohenstaufen") for box in boxes], 1920, 1080)
    covered = [(picture[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] != DARK).any(axis=-1).mean() for x1, y1, x2, y2 in boxes]
    assert max(covered) < 0.3
    assert np.mean([(picture[y1 - 30 : y1, x1:x2] != DARK).mean() for x1, y1, x2, y2 in boxes]) > 0.3


@pytest.mark.parametrize(
    "name", ["Nguyễn Thị Ẫ", "陈伟", "x" * 500, "line\nbreak\tand 😀", "😀", " ", "\udcff", "العربية"]
)
@pytest.mark.parametrize("size", [(160, 120), (640, 480), (33, 21)])
def test_every_name_can_be_drawn_at_every_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    picture = drawn([face((width * 0.4, height * 0.4, width * 0.7, height * 0.9), name=name)], width, height)
    assert count(picture, draw.EMOTION_COLOURS["happy"]) > 10


def test_what_has_no_glyph_is_left_out() -> None:
    assert draw.drawable("Lan\n 😀\u200d  Mai") == "Lan Mai"
    assert draw.drawable("Nguye\u0302\u0303n") == "Nguyễn"
    assert draw.drawable("😀") == "?"


def test_letters_without_accents_are_what_remains_without_fonts() -> None:
    assert draw.plain_letters("Nguyễn Đặng · 陈") == "Nguyen Dang - ?"


def test_an_opencv_without_fonts_still_draws_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(cv2, "FontFace"):
        monkeypatch.delattr(cv2, "FontFace")
    assert count(drawn([face((50, 80, 150, 200), "happy", "Nguyễn")])[55:79], draw.EMOTION_COLOURS["happy"]) > 300


anywhere = st.floats(-500, 900) | st.sampled_from([float("nan"), float("inf"), -1e30, 1e30, 0.0])


@settings(deadline=None)
@given(st.lists(st.tuples(anywhere, anywhere, anywhere, anywhere), max_size=12), st.integers(1, 90), st.integers(1, 90))
def test_no_box_however_wild_can_break_the_drawing(
    boxes: list[tuple[float, float, float, float]], width: int, height: int
) -> None:
    picture = drawn([face(box, name="Lan") for box in boxes], width, height)
    assert picture.shape == (height, width, 3)
