"""All that one server holds while it runs, and the one way in which a picture becomes a row."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from manyfaces.draw import annotate
from manyfaces.engine import Plan
from manyfaces.errors import InputError
from manyfaces.pipeline import Stages
from manyfaces.rows import failed
from manyfaces.server.desk import Answer, Desk, Line
from manyfaces.server.limits import Limits
from manyfaces.server.log import Log
from manyfaces.server.metrics import Metrics, timed
from manyfaces.server.people import People, Standing
from manyfaces.server.pictures import data_url
from manyfaces.server.room import Queue, Room
from manyfaces.server.uploads import Upload
from manyfaces.sources import HeldPicture
from manyfaces.types import Frame, FrameResult, Pixels, Unreadable

Made = TypeVar("Made")

SHARE = 8
"""Pictures of one request that stand in line at once: a request of hundreds does not keep the others waiting."""

ASIDE = 3
"""Comparisons, enrolments and looks at the gallery at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """Of a live frame: how many were passed over before it, and the monotonic clock when it came."""

    dropped: int
    came: float


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where in a stream a picture belongs."""

    index: int = 0
    seconds: float = 0.0
    moment: Moment | None = None


FIRST = Place()


class Service:
    """Made once; `running` is what the application does between its start and its end."""

    def __init__(
        self, stages: Stages, plan: Plan, people: People, limits: Limits, about: dict[str, Any], log: Log | None = None
    ) -> None:
        """`about` is what the server says of itself."""
        self.limits = limits
        self.about = about
        self.people = people
        self.plan = plan
        self.log = log or Log()
        self.metrics = Metrics()
        self.stages = timed(stages, self.metrics)
        self.begun = time.monotonic()
        self.is_ready = False
        self._gallery_told: Standing = "read"
        self.pictures = Queue(limits.waiting, "pictures")
        self.videos = Queue(limits.videos, "videos")
        self.live = Queue(limits.live, "live clients")
        self.room = Room(max(plan.ahead, 2 * plan.workers + 2), limits.pixels_at_once)
        self._aside: ThreadPoolExecutor | None = None
        self._desk: Desk | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._watch_queues()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Threads and engine live in this block."""
        self._threads = ThreadPoolExecutor(max(os.cpu_count() or 1, 2), "decode")
        self._aside = ThreadPoolExecutor(ASIDE, "aside")
        self._desk = Desk(self.stages, self.plan, self._engine_failed)
        await self.do_aside(self.people.refresh)
        self._tell_of_the_gallery()
        reloading = asyncio.create_task(self._follow_the_gallery())
        self.is_ready = True
        try:
            yield
        finally:
            self.is_ready = False
            reloading.cancel()
            await asyncio.gather(reloading, return_exceptions=True)
            # In threads, so that the last answers leave while the engine's threads are waited for.
            await asyncio.to_thread(self._desk.close)
            await asyncio.to_thread(self._threads.shutdown)
            await asyncio.to_thread(self._aside.shutdown)

    @property
    def desk(self) -> Desk:
        assert self._desk is not None, "the service is not running"
        return self._desk

    async def do(self, work: Callable[..., Made], *arguments: Any) -> Made:
        """Run what takes time in one of the few threads that are there for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def do_aside(self, work: Callable[..., Made], *arguments: Any) -> Made:
        """The same beside the pictures: what may wait for another program, as the gallery does, holds up no frame."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work, *arguments)

    # --- from bytes to a row ---

    async def look(self, upload: Upload, drawn: bool = False) -> tuple[FrameResult, str | None]:
        """One picture by itself: its row and, where it is to be drawn, a data URL of the annotated copy."""
        try:
            held = await self.do(HeldPicture, upload.content, upload.name, self.limits.picture_pixels)
            async with self.room.place(held.pixels):
                answer, image = await self.do(self._hand_in, self.desk.line(), held, upload.name, FIRST, drawn)
                row = await asyncio.wrap_future(answer)
                url = await self.do(_drawn, image, row) if image is not None else None
        except InputError as error:
            row, url = failed(Unreadable(upload.name, 0, 0.0, str(error))), None
        self.metrics.answered("picture", row)
        return row, url

    async def look_at_all(self, uploads: Sequence[Upload], drawn: bool = False) -> list[tuple[FrameResult, str | None]]:
        """The pictures of one request, in their order. Only so many of them are in line at once."""
        if len(uploads) == 1:
            return [await self.look(uploads[0], drawn)]
        share = asyncio.Semaphore(SHARE)

        async def one(upload: Upload) -> tuple[FrameResult, str | None]:
            async with share:
                return await self.look(upload, drawn)

        return await in_order([one(upload) for upload in uploads])

    async def look_on(self, line: Line, held: HeldPicture, name: str, place: Place) -> Answer:
        """The next picture of a stream. The caller holds its place in the room until the answer is there."""
        answer, _ = await self.do(self._hand_in, line, held, name, place, False)
        return answer

    def _hand_in(
        self, line: Line, held: HeldPicture, name: str, place: Place, keep: bool
    ) -> tuple[Answer, Pixels | None]:
        with self.metrics.timing("decode"):
            image = held.decode()
        frame = Frame(image, place.index, place.seconds, name)
        return self.hand_in(line, frame, place.moment), image if keep else None

    def hand_in(self, line: Line, frame: Frame, moment: Moment | None = None) -> Answer:
        if moment is None:
            return self.desk.submit(line, frame)
        return self.desk.submit(line, frame, moment.dropped, moment.came)

    async def _follow_the_gallery(self) -> None:
        while True:
            await asyncio.sleep(self.people.every)
            try:
                await self.do_aside(self.people.refresh)
                self._tell_of_the_gallery()
            except Exception as error:  # a fault of ours, and no reason never to look again
                self.log.fault("gallery", error)

    def _tell_of_the_gallery(self) -> None:
        """Once per change: faces are named by what was read last, so nothing else would show it."""
        standing = self.people.standing
        if standing != self._gallery_told:
            self._gallery_told = standing
            (self.log.event if standing == "read" else self.log.warning)("gallery", standing=standing)

    def _engine_failed(self, error: BaseException) -> None:
        self.metrics.restarts.inc()
        self.log.fault("engine", error)

    def _watch_queues(self) -> None:
        watch = self.metrics.watch
        watch("accepted", lambda: len(self.pictures))
        watch("waiting", lambda: self.room.waiting)
        watch("inside", lambda: self.room.inside)
        watch("under_way", lambda: len(self._desk) if self._desk is not None else 0)
        watch("videos", lambda: len(self.videos))
        self.metrics.clients.labels("live").set_function(lambda: len(self.live))


def _drawn(image: Pixels, row: FrameResult) -> str | None:
    return data_url(annotate(image, row))


async def in_order(work: Sequence[Awaitable[Made]]) -> list[Made]:
    """All of it at once, the results in order; where one fails, the others are given up."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
