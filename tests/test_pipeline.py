"""The plain pipeline: with plain functions as stages, and whole, the same on both inference libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from manyfaces.build import build_stages, calibrated_identifier, nobody
from manyfaces.card import InputSpec
from manyfaces.options import Options
from manyfaces.pipeline import Pipeline, Stages
from manyfaces.track.linker import AppearanceLinker
from manyfaces.track.tracker import MotionTracker
from manyfaces.types import (
    Crops,
    Detections,
    Embeddings,
    Emotions,
    Frame,
    FrameResult,
    Pixels,
    Unreadable,
)

TEMPLATE = ((6.0, 7.0), (14.0, 7.0), (10.0, 11.0), (7.0, 15.0), (13.0, 15.0))


def bright_square(images: Sequence[Pixels]) -> list[Detections]:
    """A plain function is a valid detector: everything that is not black is one face."""
    return [_square(image) for image in images]


def _square(image: Pixels) -> Detections:
    rows, columns = np.nonzero(image[..., 0])
    if not len(rows):
        return Detections.empty()
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
    points = box[:2] + np.array(TEMPLATE, np.float32) / 20 * (box[2:] - box[:2])
    return Detections(box[None], np.ones(1, np.float32), points[None])


class Brightness:
    """Happy in the light, sad in the dark."""

    spec = InputSpec(20, 20, "grey", template=TEMPLATE)

    def __call__(self, crops: Crops, /) -> Emotions:
        light = crops.pixels.mean(axis=(1, 2, 3), dtype=np.float32) / 255
        return Emotions(np.stack([light, 1 - light], axis=1), ("happy", "sad"))


def stages(emotion: bool = True) -> Stages:
    return Stages(bright_square, MotionTracker, AppearanceLinker, Brightness() if emotion else None, None, nobody)


def film() -> Iterator[Frame | Unreadable]:
    for index in range(6):
        image = np.zeros((120, 160, 3), np.uint8)
        if index != 3:
            image[40:80, 20 + 4 * index : 60 + 4 * index] = 230
        broken = Unreadable("film", index, index / 25, "a broken packet")
        yield broken if index == 2 else Frame(image, index, index / 25, "film")


def rows(stages: Stages, source: Iterator[Frame | Unreadable]) -> list[FrameResult]:
    return [result for _, result in Pipeline(stages).run(source)]


def test_every_frame_has_its_row_in_order() -> None:
    results = rows(stages(), film())
    assert [result.index for result in results] == list(range(6))
    assert [len(result.faces) for result in results] == [1, 1, 0, 0, 1, 1]
    assert [result.error for result in results] == ["", "", "a broken packet", "", "", ""]
    assert {face.track for result in results for face in result.faces} == {1}
    assert {face.emotion for result in results for face in result.faces} == {"happy"}
    assert results[0].faces[0].identity is None


def test_a_head_that_is_off_says_nothing() -> None:
    (face,) = rows(stages(emotion=False), film())[0].faces
    assert (face.emotion, face.emotions, face.similarity) == (None, {}, None)


def test_frames_come_out_as_they_go_in_one_by_one() -> None:
    """A generator: nothing is read ahead, so a video of any length takes the memory of a frame."""
    read: list[int] = []

    def counted() -> Iterator[Frame | Unreadable]:
        for frame in film():
            read.append(frame.index)
            yield frame

    for frame, result in Pipeline(stages()).run(counted()):
        assert frame.index == result.index == read[-1]
        assert len(read) == result.index + 1


def test_two_streams_share_no_memory() -> None:
    pipeline = Pipeline(stages())
    first, second = pipeline.run(film()), pipeline.run(film())
    assert [next(first)[1].faces[0].track, next(second)[1].faces[0].track] == [1, 1]


def two_people(astronaut: Pixels, hopper: Pixels) -> Iterator[Frame]:
    """Collins walks behind Hopper's back and out on the other side."""
    collins, other = astronaut[20:260, 100:340], hopper[20:400:2, 80:420:2]
    for index in range(12):
        image = np.full((360, 640, 3), 110, np.uint8)
        image[80:320, 30 * index : 30 * index + 240] = collins
        image[60 : 60 + len(other), 300 : 300 + other.shape[1]] = other
        yield Frame(image, index, index / 12, "walk")


def test_both_libraries_give_the_same_rows(astronaut: Pixels, hopper: Pixels) -> None:
    """In f32: boxes within 0.1 pixels, probabilities and similarities within 0.002; tracks, names, labels the same."""
    pytest.importorskip("onnxruntime")
    reference = build_stages(Options(precision="f32"), nobody)
    identify = calibrated_identifier(*enrolled(reference, astronaut, hopper))
    results = [
        rows(build_stages(Options(runtime=library, precision="f32"), identify), two_people(astronaut, hopper))
        for library in ("openvino", "onnxruntime")
    ]
    for one, other in zip(*results, strict=True):
        assert len(one.faces) == len(other.faces) > 0
        for face, twin in zip(one.faces, other.faces, strict=True):
            assert (face.track, face.identity, face.emotion) == (twin.track, twin.identity, twin.emotion)
            assert np.abs(np.subtract(face.box, twin.box)).max() <= 0.1
            assert np.abs(np.subtract(face.landmarks, twin.landmarks)).max() <= 0.1
            assert [face.similarity, face.score] == pytest.approx([twin.similarity, twin.score], abs=2e-3)
            assert list(face.emotions.values()) == pytest.approx(list(twin.emotions.values()), abs=2e-3)
    assert {face.identity for face in results[0][0].faces} == {"Collins", "Hopper"}


def enrolled(stages: Stages, *portraits: Pixels) -> tuple[Embeddings, list[str]]:
    from manyfaces.portraits import read_portraits

    names = ["Collins", "Hopper"]
    return read_portraits(zip(names, portraits, strict=True), stages).embeddings, names


def test_the_input_is_never_edited(astronaut: Pixels) -> None:
    before = astronaut.copy()
    rows(build_stages(Options(), nobody), iter([Frame(astronaut, 0, 0.0, "a")]))
    assert np.array_equal(before, astronaut)
