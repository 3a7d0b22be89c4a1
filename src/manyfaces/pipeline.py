"""The plain pipeline: one frame at a time, every stage in turn. What it says is what everything faster must say.

source --> meet --> detect --> follow --> cut --> read --> conclude --> row

`meet` and `follow` ask the stream's attention what to spend on the frame; with `EveryFace` that is everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np

from manyfaces.align import Pyramid
from manyfaces.attention import EveryFace
from manyfaces.closer import Closer, as_seen
from manyfaces.quality import assess
from manyfaces.rows import failed, frame_result
from manyfaces.smooth import EmotionEvidence, IdentityVotes, evidence_weights
from manyfaces.stages import Attention, Detector, Head, Identifier, Linker, News, Source, Tracker
from manyfaces.types import (
    Crops,
    Detections,
    Embeddings,
    Emotions,
    Floats,
    Frame,
    FrameResult,
    Identities,
    Integers,
    Look,
    Timing,
    Tracks,
    Turns,
    Unreadable,
)

Seen = tuple[Frame | Unreadable, FrameResult]
Reading = TypeVar("Reading", Emotions, Embeddings)


def every_face(_lag: int) -> Attention:
    return EveryFace()


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts a pipeline is made of. A head that is switched off is None. `new_attention` gets the number of frames
    after which news of a frame counts. `closer` looks again at small faces that are about to be told apart."""

    detect: Detector
    new_tracker: Callable[[], Tracker]
    new_linker: Callable[[], Linker]
    emotion: Head[Emotions] | None
    identity: Head[Embeddings] | None
    identify: Identifier
    new_attention: Callable[[int], Attention] = every_face
    closer: Closer = as_seen


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """A frame of which is known how it is to be looked at. `dropped`: frames passed over just before it. `arrived`: the
    monotonic clock when a live frame came; None where nobody waits for the result."""

    frame: Frame
    look: Look
    dropped: int
    arrived: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of one frame, followed, and which of them the heads are to read."""

    met: Met
    tracks: Tracks
    turns: Turns


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """The faces that one head reads, as it asks for them, and what each view counts as evidence."""

    crops: Crops
    weights: Floats

    def __len__(self) -> int:
        return len(self.crops)


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """The views of both heads."""

    emotion: Views
    identity: Views


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What the heads said of a frame's turns, and what that counts; None from a head that is switched off."""

    emotions: Emotions | None
    emotion_weights: Floats
    embeddings: Embeddings | None
    identity_weights: Floats


class Pipeline:
    """Runs the stages over streams. Networks are shared; what is remembered of faces belongs to one stream."""

    def __init__(self, stages: Stages, lag: int = 0) -> None:
        """`lag`: frames after which the attention hears what was read, to say just what an engine says that may have so
        many frames under way."""
        self._stages = stages
        self._lag = lag

    def run(self, source: Source) -> Iterator[Seen]:
        """One stream from its first frame to its last; every frame comes out, in order, with its row."""
        stream = Stream(self._stages, self._lag)
        for frame in source:
            yield frame, failed(frame) if isinstance(frame, Unreadable) else self._look(frame, stream)

    def _look(self, frame: Frame, stream: Stream) -> FrameResult:
        met = stream.meet(frame)
        detections = self._stages.detect([frame.image])[0] if met.look.detects else None
        faces = stream.follow(met, detections)
        readings = read([cut(faces, self._stages)], self._stages)[0]
        return stream.conclude(faces, readings)


class Stream:
    """One stream's memory: what deserves a look, which face is which, what it showed lately, and who it is believed to
    be. Its methods must be called frame after frame, each in the frames' order; everything between them knows no
    order."""

    def __init__(self, stages: Stages, lag: int = 0) -> None:
        self._attention = stages.new_attention(lag)
        self._tracker = stages.new_tracker()
        self._linker = stages.new_linker()
        self._emotions = EmotionEvidence()
        self._votes = IdentityVotes(stages.identify)

    def meet(self, frame: Frame, dropped: int = 0, arrived: float | None = None) -> Met:
        """Before anything: whether faces are to be looked for in this frame."""
        return Met(frame, self._attention.look(frame), dropped, arrived)

    def follow(self, met: Met, detections: Detections | None) -> Faces:
        """Before the heads: which face continues which, and whose turn it is to be read."""
        seconds = met.frame.seconds
        tracks = self._tracker.predict(seconds) if detections is None else self._tracker.update(detections, seconds)
        return Faces(met, tracks, self._attention.turns(met.frame, met.look, tracks))

    def conclude(self, faces: Faces, readings: Readings) -> FrameResult:
        """After the heads: what the frame adds to the evidence, and what all evidence says now."""
        tracks, identities = self._conclude_identities(faces, readings)
        expressions = self._conclude_emotions(faces, tracks, readings)
        age = None if faces.met.arrived is None else time.monotonic() - faces.met.arrived
        self._attention.learn(_news(faces, readings, identities, age))
        return frame_result(faces.met.frame, tracks, expressions, identities, _timing(faces, readings, age))

    def _conclude_identities(self, faces: Faces, readings: Readings) -> tuple[Tracks, Identities]:
        if readings.embeddings is None:
            return faces.tracks, Identities.strangers(len(faces.tracks))
        rows, seconds = faces.turns.identity, faces.met.frame.seconds
        tracks = self._linker.update(faces.tracks, _spread(readings.embeddings, rows, len(faces.tracks)), seconds)
        self._votes.see(tracks.ids, seconds)
        if len(rows):
            self._votes.observe(tracks.ids[rows], readings.embeddings, readings.identity_weights, seconds)
        return tracks, self._votes.report(tracks.ids)

    def _conclude_emotions(self, faces: Faces, tracks: Tracks, readings: Readings) -> Emotions:
        if readings.emotions is None:
            return Emotions.none(len(tracks))
        rows, seconds = faces.turns.emotion, faces.met.frame.seconds
        self._emotions.see(tracks.ids, seconds)
        self._emotions.observe(tracks.ids[rows], readings.emotions, readings.emotion_weights, seconds)
        return self._emotions.report(tracks.ids)


def cut(faces: Faces, stages: Stages) -> Cuts:
    """Crop every face as the head whose turn it has asks, and judge what each view is worth."""
    pyramid = Pyramid(faces.met.frame.image)
    return Cuts(
        _views(faces, pyramid, faces.turns.emotion, stages.emotion, as_seen),
        _views(faces, pyramid, faces.turns.identity, stages.identity, stages.closer),
    )


def _views(faces: Faces, pyramid: Pyramid, rows: Integers, head: Head[Reading] | None, closer: Closer) -> Views:
    if head is None:
        return Views(Crops(np.empty((0, 0, 0, 0), np.uint8), np.empty(0, np.int64)), np.empty(0, np.float32))
    frame, tracks = faces.met.frame, faces.tracks[rows]
    crops = pyramid.align(closer(frame.image, tracks.detections).landmarks, head.spec)
    weights = evidence_weights(assess(tracks.detections, crops, frame.width, frame.height))
    return Views(Crops(crops, tracks.ids), weights)


def read(cuts: Sequence[Cuts], stages: Stages) -> list[Readings]:
    """What the heads say of the views of one or several frames. Each head is called once for all of them."""
    emotions = _answers(stages.emotion, [one.emotion for one in cuts])
    embeddings = _answers(stages.identity, [one.identity for one in cuts])
    return [
        Readings(expression, one.emotion.weights, vectors, one.identity.weights)
        for one, expression, vectors in zip(cuts, emotions, embeddings, strict=True)
    ]


def joined(parts: Sequence[Readings]) -> Readings:
    """What was read of one frame in several goes, as one."""
    if len(parts) == 1:
        return parts[0]
    emotions = [part.emotions for part in parts if part.emotions is not None]
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return Readings(
        Emotions(np.concatenate([one.probabilities for one in emotions]), emotions[0].labels) if emotions else None,
        np.concatenate([part.emotion_weights for part in parts]),
        Embeddings(np.concatenate([one.vectors for one in embeddings]), embeddings[0].model) if embeddings else None,
        np.concatenate([part.identity_weights for part in parts]),
    )


def _answers(head: Head[Reading] | None, views: Sequence[Views]) -> Sequence[Reading | None]:
    """Each view's part of what the head says of all; nothing where it is switched off."""
    if head is None or not views:
        return [None] * len(views)
    answer = head(_together([one.crops for one in views]))
    edges = accumulate((len(one) for one in views), initial=0)
    return [answer[start:stop] for start, stop in pairwise(edges)]


def _together(crops: list[Crops]) -> Crops:
    if len(crops) == 1:
        return crops[0]
    return Crops(np.concatenate([one.pixels for one in crops]), np.concatenate([one.ids for one in crops]))


def _spread(embeddings: Embeddings, rows: Integers, count: int) -> Embeddings:
    """One row per face of the frame; zeros stand for a face that was not read."""
    if len(rows) == count:
        return embeddings
    vectors = np.zeros((count, embeddings.vectors.shape[1]), np.float32)
    vectors[rows] = embeddings.vectors
    return Embeddings(vectors, embeddings.model)


def _timing(faces: Faces, readings: Readings, age: float | None) -> Timing:
    emotions = 0 if readings.emotions is None else len(readings.emotions)
    identities = 0 if readings.embeddings is None else len(readings.embeddings)
    return Timing(faces.met.look.detects, emotions, identities, faces.met.dropped, age)


def _news(faces: Faces, readings: Readings, identities: Identities, age: float | None) -> News:
    none, ids = np.empty(0, np.int64), faces.tracks.ids
    emotion_rows = none if readings.emotions is None else faces.turns.emotion
    identity_rows = none if readings.embeddings is None else faces.turns.identity
    return News(
        faces.met.frame.index,
        ids[emotion_rows],
        Emotions.none(0) if readings.emotions is None else readings.emotions,
        ids[identity_rows],
        Embeddings(np.empty((0, 0), np.float32), "") if readings.embeddings is None else readings.embeddings,
        identities[identity_rows],
        age,
    )
