"""Everything that moves, through PyAV: true times, the right way up, and what was lost is told at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from manyfaces.errors import InputError
from manyfaces.sources.inputs import PIXEL_LIMIT, shown
from manyfaces.types import Frame, Pixels, Unreadable

UNKNOWN_INTERVAL = 0.04
"""Seconds between frames where neither the file nor the camera says."""

BROKEN_READS = 32
"""So many broken reads in a row and the rest of the file is given up."""

_DECLARES_LENGTH = ("mov", "matroska", "flv", "asf")
"""Containers that say how long they should be. Others (MPEG-TS) are measured, so a cut one looks whole."""

Turn = tuple[bool, bool, bool]
"""Whether to swap rows and columns, then to mirror left-right, then top-bottom."""


class Timeline:
    """Turns a stream's own times into seconds that start at 0 and never run backwards."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._origin: Fraction | None = None
        self._start = 0.0

    def at(self, own_time: Fraction | None, interval: float) -> float:
        if own_time is None:
            self.seconds += interval if self._origin is not None else 0.0
            return self.seconds
        if self._origin is None:
            self._origin = own_time - Fraction(self._start)
        if own_time - self._origin < self.seconds:  # two recordings in one file: the second one follows the first
            self._origin = own_time - Fraction(self.seconds + interval)
        self.seconds = float(own_time - self._origin)
        return self.seconds

    def restart(self, away: float) -> None:
        """The stream begins anew, with other times of its own, `away` seconds after the last frame."""
        self._origin, self._start = None, self.seconds + away


class Playback:
    """Plays the containers of one stream, one after the other, and knows what was lost on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.index = 0
        self.frames = 0
        self.fault = ""
        self.whole: bool | None = None
        self._timeline = Timeline()
        self._reformatter = VideoReformatter()
        self._broken = self._broken_before = 0
        self._own_time: Fraction | None = None
        self._resume_after: Fraction | None = None
        self._heard = _Heard()
        self._gap: tuple[str, float] | None = None
        self._turn: tuple[int, Turn] | None = None

    def play(self, container: InputContainer, *, threads: str = "AUTO") -> Generator[Frame | Unreadable, None, None]:
        """The container's frames. Afterwards `fault` says what stopped it, and `whole` whether all has come."""
        self.fault, self.whole, self._turn = "", None, None
        stream = video_stream(container, self.name)
        stream.thread_type = threads
        interval = _interval(stream)
        for frame in self._decoded(container, stream):
            own_time = _own_time(frame, stream)
            if self._is_repeated(own_time):
                continue
            yield from self._told_gap()
            seconds = self._timeline.at(own_time, interval)
            self.frames += 1
            self._own_time, self._broken_before = own_time, self._broken
            yield self._item(frame, seconds)
            self.index += 1

    def resume(self) -> None:
        """The next container is the same file again: go on after the last frame."""
        self._resume_after = self._own_time
        self._broken = self._broken_before  # what broke since the last frame will be read again
        self._heard.packets = 0

    def break_off(self, reason: str, clock: float) -> None:
        """The next container is the same camera later on: the time in between is lost, and the stream will say so."""
        self._gap = self._gap or (reason, clock)

    def come_back(self, clock: float) -> None:
        if self._gap:
            self._gap = (self._gap[0], clock - self._gap[1])

    def last_words(self) -> Iterator[Unreadable]:
        """One entry that sums up what was lost, where something was; InputError where nothing could be read."""
        packets = f"{self._broken} broken packet{'s' * (self._broken != 1)} skipped" if self._broken else ""
        early = "the video ends before its time" if self.whole is False else ""
        reasons = "; ".join(filter(None, (packets, self.fault or early)))
        if not self.frames:
            why = f" ({reasons})" if reasons else ""
            raise InputError(f"{shown(self.name)}: no frame could be read{why}; check that the video plays elsewhere")
        if reasons:
            advice = "get a whole copy of it" if self.whole is False else "the frames before this are good"
            yield Unreadable(self.name, self.index, self._timeline.seconds, f"{shown(self.name)}: {reasons}; {advice}")

    def _told_gap(self) -> Iterator[Unreadable]:
        if self._gap:
            reason, away = self._gap
            self._gap = None
            lost = f"{shown(self.name)}: {away:.1f} seconds are missing because the stream broke off ({reason})"
            yield Unreadable(self.name, self.index, self._timeline.seconds, lost)
            self._timeline.restart(away)
            self.index += 1

    def _item(self, frame: VideoFrame, seconds: float) -> Frame | Unreadable:
        if frame.is_corrupt:
            return Unreadable(
                self.name, self.index, seconds, f"{shown(self.name)}: this frame is damaged and was left out"
            )
        picture = np.asarray(self._reformatter.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
        return Frame(turned(picture, self._turn_of(frame)), self.index, seconds, self.name)

    def _turn_of(self, frame: VideoFrame) -> Turn:
        """Only the first frame of each rotation is asked for its side data. Asking ties frame and data together in a
        circle, and the pixels then stay until Python next collects such circles, hundreds of frames later."""
        if self._turn is None or self._turn[0] != frame.rotation:
            self._turn = (frame.rotation, turn_of(frame))
        return self._turn[1]

    def _is_repeated(self, own_time: Fraction | None) -> bool:
        return self._resume_after is not None and own_time is not None and own_time <= self._resume_after

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        if self._resume_after is not None:
            with contextlib.suppress(av.FFmpegError):  # what cannot be skipped is decoded and thrown away
                container.seek(int(self._resume_after / (stream.time_base or 1)), stream=stream)
        for packet in self._packets(container, stream):
            self._heard.add(packet)
            yield from self._frames_of(stream, packet)
        if self.fault:  # no packet told the decoder that this is the end
            yield from self._frames_of(stream, None)
        self.whole = self._heard.is_whole(container, stream, exactly=bool(self.fault))
        self.fault = "" if self.whole else self.fault  # some servers end with an error: it is none after the last frame

    def _frames_of(self, stream: VideoStream, packet: av.Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            return stream.codec_context.decode(packet)
        except av.EOFError:  # the decoder has been told of the end before
            return []
        except av.FFmpegError:
            self._broken += 1
            return []

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
        """Reads on after data that makes no sense; anything else that goes wrong is the end, and the reason is kept."""
        failures, packets = 0, container.demux(stream)
        while failures < BROKEN_READS:
            try:
                packet = next(packets, None)
            except av.InvalidDataError:
                failures, packets = failures + 1, container.demux(stream)
                self._broken += 1
                continue
            except av.FFmpegError as error:
                self.fault = why(error)
                return
            if packet is None:
                return
            failures = 0
            yield packet


class _Heard:
    """What the container has delivered, to compare with what it declares."""

    def __init__(self) -> None:
        self.packets = 0
        self.first = float("inf")
        self.end = 0.0

    def add(self, packet: av.Packet[VideoStream]) -> None:
        own_time = packet.dts if packet.pts is None else packet.pts
        if packet.size:
            self.packets += 1
        if own_time is not None and packet.time_base:
            self.first = min(self.first, float(own_time * packet.time_base))
            self.end = max(self.end, float((own_time + (packet.duration or 0)) * packet.time_base))

    def is_whole(self, container: InputContainer, stream: VideoStream, exactly: bool) -> bool | None:
        """None where the container does not say how long it is. Slow to accuse where nothing else went wrong: a trimmed
        clip holds fewer packets than it says, a last picture may stand for long, AVI counts frames never recorded."""
        declared = _declared_seconds(container, stream)
        if declared is None:
            return None
        if 0 < stream.frames <= self.packets:
            return True
        interval = _interval(stream)
        exactly = exactly or (stream.frames > 0 and container.format.name.startswith("mov"))
        tolerance = 1.5 * interval if exactly else max(0.5, 3 * interval)
        return self.end - min(self.first, self.end) >= declared - tolerance


def read_video(name: str) -> Generator[Frame | Unreadable, None, None]:
    """A video file's frames; at the end one Unreadable if something was lost."""
    playback = Playback(name)
    with open_video(name) as container:
        yield from playback.play(container)
    yield from playback.last_words()


def frame_count(name: str) -> int | None:
    """How many frames the file says it has, or its length and rate say; None where it says neither."""
    with open_video(name) as container:
        stream = video_stream(container, name)
        if stream.frames:
            return int(stream.frames)
        declared = _declared_seconds(container, stream) or (container.duration or 0) / av.time_base
        return round(declared / _interval(stream)) or None


def open_video(name: str) -> InputContainer:
    path = Path(name)
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{shown(name)}: the file is empty; get a whole copy of it")
    try:  # "file:" keeps a name with a colon from being taken for an address
        container = av.open(f"file:{name}", metadata_errors="replace")
    except av.FileNotFoundError:
        raise InputError(f"{shown(name)}: there is no such file; check the name") from None
    except av.FFmpegError as error:
        hint = "give a video, or a whole copy of it if it was cut off"
        raise InputError(
            f"{shown(name)}: the file cannot be read as a picture or video ({why(error)}); {hint}"
        ) from error
    if container.format.name == "tty":  # FFmpeg plays any .txt as the screen of a terminal
        container.close()
        raise InputError(f"{shown(name)}: this is a text file; give a picture or a video")
    return container


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream to play; the cover picture of a piece of music is none."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise InputError(f"{shown(name)}: there is no video in it, only sound or other data; give a video")
    codec = streams[0].codec_context
    if codec is None:
        raise InputError(f"{shown(name)}: no decoder is installed for this kind of video; convert it to H.264")
    if codec.width * codec.height > PIXEL_LIMIT:
        raise InputError(
            f"{shown(name)}: {codec.width} x {codec.height} pixels are more than can be read; make it smaller"
        )
    return streams[0]


def why(error: av.FFmpegError) -> str:
    """FFmpeg's reason, in the words of a sentence."""
    if isinstance(error, av.ExitError | av.TimeoutError):
        return "no answer in time"
    return (error.strerror or type(error).__name__).strip().rstrip(".").lower()


def turn_of(frame: VideoFrame) -> Turn:
    """How to show the frame, from the display matrix [a b; c d] that a phone writes: x' = ax + cy, y' = bx + dy."""
    if SideDataType.DISPLAYMATRIX not in frame.side_data:
        return False, False, False
    data = frame.side_data[SideDataType.DISPLAYMATRIX]  # type: ignore[typeddict-item]  # PyAV's stub is wrong
    a, b, _, c, d = (int(value) for value in np.frombuffer(data, np.int32, count=5))
    swap = abs(a) < abs(b)
    return swap, (c if swap else a) < 0, (b if swap else d) < 0


def turned(picture: Pixels, turn: Turn) -> Pixels:
    if not any(turn):
        return picture
    swap, left_right, top_bottom = turn
    upright = picture.transpose(1, 0, 2) if swap else picture
    return np.ascontiguousarray(upright[:: -1 if top_bottom else 1, :: -1 if left_right else 1])


def _own_time(frame: VideoFrame, stream: VideoStream) -> Fraction | None:
    """AVI has no times of showing: FFmpeg's are wrong where there are B-frames, those of decoding are an even row."""
    stamp = frame.dts if stream.container.format.name == "avi" else frame.pts
    return None if stamp is None or stream.time_base is None else stamp * stream.time_base


def _interval(stream: VideoStream) -> float:
    rate = stream.average_rate or stream.guessed_rate
    return float(1 / rate) if rate else UNKNOWN_INTERVAL


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """How long the container says the stream is, where that is more than a guess from what is there."""
    if container.format.name == "avi":
        return float(stream.frames * (stream.time_base or 0)) or None
    if not container.format.name.startswith(_DECLARES_LENGTH):
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if "DURATION" in stream.metadata:
        return _clock_seconds(stream.metadata["DURATION"])
    alone = len(container.streams) == 1 and container.duration is not None
    return (container.duration or 0) / av.time_base if alone else None


def _clock_seconds(text: str) -> float | None:
    """Matroska's "00:01:02.500000000" as 62.5."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
