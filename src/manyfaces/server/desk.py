"""One engine for everybody who asks: single pictures, videos, fed streams and live clients share its batches.

A `Line` is one stream's way through the engine: a picture has one of its own, a video or a live client one for as long
as it lasts. What is handed in comes back as a future row. How much is handed in at once is not decided here, but by
`room`.

An error in a stage ends a flow, and everything in it, for nobody knows what else is wrong there. The desk then answers
everybody who waits with `Failed` and begins anew with the same networks: one bad moment is not the end of the server.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from manyfaces.engine import Arrival, Concluded, Lane, Plan, arrival, connect
from manyfaces.errors import ManyfacesError, Stopped
from manyfaces.flow import UNBOUNDED, Cancelled, Channel, Flow, Gate
from manyfaces.pipeline import Stages, Stream
from manyfaces.types import Frame, FrameResult


class Failed(ManyfacesError):
    """The engine stumbled over something that was under way at the same time."""


FAILED = "the engine failed while this was under way and has begun anew; send it again"
STOPPING = "the server is stopping; ask again in a moment"

Answer = Future[FrameResult]


@dataclass(frozen=True, slots=True, eq=False)
class Line(Lane):
    """A stream in the engine, and the answers that its frames wait for, in their order."""

    asked: deque[Answer]


class Desk:
    """Must be closed, which ends the engine and tells everybody who still waits."""

    def __init__(self, stages: Stages, plan: Plan, failed: Callable[[BaseException], None]) -> None:
        """`failed` hears of every error that made the engine begin anew, in whatever thread notices."""
        self._stages = stages
        self._plan = plan
        self._failed = failed
        self._lock = threading.Lock()
        self._under_way: dict[Answer, Line] = {}
        self._is_closed = False
        self._shift = self._new_shift()

    def close(self) -> None:
        """Stop, join, answer."""
        with self._lock:
            self._is_closed = True
        self._shift.end()

    def __len__(self) -> int:
        """Frames under way."""
        return len(self._under_way)

    @property
    def ahead(self) -> int:
        return self._plan.ahead

    def line(self, lag: int = 0) -> Line:
        """A new stream. `lag`: frames after which news of a frame counts, as the engine has it for recordings."""
        return Line(Stream(self._stages, lag), Gate(1), deque())

    def submit(self, line: Line, frame: Frame, dropped: int = 0, moment: float | None = None) -> Answer:
        """Hand a frame in; of one line, frame after frame. `dropped` and `moment` are said of live frames."""
        answer: Answer = Future()
        answer.set_running_or_notify_cancel()  # who asked may go away, but the engine will answer all the same
        arrived = arrival(line, frame, dropped, moment)
        with self._lock:
            if self._is_closed:
                raise Stopped(STOPPING)
            if self._shift.is_over:
                self._shift.end()
                self._shift = self._new_shift()
            self._under_way[answer] = line
            line.asked.append(answer)
            self._shift.take(arrived)
        return answer

    def _answer(self, line: Line, row: FrameResult) -> None:
        with self._lock:
            answer = line.asked.popleft()
            del self._under_way[answer]
        answer.set_result(row)

    def _new_shift(self) -> _Shift:
        return _Shift(self._stages, self._plan, self._answer, self._over)

    def _over(self, shift: _Shift, error: BaseException) -> None:
        """A shift has ended. It is marked within the lock, so that nothing more is handed to it."""
        with self._lock:
            shift.is_over = True
            waiting, self._under_way = self._under_way, {}
            for line in waiting.values():
                line.asked.clear()
            is_closed = self._is_closed
        if not is_closed:
            self._failed(error)
        for answer in waiting:
            answer.set_exception(Stopped(STOPPING) if is_closed else Failed(FAILED))


class _Shift:
    """One flow, from its beginning to its end or its first error."""

    def __init__(
        self,
        stages: Stages,
        plan: Plan,
        answer: Callable[[Line, FrameResult], None],
        over: Callable[[_Shift, BaseException], None],
    ) -> None:
        self.is_over = False
        self._answer = answer
        self._over = over
        self._flow = Flow()
        self._flow.__enter__()
        self._arrivals: Channel[Arrival] = self._flow.channel(UNBOUNDED)
        concluded = connect(self._flow, self._arrivals, plan.ahead, stages, plan)
        self._flow.start(lambda: self._deliver(concluded), "deliver")

    def take(self, arrived: Arrival) -> None:
        """What comes too late, when an error is on its way to the end, is answered with all the others there."""
        with suppress(Cancelled):
            self._arrivals.put(arrived)

    def end(self) -> None:
        """Stop and join every thread. What went wrong has been told already."""
        self._flow.take_error()
        self._flow.__exit__(None, None, None)

    def _deliver(self, concluded: Channel[Concluded]) -> None:
        try:
            for done in concluded:
                assert isinstance(done.lane, Line)
                self._answer(done.lane, done.seen[1])
        except Cancelled:
            self._finish(self._flow.take_error() or Stopped(STOPPING))
        except BaseException as error:
            self._finish(error)

    def _finish(self, error: BaseException) -> None:
        self._flow.cancel()
        self._over(self, error)
