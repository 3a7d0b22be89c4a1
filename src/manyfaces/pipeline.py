"""The plain pipeline: one frame at a time, every stage in turn. What it says is what everything faster must say.

source --> detect --> track --> align --> heads --> link --> smooth --> row
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from manyfaces.align import align
from manyfaces.quality import assess
from manyfaces.rows import failed, frame_result
from manyfaces.smooth import EmotionEvidence, IdentityVotes, evidence_weights
from manyfaces.stages import Detector, Head, Identifier, Linker, Source, Tracker
from manyfaces.types import (
    Crops,
    Detections,
    Embeddings,
    Emotions,
    Floats,
    Frame,
    FrameResult,
    Identities,
    Tracks,
    Unreadable,
)

Seen = tuple[Frame | Unreadable, FrameResult]
Reading = TypeVar("Reading")


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts a pipeline is made of. A head that is switched off is None."""

    detect: Detector
    new_tracker: Callable[[], Tracker]
    new_linker: Callable[[], Linker]
    emotion: Head[Emotions] | None
    identity: Head[Embeddings] | None
    identify: Identifier


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of one frame, followed and cut: all that the heads and the voting need."""

    frame: Frame
    tracks: Tracks
    weights: Floats
    emotion_crops: Crops
    identity_crops: Crops


class Pipeline:
    """Runs the stages over streams. Networks are shared; what is remembered of faces belongs to one stream."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def run(self, source: Source) -> Iterator[Seen]:
        """One stream from its first frame to its last; every frame comes out, in order, with its row."""
        stream = Stream(self._stages)
        for frame in source:
            yield frame, failed(frame) if isinstance(frame, Unreadable) else self._look(frame, stream)

    def _look(self, frame: Frame, stream: Stream) -> FrameResult:
        detections = self._stages.detect([frame.image])[0]
        tracks = stream.follow(frame, detections)
        faces = cut(frame, tracks, self._stages)
        emotions = read(self._stages.emotion, faces.emotion_crops)
        embeddings = read(self._stages.identity, faces.identity_crops)
        return stream.conclude(faces, emotions, embeddings)


class Stream:
    """One stream's memory: which face is which, what it showed lately, and who it is believed to be. Its methods must
    be called frame after frame; everything between them knows no order."""

    def __init__(self, stages: Stages) -> None:
        self._tracker = stages.new_tracker()
        self._linker = stages.new_linker()
        self._emotions = EmotionEvidence()
        self._votes = IdentityVotes(stages.identify)

    def follow(self, frame: Frame, detections: Detections) -> Tracks:
        """Before the heads: which face continues which."""
        return self._tracker.update(detections, frame.seconds)

    def conclude(self, faces: Faces, emotions: Emotions | None, embeddings: Embeddings | None) -> FrameResult:
        """After the heads: what the frame adds to the evidence, and what all evidence says now."""
        seconds, tracks = faces.frame.seconds, faces.tracks
        expressions, identities = Emotions.none(len(tracks)), Identities.strangers(len(tracks))
        if embeddings is not None:
            tracks = self._linker.update(tracks, embeddings, seconds)
            self._votes.observe(tracks.ids, embeddings, faces.weights, seconds)
            identities = self._votes.report(tracks.ids)
        if emotions is not None:
            self._emotions.observe(tracks.ids, emotions, faces.weights, seconds)
            expressions = self._emotions.report(tracks.ids)
        return frame_result(faces.frame, tracks, expressions, identities)


def cut(frame: Frame, tracks: Tracks, stages: Stages) -> Faces:
    """Crop every face as each head asks, and judge what each view is worth."""
    emotion, identity = _crops(frame, tracks, stages.emotion), _crops(frame, tracks, stages.identity)
    return Faces(frame, tracks, _weights(frame, tracks, identity if stages.identity else emotion), emotion, identity)


def _weights(frame: Frame, tracks: Tracks, crops: Crops) -> Floats:
    """What each view counts as evidence; with both heads off there is no evidence to weigh."""
    if not crops.pixels.size:
        return np.ones(len(tracks), np.float32)
    return evidence_weights(assess(tracks.detections, crops.pixels, frame.width, frame.height))


def _crops(frame: Frame, tracks: Tracks, head: Head[Reading] | None) -> Crops:
    if head is None:
        return Crops(np.empty((len(tracks), 0, 0, 0), np.uint8), tracks.ids)
    return Crops(align(frame.image, tracks.detections.landmarks, head.spec), tracks.ids)


def read(head: Head[Reading] | None, crops: Crops) -> Reading | None:
    """What a head says of these crops; nothing where it is switched off."""
    return None if head is None else head(crops)
