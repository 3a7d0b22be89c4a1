"""Columns refuse other shapes at once, and are indexed as one."""

from __future__ import annotations

import numpy as np
import pytest

from manyfaces.types import Crops, Detections, Embeddings, Emotions, Frame, Identities, Tracks


def detections(count: int) -> Detections:
    boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
    return Detections(boxes, np.linspace(0, 1, count, dtype=np.float32), np.zeros((count, 5, 2), np.float32))


def test_a_wrong_shape_is_said_with_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"boxes: expected \(n, 4\), got \(3, 5\)"):
        Detections(np.zeros((3, 5), np.float32), np.zeros(3, np.float32), np.zeros((3, 5, 2), np.float32))
    with pytest.raises(ValueError, match=r"scores: expected \(3\), got \(2,\)"):
        Detections(np.zeros((3, 4), np.float32), np.zeros(2, np.float32), np.zeros((3, 5, 2), np.float32))
    with pytest.raises(ValueError, match=r"landmarks: expected \(3, 5, 2\), got \(3, 4, 2\)"):
        Detections(np.zeros((3, 4), np.float32), np.zeros(3, np.float32), np.zeros((3, 4, 2), np.float32))
    with pytest.raises(ValueError, match="image: expected"):
        Frame(np.zeros((4, 4), np.uint8), 0, 0.0, "grey")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ids: expected"):
        Tracks(detections(2), np.zeros(3, np.int64), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="pixels: expected"):
        Crops(np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="probabilities: expected"):
        Emotions(np.zeros((2, 6), np.float32), ("happy", "sad"))
    with pytest.raises(ValueError, match="vectors: expected"):
        Embeddings(np.zeros(128, np.float32), "model")
    with pytest.raises(ValueError, match="confidences: expected"):
        Identities(("Lan",), np.zeros(2, np.float32), np.zeros(1, np.float32))


def test_columns_are_indexed_together() -> None:
    found = detections(4)
    assert len(found[found.scores > 0.5]) == 2
    assert found[np.array([3, 0])].boxes[:, 0].tolist() == [12, 0]
    tracks = Tracks(found, np.arange(1, 5), np.ones(4, np.int64))
    assert tracks[np.array([2])].ids.tolist() == [3]
    assert len(tracks[1:]) == 3


def test_nothing_found_is_an_empty_array() -> None:
    for nothing in (Detections.empty(), Tracks.empty(), Emotions.none(0), Identities.strangers(0)):
        assert len(nothing) == 0
    assert Emotions.none(3).probabilities.shape == (3, 0)
    assert Identities.strangers(2).names == (None, None)
    assert np.isnan(Identities.strangers(2).similarities).all()


def test_a_frame_knows_its_size() -> None:
    frame = Frame(np.zeros((30, 40, 3), np.uint8), 0, 0.0, "a.png")
    assert (frame.width, frame.height) == (40, 30)
