"""A clip as the engine gets it, over and over, and when each result came out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from manyfaces.engine import Chain, Engine
from manyfaces.errors import InputError
from manyfaces.sources import open_source
from manyfaces.types import Frame, FrameResult, Unreadable

MOST_FRAMES = 300
"""Of a longer clip only the beginning is played, for whole passes are measured."""

PACE = 25.0
"""Frames a second of the camera that is played."""

SETTLING = 2.0
"""Seconds of the camera that are not counted: its first picture shows nothing but new faces."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Clip:
    """A video file that was read through once, so that it is known to be whole."""

    path: str
    frames: int
    width: int
    height: int

    @classmethod
    def of(cls, path: Path) -> Clip:
        if not path.is_file():
            raise InputError(f"{path}: there is no such clip; name a video file")
        sizes = [(frame.width, frame.height) for frame in frames_of(str(path))]
        if not sizes:
            raise InputError(f"{path}: there is no frame in it; name another clip")
        if len(sizes) == 1:
            raise InputError(f"{path}: this is a single picture, and films are measured; name a video file")
        return cls(str(path), len(sizes), *sizes[0])

    @property
    def name(self) -> str:
        return Path(self.path).stem

    def play(self) -> Iterator[Frame]:
        return frames_of(self.path)

    def endless(self) -> Iterator[Frame]:
        """One stream that never ends: index and seconds count on where the clip begins anew."""
        number = count()
        while True:
            for frame in self.play():
                index = next(number)
                yield replace(frame, index=index, seconds=index / PACE)


def frames_of(path: str) -> Iterator[Frame]:
    """A frame that cannot be decoded costs no work, so a clip that has one is not measured."""
    with closing(open_source(path, max_frames=MOST_FRAMES)) as items:
        for item in items:
            if isinstance(item, Unreadable):
                raise InputError(f"{path}, frame {item.index}: {item.reason}; measure a clip that is whole")
            yield item


class Stopwatch:
    """Remembers when frames went in, to say how old their results are. Results come in the frames' order; frames that
    were passed over have none."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._under_way: deque[tuple[int, float, float]] = deque()

    def timed(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.handed(frame.index)
            yield frame

    def handed(self, index: int, since: float | None = None) -> None:
        """A decoded frame goes to the engine now; its result counts its age from `since`, if that was earlier."""
        now = self._clock()
        self._under_way.append((index, now if since is None else since, now))

    def ages(self, result: FrameResult) -> tuple[float, float]:
        """Seconds since the frame came, and since it went to the engine decoded."""
        now = self._clock()
        while True:
            index, since, handed = self._under_way.popleft()
            if index == result.index:
                return now - since, now - handed


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whole passes of a clip, as fast as it goes; `busy` is the processor's time, `ages` those since decoding."""

    frames: int
    faces: int
    seconds: float
    busy: float
    ages: list[float]

    @property
    def per_frame(self) -> float:
        return self.seconds / self.frames


def stretch(engine: Engine, clip: Clip, warm_up: int, seconds: float, clock: Clock = time.monotonic) -> Stretch:
    """Time runs after `warm_up` frames, until so many seconds are over and as many frames were seen as whole passes
    have. Each pass is a stream of its own, as if the same file were analyzed again and again."""
    watch = Stopwatch(clock)
    ages: list[float] = []
    faces = 0
    with closing(_results(engine, Chain(watch.timed(clip.play()) for _ in count()))) as results:
        for _ in range(warm_up):
            watch.ages(next(results))
        start, busy = clock(), time.process_time()
        for frames, result in enumerate(results, 1):
            ages.append(watch.ages(result)[1])
            faces += len(result.faces)
            now = clock()
            if frames % clip.frames == 0 and now - start >= seconds:
                return Stretch(frames, faces, now - start, time.process_time() - busy, ages)
    raise InputError(f"{clip.path}: the clip came to an end, but it was to begin anew; measure another clip")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a camera's viewer gets of one picture. `age`: seconds since the camera gave it, decoding included. `handed`:
    since it was decoded. `dropped`: pictures passed over before it. `readings`: expressions read, of `faces` faces."""

    age: float
    handed: float
    dropped: int
    faces: int
    readings: int


def live(engine: Engine, clip: Clip, seconds: float, clock: Clock = time.monotonic) -> list[Shown]:
    """The clip as a camera gives it, `PACE` pictures a second, whether or not anybody keeps up."""
    watch = Stopwatch(clock)
    shown: list[Shown] = []
    first = round(min(SETTLING, seconds) * PACE)
    last = first + round(seconds * PACE) - 1
    with closing(_results(engine, Chain([_as_a_camera(clip, watch, clock)], live=True))) as results:
        for result in results:
            ages = watch.ages(result)
            if result.index >= first:
                shown.append(Shown(*ages, result.timing.dropped, len(result.faces), result.timing.emotions))
            if result.index >= last and shown:
                break
    return shown


def _as_a_camera(clip: Clip, watch: Stopwatch, clock: Clock) -> Iterator[Frame]:
    """A picture is there at its time and is decoded then; one that is decoded too late is as old as it is."""
    start = clock()
    frames = clip.endless()
    for number in count():
        due = start + number / PACE
        time.sleep(max(due - clock(), 0))
        frame = next(frames)
        watch.handed(number, due)
        yield frame


def _results(engine: Engine, chain: Chain) -> Generator[FrameResult, None, None]:
    for _, result in engine.run_chains([chain]):
        yield result
