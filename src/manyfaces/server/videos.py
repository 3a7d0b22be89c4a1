"""Uploaded videos: looked at before they are decoded, then read frame by frame, and their rows sent as they come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from typing import IO

import av
from av.container import InputContainer

from manyfaces.errors import InputError
from manyfaces.rows import failed
from manyfaces.server.desk import Line
from manyfaces.server.limits import Limits
from manyfaces.server.service import Service
from manyfaces.sources.video import Playback, video_stream, why
from manyfaces.types import Frame, FrameResult, Unreadable

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,gif,apng,mjpeg,h264,hevc,m4v,ivf"
"""What may be opened. FFmpeg also knows play lists, which name other files and addresses, and would read those."""

Item = Frame | Unreadable


def opened(file: IO[bytes], name: str, limits: Limits) -> InputContainer:
    """The container, after a look at what it says of itself: nothing has been decoded yet."""
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(file, "r", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        reason = why(error) if isinstance(error, av.FFmpegError) else "invalid data"
        raise InputError(f"{name}: this cannot be read as a video ({reason}); send a whole video file") from None
    try:
        _check(container, name, limits)
    except BaseException:
        container.close()
        raise
    return container


def _check(container: InputContainer, name: str, limits: Limits) -> None:
    codec = video_stream(container, name).codec_context
    if codec.width * codec.height > limits.picture_pixels:
        raise InputError(
            f"{name}: {codec.width} x {codec.height} pixels are more than the {limits.megapixels:g} megapixels that "
            "this server takes; make it smaller"
        )
    seconds = (container.duration or 0) / av.time_base
    if seconds > limits.video_seconds:
        raise InputError(
            f"{name}: the video lasts {seconds:.0f} seconds, more than the {limits.video_seconds:g} that this server "
            "takes; send it in parts"
        )


class Reader:
    """The frames of an opened video, one at a time, and a last entry that says what was lost. Its methods block and are
    called in threads; `close` waits for a frame that is being decoded, for a decoder must not lose its file."""

    def __init__(self, container: InputContainer, name: str, limits: Limits) -> None:
        self._container = container
        self._name = name
        self._limits = limits
        self._frames = self._played()
        self._lock = threading.Lock()

    def next(self) -> Item | None:
        with self._lock:
            try:
                return next(self._frames, None)
            except InputError as error:
                return Unreadable(self._name, 0, 0.0, str(error))

    def close(self) -> None:
        with self._lock:
            self._frames.close()
            self._container.close()

    def _played(self) -> Generator[Item, None, None]:
        """A video may be longer than it says."""
        playback = Playback(self._name)
        for item in playback.play(self._container, threads="SLICE"):
            if item.seconds > self._limits.video_seconds:
                reason = f"{self._name}: the video is longer than this server takes; send it in parts"
                yield Unreadable(self._name, item.index, item.seconds, reason)
                return
            yield item
        yield from playback.last_words()


async def rows_of(service: Service, reader: Reader) -> AsyncGenerator[FrameResult, None]:
    """Every frame's row, in order. Only so many frames are between the file and whoever reads the rows."""
    ahead = asyncio.Semaphore(service.desk.ahead)
    rows: asyncio.Queue[asyncio.Task[FrameResult] | None] = asyncio.Queue()
    reading = asyncio.create_task(_read(service, reader, ahead, rows))
    try:
        while (row := await rows.get()) is not None:
            yield await row
            ahead.release()
        await reading
    finally:
        await _stop(reading, rows)
        await service.do(reader.close)


async def _stop(reading: asyncio.Task[None], rows: asyncio.Queue[asyncio.Task[FrameResult] | None]) -> None:
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    left = [row for _ in range(rows.qsize()) if (row := rows.get_nowait()) is not None]
    for row in left:
        row.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _read(
    service: Service,
    reader: Reader,
    ahead: asyncio.Semaphore,
    rows: asyncio.Queue[asyncio.Task[FrameResult] | None],
) -> None:
    """Hand frame after frame in. However this ends, whoever waits for the next row is told."""
    line = service.desk.line(service.desk.ahead)
    try:
        await ahead.acquire()
        while (item := await service.do(reader.next)) is not None:
            begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            rows.put_nowait(asyncio.create_task(_row(service, line, item, begun)))
            await begun  # frames of one line are handed in one after the other
            await ahead.acquire()
    finally:
        rows.put_nowait(None)


async def _row(service: Service, line: Line, item: Item, begun: asyncio.Future[None]) -> FrameResult:
    try:
        row = failed(item) if isinstance(item, Unreadable) else await _looked_at(service, line, item, begun)
    finally:
        if not begun.done():
            begun.set_result(None)
    service.metrics.answered("video", row)
    return row


async def _looked_at(service: Service, line: Line, frame: Frame, begun: asyncio.Future[None]) -> FrameResult:
    async with service.room.place(frame.width * frame.height):
        answer = await service.do(service.hand_in, line, frame)
        begun.set_result(None)
        return await asyncio.wrap_future(answer)
