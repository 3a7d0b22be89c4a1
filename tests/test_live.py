"""Live: the newest frame wins and what is passed over is counted; several streams at once; nothing hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from manyfaces.api import chains
from manyfaces.attention import Budget, Thrifty
from manyfaces.engine import LIVE_AHEAD, Chain, Engine, Plan
from manyfaces.errors import OutputError
from manyfaces.pipeline import Pipeline, Seen
from manyfaces.sinks import Tee
from manyfaces.stages import News, Source
from manyfaces.types import Detections, Frame, FrameResult, Pixels, Unreadable
from test_engine import clip, detect, failing_on, fakes, frame, one_scene, rows, thrifty, until_trouble
from test_sources_camera import Plan as Answers
from test_sources_camera import film, served
from threads import DEADLINE, SteadyTracker, Trouble, bounded

ONE_AT_A_TIME = Plan(workers=1, ahead=1)


def live(source: Source, plan: Plan | None = None, **changed: Any) -> Iterator[Seen]:
    return Engine(fakes(**changed), plan).run_chains([Chain([source], live=True)])


class Held:
    """A detector that tells when it is called for the first time, and answers when it may."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
        self.called.set()
        assert self.may_answer.wait(DEADLINE)
        return detect(images)


def camera(held: Held, items: Sequence[Frame | Unreadable]) -> Iterator[Frame | Unreadable]:
    """The first at once; all others while the detector is busy with it, which may answer when the last has come."""
    yield items[0]
    assert held.called.wait(DEADLINE)
    yield from items[1:]
    held.may_answer.set()


def shown(seen: Iterator[Seen]) -> list[tuple[int, int]]:
    return [(row.index, row.timing.dropped) for row in rows(seen)]


SMALL = np.zeros((16, 64, 3), np.uint8)


def endless(stream: str) -> Iterator[Frame]:
    """Frames without a face and without a pause."""
    return (Frame(SMALL, index, index / 25, stream) for index in count())


# --- the newest frame wins -------------------------------------------------------------------------------------------


@bounded
def test_the_newest_frame_is_next_and_the_others_are_counted() -> None:
    held = Held()
    assert shown(live(camera(held, clip([1] * 10)), ONE_AT_A_TIME, detect=held)) == [(0, 0), (9, 8)]


@bounded
def test_what_says_that_something_is_wrong_is_never_passed_over() -> None:
    held = Held()
    items: list[Frame | Unreadable] = list(clip([1] * 10))
    for position in (2, 3, 7):
        items[position] = Unreadable("clip", position, 0.0, "torn")
    got = rows(live(camera(held, items), ONE_AT_A_TIME, detect=held))
    assert [(row.index, row.error) for row in got] == [(0, ""), (2, "torn"), (3, "torn"), (7, "torn"), (9, "")]
    assert [row.timing.dropped for row in got] == [0, 0, 0, 0, 5]


@bounded
def test_an_unreadable_last_item_takes_no_frames_place() -> None:
    held = Held()
    items = [*clip([1] * 6), Unreadable("clip", 6, 0.0, "the end is missing")]
    got = rows(live(camera(held, items), ONE_AT_A_TIME, detect=held))
    assert [(row.index, row.timing.dropped) for row in got] == [(0, 0), (5, 4), (6, 0)]


@pytest.mark.parametrize("plan", [Plan(), Plan(1, ahead=1), Plan(4, pictures=3, faces=8)], ids=str)
@bounded
def test_every_frame_is_shown_or_counted_and_the_last_is_shown(plan: Plan) -> None:
    got = rows(live(iter(clip([3] * 200)), plan))
    assert sum(1 + row.timing.dropped for row in got) == 200
    assert got[-1].index == 199
    assert [row.index for row in got] == sorted({row.index for row in got})


@bounded
def test_a_recording_waits_for_everybody() -> None:
    got = rows(Engine(fakes()).run(clip([1] * 50)))
    assert {(row.timing.dropped, row.timing.age) for row in got} == {(0, None)}


@bounded
def test_live_results_have_an_age_and_the_attention_hears_of_it() -> None:
    heard: list[float | None] = []

    class Listening(Thrifty):
        def learn(self, news: News, /) -> None:
            heard.append(news.age)
            super().learn(news)

    stages = fakes(new_tracker=SteadyTracker, new_attention=partial(Listening, Budget()))
    got = rows(Engine(stages).run_chains([Chain([one_scene(clip([2] * 20))], live=True)]))
    assert [row.timing.age for row in got] == heard
    assert all(age is not None and age >= 0 for age in heard)


@bounded
def test_a_slow_consumer_does_not_stop_the_camera_and_gets_what_is_new() -> None:
    far = threading.Event()

    def filming() -> Iterator[Frame]:
        for one in endless("clip"):
            if one.index == 500:
                far.set()
            yield one

    seen = live(filming())
    next(seen)
    assert far.wait(DEADLINE)
    # What was under way when the consumer fell asleep is old; behind it comes what is new.
    indices = [row.index for _, row in islice(seen, LIVE_AHEAD + 2)]
    assert indices[-1] >= 499
    seen.close()  # type: ignore[attr-defined]


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 1, 7])
@bounded
def test_an_error_of_a_camera_is_raised_once_after_its_last_frame(position: int) -> None:
    def broken() -> Iterator[Frame]:
        yield from clip([1] * position)
        raise Trouble

    seen = live(broken())
    assert until_trouble(seen)[-1:] == [position - 1] * bool(position)
    assert list(seen) == []


@bounded
def test_the_last_frame_before_a_cameras_error_comes_out() -> None:
    held = Held()

    def broken() -> Iterator[Frame | Unreadable]:
        yield from camera(held, clip([1] * 5))
        raise Trouble

    assert until_trouble(live(broken(), ONE_AT_A_TIME, detect=held)) == [0, 4]


@pytest.mark.parametrize(
    "broken", [{"detect": failing_on(3, detect)}, {"new_tracker": failing_on(0, SteadyTracker)}], ids=["stage", "start"]
)
@bounded
def test_an_error_of_a_stage_stops_an_endless_camera(broken: dict[str, Any]) -> None:
    with pytest.raises(Trouble):
        list(live(endless("clip"), **broken))


@bounded
def test_an_error_of_carrying_faces_on_is_raised_once() -> None:
    class Stumbling(SteadyTracker):
        predict = failing_on(2, SteadyTracker.predict)

    frames = one_scene(clip([2] * 30))
    seen = Engine(fakes(new_tracker=Stumbling, new_attention=partial(Thrifty, Budget()))).run(frames)
    assert until_trouble(seen)
    assert list(seen) == []


@bounded
def test_an_empty_camera_ends() -> None:
    assert rows(live(iter(()))) == []


@bounded
def test_closing_ends_endless_cameras() -> None:
    seen = Engine(fakes()).run_chains([Chain([endless(name)], live=True) for name in ("left", "right")])
    waiting = {"left", "right"}
    while waiting:
        waiting.discard(next(seen)[1].stream)
    seen.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_live", [True, False])
@bounded
def test_closing_wakes_a_source_that_waits(is_live: bool) -> None:
    closed = threading.Event()

    def waiting() -> Iterator[Frame]:
        yield frame(0, 1)
        assert closed.wait(DEADLINE)

    seen = Engine(fakes()).run_chains([Chain([waiting()], is_live, closed.set)])
    assert next(seen)[1].index == 0
    seen.close()  # type: ignore[attr-defined]
    assert closed.is_set()


class Sink:
    """Takes results, and does something else before the one at `position`."""

    def __init__(self, position: int, before: Callable[[], None]) -> None:
        self.position, self.before = position, before
        self.got: list[int] = []

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, _: Frame | Unreadable, result: FrameResult, /) -> None:
        if len(self.got) == self.position:
            self.before()
        self.got.append(result.index)


@pytest.mark.parametrize("position", [0, 5])
@pytest.mark.parametrize("is_live", [True, False])
@bounded
def test_a_sink_that_fails_stops_an_endless_source(position: int, is_live: bool) -> None:
    def fail() -> None:
        raise OutputError("the disk is full")

    other = Sink(-1, fail)

    def work() -> None:
        with Tee([Sink(position, fail), other]) as sink:
            for one in Engine(fakes()).run_chains([Chain([endless("clip")], is_live)]):
                sink.write(*one)

    with pytest.raises(OutputError, match="disk is full"):
        work()
    assert len(other.got) == position + 1, "the others get the frame at which one failed"


@bounded
def test_a_slow_sink_holds_up_a_recording_at_its_bound() -> None:
    asked: list[int] = []
    detected = threading.Semaphore(0)

    def source() -> Iterator[Frame]:
        for index in range(30):
            asked.append(index)
            yield frame(index, 1)

    def counted(images: Sequence[Pixels]) -> list[Detections]:
        detected.release()
        return detect(images)

    def wait_for_all_under_way() -> None:
        for _ in range(5 + 1 + 4):  # five written, this one, and what may be under way behind it
            assert detected.acquire(timeout=DEADLINE)
        assert len(asked) <= 5 + 1 + 4

    sink = Sink(5, wait_for_all_under_way)
    for one in Engine(fakes(detect=counted), Plan(ahead=4)).run(source()):
        sink.write(*one)
    assert sink.got == list(range(30))


# --- several streams -------------------------------------------------------------------------------------------------


@bounded
def test_a_camera_beside_a_recording_costs_the_recording_no_frame() -> None:
    recorded, read = clip([2] * 60, "film"), threading.Semaphore(0)

    def reading() -> Iterator[Frame]:
        for one in recorded:
            yield one
            read.release()

    def filming() -> Iterator[Frame]:
        for index in range(60):
            assert read.acquire(timeout=DEADLINE)
            yield Frame(SMALL, index, index / 25, "door")

    got = rows(Engine(fakes()).run_chains([Chain([reading()]), Chain([filming()], live=True)]))
    door = [row for row in got if row.stream == "door"]
    assert sum(1 + row.timing.dropped for row in door) == 60
    assert [row for row in got if row.stream == "film"] == rows(Pipeline(fakes()).run(recorded))


@bounded
def test_one_camera_that_breaks_stops_all_with_one_error() -> None:
    def broken() -> Iterator[Frame]:
        yield frame(0, 1, "broken")
        raise Trouble

    with pytest.raises(Trouble):
        list(Engine(fakes()).run_chains([Chain([endless("whole")], live=True), Chain([broken()], live=True)]))


def test_recorded_inputs_wait_for_each_other_and_the_rest_runs_at_once() -> None:
    names = ["a.mp4", "0", "b.mp4", "rtsp://door/1", "http://shop/film.mp4"]
    several = chains(names, live=False, max_frames=None)
    assert [chain.live for chain in several] == [False, True, False, False]
    assert [len(list(chain.sources)) for chain in several] == [2, 1, 1, 1]
    assert [chain.live for chain in chains(names, live=True, max_frames=None)] == [True] * 4


def test_a_thousand_pictures_are_one_chain_live_or_not() -> None:
    for is_live in (False, True):
        assert len(chains([f"{number}.jpg" for number in range(1000)], is_live, None)) == 1
    assert chains([], True, None) == []


def write_film(path: Path, moments: Sequence[float]) -> str:
    """A grey film with a frame at each of these seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for seconds in moments:
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
            picture.pts, picture.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return str(path)


@bounded
def test_several_streams_and_files_at_once_and_what_cannot_be_opened_stops_none(tmp_path: Path) -> None:
    first, second = (write_film(tmp_path / name, [0, 0.04, 0.08]) for name in ("first.mp4", "second.mp4"))
    answers = [Answers(film(12, "mp4"), [10**9]), Answers(film(9, "matroska"), [10**9]), Answers(b"", [None])]
    with ExitStack() as servers:
        left, right, nothing = (servers.enter_context(served(answer)) for answer in answers)
        names = [first, left, nothing, str(tmp_path / "gone.mp4"), right, second, "97"]
        got = rows(Engine(fakes()).run_chains(chains(names, live=False, max_frames=None)))
    frames = {name: [row.index for row in got if row.stream == name and not row.error] for name in names}
    assert frames == {**{name: [] for name in names}, first: [0, 1, 2], second: [0, 1, 2]} | {
        left: list(range(12)),
        right: list(range(9)),
    }
    assert {row.stream for row in got if row.error} == {nothing, names[3], "97"}
    order = [row.stream for row in got if row.stream in (first, second)]
    assert order == [first] * 3 + [second] * 3, "files follow one another"


@bounded
def test_closing_does_not_wait_for_the_next_frame_of_a_recording_played_live(tmp_path: Path) -> None:
    name = write_film(tmp_path / "long.mp4", [0, 3600])
    seen = Engine(thrifty()).run_chains(chains([name], live=True, max_frames=None))
    _, row = next(seen)
    assert (row.index, row.timing.dropped) == (0, 0)
    assert row.timing.age is not None
    seen.close()  # type: ignore[attr-defined]


@bounded
def test_closing_does_not_wait_for_a_stream_to_come_back() -> None:
    """Its attempts would take 150 seconds."""
    with served(Answers(film(5, "mpegts"), [10**9, None], ranges=False, lengths=False)) as address:
        seen = Engine(fakes()).run_chains(chains([address], live=True, max_frames=None))
        assert next(seen)[1].stream == address
        seen.close()  # type: ignore[attr-defined]
