"""The fast twin of the plain pipeline: the same stages, overlapped, batched across faces, frames and streams.

    decode | detect | follow | cut | read | conclude | consumer

Every bar is a channel between threads. `follow` and `conclude` remember and see the frames of a stream one by one;
everything between them knows no order and runs in parallel, and `flow` puts the results back into the frames' order. A
crowd is dealt into pieces, so that no network call holds more faces than is good for the processor's cache, and several
workers share one large frame. See docs/decisions/0007-engine.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from manyfaces.flow import Batching, Channel, Flow, Gate
from manyfaces.pipeline import Faces, Seen, Stages, Stream, cut, read
from manyfaces.rows import failed
from manyfaces.stages import Source
from manyfaces.types import Crops, Detections, Embeddings, Emotions, Floats, Frame, Tracks, Unreadable


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine spends the processor.

    workers: threads of each parallel stage. pictures: most pictures of one detector call. faces: most faces of one call
    of a head. wait: seconds that such a call waits to be filled; 0 takes what is there. ahead: how many frames of one
    stream may be under way, which bounds the memory and the age of a result.
    """

    workers: int = 2
    pictures: int = 1
    faces: int = 32
    wait: float = 0.0
    ahead: int = 8

    def __post_init__(self) -> None:
        if min(self.workers, self.pictures, self.faces, self.ahead) < 1 or self.wait < 0:
            raise ValueError(f"{self}: expected at least 1 of everything and no negative wait")


class Engine:
    """Says what `Pipeline` says, sooner."""

    def __init__(self, stages: Stages, plan: Plan | None = None) -> None:
        self._stages = stages
        self._plan = plan or Plan()

    def run(self, source: Source) -> Iterator[Seen]:
        """One stream from its first frame to its last; every frame comes out, in order, with its row."""
        return self._run([[source]])

    def run_chain(self, sources: Iterable[Source]) -> Iterator[Seen]:
        """One stream after the other, as in a folder of pictures: the next begins while the last is still under way."""
        return self._run([sources])

    def run_many(self, sources: Iterable[Source]) -> Iterator[Seen]:
        """Several streams at once, each in its own order; the slowest does not hold up the others' share."""
        return self._run([[source] for source in sources])

    def _run(self, chains: Sequence[Iterable[Source]]) -> Iterator[Seen]:
        """Every chain has a thread that decodes, and its share of the frames under way."""
        if not chains:
            return
        with Flow() as flow:
            room = self._plan.ahead * len(chains)
            arrivals: Channel[Arrival] = flow.channel(room, writers=len(chains))
            for number, sources in enumerate(chains):
                gate = flow.gate(self._plan.ahead)
                flow.pour(self._arriving(sources, gate), arrivals, gate, f"decode-{number}")
            for done in connect(flow, arrivals, room, self._stages, self._plan):
                done.lane.gate.leave()
                yield done.seen

    def _arriving(self, sources: Iterable[Source], gate: Gate) -> Iterator[Arrival]:
        for source in sources:
            lane = Lane(Stream(self._stages), gate)
            for frame in source:
                yield arrival(lane, frame)


# --- what travels between the stages ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One stream on its way through the engine: its memory, and the gate that bounds what is under way of it."""

    memory: Stream
    gate: Gate


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    lane: Lane
    frame: Frame


@dataclass(frozen=True, slots=True, eq=False)
class Lost:
    """What could not be decoded passes every stage untouched, to come out in its place."""

    lane: Lane
    frame: Unreadable


@dataclass(frozen=True, slots=True, eq=False)
class Concluded:
    lane: Lane
    seen: Seen


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    lane: Lane
    frame: Frame
    detections: Detections


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Some of the faces of one frame, up to `stop`; a frame without faces is one empty piece."""

    lane: Lane
    frame: Frame
    tracks: Tracks
    start: int
    stop: int

    @property
    def is_last(self) -> bool:
        return self.stop >= len(self.tracks)


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    piece: _Piece
    faces: Faces


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """A piece that the heads have looked at. The crops have done their service and are gone."""

    piece: _Piece
    weights: Floats
    emotions: Emotions | None
    embeddings: Embeddings | None


Arrival: TypeAlias = Arrived | Lost


def arrival(lane: Lane, frame: Frame | Unreadable) -> Arrival:
    return Lost(lane, frame) if isinstance(frame, Unreadable) else Arrived(lane, frame)


# --- the stages ------------------------------------------------------------------------------------------------------


def connect(flow: Flow, arrivals: Channel[Arrival], room: int, stages: Stages, plan: Plan) -> Channel[Concluded]:
    """Start every stage in `flow`; what arrives comes out concluded. `room`: frames that may be under way at most."""
    found: Channel[_Found | Lost] = flow.channel(room)
    pieces: Channel[_Piece | Lost] = flow.channel(room)
    cuts: Channel[_Cut | Lost] = flow.channel(room, weigh=_weight)
    looked: Channel[_Looked | Lost] = flow.channel(room)
    concluded: Channel[Concluded] = flow.channel(room)
    flow.spread(arrivals, found, partial(_detect, stages), plan.workers, Batching(plan.pictures), "detect")
    flow.each(found, pieces, partial(_follow, plan.faces), "follow")
    flow.spread(pieces, cuts, partial(_cut, stages), plan.workers, name="cut")
    flow.spread(cuts, looked, partial(_look, stages), plan.workers, Batching(plan.faces, plan.wait), "read")
    flow.each(looked, concluded, _Conclusion().take, "conclude")
    return concluded


def _weight(item: _Cut | Lost) -> int:
    """What an item adds to a batch of faces; an empty one counts too, so that no batch is endless."""
    return 1 if isinstance(item, Lost) else max(len(item.faces.tracks), 1)


def _detect(stages: Stages, batch: list[Arrival]) -> list[_Found | Lost]:
    """One call for all pictures of the batch, whatever their sizes and streams."""
    images = [item.frame.image for item in batch if isinstance(item, Arrived)]
    found = stages.detect(images) if images else []
    if len(found) != len(images):
        raise ValueError(f"the detector answered for {len(found)} of {len(images)} pictures")
    answers = iter(found)
    return [item if isinstance(item, Lost) else _Found(item.lane, item.frame, next(answers)) for item in batch]


def _follow(most: int, item: _Found | Lost) -> Iterable[_Piece | Lost]:
    """Say which face continues which, and deal a crowd into even pieces of at most `most` faces."""
    if isinstance(item, Lost):
        return [item]
    tracks = item.lane.memory.follow(item.frame, item.detections)
    count = max(-(-len(tracks) // most), 1)
    edges = [len(tracks) * number // count for number in range(count + 1)]
    return [_Piece(item.lane, item.frame, tracks, *ends) for ends in pairwise(edges)]


def _cut(stages: Stages, batch: list[_Piece | Lost]) -> list[_Cut | Lost]:
    return [
        item if isinstance(item, Lost) else _Cut(item, cut(item.frame, item.tracks[item.start : item.stop], stages))
        for item in batch
    ]


def _look(stages: Stages, batch: list[_Cut | Lost]) -> list[_Looked | Lost]:
    """Both heads, each called once for all faces of the batch."""
    cuts = [item for item in batch if isinstance(item, _Cut)]
    if not cuts:
        return [item for item in batch if isinstance(item, Lost)]
    emotions = read(stages.emotion, _together([item.faces.emotion_crops for item in cuts]))
    embeddings = read(stages.identity, _together([item.faces.identity_crops for item in cuts]))
    looked: list[_Looked | Lost] = []
    start = 0
    for item in batch:
        if isinstance(item, Lost):
            looked.append(item)
            continue
        part = slice(start, start + len(item.faces.tracks))
        start = part.stop
        looked.append(
            _Looked(item.piece, item.faces.weights, _emotions_of(emotions, part), _embeddings_of(embeddings, part))
        )
    return looked


def _together(crops: list[Crops]) -> Crops:
    if len(crops) == 1:
        return crops[0]
    return Crops(np.concatenate([one.pixels for one in crops]), np.concatenate([one.ids for one in crops]))


def _emotions_of(emotions: Emotions | None, part: slice) -> Emotions | None:
    return None if emotions is None else Emotions(emotions.probabilities[part], emotions.labels)


def _embeddings_of(embeddings: Embeddings | None, part: slice) -> Embeddings | None:
    return None if embeddings is None else embeddings[part]


class _Conclusion:
    """Puts the pieces of a frame together again and concludes it. Pieces come in order, a frame's one after another."""

    def __init__(self) -> None:
        self._waiting: list[_Looked] = []

    def take(self, item: _Looked | Lost) -> Iterable[Concluded]:
        if isinstance(item, Lost):
            return [Concluded(item.lane, (item.frame, failed(item.frame)))]
        self._waiting.append(item)
        if not item.piece.is_last:
            return []
        pieces, self._waiting = self._waiting, []
        return [_concluded(pieces)]


def _concluded(pieces: list[_Looked]) -> Concluded:
    whole = pieces[0].piece
    nothing = Crops(np.empty((len(whole.tracks), 0, 0, 0), np.uint8), whole.tracks.ids)
    faces = Faces(whole.frame, whole.tracks, np.concatenate([one.weights for one in pieces]), nothing, nothing)
    emotions = _all_emotions([one.emotions for one in pieces if one.emotions is not None])
    embeddings = _all_embeddings([one.embeddings for one in pieces if one.embeddings is not None])
    return Concluded(whole.lane, (whole.frame, whole.lane.memory.conclude(faces, emotions, embeddings)))


def _all_emotions(parts: list[Emotions]) -> Emotions | None:
    """None where the head is switched off."""
    if not parts:
        return None
    return Emotions(np.concatenate([part.probabilities for part in parts]), parts[0].labels)


def _all_embeddings(parts: list[Embeddings]) -> Embeddings | None:
    """None where the head is switched off."""
    return Embeddings(np.concatenate([part.vectors for part in parts]), parts[0].model) if parts else None
