"""Columns become rows, rows become JSON, and nothing is lost but digits nobody can measure."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.errors import InputError
from manyfaces.rows import as_json, failed, frame_result, from_json
from manyfaces.types import Detections, Emotions, Face, Frame, FrameResult, Identities, Tracks, Unreadable

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FRAME = Frame(np.zeros((48, 64, 3), np.uint8), 12, 0.48, "clip.mp4")


def tracks(count: int) -> Tracks:
    boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4) + 0.26
    found = Detections(boxes, np.full(count, 0.93, np.float32), np.ones((count, 5, 2), np.float32))
    return Tracks(found, np.arange(3, 3 + count, dtype=np.int64), np.ones(count, np.int64))


def happy(count: int) -> Emotions:
    shares = np.tile(np.array([0.01, 0.01, 0.01, 0.91, 0.02, 0.02, 0.02], np.float32), (count, 1))
    return Emotions(shares, LABELS)


def test_a_row_has_exactly_the_documented_keys_and_values() -> None:
    who = Identities(("Lan",), np.array([0.97], np.float32), np.array([0.61], np.float32))
    row = as_json(frame_result(FRAME, tracks(1), happy(1), who))
    assert row == {
        "stream": "clip.mp4",
        "index": 12,
        "seconds": 0.48,
        "width": 64,
        "height": 48,
        "faces": [
            {
                "track": 3,
                "box": [0.3, 1.3, 2.3, 3.3],
                "score": 0.93,
                "landmarks": [[1.0, 1.0]] * 5,
                "emotion": "happy",
                "emotions": dict(zip(LABELS, [0.01, 0.01, 0.01, 0.91, 0.02, 0.02, 0.02], strict=True)),
                "emotion_confidence": 0.91,
                "identity": "Lan",
                "identity_confidence": 0.97,
                "similarity": 0.61,
            }
        ],
        "timing": {"detected": True, "emotions": 0, "identities": 0, "dropped": 0},
    }


def test_a_frame_without_faces_has_an_empty_list() -> None:
    row = as_json(frame_result(FRAME, Tracks.empty(), Emotions.none(0), Identities.strangers(0)))
    assert row["faces"] == []
    assert "error" not in row


def test_without_heads_nothing_is_claimed() -> None:
    (face,) = frame_result(FRAME, tracks(1), Emotions.none(1), Identities.strangers(1)).faces
    assert (face.emotion, face.emotions, face.emotion_confidence) == (None, {}, None)
    assert (face.identity, face.identity_confidence, face.similarity) == (None, None, None)


def test_a_stranger_keeps_the_probability_of_being_one() -> None:
    stranger = Identities((None,), np.array([0.88], np.float32), np.array([0.12], np.float32))
    (face,) = as_json(frame_result(FRAME, tracks(1), happy(1), stranger))["faces"]
    assert (face["identity"], face["identity_confidence"], face["similarity"]) == (None, 0.88, 0.12)


def test_an_emotion_that_is_not_known_yet_is_null_and_not_nan() -> None:
    waiting = Emotions(np.full((1, 7), np.nan, np.float32), LABELS)
    (face,) = as_json(frame_result(FRAME, tracks(1), waiting, Identities.strangers(1)))["faces"]
    assert (face["emotion"], face["emotions"], face["emotion_confidence"]) == (None, {}, None)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 tracks, 1 emotions and 2 identities"):
        frame_result(FRAME, tracks(2), happy(1), Identities.strangers(2))


def test_an_unreadable_frame_keeps_its_place_and_says_why() -> None:
    result = failed(Unreadable("clip.mp4", 7, 0.28, "the packet is cut"))
    assert as_json(result) == {
        "stream": "clip.mp4",
        "index": 7,
        "seconds": 0.28,
        "width": 0,
        "height": 0,
        "faces": [],
        "timing": {"detected": False, "emotions": 0, "identities": 0, "dropped": 0},
        "error": "the packet is cut",
    }
    assert from_json(as_json(result)) == result


def test_an_unreadable_frame_without_a_reason_is_still_an_error() -> None:
    assert "error" in as_json(failed(Unreadable("clip.mp4", 7, 0.28, "")))


@pytest.mark.parametrize("row", [{}, {"stream": "a", "faces": [3]}, {"faces": None}, {"faces": [{"box": [1, 2]}]}])
def test_what_is_no_row_is_refused_in_one_sentence(row: dict[str, object]) -> None:
    with pytest.raises(InputError, match="not a row of manyfaces"):
        from_json(row)


share = st.floats(0, 1)
pixel = st.floats(-1e4, 1e5)
point = st.tuples(pixel, pixel)
name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
a_face = st.builds(
    Face,
    track=st.integers(0, 2**53),
    box=st.tuples(pixel, pixel, pixel, pixel),
    score=share,
    landmarks=st.tuples(point, point, point, point, point),
    emotion=st.none() | st.sampled_from(LABELS),
    emotions=st.dictionaries(st.sampled_from(LABELS), share),
    emotion_confidence=st.none() | share,
    identity=st.none() | name,
    identity_confidence=st.none() | share,
    similarity=st.none() | st.floats(-1, 1),
)
a_result = st.builds(
    FrameResult,
    stream=name,
    index=st.integers(0, 2**53),
    seconds=st.floats(0, 1e6),
    width=st.integers(0, 2**16),
    height=st.integers(0, 2**16),
    faces=st.lists(a_face, max_size=3).map(tuple),
    error=st.text(max_size=5),
)


@given(a_result)
def test_rows_survive_the_way_through_text(result: FrameResult) -> None:
    row = as_json(result)
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    assert as_json(from_json(json.loads(text))) == row


@given(a_result)
def test_rounding_stays_below_what_anybody_can_measure(result: FrameResult) -> None:
    back = from_json(as_json(result))
    assert (back.stream, back.index, back.width, back.height) == (
        result.stream,
        result.index,
        result.width,
        result.height,
    )
    assert len(back.faces) == len(result.faces)
    for ours, theirs in zip(back.faces, result.faces, strict=True):
        assert ours.box == pytest.approx(theirs.box, abs=0.051)
        assert ours.score == pytest.approx(theirs.score, abs=0.000051)
        assert (ours.track, ours.emotion, ours.identity) == (theirs.track, theirs.emotion, theirs.identity)


@given(st.lists(share.map(np.float32), min_size=7, max_size=7))
def test_the_emotion_is_the_likeliest_one(shares: list[np.float32]) -> None:
    emotions = Emotions(np.array([shares], np.float32), LABELS)
    (face,) = frame_result(FRAME, tracks(1), emotions, Identities.strangers(1)).faces
    assert face.emotion is not None
    assert face.emotions[face.emotion] == face.emotion_confidence == max(face.emotions.values())
