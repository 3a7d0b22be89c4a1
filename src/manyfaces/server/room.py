"""How much may be under way, decided in one place: what waits is counted, what is decoded is weighed.

All of this lives in the event loop's thread, so nothing is locked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from manyfaces.server.problems import Problem


class Queue:
    """Counts what has been accepted and not yet answered. Past the limit nothing more is accepted."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._taken = 0

    def __len__(self) -> int:
        return self._taken

    @contextmanager
    def accept(self, count: int = 1) -> Iterator[None]:
        self.take(count)
        try:
            yield
        finally:
            self.leave(count)

    def take(self, count: int = 1) -> None:
        if self._taken + count > self._limit:
            raise Problem(
                503,
                f"{self._taken} {self._what} are under way, of {self._limit} at most; try again soon",
                retry_after=1,
            )
        self._taken += count

    def leave(self, count: int = 1) -> None:
        self._taken -= count


class Room:
    """Lets pictures in, in the order in which they came, while there is room for their number and for their pixels.

    A picture is in from before it is decoded until its row is there. Who has more than a few waiting waits elsewhere
    (see `Shares`), so first come, first served is fair. What is larger than all the room gets in when it is empty.
    """

    def __init__(self, pictures: int, pixels: int) -> None:
        self._pictures = pictures
        self._pixels = pixels
        self._inside = self._weight = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @property
    def inside(self) -> int:
        return self._inside

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def place(self, pixels: int) -> AsyncIterator[None]:
        await self._enter(pixels)
        try:
            yield
        finally:
            self._leave(pixels)

    async def _enter(self, pixels: int) -> None:
        if not self._waiting and self._fits(pixels):
            self._take(pixels)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, pixels))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(pixels)  # let in and gone away at the same moment
            else:
                self._waiting.remove((turn, pixels))
                self._call_in()
            raise

    def _fits(self, pixels: int) -> bool:
        return not self._inside or (self._inside < self._pictures and self._weight + pixels <= self._pixels)

    def _take(self, pixels: int) -> None:
        self._inside += 1
        self._weight += pixels

    def _leave(self, pixels: int) -> None:
        self._inside -= 1
        self._weight -= pixels
        self._call_in()

    def _call_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][1]):
            turn, pixels = self._waiting.popleft()
            if not turn.done():
                self._take(pixels)
                turn.set_result(None)
