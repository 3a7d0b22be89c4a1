"""Feed and pull over HTTP: batches of pictures go into a named stream, their rows come out in order.

As in `Recognizer`, a stream has a few buffers; a batch takes one until it is pulled. Nothing here has a thread: a
stream is a line in the engine and two queues in the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from manyfaces.errors import InputError
from manyfaces.rows import failed
from manyfaces.server.desk import Failed, Line
from manyfaces.server.problems import Problem
from manyfaces.server.service import Place, Service
from manyfaces.server.uploads import Upload
from manyfaces.sources import HeldPicture
from manyfaces.types import FrameResult, Unreadable

BUFFERS = 3
PICTURES_PER_SECOND = 25.0
"""Dates the pictures of a stream, as in `Recognizer`."""

LONGEST_NAME = 120
LONGEST_WAIT = 60.0
"""Seconds that feeding or pulling may wait."""

Rows = list[FrameResult]


@dataclass(slots=True, eq=False)
class Stream:
    """One stream between its feeders and its pullers."""

    line: Line
    under_way: asyncio.Semaphore
    buffers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BUFFERS))
    feeding: asyncio.Lock = field(default_factory=asyncio.Lock)
    batches: deque[asyncio.Task[Rows]] = field(default_factory=deque)
    pulling: asyncio.Lock = field(default_factory=asyncio.Lock)
    fed: int = 0
    touched: float = 0.0


class Streams:
    """All streams of a server. One that nobody feeds or pulls for long is forgotten, with what it holds."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams: dict[str, Stream] = {}
        service.metrics.clients.labels("streams").set_function(lambda: len(self._streams))

    def __len__(self) -> int:
        return len(self._streams)

    async def feed(self, name: str, uploads: Sequence[Upload], block: bool) -> int:
        """Hand over a batch; it goes on its way at once. While all buffers are taken it waits, or does not."""
        stream = self._opened(name)
        self._service.pictures.take(len(uploads))
        try:
            await self._enter(name, stream, block)
        except BaseException:
            self._service.pictures.leave(len(uploads))
            raise
        first, stream.fed = stream.fed, stream.fed + len(uploads)
        work = self._read(name, stream, uploads, first)
        stream.batches.append(asyncio.create_task(work))
        stream.touched = time.monotonic()
        return len(uploads)

    async def _enter(self, name: str, stream: Stream, block: bool) -> None:
        """A free buffer. Nobody waits for ever, for who asked may have gone away."""
        try:
            if stream.buffers.locked() and not block:
                raise TimeoutError
            await asyncio.wait_for(stream.buffers.acquire(), LONGEST_WAIT)
        except (TimeoutError, asyncio.TimeoutError):
            raise Problem(
                503, f"all {BUFFERS} buffers of the stream are taken; pull, or feed later", retry_after=1
            ) from None
        if self._streams.get(name) is not stream:
            stream.buffers.release()
            raise Problem(409, "the stream was ended while this waited; feed it again")

    async def pull(self, name: str, timeout: float) -> Rows | None:
        """The rows of the oldest batch that was not pulled yet; None where `timeout` seconds brought nothing."""
        stream = self._known(name)
        stream.touched = time.monotonic()
        if not stream.batches and not stream.feeding.locked():
            raise Problem(409, "nothing is under way in this stream; feed it first")
        async with stream.pulling:
            if not stream.batches:
                return None
            done, _ = await asyncio.wait([stream.batches[0]], timeout=timeout)
            if not done:
                return None
            batch = stream.batches.popleft()
            stream.buffers.release()
            return batch.result()

    async def end(self, name: str) -> None:
        """Forget the stream and all that was not pulled."""
        self._known(name)
        await _forget(self._streams.pop(name))

    async def end_all(self) -> None:
        while self._streams:
            await _forget(self._streams.popitem()[1])

    def _opened(self, name: str) -> Stream:
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise Problem(422, f"the stream's name must be printable and have at most {LONGEST_NAME} letters")
        if name not in self._streams:
            self._forget_idle()
            most = self._service.limits.streams
            if len(self._streams) >= most:
                raise Problem(
                    503, f"there are {most} streams, as many as may be; end one, or try later", retry_after=10
                )
            ahead = self._service.desk.ahead
            self._streams[name] = Stream(self._service.desk.line(ahead), asyncio.Semaphore(ahead))
        return self._streams[name]

    def _known(self, name: str) -> Stream:
        if name not in self._streams:
            raise Problem(404, "there is no stream of this name; feed it first")
        return self._streams[name]

    def _forget_idle(self) -> None:
        oldest = time.monotonic() - self._service.limits.stream_idle
        idle = [name for name, stream in self._streams.items() if 0 < stream.touched < oldest]
        for name in idle:
            for batch in self._streams.pop(name).batches:
                batch.cancel()

    async def _read(self, name: str, stream: Stream, uploads: Sequence[Upload], first: int) -> Rows:
        """Picture after picture into the engine, in order; the rows as they come out of it."""
        rows: list[asyncio.Task[FrameResult]] = []
        try:
            async with stream.feeding:  # batches stay whole, whoever feeds
                for number, upload in enumerate(uploads, first):
                    place = Place(number, number / PICTURES_PER_SECOND)
                    await stream.under_way.acquire()
                    begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    row = self._row(name, stream, upload, place, begun)
                    rows.append(asyncio.create_task(row))
                    await begun  # the next one may be handed in
            return list(await asyncio.gather(*rows))
        finally:
            for row_task in rows:
                row_task.cancel()
            self._service.pictures.leave(len(uploads))

    async def _row(
        self, name: str, stream: Stream, upload: Upload, place: Place, begun: asyncio.Future[None]
    ) -> FrameResult:
        service = self._service
        try:
            held = await service.do(HeldPicture, upload.content, upload.name, service.limits.picture_pixels)
            async with service.room.place(held.pixels):
                answer = await service.look_on(stream.line, held, name, place)
                _settle(begun)
                row = await asyncio.wrap_future(answer)
        except (InputError, Failed) as error:
            row = failed(Unreadable(name, place.index, place.seconds, str(error)))
        finally:
            _settle(begun)
            stream.under_way.release()
        service.metrics.answered("stream", row)
        return row


def _settle(begun: asyncio.Future[None]) -> None:
    if not begun.done():
        begun.set_result(None)


async def _forget(stream: Stream) -> None:
    for batch in stream.batches:
        batch.cancel()
    await asyncio.gather(*stream.batches, return_exceptions=True)
