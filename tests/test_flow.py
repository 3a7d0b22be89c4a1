"""Threads and channels, tested by their failures. No test sleeps: what would hang runs into a deadline and fails."""

from __future__ import annotations

import gc
import itertools
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfaces.flow import UNBOUNDED, Batching, Cancelled, Channel, Flow, Gate
from threads import DEADLINE, Trouble, bounded


def failing_at(position: int, length: int) -> Iterator[int]:
    """0, 1, 2 ... with a raise before the item at `position`; at `length` it comes after the last."""
    for number in range(length):
        if number == position:
            raise Trouble(f"at {position}")
        yield number
    if position >= length:
        raise Trouble("after the last")


def doubled(numbers: list[int]) -> list[int]:
    return [2 * number for number in numbers]


def flowing(
    source: Iterator[int],
    work: Callable[[list[int]], list[int]] = doubled,
    step: Callable[[int], list[int]] = lambda number: [number],
    workers: int = 2,
    batching: Batching | None = None,
    capacity: int = 3,
    limit: int = 4,
) -> Iterator[int]:
    """A source, a parallel stage and an ordered stage behind a gate: the shape of every real flow."""
    with Flow() as flow:
        gate = flow.gate(limit)
        read, made, out = (flow.channel(capacity) for _ in range(3))
        flow.pour(source, read, gate)
        flow.spread(read, made, work, workers, batching or Batching())
        flow.each(made, out, step)
        for item in out:
            gate.leave()
            yield item


def collected(items: Iterator[int]) -> tuple[list[int], list[BaseException]]:
    """What came out before the end, and what was raised."""
    got: list[int] = []
    try:
        for item in items:
            got.append(item)
    except Trouble as error:
        return got, [error]
    return got, []


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, 60),
    workers=st.integers(1, 5),
    most=st.integers(1, 9),
    capacity=st.integers(1, 6),
    limit=st.integers(1, 20),
)
@bounded
def test_everything_comes_out_once_and_in_order(
    length: int, workers: int, most: int, capacity: int, limit: int
) -> None:
    got = list(flowing(iter(range(length)), workers=workers, batching=Batching(most), capacity=capacity, limit=limit))
    assert got == [2 * number for number in range(length)]


@bounded
def test_order_is_kept_when_the_first_item_is_finished_last() -> None:
    second_is_done = threading.Event()

    def work(numbers: list[int]) -> list[int]:
        if numbers == [0]:
            assert second_is_done.wait(DEADLINE)
        if numbers == [1]:
            second_is_done.set()
        return numbers

    assert list(flowing(iter(range(5)), work=work, workers=2)) == [0, 1, 2, 3, 4]


@bounded
def test_an_empty_source_ends_at_once() -> None:
    assert list(flowing(iter(()))) == []


@pytest.mark.parametrize("position", [0, 1, 7, 20])
@bounded
def test_an_error_of_the_source_comes_after_all_items_before_it(position: int) -> None:
    got, errors = collected(flowing(failing_at(position, 20)))
    assert got == [2 * number for number in range(min(position, 20))]
    assert len(errors) == 1


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("position", [0, 5, 19])
@bounded
def test_an_error_of_a_parallel_stage_takes_its_items_place(position: int, workers: int) -> None:
    def work(numbers: list[int]) -> list[int]:
        if position in numbers:
            raise Trouble
        return numbers

    got, errors = collected(flowing(iter(range(20)), work=work, workers=workers))
    assert got == list(range(position))
    assert len(errors) == 1


@pytest.mark.parametrize("position", [0, 5, 19])
@bounded
def test_an_error_of_an_ordered_stage_takes_its_items_place(position: int) -> None:
    def step(number: int) -> list[int]:
        if number == 2 * position:
            raise Trouble
        return [number]

    got, errors = collected(flowing(iter(range(20)), step=step))
    assert got == [2 * number for number in range(position)]
    assert len(errors) == 1


@bounded
def test_errors_everywhere_are_raised_once() -> None:
    def work(numbers: list[int]) -> list[int]:
        raise Trouble(f"with {numbers}")

    got, errors = collected(flowing(failing_at(3, 9), work=work, workers=4))
    assert (got, len(errors)) == ([], 1)


@bounded
def test_an_error_of_the_consumer_goes_through_and_stops_everything() -> None:
    def consume() -> None:
        for number in flowing(itertools.count()):
            raise Trouble(f"with {number}")

    with pytest.raises(Trouble, match="with 0"):
        consume()


@bounded
def test_a_stage_that_loses_an_item_is_named() -> None:
    with pytest.raises(ValueError, match="2 items gave 1 results"):
        list(flowing(iter(range(8)), work=lambda numbers: numbers[:1], batching=Batching(2, 60), workers=1))


@bounded
def test_what_a_started_thread_raises_is_raised_where_the_block_ends() -> None:
    def fail() -> None:
        raise Trouble

    def wait_for_nothing() -> None:
        with Flow() as flow:
            waiting: Channel[int] = flow.channel(1)
            flow.start(fail, "fails")
            list(waiting)

    with pytest.raises(Trouble):
        wait_for_nothing()


@bounded
def test_closing_early_stops_an_endless_source() -> None:
    flow = flowing(itertools.count())
    assert next(flow) == 0
    flow.close()
    assert list(flow) == []


@bounded
def test_closing_early_while_every_channel_is_full() -> None:
    full = threading.Event()
    flow = flowing(watched(itertools.count(), 20, full), capacity=2, limit=1000)
    next(flow)
    # Behind a consumer that stopped pulling, the source comes no further than the channels hold.
    assert not full.is_set()
    flow.close()
    assert not full.is_set()


def watched(numbers: Iterator[int], position: int, reached: threading.Event) -> Iterator[int]:
    for number in numbers:
        if number == position:
            reached.set()
        yield number


@bounded
def test_a_flow_that_is_never_started_has_no_threads() -> None:
    before = threading.active_count()
    flow = flowing(itertools.count())
    assert threading.active_count() == before
    flow.close()


@settings(max_examples=15, deadline=None)
@given(limit=st.integers(1, 6), capacity=st.integers(1, 8), most=st.integers(1, 4))
@bounded
def test_no_more_items_are_under_way_than_the_gate_lets_in(limit: int, capacity: int, most: int) -> None:
    asked = itertools.count()
    started: list[int] = []
    source = (started.append(number) or number for number in itertools.takewhile(lambda n: n < 40, asked))
    taken = 0
    for _ in flowing(source, batching=Batching(most), capacity=capacity, limit=limit):
        taken += 1
        assert len(started) <= taken + limit
    assert taken == 40


@bounded
def test_items_are_let_go_when_the_block_is_left() -> None:
    class Buffer:
        pass

    kept: list[weakref.ref[Buffer]] = []

    def buffers() -> Iterator[Buffer]:
        while True:
            buffer = Buffer()
            kept.append(weakref.ref(buffer))
            yield buffer

    flow = flowing(buffers(), work=lambda items: items)  # type: ignore[arg-type]
    next(flow)
    flow.close()
    del flow
    gc.collect()
    assert kept
    assert not [reference for reference in kept if reference() is not None]


@bounded
def test_several_writers_share_a_channel_until_the_last_ends() -> None:
    with Flow() as flow:
        merged: Channel[int] = flow.channel(2, writers=10)
        for start in range(10):
            flow.pour(iter(range(100 * start, 100 * start + 20)), merged)
        got = list(merged)
    assert sorted(got) == sorted(100 * start + number for start in range(10) for number in range(20))
    for start in range(10):
        assert [number for number in got if number // 100 == start] == list(range(100 * start, 100 * start + 20))


@bounded
def test_a_channel_ends_for_every_reader() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.end()
    assert [channel.take(), channel.take(), channel.take()] == [[1], [], []]


@bounded
def test_nothing_can_be_written_to_a_channel_nobody_reads() -> None:
    channel: Channel[int] = Channel(2)
    place = channel.reserve(1)[0]
    channel.cancel()
    place.fill(1)
    assert len(channel) == 0
    with pytest.raises(Cancelled):
        channel.put(2)
    with pytest.raises(Cancelled):
        channel.take()


@bounded
def test_taking_gives_up_when_patience_ends() -> None:
    channel: Channel[int] = Channel(2)
    with pytest.raises(TimeoutError):
        channel.take(timeout=0)
    channel.put(1)
    assert channel.take(timeout=0) == [1]


# --- batches ---------------------------------------------------------------------------------------------------------


class StoppedClock:
    """Time that only moves when a test says so."""

    def __init__(self) -> None:
        self._now = 0.0
        self.waiting = threading.Semaphore(0)

    def now(self) -> float:
        return self._now

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        assert seconds > 0
        self.waiting.release()
        changed.wait()

    def advance(self, seconds: float, channel: Channel[Any]) -> None:
        with channel._changed:
            self._now += seconds
            channel._changed.notify_all()


def taking(channel: Channel[int], batching: Batching) -> tuple[threading.Thread, list[list[int]]]:
    got: list[list[int]] = []
    thread = threading.Thread(target=lambda: got.append(channel.take(batching)))
    thread.start()
    return thread, got


@bounded
def test_a_batch_goes_when_it_is_full() -> None:
    clock = StoppedClock()
    channel: Channel[int] = Channel(9, clock=clock)
    channel.put(1)
    thread, got = taking(channel, Batching(3, 60))
    assert clock.waiting.acquire(timeout=DEADLINE)
    for number in (2, 3, 4):
        channel.put(number)
    thread.join(DEADLINE)
    assert got == [[1, 2, 3]]
    assert len(channel) == 1


@bounded
def test_a_batch_goes_when_its_first_item_has_waited_long_enough() -> None:
    clock = StoppedClock()
    channel: Channel[int] = Channel(9, clock=clock)
    channel.put(1)
    thread, got = taking(channel, Batching(3, 0.5))
    assert clock.waiting.acquire(timeout=DEADLINE)
    clock.advance(0.3, channel)
    assert clock.waiting.acquire(timeout=DEADLINE)
    channel.put(2)
    assert clock.waiting.acquire(timeout=DEADLINE)
    assert got == []
    clock.advance(0.3, channel)
    thread.join(DEADLINE)
    assert got == [[1, 2]]


@bounded
def test_time_already_waited_for_a_worker_counts() -> None:
    clock = StoppedClock()
    channel: Channel[int] = Channel(9, clock=clock)
    channel.put(1)
    clock.advance(1, channel)
    assert channel.take(Batching(3, 0.5)) == [1]


@bounded
def test_a_batch_goes_when_the_channel_has_no_room_for_more() -> None:
    channel: Channel[int] = Channel(2, clock=StoppedClock())
    channel.put(1)
    channel.put(2)
    assert channel.take(Batching(3, 60)) == [1, 2]


@pytest.mark.parametrize("ending", ["end", "fail"])
@bounded
def test_what_is_left_at_the_end_goes_at_once(ending: str) -> None:
    clock = StoppedClock()
    channel: Channel[int] = Channel(9, clock=clock)
    channel.put(1)
    thread, got = taking(channel, Batching(3, 60))
    assert clock.waiting.acquire(timeout=DEADLINE)
    channel.end() if ending == "end" else channel.fail(Trouble())
    thread.join(DEADLINE)
    assert got == [[1]]


@bounded
def test_without_waiting_a_batch_is_what_lies_there() -> None:
    channel: Channel[int] = Channel(9)
    for number in range(5):
        channel.put(number)
    assert channel.take(Batching(3)) == [0, 1, 2]
    assert channel.take(Batching(3)) == [3, 4]


@given(weights=st.lists(st.integers(0, 9), max_size=40), most=st.integers(1, 12))
def test_batches_are_as_heavy_as_allowed_and_lose_nothing(weights: list[int], most: int) -> None:
    channel: Channel[int] = Channel(len(weights) + 1, weigh=lambda weight: weight)
    for weight in weights:
        channel.put(weight)
    channel.end()
    batches: list[list[int]] = []
    while batch := channel.take(Batching(most)):
        batches.append(batch)
    assert [weight for batch in batches for weight in batch] == weights
    for batch, following in itertools.zip_longest(batches, batches[1:], fillvalue=[most + 9]):
        assert len(batch) == 1 or sum(batch) <= most
        assert sum(batch) >= most or sum(batch) + following[0] > most


@pytest.mark.parametrize("wrong", [(0, 0.0), (1, -1.0)])
def test_a_batching_that_makes_no_sense_is_refused(wrong: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Batching(*wrong)


def test_bounds_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="capacity 0"):
        Channel(0)
    with pytest.raises(ValueError, match="limit 0"):
        Gate(0)


@bounded
def test_a_gate_refuses_when_patience_ends_and_opens_again() -> None:
    gate = Gate(1)
    assert gate.enter()
    assert not gate.enter(timeout=0)
    gate.leave()
    assert gate.enter(timeout=0)
    gate.cancel()
    with pytest.raises(Cancelled):
        gate.enter()


# --- the newest item -------------------------------------------------------------------------------------------------


def is_even(number: int) -> bool:
    return number % 2 == 0


@bounded
def test_the_newest_takes_the_place_of_what_nobody_took() -> None:
    channel: Channel[int] = Channel(UNBOUNDED)
    for number in (2, 4, 6):
        channel.renew(number, is_even)
    assert channel.take() == [6]
    channel.renew(8, is_even)
    channel.end()
    assert list(channel) == [8]


@given(st.lists(st.one_of(st.integers(0, 9), st.none()), max_size=60))
def test_what_is_needed_is_never_passed_over_and_the_order_is_kept(doings: list[int | None]) -> None:
    """A number is renewed, counted so that all differ; None takes. Even ones are expendable."""
    channel: Channel[int] = Channel(UNBOUNDED)
    written, taken = [], []
    for position, doing in enumerate(doings):
        if doing is None:
            taken += channel.take(timeout=0) if len(channel) else []
        else:
            written.append(10 * position + doing)
            channel.renew(written[-1], is_even)
    channel.end()
    taken += list(channel)
    assert taken == sorted(taken)
    assert set(taken) <= set(written)
    assert [number for number in taken if not is_even(number)] == [one for one in written if not is_even(one)]
    evens = [number for number in written if is_even(number)]
    assert taken[-1:] == written[-1:] or not is_even(written[-1])
    assert evens[-1:] == [number for number in taken if is_even(number)][-1:]


@bounded
def test_a_source_that_cannot_wait_is_read_to_its_end_though_nobody_takes() -> None:
    read = threading.Event()

    def numbers() -> Iterator[int]:
        yield from range(0, 1000, 2)
        read.set()

    with Flow() as flow:
        channel = flow.newest(numbers(), is_even)
        assert read.wait(DEADLINE)
        assert list(channel) == [998]


@pytest.mark.parametrize("position", [0, 1, 5, 9])
@bounded
def test_an_error_of_such_a_source_comes_once_after_its_newest_item(position: int) -> None:
    def numbers() -> Iterator[int]:
        with Flow() as flow:
            yield from flow.newest(failing_at(position, 9), lambda _: False)

    got, errors = collected(numbers())
    assert got == list(range(position))
    assert len(errors) == 1


@bounded
def test_an_error_is_no_expendable_item() -> None:
    channel: Channel[int] = Channel(UNBOUNDED)
    channel.renew(2, is_even)
    channel.fail(Trouble())
    channel.renew(4, is_even)
    with pytest.raises(Trouble):
        channel.take()
    with pytest.raises(Cancelled):
        channel.renew(6, is_even)


@bounded
def test_leaving_the_block_ends_a_source_that_cannot_wait() -> None:
    with Flow() as flow:
        channel = flow.newest(itertools.count(), is_even)
        channel.take()
    with pytest.raises(Cancelled):
        channel.take()


@bounded
def test_who_waits_for_something_else_is_woken_when_the_block_is_left() -> None:
    woken = threading.Event()

    def waiting() -> Iterator[int]:
        yield 0
        assert woken.wait(DEADLINE)

    with Flow() as flow:
        flow.waking(woken.set)
        channel = flow.newest(waiting(), is_even)
        assert channel.take() == [0]
        assert not woken.is_set()
    assert woken.is_set()


@bounded
def test_who_comes_too_late_is_woken_at_once() -> None:
    woken = threading.Event()
    with Flow() as flow:
        flow.cancel()
        flow.waking(woken.set)
        assert woken.is_set()


class Owner:
    """Somebody who opens a block and never leaves it."""


@bounded
def test_a_flow_ends_when_nobody_holds_its_owner_any_more() -> None:
    owner, flow = Owner(), Flow()
    flow.__enter__()
    channel: Channel[int] = flow.channel(1)
    flow.end_with(owner)
    del owner
    gc.collect()
    with pytest.raises(Cancelled):
        channel.take()
    flow.__exit__(None, None, None)


@bounded
def test_an_owner_may_outlive_the_block() -> None:
    owner = Owner()
    with Flow() as flow:
        flow.end_with(owner)
    del owner
    gc.collect()


# --- leaving the program ---------------------------------------------------------------------------------------------

PROGRAM = """
import itertools, signal
from manyfaces.flow import Flow

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background switches it off

def numbers():
    with Flow() as flow:
        read, made = flow.channel(2), flow.channel(2)
        flow.pour(itertools.count(), read)
        flow.spread(read, made, list, workers=2)
        yield from made

endless = numbers()
print(next(endless), flush=True)
"""


def program(rest: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", PROGRAM + rest], stdout=pipe, stderr=pipe, text=True)


def finished(running: subprocess.Popen[str]) -> tuple[str, str]:
    """What it said; one that hangs is killed and fails the test, instead of hanging it too."""
    try:
        return running.communicate(timeout=DEADLINE)
    finally:
        running.kill()


def test_ctrl_c_ends_a_flow_that_waits_for_ever() -> None:
    with program("from manyfaces.flow import Channel\nChannel(1).take()\n") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "0\n"
        running.send_signal(signal.SIGINT)
        _, complaints = finished(running)
    assert complaints.strip().endswith("KeyboardInterrupt")
    assert complaints.count("Traceback") == 1


def test_the_interpreter_can_be_left_with_a_flow_open() -> None:
    with program("") as running:
        _, complaints = finished(running)
    assert (running.returncode, complaints) == (0, "")
