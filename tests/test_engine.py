"""The engine says what the pipeline says; and whatever breaks, it says so once and leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, groupby, islice
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfaces.attention import Budget, Thrifty
from manyfaces.card import InputSpec
from manyfaces.engine import Chain, Engine, Plan
from manyfaces.pipeline import Pipeline, Seen, Stages
from manyfaces.types import (
    Crops,
    Detections,
    Embeddings,
    Emotions,
    Face,
    Frame,
    FrameResult,
    Identities,
    Pixels,
    Unreadable,
)
from threads import DEADLINE, CountingTracker, KeepingLinker, SteadyTracker, Trouble, bounded

# --- stages that can be reckoned by hand -----------------------------------------------------------------------------

SPEC = InputSpec(8, 8, "rgb", template=((2, 3), (6, 3), (4, 4), (3, 6), (5, 6)))


def detect(images: Sequence[Pixels]) -> list[Detections]:
    """As many faces as the first pixel says, side by side."""
    return [_row_of_faces(int(image[0, 0, 0])) for image in images]


def _row_of_faces(number: int) -> Detections:
    left = np.arange(number, dtype=np.float32) % 50
    boxes = np.stack([left, left * 0, left + 8, left * 0 + 8], axis=1)
    landmarks = np.asarray(SPEC.template, np.float32)[None] + np.stack([left, left * 0], axis=1)[:, None]
    return Detections(boxes, np.full(number, 0.9, np.float32), landmarks)


@dataclass(frozen=True)
class FakeHead:
    """Answers from each crop alone, and remembers the sizes of its batches."""

    spec: InputSpec
    answer: Callable[[Crops], Any]
    batches: list[int]

    def __call__(self, crops: Crops, /) -> Any:
        self.batches.append(len(crops))
        return self.answer(crops)


def expressions(crops: Crops) -> Emotions:
    share = crops.pixels.reshape(len(crops), -1).mean(axis=1, dtype=np.float64) / 255 if len(crops) else np.empty(0)
    return Emotions(np.stack([share, 1 - share], axis=1).astype(np.float32), ("bright", "dark"))


def vectors(crops: Crops) -> Embeddings:
    angle = crops.pixels[:, 4, 4, 0].astype(np.float32) / 255
    return Embeddings(np.stack([np.cos(angle), np.sin(angle)], axis=1), "angle")


def identify(embeddings: Embeddings) -> Identities:
    similarities = embeddings.vectors[:, 0]
    names = tuple("Lan" if similarity > 0.9 else None for similarity in similarities)
    return Identities(names, np.full(len(names), 0.8, np.float32), similarities)


def fakes(**changed: Any) -> Stages:
    stages = Stages(
        detect=detect,
        new_tracker=CountingTracker,
        new_linker=KeepingLinker,
        emotion=FakeHead(SPEC, expressions, []),
        identity=FakeHead(SPEC, vectors, []),
        identify=identify,
    )
    return replace(stages, **changed)


def frame(index: int, faces: int, stream: str = "clip", size: tuple[int, int] = (16, 64)) -> Frame:
    image = np.random.default_rng(index).integers(0, 255, (*size, 3)).astype(np.uint8)
    image[0, 0, 0] = faces
    return Frame(image, index, index / 25, stream)


def clip(faces: Sequence[int], stream: str = "clip") -> list[Frame]:
    return [frame(index, number, stream) for index, number in enumerate(faces)]


def rows(seen: Iterator[Seen]) -> list[FrameResult]:
    return [row for _, row in seen]


# --- equality --------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    faces=st.lists(st.sampled_from([0, 0, 1, 2, 7, 40, 100]), max_size=14),
    workers=st.integers(1, 4),
    pictures=st.integers(1, 4),
    batch=st.sampled_from([1, 3, 8, 32]),
    ahead=st.integers(1, 9),
)
@bounded
def test_rows_equal_the_plain_pipelines(faces: list[int], workers: int, pictures: int, batch: int, ahead: int) -> None:
    plan = Plan(workers, pictures, batch, 0, ahead)
    assert rows(Engine(fakes(), plan).run(clip(faces))) == rows(Pipeline(fakes()).run(clip(faces)))


@pytest.mark.parametrize("off", [{"emotion": None}, {"identity": None}, {"emotion": None, "identity": None}])
@bounded
def test_rows_equal_with_heads_switched_off(off: dict[str, None]) -> None:
    faces = [3, 0, 70, 1]
    assert rows(Engine(fakes(**off)).run(clip(faces))) == rows(Pipeline(fakes(**off)).run(clip(faces)))


@bounded
def test_frames_come_out_beside_their_rows() -> None:
    frames = clip([1, 2, 3])
    seen = list(Engine(fakes()).run(frames))
    assert [one for one, _ in seen] == frames
    assert [row.index for _, row in seen] == [0, 1, 2]


@pytest.mark.parametrize("position", [0, 2, 4])
@bounded
def test_an_unreadable_frame_keeps_its_place(position: int) -> None:
    source: list[Frame | Unreadable] = list(clip([1, 40, 2, 1]))
    source.insert(position, Unreadable("clip", position, 0.1, "torn"))
    got = rows(Engine(fakes(), Plan(pictures=3, faces=8)).run(source))
    assert got == rows(Pipeline(fakes()).run(source))
    assert [row.error for row in got].index("torn") == position


@bounded
def test_nothing_but_unreadable_frames() -> None:
    source = [Unreadable("clip", index, 0.0, "torn") for index in range(20)]
    assert [row.error for row in rows(Engine(fakes()).run(source))] == ["torn"] * 20


@bounded
def test_an_empty_source_gives_nothing() -> None:
    assert list(Engine(fakes()).run([])) == []


@bounded
def test_a_picture_of_another_size_in_the_middle_of_a_batch() -> None:
    frames = [frame(0, 3), frame(1, 2, size=(40, 30)), frame(2, 5), frame(3, 0, size=(1, 1))]
    plan = Plan(pictures=4, wait=0.001)
    assert rows(Engine(fakes(), plan).run(frames)) == rows(Pipeline(fakes()).run(frames))


@bounded
def test_a_thousand_faces_are_dealt_into_even_batches() -> None:
    stages = fakes(detect=lambda images: [_row_of_faces(1000) for _ in images])
    got = rows(Engine(stages).run(clip([1, 1])))
    assert [len(row.faces) for row in got] == [1000, 1000]
    assert isinstance(stages.identity, FakeHead)
    assert sum(stages.identity.batches) == 2000
    assert set(stages.identity.batches) <= {31, 32}


@bounded
def test_faces_of_several_frames_share_a_call() -> None:
    stages = fakes()
    list(Engine(stages, Plan(workers=1, faces=8, wait=60, ahead=4)).run(clip([2] * 12)))
    assert isinstance(stages.identity, FakeHead)
    assert stages.identity.batches == [8, 8, 8]


# --- under a budget --------------------------------------------------------------------------------------------------


def one_scene(frames: Sequence[Frame]) -> list[Frame]:
    """The same pictures with so little contrast that one shows the scene of the next."""
    return [replace(one, image=_faint(one.image)) for one in frames]


def _faint(image: Pixels) -> Pixels:
    faint = image // 16 + np.uint8(90)
    faint[0, 0, 0] = image[0, 0, 0]
    return faint


def thrifty(**changed: Any) -> Stages:
    return fakes(new_tracker=SteadyTracker, new_attention=partial(Thrifty, Budget()), **changed)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 8, 32])
@bounded
def test_rows_under_a_budget_equal_the_plain_pipelines(workers: int, batch: int) -> None:
    plan, frames = Plan(workers, faces=batch), one_scene(clip([20] * 60 + [0, 3, 70] * 10))
    got = rows(Engine(thrifty(), plan).run(frames))
    assert got == rows(Pipeline(thrifty(), plan.ahead).run(frames))
    read = sum(row.timing.emotions for row in got)
    assert 0 < read < sum(len(row.faces) for row in got), "something was spared"
    assert {row.timing.detected for row in got} == {True, False}


@settings(max_examples=30, deadline=None)
@given(
    faces=st.lists(st.sampled_from([0, 1, 2, 9, 40]), min_size=20, max_size=50),
    step=st.integers(1, 6),
    torn=st.sets(st.integers(0, 30), max_size=4),
    workers=st.integers(1, 4),
    ahead=st.integers(1, 9),
)
@bounded
def test_rows_under_a_budget_equal_whatever_is_missing(
    faces: list[int], step: int, torn: set[int], workers: int, ahead: int
) -> None:
    """Frames that cannot be read, and indices with gaps, as from somebody who takes every fifth frame of a film."""
    pictures = one_scene([frame(index * step, number) for index, number in enumerate(faces)])
    frames = [Unreadable("clip", one.index, 0.0, "torn") if at in torn else one for at, one in enumerate(pictures)]
    plan = Plan(workers, faces=8, ahead=ahead)
    assert rows(Engine(thrifty(), plan).run(frames)) == rows(Pipeline(thrifty(), ahead).run(frames))


@bounded
def test_a_chain_and_many_streams_keep_to_their_budgets_apart() -> None:
    clips = [one_scene(clip([number, 40] * 10, f"film {number}")) for number in range(4)]
    alone = [row for frames in clips for row in rows(Pipeline(thrifty(), Plan().ahead).run(frames))]
    assert rows(Engine(thrifty()).run_chains([Chain(clips)])) == alone
    mixed = rows(Engine(thrifty()).run_many(clips))
    assert sorted(mixed, key=lambda row: (row.stream, row.index)) == alone


class FailingAttention(Thrifty):
    """Raises when it is asked, or told, about one frame."""

    def __init__(self, where: str, position: int, lag: int) -> None:
        super().__init__(Budget(), lag)
        setattr(self, where, failing_on(position, getattr(self, where)))


@pytest.mark.parametrize("position", [0, 5, 19])
@pytest.mark.parametrize("where", ["look", "turns", "learn"])
@bounded
def test_an_error_of_the_attention_is_raised_once_in_its_place(where: str, position: int) -> None:
    stages = thrifty()
    stages = replace(stages, new_attention=partial(FailingAttention, where, position))
    assert until_trouble(Engine(stages).run(one_scene(clip([3] * 20)))) == list(range(position))
    assert until_trouble(Pipeline(stages).run(one_scene(clip([3] * 20)))) == list(range(position))


# --- several streams -------------------------------------------------------------------------------------------------


@bounded
def test_each_of_many_streams_says_what_it_says_alone() -> None:
    clips = [clip([number, 0, 40, 1, number], f"camera {number}") for number in range(10)]
    got = rows(Engine(fakes(), Plan(pictures=3)).run_many(clips))
    for number, frames in enumerate(clips):
        alone = rows(Pipeline(fakes()).run(frames))
        assert [row for row in got if row.stream == f"camera {number}"] == alone


@bounded
def test_no_streams_give_nothing() -> None:
    assert list(Engine(fakes()).run_many([])) == []


class Watched:
    """An endless source that tells how often it was asked for a frame."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._asked = 0
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[Frame]:
        for index in count():
            with self._changed:
                self._asked += 1
                self._changed.notify_all()
            yield frame(index, 1, self._stream)

    def wait_until_asked(self, often: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._asked >= often, DEADLINE)


@bounded
def test_streams_that_wait_get_their_turn() -> None:
    ahead = 3
    sources = {name: Watched(name) for name in ("left", "right")}
    seen = Engine(fakes(), Plan(ahead=ahead)).run_many(list(sources.values()))
    pulled = [next(seen)[1].stream]
    while len(pulled) < 60:
        for name, source in sources.items():
            source.wait_until_asked(pulled.count(name) + ahead)
        pulled.append(next(seen)[1].stream)
    # Both have frames waiting all the time, so no stream passes another's frame with more than its share.
    assert max(len(list(run)) for _, run in groupby(pulled[1:])) <= ahead
    seen.close()  # type: ignore[attr-defined]


@bounded
def test_a_stream_ends_while_another_goes_on() -> None:
    got = rows(Engine(fakes()).run_many([clip([1], "short"), clip([2] * 40, "long"), clip([], "empty")]))
    assert [row.stream for row in got].count("long") == 40
    assert [row.stream for row in got].count("short") == 1


@bounded
def test_a_chain_says_of_each_stream_what_it_says_alone() -> None:
    clips = [clip([number, 40], f"picture {number}") for number in range(12)]
    alone = [row for frames in clips for row in rows(Pipeline(fakes()).run(frames))]
    assert rows(Engine(fakes(), Plan(pictures=3)).run_chains([Chain(clips)])) == alone


@bounded
def test_a_chain_opens_no_more_than_it_may_look_ahead() -> None:
    opened: list[int] = []
    endless = ((opened.append(number), clip([1]))[1] for number in count())
    seen = Engine(fakes(), Plan(ahead=3)).run_chains([Chain(endless)])
    for pulled in range(20):
        next(seen)
        assert len(opened) <= pulled + 1 + 3
    seen.close()  # type: ignore[attr-defined]


# --- faults ----------------------------------------------------------------------------------------------------------


def until_trouble(seen: Iterator[Seen]) -> list[int]:
    """The indices that came out before the error; there must be one."""
    got: list[int] = []
    try:
        for _, row in seen:
            got.append(row.index)
    except Trouble:
        return got
    raise AssertionError("no error came out")


@pytest.mark.parametrize("position", [0, 5, 20])
@bounded
def test_an_error_of_the_source_comes_after_the_rows_before_it(position: int) -> None:
    def source() -> Iterator[Frame]:
        yield from clip([1] * position)
        raise Trouble

    assert until_trouble(Engine(fakes()).run(source())) == list(range(position))


def failing_on(position: int, work: Callable[[Any], Any]) -> Callable[..., Any]:
    """The same callable, which raises when it is called for the `position`-th time."""
    calls = count()

    def called(*arguments: Any) -> Any:
        if next(calls) == position:
            raise Trouble
        return work(*arguments)

    return called


class FailingUpdate:
    """A tracker or linker that raises at one frame."""

    def __init__(self, real: Any, position: int) -> None:
        self.update = failing_on(position, real.update)
        self.predict = getattr(real, "predict", None)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("position", [0, 5, 19])
@pytest.mark.parametrize("stage", ["detect", "tracker", "linker", "emotion", "identity", "identify"])
@bounded
def test_an_error_of_a_stage_is_raised_once_in_its_place(stage: str, position: int, workers: int) -> None:
    changed: dict[str, Any] = {
        "detect": {"detect": failing_on(position, detect)},
        "tracker": {"new_tracker": lambda: FailingUpdate(CountingTracker(), position)},
        "linker": {"new_linker": lambda: FailingUpdate(KeepingLinker(), position)},
        "emotion": {"emotion": FakeHead(SPEC, failing_on(position, expressions), [])},
        "identity": {"identity": FakeHead(SPEC, failing_on(position, vectors), [])},
        "identify": {"identify": failing_on(position, identify)},
    }[stage]
    got = until_trouble(Engine(fakes(**changed), Plan(workers, faces=1)).run(clip([1] * 20)))
    assert got == list(range(len(got)))
    # Of several workers, any may be the one to make that call.
    assert workers > 1 or len(got) == position


@bounded
def test_a_detector_that_forgets_a_picture_is_told() -> None:
    with pytest.raises(ValueError, match="answered for 0 of 1"):
        list(Engine(fakes(detect=lambda images: detect(images[1:]))).run(clip([1])))


@bounded
def test_an_error_of_the_consumer_stops_an_endless_source() -> None:
    def consume() -> None:
        for _, row in Engine(fakes()).run(frame(index, 2) for index in count()):
            if row.index == 3:
                raise Trouble

    with pytest.raises(Trouble):
        consume()


@bounded
def test_closing_early_stops_many_endless_sources() -> None:
    sources = [(frame(index, 2, f"camera {number}") for index in count()) for number in range(5)]
    seen = Engine(fakes()).run_many(sources)
    assert len(list(islice(seen, 7))) == 7
    seen.close()  # type: ignore[attr-defined]


@bounded
def test_a_consumer_that_stops_pulling_stops_the_source_at_the_bound() -> None:
    asked = count()
    reached: list[int] = []

    def source() -> Iterator[Frame]:
        for index in islice(asked, 50):
            reached.append(index)
            yield frame(index, 3)

    for pulled, _ in enumerate(Engine(fakes(), Plan(ahead=4)).run(source())):
        assert len(reached) <= pulled + 1 + 4
    assert len(reached) == 50


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"faces": 0}, {"ahead": 0}, {"pictures": 0}, {"wait": -1}])
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Plan(**wrong)


# --- with the real networks ------------------------------------------------------------------------------------------

TOLERANCE = 1e-4
"""How far probabilities and similarities may lie apart: other batch sizes add in another order."""


@pytest.fixture(scope="module")
def real_stages() -> Stages:
    from manyfaces.build import build_stages
    from manyfaces.options import Options

    return build_stages(Options(precision="f32"), identify=_by_direction)


def _by_direction(embeddings: Embeddings) -> Identities:
    """A gallery of one direction: two people fall on its two sides, so names show whether faces were mixed up."""
    direction = np.random.default_rng(5).normal(size=embeddings.vectors.shape[1]).astype(np.float32)
    similarities = (embeddings.vectors @ (direction / np.linalg.norm(direction))).astype(np.float32)
    names = tuple("this side" if similarity > 0 else "that side" for similarity in similarities)
    return Identities(names, np.abs(similarities), similarities)


@pytest.fixture
def walk(astronaut: Pixels, hopper: Pixels) -> list[Frame]:
    """Two people who move in opposite directions, one of them twice, over six frames."""
    first, second = cv2.resize(astronaut, (160, 160)), cv2.resize(hopper, (140, 160))
    frames = []
    for index in range(6):
        image = np.full((200, 560, 3), 90, np.uint8)
        image[10:170, 8 * index : 8 * index + 160] = first
        image[20 + 2 * index : 180 + 2 * index, 200:340] = second
        image[10:170, 400 - 5 * index : 560 - 5 * index] = first
        frames.append(Frame(image, index, index / 25, "walk"))
    return frames


@pytest.fixture
def plain_rows(real_stages: Stages, walk: list[Frame], remembered: dict[str, list[FrameResult]]) -> list[FrameResult]:
    if not remembered:
        remembered["walk"] = rows(Pipeline(real_stages).run(walk))
    return remembered["walk"]


@pytest.fixture(scope="module")
def remembered() -> dict[str, list[FrameResult]]:
    """What the pipeline said, so that it need not say it for every plan."""
    return {}


PLANS = [Plan(workers, faces=faces) for workers in (1, 2, 4) for faces in (1, 8, 32)]


@pytest.mark.parametrize("plan", [*PLANS, Plan(2, pictures=3, wait=0.005)], ids=str)
@bounded
def test_rows_equal_the_plain_pipelines_with_real_networks(
    real_stages: Stages, walk: list[Frame], plain_rows: list[FrameResult], plan: Plan
) -> None:
    fast = rows(Engine(real_stages, plan).run(walk))
    assert [len(row.faces) for row in plain_rows] == [3] * len(walk)
    assert [row.index for row in fast] == [row.index for row in plain_rows]
    for one, other in zip(fast, plain_rows, strict=True):
        assert list(map(_words, one.faces)) == list(map(_words, other.faces))
        np.testing.assert_allclose(numbers(one), numbers(other), atol=TOLERANCE)


@pytest.mark.parametrize("plan", [Plan(1, faces=1, ahead=2), Plan(2, faces=8), Plan(4, faces=32, ahead=5)], ids=str)
@bounded
def test_rows_under_a_budget_equal_the_plain_pipelines_with_real_networks(
    real_stages: Stages, walk: list[Frame], plan: Plan
) -> None:
    stages = replace(real_stages, new_attention=partial(Thrifty, Budget(detections=10, emotions=5)))
    fast, plain = rows(Engine(stages, plan).run(walk)), rows(Pipeline(stages, plan.ahead).run(walk))
    assert [row.timing for row in fast] == [row.timing for row in plain]
    assert {row.timing.detected for row in plain} == {True, False}
    for one, other in zip(fast, plain, strict=True):
        assert list(map(_words, one.faces)) == list(map(_words, other.faces))
        np.testing.assert_allclose(numbers(one), numbers(other), atol=TOLERANCE)


def _words(face: Face) -> tuple[int, str | None, str | None]:
    return face.track, face.identity, face.emotion


def numbers(row: FrameResult) -> list[list[float]]:
    return [_numbers(face) for face in row.faces]


def _numbers(face: Face) -> list[float]:
    shares = [*face.emotions.values(), face.emotion_confidence or 0, face.identity_confidence or 0]
    points = [coordinate for point in face.landmarks for coordinate in point]
    return [*face.box, *points, face.score, *shares, face.similarity or 0]
