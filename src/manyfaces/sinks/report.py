"""The report: one HTML page that needs nothing but itself, written when all has been seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from manyfaces.draw import annotate
from manyfaces.sinks.files import partial, refuse_device, takes_its_turn, write_whole, writing
from manyfaces.sinks.page import Shot, page
from manyfaces.sinks.story import Story
from manyfaces.types import Face, Frame, FrameResult, Pixels, Unreadable

_KEY_FRAMES = 12
_MOST_PICTURES = 60
_LARGE, _SMALL = 1280, 480
_FEW_PICTURES = 4
_JPEG_QUALITY = 82
_MOST_WAITING = 16


class Report:
    """Gathers as the frames go by and writes the page at the end, also when the end is an error.

    `made` says how the results came about, in the reader's words: version, models, options. `unnamed` says why, where
    nobody is compared with anybody.
    """

    def __init__(self, path: Path, made: Mapping[str, str], unnamed: str = "no gallery") -> None:
        self._path = path
        self._made = dict(made)
        self._story = Story(unnamed=unnamed)
        self._pictures: list[Shot] = []
        self._key_frames = KeyFrames(_KEY_FRAMES)
        self._first: dict[str, tuple[Frame, FrameResult]] = {}
        self._films: set[str] = set()

    def __enter__(self) -> Report:
        with writing(self._path):
            refuse_device(self._path)
            partial(self._path).write_bytes(b"")
        return self

    def write(self, frame: Frame | Unreadable, result: FrameResult, /) -> None:
        self._story.see(result)
        if isinstance(frame, Unreadable):
            return
        if frame.stream in self._films:
            self._key_frames.offer(frame, result)
        elif frame.stream in self._first:
            self._films.add(frame.stream)
            self._key_frames.offer(*self._first.pop(frame.stream))
            self._key_frames.offer(frame, result)
        else:
            self._begin(frame, result)

    def _begin(self, frame: Frame, result: FrameResult) -> None:
        """Only when the next file begins is it known that the last one was a picture and no video's first frame; what
        goes on beside others may keep its second frame waiting for longer."""
        over = [stream for stream in self._first if takes_its_turn(stream)] if takes_its_turn(frame.stream) else []
        for stream in over or list(self._first)[: 1 - _MOST_WAITING]:
            self._add_picture(stream)
        self._first[frame.stream] = frame, result

    def _add_picture(self, stream: str) -> None:
        seen = self._first.pop(stream)
        if len(self._pictures) < _MOST_PICTURES:
            size = _LARGE if len(self._pictures) < _FEW_PICTURES else _SMALL
            self._pictures.append(shot(*seen, size))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        for stream in list(self._first):
            self._add_picture(stream)
        self._story.finish()
        made = {**self._made, "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")}
        if error is not None:
            made["ended early"] = "the run was broken off; the report holds what was seen until then"
        text = page(self._story, self._pictures, self._key_frames.best(), made)
        try:
            write_whole(self._path, text.encode("utf-8", "backslashreplace"))
        finally:
            with suppress(OSError):
                partial(self._path).unlink()


def shot(frame: Frame, result: FrameResult, size: int) -> Shot:
    """The frame no larger than `size`, with boxes; shrunk first and drawn on then, so that labels stay legible."""
    factor = min(1.0, size / max(frame.width, frame.height))
    picture = frame.image if factor == 1.0 else _resized(frame.image, factor)
    drawn = annotate(picture, replace(result, faces=tuple(_scaled(face, factor) for face in result.faces)))
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    high, wide = drawn.shape[:2]
    return Shot(encoded.tobytes(), wide, high, frame.stream, frame.seconds, result.faces)


def _resized(image: Pixels, factor: float) -> Pixels:
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _scaled(face: Face, factor: float) -> Face:
    x1, y1, x2, y2 = (edge * factor for edge in face.box)
    return replace(face, box=(x1, y1, x2, y2))


@dataclass(slots=True)
class _Candidate:
    worth: float
    position: int
    shot: Shot


class KeyFrames:
    """The best frame of every stretch of the videos. When there are too many stretches, neighbours are joined and the
    better frame stays; so twelve frames are spread over any length without knowing it beforehand."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._frames_per_stretch = 25
        self._seen = 0
        self._stretches: dict[int, _Candidate] = {}

    def offer(self, frame: Frame, result: FrameResult) -> None:
        position, self._seen = self._seen, self._seen + 1
        stretch = position // self._frames_per_stretch
        worth = _worth(result)
        best = self._stretches.get(stretch)
        if best is None or worth > best.worth:
            self._stretches[stretch] = _Candidate(worth, position, shot(frame, result, _SMALL))
        while len(self._stretches) > 2 * self._count:
            self._join()

    def _join(self) -> None:
        self._frames_per_stretch *= 2
        joined: dict[int, _Candidate] = {}
        for candidate in self._stretches.values():
            stretch = candidate.position // self._frames_per_stretch
            if stretch not in joined or candidate.worth > joined[stretch].worth:
                joined[stretch] = candidate
        self._stretches = joined

    def best(self) -> list[Shot]:
        """In the order of time."""
        chosen = sorted(self._stretches.values(), key=lambda candidate: -candidate.worth)[: self._count]
        return [candidate.shot for candidate in sorted(chosen, key=lambda candidate: candidate.position)]


def _worth(result: FrameResult) -> float:
    """Many faces, known people, clear expressions that are not neutral: that is what one wants to see."""
    worth = 0.0
    for face in result.faces:
        clear = face.emotion_confidence or 0.0
        worth += 1.0 + (face.identity is not None) + (clear if face.emotion != "neutral" else 0.0)
    # A slightly better frame is not worth drawing and encoding anew.
    return round(worth, 1)
