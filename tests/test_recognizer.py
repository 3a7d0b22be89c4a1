"""Feed and pull: what comes out, what is refused, and how everything that may break breaks."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from manyfaces.card import InputSpec
from manyfaces.engine import Plan
from manyfaces.errors import InputError, ManyfacesError, UsageError
from manyfaces.pipeline import Pipeline, Stages
from manyfaces.recognizer import Busy, NotYet, Recognizer, Stopped
from manyfaces.types import (
    Crops,
    Detections,
    Embeddings,
    Emotions,
    Frame,
    FrameResult,
    Identities,
    Pixels,
)
from threads import DEADLINE, CountingTracker, KeepingLinker, Trouble, bounded


class Other:
    """Another thread, and what it returned or raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._returned: list[Any] = []
        self._raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._returned.append(work())
        except BaseException as error:
            self._raised.append(error)

    def result(self) -> Any:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "it hangs"
        if self._raised:
            raise self._raised[0]
        return self._returned[0]


# --- stages that can be reckoned by hand -----------------------------------------------------------------------------


class Head:
    spec = InputSpec(8, 8, "rgb", template=((2, 3), (6, 3), (4, 4), (3, 6), (5, 6)))

    def __call__(self, crops: Crops, /) -> Emotions:
        share = crops.pixels[:, 4, 4, 1].astype(np.float32) / 255
        return Emotions(np.stack([share, 1 - share], axis=1), ("bright", "dark"))


def detect(images: Sequence[Pixels]) -> list[Detections]:
    """As many faces as the first pixel says."""
    return [_faces(int(image[0, 0, 0])) for image in images]


def _faces(number: int) -> Detections:
    boxes = np.tile(np.array([0, 0, 8, 8], np.float32), (number, 1))
    landmarks = np.tile(np.asarray(Head.spec.template, np.float32), (number, 1, 1))
    return Detections(boxes, np.full(number, 0.9, np.float32), landmarks)


def strangers(embeddings: Embeddings) -> Identities:
    return Identities.strangers(len(embeddings))


def stages(detector: Callable[[Sequence[Pixels]], list[Detections]] = detect) -> Stages:
    return Stages(detector, CountingTracker, KeepingLinker, Head(), None, strangers)


def picture(faces: int, size: tuple[int, int] = (16, 16), seed: int = 0) -> Pixels:
    image = np.random.default_rng(seed).integers(0, 255, (*size, 3)).astype(np.uint8)
    image[0, 0, 0] = faces
    return image


def counts(rows: list[FrameResult]) -> list[int]:
    return [len(row.faces) for row in rows]


class HeldDetector:
    """A detector that tells when it is called, and answers when it may."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
        self.called.set()
        assert self.may_answer.wait(DEADLINE)
        return detect(images)


class Slow(Sequence[Pixels]):
    """Pictures that are looked through once, and then come only when `before` allows the one at `position`."""

    def __init__(self, pictures: list[Pixels], position: int, before: Callable[[], None]) -> None:
        self._pictures = pictures
        self._position = position
        self._before = before
        self._looked_through = False

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: Any) -> Any:
        return self._pictures[index]

    def __iter__(self) -> Iterator[Pixels]:
        for number, one in enumerate(self._pictures):
            if number == self._position and self._looked_through:
                self._before()
            yield one
        self._looked_through = True


# --- what comes out --------------------------------------------------------------------------------------------------


@bounded
def test_results_equal_the_plain_pipelines_batch_by_batch() -> None:
    pictures = [picture(number % 40, seed=number) for number in range(12)]
    frames = [Frame(image, index, index / 25, "door") for index, image in enumerate(pictures)]
    plain = [row for _, row in Pipeline(stages()).run(frames)]
    with Recognizer(stages(), Plan(faces=8)) as recognizer:
        for start, stop in ((0, 5), (5, 6), (6, 12)):
            recognizer.feed(pictures[start:stop], stream="door")
        got = [recognizer.pull(stream="door") for _ in range(3)]
    assert [len(rows) for rows in got] == [5, 1, 6]
    assert [row for rows in got for row in rows] == plain


@bounded
def test_an_array_of_pictures_is_a_batch() -> None:
    with Recognizer(stages()) as recognizer:
        recognizer.feed(np.stack([picture(2), picture(3)]))
        assert counts(recognizer.pull()) == [2, 3]


@bounded
def test_pictures_of_several_sizes_share_one_block() -> None:
    owners: list[Any] = []

    def remember(images: Sequence[Pixels]) -> list[Detections]:
        owners.extend(image.base for image in images)
        return detect(images)

    with Recognizer(stages(remember)) as recognizer:
        recognizer.feed([picture(1), picture(2, (40, 30)), picture(0, (1, 1)), picture(4)])
        rows = recognizer.pull()
    assert counts(rows) == [1, 2, 0, 4]
    assert [(row.width, row.height) for row in rows] == [(16, 16), (30, 40), (1, 1), (16, 16)]
    assert len({id(owner) for owner in owners}) == 1


@bounded
def test_a_fed_picture_may_be_used_again_at_once() -> None:
    detector = HeldDetector()
    mine = picture(3)
    with Recognizer(stages(detector)) as recognizer:
        recognizer.feed([mine])
        mine[:] = 0
        detector.may_answer.set()
        assert counts(recognizer.pull()) == [3]


@bounded
def test_the_first_picture_is_recognised_before_the_last_is_there() -> None:
    detector = HeldDetector()
    detector.may_answer.set()

    def wait_for_the_first() -> None:
        assert detector.called.wait(DEADLINE)

    with Recognizer(stages(detector)) as recognizer:
        recognizer.feed(Slow([picture(1), picture(2)], 1, wait_for_the_first))
        assert counts(recognizer.pull()) == [1, 2]


@bounded
def test_feeding_no_pictures_is_no_batch() -> None:
    with Recognizer(stages(), buffers=1) as recognizer:
        recognizer.feed([])
        recognizer.feed([picture(1)], block=False)
        assert counts(recognizer.pull()) == [1]


@bounded
def test_a_thousand_faces_and_none() -> None:
    def crowd(images: Sequence[Pixels]) -> list[Detections]:
        return [_faces(1000 if image[0, 0, 0] else 0) for image in images]

    with Recognizer(stages(crowd)) as recognizer:
        recognizer.feed([picture(0), picture(1), picture(0)])
        assert counts(recognizer.pull()) == [0, 1000, 0]


# --- buffers ---------------------------------------------------------------------------------------------------------


@bounded
def test_a_full_stream_refuses_or_times_out_until_results_are_pulled() -> None:
    with Recognizer(stages(), buffers=2) as recognizer:
        recognizer.feed([picture(1)])
        recognizer.feed([picture(2)])
        with pytest.raises(Busy, match="all 2 buffers"):
            recognizer.feed([picture(3)], block=False)
        with pytest.raises(Busy):
            recognizer.feed([picture(3)], timeout=0.001)
        assert counts(recognizer.pull()) == [1]
        recognizer.feed([picture(3)], block=False)
        assert [counts(recognizer.pull()), counts(recognizer.pull())] == [[2], [3]]


@bounded
def test_a_full_stream_blocks_its_feeder_until_results_are_pulled() -> None:
    with Recognizer(stages(), buffers=1) as recognizer:
        recognizer.feed([picture(1)])
        feeder = Other(lambda: recognizer.feed([picture(2)]))
        assert counts(recognizer.pull()) == [1]
        feeder.result()
        assert counts(recognizer.pull()) == [2]


@bounded
def test_a_stream_that_nobody_pulls_holds_up_no_other() -> None:
    with Recognizer(stages(), Plan(ahead=1), buffers=2) as recognizer:
        for _ in range(2):
            recognizer.feed([picture(1)] * 10, stream="forgotten")
        for _ in range(5):
            recognizer.feed([picture(2)] * 3, stream="door")
            assert counts(recognizer.pull(stream="door")) == [2, 2, 2]


@bounded
def test_pulling_waits_for_what_is_fed_later() -> None:
    with Recognizer(stages()) as recognizer:
        puller = Other(lambda: recognizer.pull(stream="door"))
        recognizer.feed([picture(5)], stream="door")
        assert counts(puller.result()) == [5]


@bounded
def test_pulling_gives_up_when_patience_ends() -> None:
    with Recognizer(stages()) as recognizer:
        with pytest.raises(NotYet, match="within 0 s"):
            recognizer.pull(timeout=0)
        with pytest.raises(TimeoutError):
            recognizer.pull(timeout=0.001)
        recognizer.feed([picture(1)])
        assert counts(recognizer.pull()) == [1]


@bounded
def test_memory_of_a_batch_is_free_when_the_recognizer_is_closed() -> None:
    blocks: list[weakref.ref[Any]] = []

    def remember(images: Sequence[Pixels]) -> list[Detections]:
        blocks.extend(weakref.ref(image.base) for image in images)
        return detect(images)

    with Recognizer(stages(remember)) as recognizer:
        for _ in range(3):
            recognizer.feed([picture(3)] * 4)
        recognizer.pull()
    gc.collect()
    assert blocks
    assert not [block for block in blocks if block() is not None]


# --- several threads and streams -------------------------------------------------------------------------------------


@bounded
def test_two_threads_feeding_one_stream_keep_their_batches_whole() -> None:
    with Recognizer(stages(), buffers=3) as recognizer:

        def feed(faces: int) -> None:
            for _ in range(20):
                recognizer.feed([picture(faces)] * 3)

        feeders = [Other(lambda: feed(1)), Other(lambda: feed(2))]
        batches = [recognizer.pull() for _ in range(40)]
        for feeder in feeders:
            feeder.result()
    assert sorted(map(tuple, map(counts, batches))) == [(1, 1, 1)] * 20 + [(2, 2, 2)] * 20
    assert [row.index for rows in batches for row in rows] == list(range(120))


@bounded
def test_a_slow_feeder_does_not_break_the_order_of_its_stream() -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        assert go_on.wait(DEADLINE)

    with Recognizer(stages()) as recognizer:
        slow = Other(lambda: recognizer.feed(Slow([picture(1), picture(1)], 1, hold)))
        assert reached.wait(DEADLINE)
        recognizer.feed([picture(2)])
        go_on.set()
        slow.result()
        assert [counts(recognizer.pull()), counts(recognizer.pull())] == [[1, 1], [2]]


@bounded
def test_a_stream_ends_while_another_goes_on() -> None:
    with Recognizer(stages()) as recognizer:
        recognizer.feed([picture(1)], stream="short")
        recognizer.end("short")
        recognizer.end("short")
        with pytest.raises(UsageError, match="'short' has ended"):
            recognizer.feed([picture(1)], stream="short")
        recognizer.feed([picture(2)], stream="long")
        assert counts(recognizer.pull(stream="short")) == [1]
        assert recognizer.pull(stream="short") == []
        assert recognizer.pull(stream="short") == []
        recognizer.feed([picture(3)], stream="long")
        assert [counts(recognizer.pull(stream="long")) for _ in range(2)] == [[2], [3]]


@bounded
def test_ending_a_stream_wakes_who_waits_for_it() -> None:
    with Recognizer(stages()) as recognizer:
        puller = Other(lambda: recognizer.pull(stream="short"))
        recognizer.end("short")
        assert puller.result() == []


@bounded
def test_many_streams_each_get_their_own() -> None:
    with Recognizer(stages(), Plan(pictures=4)) as recognizer:
        for number in range(20):
            recognizer.feed([picture(number)] * 2, stream=str(number))
        for number in range(20):
            rows = recognizer.pull(stream=str(number))
            assert counts(rows) == [number, number]
            assert {row.stream for row in rows} == {str(number)}


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
@bounded
def test_a_batch_with_something_that_is_no_picture_is_refused_whole(wrong: Any) -> None:
    with Recognizer(stages(), buffers=1) as recognizer:
        with pytest.raises(InputError, match="picture 1 of the batch"):
            recognizer.feed([picture(1), wrong])
        recognizer.feed([picture(2)], block=False)
        assert counts(recognizer.pull()) == [2]


@bounded
def test_a_feeder_that_breaks_off_leaves_no_gap() -> None:
    def fail() -> None:
        raise Trouble

    with Recognizer(stages()) as recognizer:
        with pytest.raises(Trouble):
            recognizer.feed(Slow([picture(1), picture(2), picture(3)], 1, fail))
        recognizer.feed([picture(4)])
        rows = recognizer.pull()
        assert counts(rows) == [1, 0, 0]
        assert [bool(row.error) for row in rows] == [False, True, True]
        assert counts(recognizer.pull()) == [4]


def failing(images: Sequence[Pixels]) -> list[Detections]:
    raise Trouble(f"with {len(images)} pictures")


@bounded
def test_an_error_of_a_stage_is_raised_once_in_the_puller() -> None:
    with Recognizer(stages(failing)) as recognizer:
        recognizer.feed([picture(1)])
        with pytest.raises(Trouble):
            recognizer.pull()
        with pytest.raises(Stopped):
            recognizer.pull()
        with pytest.raises(Stopped):
            recognizer.feed([picture(1)])


@bounded
def test_a_feeder_that_stops_feeding_keeps_no_result_from_the_puller() -> None:
    """Batches wait for company, but not for ever."""
    with Recognizer(stages(), Plan(pictures=4, faces=32, wait=0.001)) as recognizer:
        recognizer.feed([picture(2), picture(1)])
        assert counts(recognizer.pull()) == [2, 1]
        with pytest.raises(NotYet):
            recognizer.pull(timeout=0)


@bounded
def test_an_error_of_a_stage_wakes_a_feeder_that_waits() -> None:
    with Recognizer(stages(failing), buffers=1) as recognizer:
        recognizer.feed([picture(1)])
        with pytest.raises(Trouble):
            recognizer.feed([picture(1)])


@bounded
def test_an_error_nobody_heard_of_is_raised_when_the_block_ends() -> None:
    def use() -> None:
        with Recognizer(stages(failing)) as recognizer:
            recognizer.feed([picture(1)])
            # The stages have stopped once the channel into them is cancelled.
            for _ in recognizer._streams[""].results:
                pass

    with pytest.raises(Trouble):
        use()


@bounded
def test_closing_wakes_feeders_and_pullers() -> None:
    detector = HeldDetector()
    recognizer = Recognizer(stages(detector), buffers=1)
    recognizer.feed([picture(1)])
    feeder = Other(lambda: recognizer.feed([picture(1)]))
    puller = Other(recognizer.pull)
    assert detector.called.wait(DEADLINE)
    closer = Other(recognizer.close)
    with pytest.raises(Stopped):
        feeder.result()
    with pytest.raises(Stopped):
        puller.result()
    detector.may_answer.set()
    closer.result()


@bounded
def test_closing_while_a_batch_is_being_copied() -> None:
    recognizer = Recognizer(stages())
    recognizer.feed(Slow([picture(1), picture(2)], 1, recognizer.close))
    with pytest.raises(Stopped, match="closed"):
        recognizer.pull()


@bounded
def test_a_recognizer_that_was_never_fed_closes_and_closes_again() -> None:
    recognizer = Recognizer(stages())
    recognizer.close()
    recognizer.close()
    with pytest.raises(ManyfacesError, match="make a new one"):
        recognizer.feed([picture(1)])


@bounded
def test_an_error_of_the_user_closes_the_recognizer() -> None:
    def use() -> None:
        with Recognizer(stages()) as recognizer:
            recognizer.feed([picture(1)] * 50)
            raise Trouble

    with pytest.raises(Trouble):
        use()


NAN, ENDLESS = float("nan"), float("inf")


@pytest.mark.parametrize("wrong", [0, -1, 2.5, NAN, ENDLESS, "3", None])
def test_buffers_are_counted_in_whole_numbers(wrong: Any) -> None:
    with pytest.raises(UsageError, match="expected a whole number"):
        Recognizer(stages(), buffers=wrong)


@pytest.mark.parametrize("wrong", [0, -25, NAN, ENDLESS, 10**400, "25", None])
def test_a_pace_is_a_number_above_0(wrong: Any) -> None:
    with pytest.raises(UsageError, match="expected a number, more than 0"):
        Recognizer(stages(), pictures_per_second=wrong)


@bounded
def test_settings_may_be_numbers_of_numpy() -> None:
    with Recognizer(stages(), buffers=np.int64(2), pictures_per_second=np.float32(10)) as recognizer:  # type: ignore[arg-type]
        recognizer.feed([picture(1), picture(1)], timeout=np.float32(1))  # type: ignore[arg-type]
        assert recognizer.pull()[1].seconds == pytest.approx(0.1)


@pytest.mark.parametrize("wrong", [NAN, np.float32("nan"), "soon"])
@bounded
def test_a_timeout_that_is_no_number_is_refused_and_not_waited_for(wrong: Any) -> None:
    with Recognizer(stages(), buffers=1) as recognizer:
        with pytest.raises(UsageError, match="expected seconds"):
            recognizer.pull(timeout=wrong)
        with pytest.raises(UsageError, match="expected seconds"):
            recognizer.feed([picture(1)], timeout=wrong)
        recognizer.feed([picture(2)], block=False)
        assert counts(recognizer.pull()) == [2]


@pytest.mark.parametrize("timeout", [ENDLESS, 1e300, 10**400, threading.TIMEOUT_MAX])
@bounded
def test_a_timeout_of_hundreds_of_years_is_no_limit(timeout: float) -> None:
    with Recognizer(stages(), buffers=1) as recognizer:
        recognizer.feed([picture(1)], timeout=timeout)
        feeder = Other(lambda: recognizer.feed([picture(2)], timeout=timeout))
        assert counts(recognizer.pull(timeout=timeout)) == [1]
        feeder.result()
        assert counts(recognizer.pull(timeout=timeout)) == [2]


@bounded
def test_a_generator_is_a_batch() -> None:
    with Recognizer(stages()) as recognizer:
        recognizer.feed(picture(faces) for faces in (1, 2, 3))
        assert counts(recognizer.pull()) == [1, 2, 3]


@pytest.mark.parametrize("wrong", [None, 3, np.array(3, np.uint8), np.uint8(3)])
@bounded
def test_what_is_no_batch_is_refused(wrong: Any) -> None:
    with Recognizer(stages(), buffers=1) as recognizer:
        with pytest.raises(InputError, match="is no batch; feed a list"):
            recognizer.feed(wrong)
        recognizer.feed([picture(2)], block=False)
        assert counts(recognizer.pull()) == [2]


@pytest.mark.parametrize("wrong", [[[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]], "a picture", None, {"a": 1}])
@bounded
def test_what_is_no_array_is_refused_before_anything_is_fed(wrong: Any) -> None:
    with Recognizer(stages(), buffers=1) as recognizer:
        with pytest.raises(InputError, match="picture 1 of the batch"):
            recognizer.feed([picture(1), wrong])
        recognizer.feed([picture(2)], block=False)
        assert counts(recognizer.pull()) == [2]


@bounded
def test_a_recognizer_that_is_dropped_ends_its_threads() -> None:
    before = set(threading.enumerate())
    recognizer = Recognizer(stages())
    recognizer.feed([picture(1)])
    assert counts(recognizer.pull()) == [1]
    recognizer.feed([picture(1)])
    threads = set(threading.enumerate()) - before
    assert threads
    del recognizer
    gc.collect()
    for thread in threads:
        thread.join(DEADLINE)
    assert not [thread.name for thread in threads if thread.is_alive()]
