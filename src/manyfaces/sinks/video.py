"""An annotated video: H.264 in MP4, with the true times of the frames.

The file is written in fragments of two seconds, each complete in itself, so a kill or a full disk costs the last
fragment and not the film; at an orderly end the muxer turns it into a plain, seekable MP4 in place ("hybrid"
fragmentation). The index for that costs about 80 bytes of memory a frame; nothing else grows.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import cv2
import numpy as np

from manyfaces.draw import annotate
from manyfaces.errors import OutputError, UsageError
from manyfaces.sinks.files import cannot_write, refuse_folder, refuse_input, writing
from manyfaces.types import Frame, FrameResult, Pixels, Unreadable

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov")

_TICKS = 90_000  # per second: divides every usual frame rate without a rest
_FLAGS = "hybrid_fragmented+frag_keyframe+empty_moov+default_base_moof"
_ENCODER = {"preset": "veryfast", "crf": "20", "g": "50", "rc-lookahead": "10", "bf": "0"}
_BT709 = 1  # the code of this colour space in H.264; unmarked videos are shown in a wrong hue by some players
_USUAL_STEP = _TICKS // 25
_PICTURE_STEP = 2 * _TICKS
_LARGEST_SIDE = 4096  # H.264 decoders in hardware take no more


class AnnotatedVideo:
    """Every frame with its boxes. The first frame's size, made even, is the video's; others are fitted into it. Streams
    may follow one another; of streams that come mixed one film would make no sense."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container: Any = None
        self._stream: Any = None
        self._clock = _Clock()
        self._stream_now = ""
        self._reached: dict[str, int] = {}
        self._new = False

    def __enter__(self) -> AnnotatedVideo:
        with writing(self._path):
            refuse_folder(self._path)
            self._new = not self._path.exists()
            self._path.open("ab").close()  # asks whether we may write, and harms nothing: it might be the input
        return self

    def write(self, frame: Frame | Unreadable, result: FrameResult, /) -> None:
        if isinstance(frame, Unreadable):
            return
        self._refuse_mixed(frame)
        picture = annotate(frame.image, result)
        try:
            if self._container is None:
                refuse_input(self._path, frame.stream)
                self._open(frame.width, frame.height)
            fitted = fit(picture, self._stream.width, self._stream.height)
            self._encode(_as_video_frame(fitted, self._clock.tick(frame.stream, frame.seconds)))
        except av.error.FFmpegError as error:
            self._abandon()
            raise _cannot(self._path, error) from error

    def _refuse_mixed(self, frame: Frame) -> None:
        """A stream that goes on after another has begun; one that begins anew may."""
        if frame.stream != self._stream_now and self._reached.get(frame.stream, frame.index) < frame.index:
            raise UsageError(f"{self._path}: one film cannot show several streams at once; name a folder")
        self._stream_now = frame.stream
        self._reached[frame.stream] = frame.index

    def _open(self, width: int, height: int) -> None:
        self._container = av.open(str(self._path), "w", format="mp4", options={"movflags": _FLAGS})
        stream = self._container.add_stream("libx264", rate=25, options=_ENCODER)
        stream.width, stream.height = video_size(width, height)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1
        self._stream = stream

    def _encode(self, frame: Any) -> None:
        """Without a frame, what the encoder still holds comes out."""
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        if self._stream is None:
            self._leave_nothing()
        elif self._container is not None:
            self._finish()

    def _leave_nothing(self) -> None:
        """No frame came; a file without a film would only be an error for whoever opens it."""
        if self._new:
            with suppress(OSError):
                self._path.unlink()

    def _finish(self) -> None:
        try:
            self._encode(None)
            self._container.close()
            self._container = None
        except av.error.FFmpegError as failure:
            self._abandon()
            raise _cannot(self._path, failure) from failure

    def _abandon(self) -> None:
        """The disk took no more: close without an end, and cut the fragment that is not whole."""
        container, self._container = self._container, None
        with suppress(av.error.FFmpegError, OSError):
            if container is not None:
                container.close()
        with suppress(OSError):
            cut_to_whole_boxes(self._path)


class _Clock:
    """Seconds to ticks that always rise: where a new stream begins or time jumps back, it goes on from the last tick.
    Pictures that follow one another stand for two seconds each."""

    def __init__(self) -> None:
        self._stream = ""
        self._offset = 0
        self._last: int | None = None
        self._step = _USUAL_STEP

    def tick(self, stream: str, seconds: float) -> int:
        raw = round(seconds * _TICKS)
        if self._last is None:
            self._offset, now = -raw, 0
        elif stream != self._stream or raw + self._offset <= self._last:
            step = _PICTURE_STEP if stream != self._stream else self._step
            self._offset, now = self._last + step - raw, self._last + step
        else:
            now = raw + self._offset
            self._step = min(now - self._last, _TICKS)
        self._stream, self._last = stream, now
        return now


def video_size(width: int, height: int) -> tuple[int, int]:
    """Even, as yuv420p needs it, by one more pixel and not one less; and no larger than players can show."""
    scale = min(1.0, _LARGEST_SIDE / max(width, height))
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    return wide + wide % 2, high + high % 2


def fit(picture: Pixels, width: int, height: int) -> Pixels:
    """The picture in the video's size: an odd edge is doubled, another size scaled between black bars."""
    high, wide = picture.shape[:2]
    if (wide + wide % 2, high + high % 2) == (width, height):
        return np.pad(picture, ((0, height - high), (0, width - wide), (0, 0)), mode="edge")
    scale = min(width / wide, height / high)
    inner = max(1, min(width, round(wide * scale))), max(1, min(height, round(high * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    smaller = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas[top : top + inner[1], left : left + inner[0]] = smaller
    return canvas


def _as_video_frame(picture: Pixels, tick: int) -> Any:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
    frame.pts, frame.time_base = tick, Fraction(1, _TICKS)
    return frame


def _cannot(path: Path, error: av.error.FFmpegError) -> OutputError:
    """The operating system's reasons in our words, the codec's in its own."""
    if isinstance(error, OSError):
        return cannot_write(path, error)
    return OutputError(f"{path}: the video cannot be written ({error}); try another size or a folder of pictures")


def cut_to_whole_boxes(path: Path) -> None:
    """Drop what follows the last complete fragment: an MP4 file is a row of boxes that begin with their length."""
    size, position, whole = path.stat().st_size, 0, 0
    with path.open("r+b") as file:
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:16], "big") if length == 1 else length
            if length < 8 or position + length > size:
                break
            position += length
            # A fragment's index without its pictures is worth nothing: stay before it until they are there too.
            whole = whole if head[4:8] == b"moof" else position
        file.truncate(whole)
