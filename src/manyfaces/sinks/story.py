"""What a report tells, gathered while the frames go by: who was there when, and what their faces showed.

Memory stays small however long a video is: neighbouring frames that say the same are one segment, faces that came and
went long ago keep only their counts once there are very many, and key frames compete for a few places.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from manyfaces.types import Face, FrameResult

LONGEST_GAP = 1.0
"""Seconds that a face may be unseen, in the frames or between them, without a gap in its timeline."""

LEAST_SIGHTINGS, FEW_FRAMES = 3, 10
"""What was seen less often than this, in a stream of more than a few frames, is not counted: it was a false alarm, or
the number that a face had until it was known again."""

_MOST_SEGMENTS = 300
_MOST_TRACKS = 400
_MOST_FAILURES = 50
_FORGET_AFTER = 10.0
_MOST_OPEN = 64


@dataclass(slots=True)
class Segment:
    """A stretch of time in which a face showed the same."""

    start: float
    end: float
    emotion: str | None


@dataclass(slots=True)
class Track:
    """One face of one stream. `names` counts how often it was called what; the stranger's name is the empty text."""

    number: int
    segments: list[Segment] = field(default_factory=list)
    sightings: int = 0
    names: Counter[str] = field(default_factory=Counter)
    emotions: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """The name it had most often; a face is a stranger only if it never had one."""
        named = [(count, name) for name, count in self.names.items() if name]
        return max(named)[1] if named else ""

    @property
    def is_briefest(self) -> bool:
        return self.sightings < LEAST_SIGHTINGS

    def see(self, seconds: float, face: Face) -> None:
        self.sightings += 1
        self.names[face.identity or ""] += 1
        if face.emotion is not None:
            self.emotions[face.emotion] += 1
        add_to_segments(self.segments, seconds, face.emotion)


def add_to_segments(segments: list[Segment], seconds: float, emotion: str | None) -> None:
    """Lengthen the last segment, or begin another that touches it where the face was in sight all the time."""
    last = segments[-1] if segments else None
    if last is None or not 0 <= seconds - last.end <= LONGEST_GAP:
        segments.append(Segment(seconds, seconds, emotion))
    elif last.emotion == emotion:
        last.end = seconds
    else:
        last.end = seconds
        segments.append(Segment(seconds, seconds, emotion))
    if len(segments) > _MOST_SEGMENTS:
        segments[:] = coarser(segments)


def coarser(segments: list[Segment]) -> list[Segment]:
    """Half as many segments: each pair that touches becomes one and shows what the longer of the two showed."""
    joined: list[Segment] = []
    rest = list(reversed(segments))
    while rest:
        first = rest.pop()
        if rest and rest[-1].start - first.end <= LONGEST_GAP:
            second = rest.pop()
            longer = max(first, second, key=lambda segment: segment.end - segment.start)
            first = Segment(first.start, second.end, longer.emotion)
        joined.append(first)
    return joined if len(joined) < len(segments) else segments[len(segments) // 2 :]


@dataclass(slots=True)
class StreamStory:
    """One picture or video: its frames, its faces, its failures."""

    name: str
    frames: int = 0
    reached: int = -1
    start: float = 0.0
    end: float = 0.0
    tracks: dict[int, Track] = field(default_factory=dict)
    forgotten: int = 0
    forgotten_briefest: int = 0

    @property
    def is_video(self) -> bool:
        return self.frames > 1

    @property
    def faces(self) -> list[Track]:
        return [track for track in self.tracks.values() if self.counts(track)]

    @property
    def gone(self) -> int:
        """How many faces are forgotten."""
        return self.forgotten if self.frames <= FEW_FRAMES else self.forgotten - self.forgotten_briefest

    def counts(self, track: Track) -> bool:
        """Whether it is one of the faces that are counted."""
        return self.frames <= FEW_FRAMES or not track.is_briefest

    def see(self, result: FrameResult) -> None:
        self.start = result.seconds if self.frames == 0 else min(self.start, result.seconds)
        self.end = max(self.end, result.seconds)
        self.reached = result.index
        self.frames += 1
        for face in result.faces:
            if face.track not in self.tracks:
                self.tracks[face.track] = Track(face.track)
            self.tracks[face.track].see(result.seconds, face)
        if len(self.tracks) > _MOST_TRACKS:
            self._forget(result.seconds)

    def _forget(self, now: float) -> None:
        """Of the nameless faces that are gone, let the briefer half go; their sightings are counted already."""
        gone = [t for t in self.tracks.values() if not t.name and now - t.segments[-1].end > _FORGET_AFTER]
        for track in sorted(gone, key=lambda track: track.sightings)[: max(1, len(gone) // 2)]:
            del self.tracks[track.number]
            self.forgotten += 1
            self.forgotten_briefest += track.is_briefest


@dataclass(slots=True)
class Person:
    """Everything about one name, over all streams."""

    name: str
    sightings: int = 0
    streams: int = 0
    emotions: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Story:
    """All streams of one run, which may come mixed. Pictures are only counted; of videos the timelines are kept."""

    pictures: int = 0
    videos: list[StreamStory] = field(default_factory=list)
    frames: int = 0
    sightings: int = 0
    strangers: int = 0
    different: int = 0
    emotions: Counter[str] = field(default_factory=Counter)
    people: dict[str, Person] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    failed: int = 0
    compared: bool = False
    unnamed: str = "no gallery"
    _open: dict[str, StreamStory] = field(default_factory=dict)

    def see(self, result: FrameResult) -> None:
        if result.error:
            self._fail(result)
            return
        self._story_of(result).see(result)
        self.frames += 1
        self.sightings += len(result.faces)
        self.emotions.update(face.emotion for face in result.faces if face.emotion is not None)
        self.compared = self.compared or any(face.similarity is not None for face in result.faces)

    def finish(self) -> None:
        for stream in list(self._open):
            self._close(stream)

    def _story_of(self, result: FrameResult) -> StreamStory:
        """The stream's story so far, kept in the order in which streams were last seen; a new one where it begins anew.
        When there are very many, the one that was seen longest ago is over."""
        if result.stream in self._open and result.index <= self._open[result.stream].reached:
            self._close(result.stream)
        story = self._open.pop(result.stream, None) or StreamStory(result.stream)
        if len(self._open) >= _MOST_OPEN:
            self._close(next(iter(self._open)))
        self._open[result.stream] = story
        return story

    def _fail(self, result: FrameResult) -> None:
        self.failed += 1
        if len(self.failures) < _MOST_FAILURES:
            place = (
                f"{result.stream}, frame {result.index}"
                if result.index or result.stream in self._open
                else result.stream
            )
            self.failures.append((place, result.error))

    def _close(self, name: str) -> None:
        stream = self._open.pop(name)
        for name in {track.name for track in stream.tracks.values()} - {""}:
            self._add_person(name, [track for track in stream.tracks.values() if track.name == name])
        faces = stream.faces
        self.strangers += sum(1 for track in faces if not track.name) + stream.gone
        self.different += len(faces) + stream.gone
        if stream.is_video:
            self.videos.append(stream)
        else:
            self.pictures += 1

    def _add_person(self, name: str, tracks: list[Track]) -> None:
        person = self.people.setdefault(name, Person(name))
        person.streams += 1
        for track in tracks:
            person.sightings += track.sightings
            person.emotions.update(track.emotions)
