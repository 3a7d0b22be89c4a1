"""Live clients: frames in, rows out, over a WebSocket.

Of each client's frames the newest is taken when there is room; one that came meanwhile takes the place of the one that
waits. A frame counts as under way until its row has been sent, so a client that does not read its rows holds up
nobody but itself, and nothing piles up anywhere.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from manyfaces.errors import InputError
from manyfaces.rows import as_json, failed
from manyfaces.server.desk import Answer, Failed, Line
from manyfaces.server.service import Moment, Place, Service
from manyfaces.sources import HeldPicture
from manyfaces.types import FrameResult, Unreadable

STREAM = "live"
AHEAD = 2
"""Frames of one client under way: one at work while the next is decoded."""

GARBAGE, TOO_BIG, STOPPED = 1003, 1009, 1011
REASONS = {
    GARBAGE: 'send frames as binary messages, and before each at most a text {"sent": milliseconds}',
    TOO_BIG: "this frame is larger than the server takes; send smaller ones",
    STOPPED: "the server cannot go on with this stream; connect again",
}

Send = Callable[[str], Awaitable[None]]


class Garbage(Exception):
    """A message that is neither a frame nor a word about one."""


@dataclass(frozen=True, slots=True)
class Came:
    """A frame as it came: its bytes, its number, what the client said of it, when, and what it took the place of."""

    content: bytes
    number: int
    sent: float | None
    moment: float
    dropped: int


class Client:
    """One live client. `take` what it sends, in any pace; `work` answers until it is cancelled."""

    def __init__(self, service: Service, send: Send) -> None:
        self._service = service
        self._send = send
        self._line: Line = service.desk.line()
        self._newest: Came | None = None
        self._has_news = asyncio.Event()
        self._under_way = asyncio.Semaphore(AHEAD)
        self._begun = time.monotonic()
        self._number = 0
        self._sent: float | None = None
        self.dropped = 0

    def say(self, text: str) -> None:
        """The client's own time of the next frame, to come back with its row."""
        try:
            said = json.loads(text)
            sent = said["sent"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Garbage from None
        if isinstance(sent, bool) or not isinstance(sent, int | float) or not math.isfinite(sent):
            raise Garbage
        self._sent = sent

    def take(self, content: bytes) -> None:
        """A frame takes the place of one that still waits, and tells that it has."""
        passed_over = self._newest
        dropped = 0 if passed_over is None else passed_over.dropped + 1
        if passed_over is not None:
            self.dropped += 1
            self._service.metrics.dropped.inc()
        self._newest = Came(content, self._number, self._sent, time.monotonic(), dropped)
        self._number, self._sent = self._number + 1, None
        self._has_news.set()

    async def work(self) -> None:
        """Two tasks: one hands frames in, one sends rows. They end with this one."""
        rows: asyncio.Queue[tuple[Came, Awaitable[FrameResult]]] = asyncio.Queue()
        sending = asyncio.create_task(self._send_rows(rows))
        handing_in = asyncio.create_task(self._hand_in(rows))
        try:
            await asyncio.wait({sending, handing_in}, return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, handing_in):
                if task.done():
                    task.result()
        finally:
            for task in (sending, handing_in):
                task.cancel()
            await asyncio.gather(sending, handing_in, return_exceptions=True)

    async def _hand_in(self, rows: asyncio.Queue[tuple[Came, Awaitable[FrameResult]]]) -> None:
        while True:
            await self._under_way.acquire()
            came = await self._next()
            begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            await rows.put((came, asyncio.create_task(self._row(came, begun))))
            await begun

    async def _next(self) -> Came:
        """The newest frame, as soon as there is one."""
        await self._has_news.wait()
        self._has_news.clear()
        came, self._newest = self._newest, None
        assert came is not None
        return came

    async def _row(self, came: Came, begun: asyncio.Future[None]) -> FrameResult:
        service, seconds = self._service, came.moment - self._begun
        place = Place(came.number, seconds, Moment(came.dropped, came.moment))
        try:
            held = await service.do(HeldPicture, came.content, STREAM, service.limits.picture_pixels)
            async with service.room.place(held.pixels):
                answer: Answer = await service.look_on(self._line, held, STREAM, place)
                _settle(begun)
                row = await asyncio.wrap_future(answer)
        except (InputError, Failed) as error:
            row = failed(Unreadable(STREAM, came.number, seconds, str(error)))
        finally:
            _settle(begun)
        service.metrics.answered("live", row)
        return row

    async def _send_rows(self, rows: asyncio.Queue[tuple[Came, Awaitable[FrameResult]]]) -> None:
        while True:
            came, row = await rows.get()
            await self._send(json.dumps(_message(await row, came), ensure_ascii=False))
            self._under_way.release()


def _message(row: FrameResult, came: Came) -> dict[str, Any]:
    return {**as_json(row), "sent": came.sent, "dropped": came.dropped}


def _settle(begun: asyncio.Future[None]) -> None:
    if not begun.done():
        begun.set_result(None)
