"""The fast twin of the plain pipeline: the same stages, overlapped, batched across faces, frames and streams.

    decode, meet | detect | follow | cut | read | conclude | consumer

Every bar is a channel between threads. `meet`, `follow` and `conclude` remember and see the frames of a stream one by
one; everything between them knows no order and runs in parallel, and `flow` puts the results back into the frames'
order. A crowd is dealt into pieces, so that no network call holds more faces than is good for the processor's cache,
and several workers share one large frame. See docs/decisions/0007-engine.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias, TypeGuard

import numpy as np

from manyfaces.flow import Batching, Channel, Flow, Gate
from manyfaces.pipeline import Cuts, Faces, Met, Readings, Seen, Stages, Stream, cut, joined, read
from manyfaces.rows import failed
from manyfaces.stages import Source
from manyfaces.types import Detections, Frame, Turns, Unreadable


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


@dataclass(frozen=True, slots=True)
class Chain:
    """Streams that follow one another. `live`: nobody can wait, so of the frames that have come the newest is taken and
    the others are passed over and counted. `wake` is called, from another thread, when nobody reads the sources any
    more: one that waits, for the time of its next frame say, should end then."""

    sources: Iterable[Source]
    live: bool = False
    wake: Callable[[], object] | None = None


LIVE_AHEAD = 3
"""Frames of a live stream under way: two at work and one waiting keep two cores busy, more only grow older."""


class Engine:
    """Says what `Pipeline` says, sooner."""

    def __init__(self, stages: Stages, plan: Plan | None = None) -> None:
        self._stages = stages
        self._plan = plan or Plan()

    def run(self, source: Source) -> Iterator[Seen]:
        """One stream from its first frame to its last; every frame comes out, in order, with its row."""
        return self.run_chains([Chain([source])])

    def run_many(self, sources: Iterable[Source]) -> Iterator[Seen]:
        """Several streams at once, each in its own order; the slowest does not hold up the others' share."""
        return self.run_chains([Chain([source]) for source in sources])

    def run_chains(self, chains: Sequence[Chain]) -> Iterator[Seen]:
        """Several chains at once, each with a thread that decodes and its share of the frames under way. In a chain, as
        in a folder of pictures, the next stream begins while the last is still under way."""
        if not chains:
            return
        with Flow() as flow:
            room = self._plan.ahead * len(chains)
            arrivals: Channel[Arrival] = flow.channel(room, writers=len(chains))
            for number, chain in enumerate(chains):
                if chain.wake:
                    flow.waking(chain.wake)
                gate = flow.gate(min(self._plan.ahead, LIVE_AHEAD) if chain.live else self._plan.ahead)
                frames = self._live(flow, chain, gate, number) if chain.live else self._every(chain, gate)
                flow.pour(frames, arrivals, gate, f"decode-{number}")
            for done in connect(flow, arrivals, room, self._stages, self._plan):
                done.lane.gate.leave()
                yield done.seen

    def _every(self, chain: Chain, gate: Gate) -> Iterator[Arrival]:
        for source in chain.sources:
            lane = Lane(Stream(self._stages, self._plan.ahead), gate)
            for frame in source:
                yield arrival(lane, frame)

    def _live(self, flow: Flow, chain: Chain, gate: Gate, number: int) -> Iterator[Arrival]:
        for source in chain.sources:
            lane = Lane(Stream(self._stages), gate)  # no two live runs are alike: news counts as soon as it is there
            dropped = expected = 0
            for came in flow.newest(_stamped(source), _may_be_passed_over, f"camera-{number}"):
                dropped, expected = dropped + came.number - expected, came.number + 1
                yield arrival(lane, came.frame, dropped, came.moment)
                dropped = dropped if isinstance(came.frame, Unreadable) else 0


@dataclass(frozen=True, slots=True, eq=False)
class _Came:
    """The `number`-th of what a live source gave, and the monotonic clock when it did."""

    number: int
    frame: Frame | Unreadable
    moment: float


def _stamped(source: Source) -> Iterator[_Came]:
    return (_Came(number, frame, time.monotonic()) for number, frame in enumerate(source))


def _may_be_passed_over(came: _Came) -> bool:
    """Frames; what says that something is wrong with the source is always told."""
    return isinstance(came.frame, Frame)


# --- what travels between the stages ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One stream on its way through the engine: its memory, and the gate that bounds what is under way of it."""

    memory: Stream
    gate: Gate


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    lane: Lane
    met: Met


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
    met: Met
    detections: Detections | None


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Some of a frame's turns: `part` is what the heads are to read of `whole` in one go. A frame in which nobody has a
    turn is one empty piece."""

    lane: Lane
    whole: Faces
    part: Turns
    is_last: bool

    def __len__(self) -> int:
        return max(len(self.part.emotion), len(self.part.identity))


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    piece: _Piece
    cuts: Cuts


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """A piece that the heads have looked at. The crops have done their service and are gone."""

    piece: _Piece
    readings: Readings


Arrival: TypeAlias = Arrived | Lost


def arrival(lane: Lane, frame: Frame | Unreadable, dropped: int = 0, moment: float | None = None) -> Arrival:
    """Of a live frame: how many were passed over before it, and the monotonic clock when it came."""
    if isinstance(frame, Unreadable):
        return Lost(lane, frame)
    return Arrived(lane, lane.memory.meet(frame, dropped, moment))


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
    return 1 if isinstance(item, Lost) else max(len(item.piece), 1)


def _detect(stages: Stages, batch: list[Arrival]) -> list[_Found | Lost]:
    """One call for all pictures of the batch that are to be searched, whatever their sizes and streams."""
    images = [item.met.frame.image for item in batch if _is_searched(item)]
    found = stages.detect(images) if images else []
    if len(found) != len(images):
        raise ValueError(f"the detector answered for {len(found)} of {len(images)} pictures")
    answers = iter(found)
    return [
        item if isinstance(item, Lost) else _Found(item.lane, item.met, next(answers) if _is_searched(item) else None)
        for item in batch
    ]


def _is_searched(item: Arrival) -> TypeGuard[Arrived]:
    return isinstance(item, Arrived) and item.met.look.detects


def _follow(most: int, item: _Found | Lost) -> Iterable[_Piece | Lost]:
    """Say which face continues which, and deal a crowd into even pieces of at most `most` faces."""
    if isinstance(item, Lost):
        return [item]
    faces = item.lane.memory.follow(item.met, item.detections)
    turns = faces.turns
    count = max(-(-max(len(turns.emotion), len(turns.identity)) // most), 1)
    parts = zip(np.array_split(turns.emotion, count), np.array_split(turns.identity, count), strict=True)
    return [_Piece(item.lane, faces, Turns(*part), number == count) for number, part in enumerate(parts, 1)]


def _cut(stages: Stages, batch: list[_Piece | Lost]) -> list[_Cut | Lost]:
    return [
        item if isinstance(item, Lost) else _Cut(item, cut(replace(item.whole, turns=item.part), stages))
        for item in batch
    ]


def _look(stages: Stages, batch: list[_Cut | Lost]) -> list[_Looked | Lost]:
    """Both heads, each called once for all faces of the batch."""
    readings = iter(read([item.cuts for item in batch if isinstance(item, _Cut)], stages))
    return [item if isinstance(item, Lost) else _Looked(item.piece, next(readings)) for item in batch]


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
        lane, faces = item.piece.lane, item.piece.whole
        row = lane.memory.conclude(faces, joined([one.readings for one in pieces]))
        return [Concluded(lane, (faces.met.frame, row))]
