"""Feed and pull: pictures from any number of threads and streams go in, batches of results come out in order.

    feed --> buffers (one block of memory per batch) --> the engine's stages --> results per stream --> pull

`feed` copies a batch into one block and returns; recognition of its first picture has begun by then. Each stream has a
few buffers, and a buffer is free again when its batch is pulled: a stream whose results nobody pulls fills up and holds
up nobody else.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from numbers import Integral, Real
from types import TracebackType

import numpy as np

from manyfaces.engine import Arrival, Concluded, Lane, Plan, arrival, connect
from manyfaces.errors import Busy, InputError, NotYet, Stopped, UsageError
from manyfaces.flow import UNBOUNDED, Cancelled, Channel, Flow, Place
from manyfaces.pipeline import Stages, Stream
from manyfaces.types import Frame, FrameResult, Pixels, Unreadable

__all__ = ["Busy", "NotYet", "Pictures", "Recognizer", "Stopped"]

Pictures = Iterable[Pixels] | Pixels
"""RGB pictures of any sizes, or one array (n, height, width, 3)."""


class Recognizer:
    """An engine that is fed. A context manager; `close` does the same as leaving the block: it gives up what is under
    way, joins every thread and frees every buffer. One that is dropped without either ends its threads by itself."""

    def __init__(
        self, stages: Stages, plan: Plan | None = None, *, buffers: int = 3, pictures_per_second: float = 25.0
    ) -> None:
        """`pictures_per_second` dates the pictures of a stream for the tracker, from the first at 0 s."""
        self._stages = stages
        self._plan = plan or Plan()
        self._buffers = _buffers(buffers)
        self._pace = _pace(pictures_per_second)
        self._streams: dict[str, _Fed] = {}
        self._opening = threading.Lock()
        self._open = ExitStack()
        self._flow = self._open.enter_context(Flow())
        self._arrivals: Channel[Arrival] = self._flow.channel(UNBOUNDED)
        concluded = connect(self._flow, self._arrivals, self._plan.ahead, stages, self._plan)
        streams = self._streams  # all that the thread may hold: it would keep the recognizer itself from being dropped
        self._flow.start(lambda: _deliver(concluded, streams), "deliver")
        self._flow.end_with(self)

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    def close(self) -> None:
        """Stop, join, free. May be called twice."""
        self._open.close()

    def feed(self, pictures: Pictures, *, stream: str = "", block: bool = True, timeout: float | None = None) -> None:
        """Hand over a batch; it is copied, so the pictures may be used again at once.

        While all buffers of the stream are taken it waits, for `timeout` seconds at most; `block=False` does not wait.
        Then `Busy` is raised and nothing was fed. Several threads may feed one stream: batches stay whole. A batch of
        no pictures is no batch.
        """
        limit = _limit(timeout)
        batch = _batch(pictures)
        shapes = [_shape(picture, number) for number, picture in enumerate(batch)]
        if not shapes:
            return
        with self._telling():
            fed = self._stream(stream)
            if not fed.buffers.enter(limit if block else 0):
                raise Busy(f"stream {stream!r}: all {self._buffers} buffers are taken; pull results, or feed later")
            try:
                first, places = fed.reserve(len(shapes))
            except BaseException:
                fed.buffers.leave()
                raise
            _pour_in(batch, shapes, fed, first, places)

    def pull(self, *, stream: str = "", timeout: float | None = None) -> list[FrameResult]:
        """The results of the oldest batch that was not pulled yet, one per picture; waits for them.

        An empty list says that the stream has ended. `NotYet` is raised where `timeout` seconds brought nothing.
        """
        limit = _limit(timeout)
        with self._telling():
            fed = self._stream(stream)
            try:
                batches = fed.results.take(timeout=limit)
            except TimeoutError:
                raise NotYet(f"stream {stream!r}: no batch was finished within {timeout} s; pull again") from None
            for _ in batches:
                fed.buffers.leave()
            return batches[0] if batches else []

    def end(self, stream: str = "") -> None:
        """Nothing more will be fed to this stream; its last results can still be pulled. Other streams go on."""
        with self._telling():
            self._stream(stream).end()

    def _stream(self, name: str) -> _Fed:
        with self._opening:
            if name not in self._streams:
                self._streams[name] = self._opened(name)
            return self._streams[name]

    def _opened(self, name: str) -> _Fed:
        fed = _Fed(name, self._flow, self._buffers, self._pace)
        lane = Lane(Stream(self._stages, self._plan.ahead), self._flow.gate(self._plan.ahead))
        self._arrivals.add_writer()
        self._flow.pour((arrival(lane, frame) for frame in fed.pending), self._arrivals, lane.gate, f"stream-{name}")
        return fed

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Whoever comes first after a failure hears of it; everybody later, that it is over."""
        try:
            yield
        except Cancelled:
            raise self._flow.take_error() or Stopped(
                "the recognizer is closed, or stopped at an error that was raised before; make a new one"
            ) from None


class _Fed:
    """One stream between its feeders and its pullers."""

    def __init__(self, name: str, flow: Flow, buffers: int, pace: float) -> None:
        self.buffers = flow.gate(buffers)
        self.pending: Channel[Frame | Unreadable] = flow.channel(UNBOUNDED)
        self.results: Channel[list[FrameResult]] = flow.channel(UNBOUNDED)
        self._name = name
        self._pace = pace
        self._fed = 0
        self._sizes: deque[int] = deque()
        self._rows: list[FrameResult] = []
        self._ended = False
        self._lock = threading.Lock()

    def reserve(self, count: int) -> tuple[int, list[Place[Frame | Unreadable]]]:
        """The index of the next picture, and places for a whole batch, which may then be filled at leisure."""
        with self._lock:
            if self._ended:
                raise UsageError(f"stream {self._name!r} has ended; feed another stream")
            first, self._fed = self._fed, self._fed + count
            self._sizes.append(count)
            return first, self.pending.reserve(count)

    def frame(self, image: Pixels, index: int) -> Frame:
        return Frame(image, index, index / self._pace, self._name)

    def unfed(self, index: int) -> Unreadable:
        return Unreadable(self._name, index, index / self._pace, "feeding was broken off before this picture")

    def take(self, row: FrameResult) -> None:
        """Add the next picture's row; a batch is handed out when it is complete."""
        with self._lock:
            self._rows.append(row)
            if len(self._rows) == self._sizes[0]:
                self._sizes.popleft()
                rows, self._rows = self._rows, []
                self.results.put(rows)
                self._end_if_done()

    def end(self) -> None:
        with self._lock:
            if not self._ended:
                self._ended = True
                self.pending.end()
                self._end_if_done()

    def _end_if_done(self) -> None:
        if self._ended and not self._sizes:
            self.results.end()


def _deliver(concluded: Channel[Concluded], streams: dict[str, _Fed]) -> None:
    for done in concluded:
        done.lane.gate.leave()
        _, row = done.seen
        streams[row.stream].take(row)


# --- what is given ---------------------------------------------------------------------------------------------------


def _buffers(count: int) -> int:
    if not isinstance(count, Integral) or count < 1:
        raise UsageError(f"{count!r} buffers: expected a whole number of them, 1 or more")
    return int(count)


def _pace(pictures_per_second: float) -> float:
    pace = _number(pictures_per_second)
    if not 0 < pace < math.inf:
        raise UsageError(f"{pictures_per_second!r} pictures a second: expected a number, more than 0")
    return pace


def _limit(timeout: float | None) -> float | None:
    """The seconds to wait at most; more than a thread can wait, in hundreds of years, is no limit."""
    if timeout is None:
        return None
    seconds = _number(timeout)
    if math.isnan(seconds):
        raise UsageError(f"timeout {timeout!r}: expected seconds, or None to wait without a limit")
    return None if seconds >= threading.TIMEOUT_MAX else seconds


def _number(value: float) -> float:
    """A plain float, NaN for what is no number; a whole number that no float holds is endless."""
    try:
        return float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _batch(pictures: Pictures) -> Sequence[Pixels] | Pixels:
    """The pictures as something to be gone through twice. A generator can be gone through once."""
    if isinstance(pictures, Sequence) or (isinstance(pictures, np.ndarray) and pictures.ndim):
        return pictures
    try:
        each = iter(pictures)
    except TypeError:
        raise InputError(
            f"{type(pictures).__name__} is no batch; feed a list of pictures, or one array (n, height, width, 3)"
        ) from None
    return list(each)


def _block(shapes: list[tuple[int, ...]]) -> list[Pixels]:
    """Room for pictures of these shapes, one behind the other in one block of memory."""
    edges = np.cumsum([0, *(np.prod(shape) for shape in shapes)])
    block = np.empty(edges[-1], np.uint8)
    return [block[start:stop].reshape(shape) for (start, stop), shape in zip(pairwise(edges), shapes, strict=True)]


def _shape(picture: Pixels, number: int) -> tuple[int, ...]:
    """Refuse what is no picture before anything of the batch is on its way."""
    try:
        array = np.asarray(picture)
    except (TypeError, ValueError):
        raise InputError(
            f"picture {number} of the batch is no array, or rows of it differ in length; feed RGB, height x width x 3, "
            "uint8"
        ) from None
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise InputError(
            f"picture {number} of the batch is {array.shape} of {array.dtype}; feed RGB, height x width x 3, uint8"
        )
    return array.shape


def _pour_in(
    pictures: Sequence[Pixels] | Pixels,
    shapes: list[tuple[int, ...]],
    fed: _Fed,
    first: int,
    places: list[Place[Frame | Unreadable]],
) -> None:
    """Copy a batch into one block, picture by picture; each goes on its way as soon as it is there."""
    filled = 0
    try:
        for image, picture in zip(_block(shapes), pictures, strict=True):
            np.copyto(image, picture)
            places[filled].fill(fed.frame(image, first + filled))
            filled += 1
    finally:
        # A place that stayed empty, after Ctrl-C say, would hold up everything behind it for ever.
        for number in range(filled, len(places)):
            places[number].fill(fed.unfed(first + number))
