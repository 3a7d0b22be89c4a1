"""Threads and bounded queues. All concurrency of the project lives here; nothing in this file knows of faces.

A `Flow` is a `with` block in which threads live: `pour` reads a source, `each` keeps an order and a memory, `spread`
works in parallel and still gives results in the order of the items. They are joined by channels.

An error is a value that takes its item's place in the order: everything before it comes out, then it is raised, once,
in the thread that takes from the last channel. Cancelling runs the other way: who stops taking cancels the channel, its
writer finds out, and so on up to the source. Leaving the block, however it happens, cancels and joins every thread.
Waiting is always for a change under a lock, never a poll.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet, finalize

Item = TypeVar("Item")
Made = TypeVar("Made")


class Cancelled(Exception):
    """The other end of a channel is gone. Threads of a flow end quietly with it."""


class Clock(Protocol):
    """What waiting for a batch to fill needs of time."""

    def now(self) -> float: ...

    def wait(self, changed: threading.Condition, seconds: float) -> None: ...


class MonotonicClock:
    """Real time."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        changed.wait(seconds)


@dataclass(frozen=True, slots=True)
class Batching:
    """When a batch goes: as soon as it weighs `most`, or when its first item has waited for `wait` seconds.

    With a `wait` of 0 a batch is what lies there when a worker comes for it: it grows by itself where work piles up.
    """

    most: int = 1
    wait: float = 0.0

    def __post_init__(self) -> None:
        if self.most < 1 or self.wait < 0:
            raise ValueError(f"a batch of {self.most} after {self.wait} s: expected at least 1, after 0 s or more")


ONE = Batching()
UNBOUNDED = sys.maxsize
"""The capacity of a channel whose items are counted elsewhere, by gates."""


# --- channels --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Value(Generic[Item]):
    item: Item
    since: float


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException


class Place(Generic[Item]):
    """A place in a channel's order that was reserved and is filled later, by whoever made the item."""

    __slots__ = ("_channel", "outcome")

    def __init__(self, channel: Channel[Item]) -> None:
        self._channel = channel
        self.outcome: _Value[Item] | _Failure | None = None

    def fill(self, item: Item) -> None:
        self._channel._settle(self, _Value(item, self._channel.clock.now()))

    def fail(self, error: BaseException) -> None:
        self._channel._settle(self, _Failure(error))


class Channel(Generic[Item]):
    """A bounded queue between threads that carries values and errors, and always ends.

    Items come out in the order in which their places were reserved, whoever finishes first. The bound counts reserved
    places; a batch larger than the bound passes when the channel is empty. Each of the `writers` says `end` once.
    """

    def __init__(
        self,
        capacity: int,
        writers: int = 1,
        weigh: Callable[[Item], int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: expected at least 1")
        self.clock = clock or MonotonicClock()
        self._capacity = capacity
        self._open_writers = writers
        self._weigh = weigh or _one
        self._places: deque[Place[Item]] = deque()
        self._cancelled = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Append an item, waiting while the channel is full."""
        self.reserve(1)[0].fill(item)

    def fail(self, error: BaseException) -> None:
        """Append an error: whoever comes to it raises it, and nothing follows."""
        self.reserve(1)[0].fail(error)

    def renew(self, item: Item, expendable: Callable[[Item], bool]) -> None:
        """Append an item in place of those before it that nobody has taken and nobody needs any more. Never waits."""
        with self._changed:
            self._expect_reader()
            if expendable(item):  # what is none of them takes nobody's place
                self._places = deque(place for place in self._places if not _is_expendable(place, expendable))
            place = Place(self)
            place.outcome = _Value(item, self.clock.now())
            self._places.append(place)
            self._changed.notify_all()

    def reserve(self, count: int) -> list[Place[Item]]:
        """Take the next `count` places of the order, waiting while the channel is full."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or self._has_room(count))
            self._expect_reader()
            places = [Place(self) for _ in range(count)]
            self._places.extend(places)
            return places

    def add_writer(self) -> None:
        """One more writer is going to say `end`."""
        with self._changed:
            self._open_writers += 1

    def end(self) -> None:
        """A writer has no more items. What is in the channel is still taken."""
        with self._changed:
            self._open_writers -= 1
            self._changed.notify_all()

    def cancel(self) -> None:
        """Nobody takes items any more: let go of them, and tell the writers when they next write."""
        with self._changed:
            self._cancelled = True
            self._places.clear()
            self._changed.notify_all()

    def take(self, batching: Batching = ONE, timeout: float | None = None) -> list[Item]:
        """The next items, at least one; none at all means that the channel has ended.

        Raises the error whose turn it is, and TimeoutError where `timeout` seconds brought nothing.
        """
        with self._changed:
            if not self._changed.wait_for(self._has_news, timeout):
                raise TimeoutError(f"nothing came within {timeout} s")
            self._await_batch(batching)
            self._expect_reader()
            return self._pop(batching)

    def __iter__(self) -> Iterator[Item]:
        while items := self.take():
            yield from items

    def __len__(self) -> int:
        with self._changed:
            return len(self._places)

    def _settle(self, place: Place[Item], outcome: _Value[Item] | _Failure) -> None:
        with self._changed:
            place.outcome = outcome
            self._changed.notify_all()

    def _has_room(self, count: int) -> bool:
        return not self._places or len(self._places) + count <= self._capacity

    def _expect_reader(self) -> None:
        if self._cancelled:
            raise Cancelled

    def _has_news(self) -> bool:
        if self._cancelled:
            return True
        return self._places[0].outcome is not None if self._places else self._open_writers <= 0

    def _await_batch(self, batching: Batching) -> None:
        """Stay while the batch may still grow and its first item's patience lasts."""
        if not batching.wait or not self._places or not isinstance(first := self._places[0].outcome, _Value):
            return
        deadline = first.since + batching.wait
        while self._next_batch(batching)[1] and (left := deadline - self.clock.now()) > 0:
            self.clock.wait(self._changed, left)

    def _next_batch(self, batching: Batching) -> tuple[list[Item], bool]:
        """The first items that go together, and whether others may still join them."""
        items: list[Item] = []
        weight = 0
        for place in self._places:
            if place.outcome is None:
                return items, True
            if isinstance(place.outcome, _Failure) or weight >= batching.most:
                return items, False
            weight += self._weigh(place.outcome.item)
            if items and weight > batching.most:
                return items, False
            items.append(place.outcome.item)
        can_come = self._open_writers > 0 and len(self._places) < self._capacity and not self._cancelled
        return items, can_come and weight < batching.most

    def _pop(self, batching: Batching) -> list[Item]:
        if self._places and isinstance(failure := self._places[0].outcome, _Failure):
            self.cancel()  # nothing follows an error; another reader of this channel must not wait for more
            raise failure.error
        items, _ = self._next_batch(batching)
        for _ in items:
            self._places.popleft()
        self._changed.notify_all()
        return items


def _one(_: object) -> int:
    return 1


def _is_expendable(place: Place[Item], expendable: Callable[[Item], bool]) -> bool:
    return isinstance(place.outcome, _Value) and expendable(place.outcome.item)


class Gate:
    """Lets at most `limit` in at a time."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit {limit}: expected at least 1")
        self._free = limit
        self._cancelled = False
        self._changed = threading.Condition()

    def enter(self, timeout: float | None = None) -> bool:
        """Wait for room; False where none came within `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._cancelled or self._free > 0, timeout):
                return False
            if self._cancelled:
                raise Cancelled
            self._free -= 1
            return True

    def leave(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify()

    def cancel(self) -> None:
        """Nobody gets in any more."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()


# --- threads ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Crew:
    """What the workers of one parallel stage share: whose turn it is to take items and places, and whether all is done.

    Items and their places are taken in one turn, which is what keeps the order.
    """

    turn: threading.Lock = field(default_factory=threading.Lock)
    ended: bool = False


class Flow:
    """The block in which threads live. However it is left, they are told to stop, and have stopped when it is over."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or MonotonicClock()
        self._threads: list[threading.Thread] = []
        self._ends: WeakSet[Channel[Any] | Gate] = WeakSet()  # weak, so that a flow may outlive many streams
        self._sleepers: list[Callable[[], object]] = []
        self._cancelled = False
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def __enter__(self) -> Flow:
        # Somebody may leave the interpreter with the block open, in a generator that is never closed.
        atexit.register(self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._stop()
        atexit.unregister(self._stop)
        own = self.take_error()
        if own is not None and (error is None or isinstance(error, Cancelled)):
            raise own from None

    def _stop(self) -> None:
        self.cancel()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def cancel(self) -> None:
        """Tell every thread to stop and let go of all items; does not wait."""
        with self._lock:
            self._cancelled = True
            ends, sleepers = list(self._ends), list(self._sleepers)
        for end in ends:
            end.cancel()
        for wake in sleepers:
            wake()

    def waking(self, wake: Callable[[], object]) -> None:
        """`wake` is called when the threads are to stop: for a source that waits for something else than a channel."""
        with self._lock:
            self._sleepers.append(wake)
            if not self._cancelled:
                return
        wake()

    def end_with(self, owner: object) -> None:
        """Stop also when nobody holds `owner` any more, who would have left the block. No thread of it may hold them.

        Owners are collected at any moment in any thread, even in one of ours that holds a lock: so all that is done
        there is to wake a thread that waits for it.
        """
        gone: SimpleQueue[None] = SimpleQueue()
        finalize(owner, gone.put, None).atexit = False
        self.waking(lambda: gone.put(None))
        self.start(lambda: self._outlive(gone), "owner")

    def _outlive(self, gone: SimpleQueue[None]) -> None:
        gone.get()
        if not self._cancelled:
            self.cancel()
            atexit.unregister(self._stop)

    def take_error(self) -> BaseException | None:
        """What a thread of this block raised, for whoever asks first; the block will not raise it then."""
        with self._lock:
            error, self._error = self._error, None
            return error

    def channel(self, capacity: int, writers: int = 1, weigh: Callable[[Item], int] | None = None) -> Channel[Item]:
        channel: Channel[Item] = Channel(capacity, writers, weigh, self._clock)
        self._own(channel)
        return channel

    def gate(self, limit: int) -> Gate:
        gate = Gate(limit)
        self._own(gate)
        return gate

    def start(self, work: Callable[[], None], name: str) -> None:
        """Run `work` in a thread of this block. What it raises stops the flow and is raised where the block ends."""
        # Daemons, because the interpreter waits for other threads before it lets anybody tell them to stop.
        thread = threading.Thread(target=self._guard, args=(work,), name=name, daemon=True)
        with self._lock:
            if self._cancelled:
                raise Cancelled
            thread.start()
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]

    def pour(self, items: Iterable[Item], target: Channel[Item], gate: Gate | None = None, name: str = "pour") -> None:
        """Write a source into a channel, item by item; each must get through the gate before it is asked for."""
        self.start(lambda: _pour(items, target, gate), name)

    def newest(self, items: Iterable[Item], expendable: Callable[[Item], bool], name: str = "newest") -> Channel[Item]:
        """A source that cannot wait, such as a camera: a thread of its own keeps reading it, and whoever takes from the
        channel gets the newest item and whatever before it is not expendable."""
        channel: Channel[Item] = self.channel(UNBOUNDED)
        self.start(lambda: _renew(items, channel, expendable), name)
        return channel

    def each(
        self, source: Channel[Item], target: Channel[Made], step: Callable[[Item], Iterable[Made]], name: str = "each"
    ) -> None:
        """An ordered stage that may remember: one thread, item after item, each making any number of others."""
        self.start(lambda: _each(source, target, step), name)

    def spread(
        self,
        source: Channel[Item],
        target: Channel[Made],
        work: Callable[[list[Item]], list[Made]],
        workers: int = 1,
        batching: Batching = ONE,
        name: str = "spread",
    ) -> None:
        """A parallel stage: `workers` threads, batch after batch; results keep the order of the items."""
        crew = _Crew()
        for number in range(workers):
            self.start(lambda: _work(source, target, work, batching, crew), f"{name}-{number}")

    def _own(self, end: Channel[Item] | Gate) -> None:
        with self._lock:
            self._ends.add(end)
            if self._cancelled:
                end.cancel()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Cancelled:
            return
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            self.cancel()


@contextmanager
def _passing_on(source: Channel[Item] | None, target: Channel[Made]) -> Iterator[None]:
    """However a stage stops, those before it stop too, and an error goes on to those behind it, in its place."""
    try:
        yield
    except Cancelled:
        if source is not None:
            source.cancel()
    except BaseException as error:
        if source is not None:
            source.cancel()
        target.fail(error)


def _pour(items: Iterable[Item], target: Channel[Item], gate: Gate | None) -> None:
    with _passing_on(None, target):
        if gate:
            gate.enter()
        for item in items:
            target.put(item)
            if gate:
                gate.enter()
        target.end()


def _renew(items: Iterable[Item], target: Channel[Item], expendable: Callable[[Item], bool]) -> None:
    with _passing_on(None, target):
        for item in items:
            target.renew(item, expendable)
            time.sleep(0)  # gives way: a source that never waits would keep the lock from whoever wants to take
        target.end()


def _each(source: Channel[Item], target: Channel[Made], step: Callable[[Item], Iterable[Made]]) -> None:
    with _passing_on(source, target):
        for item in source:
            for made in step(item):
                target.put(made)
        target.end()


def _work(
    source: Channel[Item],
    target: Channel[Made],
    work: Callable[[list[Item]], list[Made]],
    batching: Batching,
    crew: _Crew,
) -> None:
    with _passing_on(source, target):
        while (shift := _next_shift(source, target, batching, crew)) is not None:
            _do(work, *shift)


def _next_shift(
    source: Channel[Item], target: Channel[Made], batching: Batching, crew: _Crew
) -> tuple[list[Item], list[Place[Made]]] | None:
    with crew.turn:
        batch = source.take(batching)
        if batch:
            return batch, target.reserve(len(batch))
        if not crew.ended:
            crew.ended = True
            target.end()
        return None


def _do(work: Callable[[list[Item]], list[Made]], batch: list[Item], places: list[Place[Made]]) -> None:
    """Fill the places with what `work` makes. An error takes the first place; it must not wait for one behind."""
    try:
        results = work(batch)
        if len(results) != len(places):
            raise ValueError(f"{len(places)} items gave {len(results)} results: expected one for each")
    except BaseException as error:
        places[0].fail(error)
        raise Cancelled from None
    for place, result in zip(places, results, strict=True):
        place.fill(result)
