"""The judges judged: small cases worked out by hand, and truth files of every wrong kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.errors import InputError
from manyfaces.evaluate.detection import (
    TrueFaces,
    VideoTruth,
    read_picture_truth,
    read_video_truth,
    score_detection,
    score_pictures,
)
from manyfaces.evaluate.tracking import score_tracking
from manyfaces.types import Floats, Integers

Row = tuple[int, float]
Found = tuple[Floats, Integers]


def box(x: float) -> list[float]:
    return [x, 0, x + 10, 10]


def boxes(*places: float) -> Floats:
    return np.array([box(x) for x in places], np.float32).reshape(-1, 4)


def found(*faces: Row) -> Found:
    """One frame of (id, x)."""
    return boxes(*(x for _, x in faces)), np.array([id_ for id_, _ in faces], np.int64)


def truth(folder: Path, *frames: list[tuple[int, float] | tuple[int, float, float]]) -> VideoTruth:
    """A truth of frames of (track, x) or (track, x, visible), by way of a file."""
    rows = [[[face[0], *box(face[1]), face[2] if len(face) > 2 else 1.0] for face in frame] for frame in frames]
    path = folder / "clip.truth.json"
    path.write_text(json.dumps({"fps": 25, "size": [640, 480], "tracks": {}, "frames": rows}), encoding="utf-8")
    return read_video_truth(path)


# --- detection ------------------------------------------------------------------------------------------------------


def test_recall_and_precision_by_hand(tmp_path: Path) -> None:
    """Three true faces, two found; one box beside them, one that overlaps too little (IoU 1/3)."""
    expected = truth(tmp_path, [(0, 0), (1, 100)], [(0, 0)])
    score = score_detection(expected, [boxes(0, 105), boxes(1, 300)])
    assert (score.found, score.missed, score.false, score.frames) == (2, 1, 2, 2)
    assert (score.recall, score.precision) == pytest.approx((2 / 3, 1 / 2))
    assert score.as_dict()["recall"] == score.recall


def test_two_boxes_on_one_face_are_one_hit_and_one_error(tmp_path: Path) -> None:
    score = score_detection(truth(tmp_path, [(0, 0)]), [boxes(0, 1)])
    assert (score.found, score.false) == (1, 1)


def test_one_box_between_two_faces_finds_one(tmp_path: Path) -> None:
    score = score_detection(truth(tmp_path, [(0, 0), (1, 4)]), [boxes(2)])
    assert (score.found, score.missed, score.false) == (1, 1, 0)


def test_a_hidden_face_need_not_be_found_and_may_be(tmp_path: Path) -> None:
    expected = truth(tmp_path, [(0, 0), (1, 100, 0.4)], [(0, 0), (1, 100, 0.4)])
    score = score_detection(expected, [boxes(0), boxes(0, 100)])
    assert (score.recall, score.precision, score.found) == (1, 1, 2)


def test_a_face_that_is_half_visible_counts(tmp_path: Path) -> None:
    assert score_detection(truth(tmp_path, [(0, 0, 0.5)]), [boxes()]).missed == 1


def test_a_box_on_a_face_in_front_of_a_hidden_one_counts_for_the_visible(tmp_path: Path) -> None:
    score = score_detection(truth(tmp_path, [(0, 1, 0.2), (1, 0)]), [boxes(1)])
    assert (score.found, score.missed, score.false) == (1, 0, 0)


def test_as_many_pairs_as_possible_are_made(tmp_path: Path) -> None:
    """The closest pair alone would leave the other face and the other box without partner."""
    score = score_detection(truth(tmp_path, [(0, 0), (1, 3)]), [boxes(2.9, 6)])
    assert score.found == 2


def test_nothing_to_find_and_nothing_found_is_perfect(tmp_path: Path) -> None:
    score = score_detection(truth(tmp_path, [], []), [boxes(), boxes()])
    assert (score.recall, score.precision) == (1, 1)
    assert score_detection(truth(tmp_path, []), [boxes(5)]).precision == 0


def test_pictures_are_matched_by_name(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"a.jpg": [box(0), box(100)], "b.jpg": []}), encoding="utf-8")
    score = score_pictures(read_picture_truth(path), [("b.jpg", boxes(7)), ("a.jpg", boxes(0))])
    assert (score.found, score.missed, score.false, score.frames) == (1, 1, 1, 2)


def test_pictures_missing_unknown_or_given_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"a.jpg": [], "b.jpg": []}), encoding="utf-8")
    expected = read_picture_truth(path)
    with pytest.raises(InputError, match=r"not looked at.*b\.jpg"):
        score_pictures(expected, [("a.jpg", boxes())])
    with pytest.raises(InputError, match=r"c\.jpg"):
        score_pictures(expected, [("c.jpg", boxes())])
    with pytest.raises(InputError, match=r"a\.jpg"):
        score_pictures(expected, [("a.jpg", boxes()), ("a.jpg", boxes())])


# --- tracking -------------------------------------------------------------------------------------------------------


def test_a_perfect_run(tmp_path: Path) -> None:
    expected = truth(tmp_path, [(0, 0), (1, 50)], [(0, 2), (1, 52)])
    score = score_tracking(expected, [found((7, 0), (9, 50)), found((7, 2), (9, 52))])
    assert (score.mota, score.idf1, score.id_switches, score.recall, score.precision) == (1, 1, 0, 1, 1)
    assert (score.true_tracks, score.ids, score.frames) == (2, 2, 2)


def test_a_track_cut_in_two(tmp_path: Path) -> None:
    """Four frames, known as 1 for three and as 2 for one: one switch; three of four frames under the better number."""
    expected = truth(tmp_path, *[[(0, 0)]] * 4)
    score = score_tracking(expected, [found((1, 0))] * 3 + [found((2, 0))])
    assert score.id_switches == 1
    assert score.mota == pytest.approx(1 - 1 / 4)
    assert score.idf1 == pytest.approx(2 * 3 / (4 + 4))


def test_two_tracks_that_swap(tmp_path: Path) -> None:
    """Ten true boxes; after two of five frames the numbers change places for good."""
    expected = truth(tmp_path, *[[(0, 0), (1, 50)]] * 5)
    score = score_tracking(expected, [found((1, 0), (2, 50))] * 2 + [found((2, 0), (1, 50))] * 3)
    assert score.id_switches == 2
    assert score.mota == pytest.approx(1 - 2 / 10)
    assert score.idf1 == pytest.approx(6 / 10)


def test_misses_and_false_alarms(tmp_path: Path) -> None:
    """Four true boxes, three hits, one miss, two false alarms under a number of their own."""
    expected = truth(tmp_path, *[[(0, 0)]] * 4)
    frames = [found((1, 0)), found((1, 0), (5, 200)), found(), found((1, 0), (5, 200))]
    score = score_tracking(expected, frames)
    assert (score.found, score.missed, score.false, score.id_switches) == (3, 1, 2, 0)
    assert score.mota == pytest.approx(1 - 3 / 4)
    assert score.idf1 == pytest.approx(2 * 3 / (4 + 5))
    assert (score.recall, score.precision) == pytest.approx((3 / 4, 3 / 5))


def test_a_gap_is_no_switch_but_a_new_number_after_it_is(tmp_path: Path) -> None:
    expected = truth(tmp_path, *[[(0, 0)]] * 3)
    assert score_tracking(expected, [found((1, 0)), found(), found((1, 0))]).id_switches == 0
    assert score_tracking(expected, [found((1, 0)), found(), found((2, 0))]).id_switches == 1


def test_the_number_a_track_had_is_kept_while_it_fits(tmp_path: Path) -> None:
    """A second box lies closer; CLEAR stays with the first, so it is a false alarm and no switch."""
    expected = truth(tmp_path, [(0, 0)], [(0, 0)])
    score = score_tracking(expected, [found((1, 0)), found((1, 2), (2, 0))])
    assert (score.id_switches, score.false) == (0, 1)


def test_hidden_faces_leave_no_trace_in_the_figures(tmp_path: Path) -> None:
    expected = truth(tmp_path, [(0, 0)], [(0, 0, 0.1)], [(0, 0)])
    for between in (found(), found((2, 0)), found((1, 0))):
        score = score_tracking(expected, [found((1, 0)), between, found((1, 0))])
        assert (score.mota, score.idf1, score.id_switches, score.false) == (1, 1, 0, 0)


def test_one_number_for_everybody_is_known_for_one(tmp_path: Path) -> None:
    """Two people one after the other under one number: IDF1 gives it to the one who stayed longer."""
    expected = truth(tmp_path, *[[(0, 0)]] * 3, [(1, 0)])
    score = score_tracking(expected, [found((1, 0))] * 4)
    assert score.id_switches == 0
    assert score.idf1 == pytest.approx(2 * 3 / 8)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8)), max_size=5, unique_by=lambda r: r[0]), max_size=8
    )
)
def test_truth_against_itself_is_perfect_and_numbers_do_not_matter(frames: list[list[tuple[int, int]]]) -> None:
    columns = [found(*((track, 20.0 * x) for track, x in frame)) for frame in frames]
    true = tuple(TrueFaces(place, ids, np.ones(len(ids), bool)) for place, ids in columns)
    score = score_tracking(VideoTruth(Path("drawn"), 25, true), [(place, 90 - ids) for place, ids in columns])
    distinct = all(len({x for _, x in frame}) == len(frame) for frame in frames)
    assert score.recall == score.precision == 1
    if distinct:
        assert (score.mota, score.idf1, score.id_switches) == (1, 1, 0)


# --- truth files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 3])
def test_truth_and_video_of_different_lengths_are_refused(tmp_path: Path, frames: int) -> None:
    expected = truth(tmp_path, [(0, 0)], [(0, 0)])
    with pytest.raises(InputError, match="2 frames"):
        score_tracking(expected, [found((1, 0))] * frames)
    with pytest.raises(InputError, match="2 frames"):
        score_detection(expected, [boxes(0)] * frames)


FRAME = [[0, 0, 0, 10, 10, 1.0]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("not json", "not JSON"),
        ("", "not JSON"),
        ([], "one JSON object"),
        ({}, '"fps"'),
        ({"fps": "fast", "frames": []}, '"fps"'),
        ({"fps": True, "frames": []}, '"fps"'),
        ({"fps": 0, "frames": []}, '"fps"'),
        ({"fps": 25, "frames": {}}, '"frames"'),
        ({"fps": 25, "frames": [FRAME, 7]}, "frame 1"),
        ({"fps": 25, "frames": [FRAME, None]}, "frame 1"),
        ({"fps": 25, "frames": [[[0, 0, 0, 10, 10]]]}, "frame 0"),
        ({"fps": 25, "frames": [[[0, 0, 0, 10, 10, 1], [1, 2]]]}, "frame 0"),
        ({"fps": 25, "frames": [[[0, "a", 0, 10, 10, 1]]]}, "frame 0"),
        ({"fps": 25, "frames": [[[0, float("nan"), 0, 10, 10, 1]]]}, "not finite"),
        ({"fps": 25, "frames": [FRAME * 2]}, "twice"),
    ],
)
def test_a_wrong_truth_is_refused_in_a_sentence(tmp_path: Path, content: Any, says: str) -> None:
    path = tmp_path / "wrong.truth.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=says) as refused:
        read_video_truth(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_truth_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.truth.json"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match="not JSON"):
        read_video_truth(path)
    with pytest.raises(InputError, match="cannot read"):
        read_video_truth(tmp_path / "absent.json")


def test_a_wrong_truth_of_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    for content, says in (
        ({"a.jpg": [[0, 0, 10]]}, r"a\.jpg"),
        ({"a.jpg": "none"}, r"a\.jpg"),
        ([1], "one JSON object"),
    ):
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(InputError, match=says):
            read_picture_truth(path)
    path.write_text(json.dumps({"fps": 25, "frames": []}), encoding="utf-8")
    with pytest.raises(InputError, match="of a video"):
        read_picture_truth(path)


@pytest.mark.data
def test_the_crowd_truths_are_read_and_agree_with_themselves(data_folder: Path) -> None:
    for name in ("grid-16", "walk-30"):
        expected = read_video_truth(data_folder / "crowd" / f"{name}.truth.json")
        score = score_tracking(expected, [(faces.boxes, faces.ids) for faces in expected.frames])
        assert (score.mota, score.idf1, score.id_switches) == (1, 1, 0)
        assert score.found > 1000
