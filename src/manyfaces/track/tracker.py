"""Faces followed by where they are and how they move, without looking at them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from manyfaces.errors import UsageError
from manyfaces.geometry import areas, overlaps
from manyfaces.track.assign import best_pairs
from manyfaces.track.motion import (
    Doubles,
    Motion,
    Noises,
    born,
    boxes_of,
    corrected,
    joined,
    moved,
    nearby,
    observed,
    sizes,
    surprises,
)
from manyfaces.types import Detections, Floats, Index, Integers, Tracks

COVER = 0.2
"""The share of a face behind another from which it counts as hidden."""


@dataclass(frozen=True, slots=True, eq=False)
class _Memory:
    """What is known of every live track: how it was last found, at `seen` (n,) seconds, its motion as of then, and for
    how many seconds it has been missed since (n,) where nobody stands in front of it."""

    motion: Motion
    last: Detections
    ids: Integers
    ages: Integers
    seen: Doubles
    missed: Doubles

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, which: Index) -> _Memory:
        return _Memory(
            self.motion[which],
            self.last[which],
            self.ids[which],
            self.ages[which],
            self.seen[which],
            self.missed[which],
        )


class MotionTracker:
    """A `Tracker` for one stream: a Kalman filter per face and one exact assignment per frame."""

    def __init__(
        self,
        patience: float = 1.5,
        hiding: float = 3.0,
        settled: int = 3,
        strictness: float = 18.0,
        noises: Noises | None = None,
    ) -> None:
        """
        patience: seconds that a face may be missed where nothing hides it; it blinks out when a head turns away.
        hiding: seconds that it may be missed in all, behind others too; two people walking abreast hide one another
            for long, but the longer, the less is known of where the hidden one is.
        settled: sightings until a track has earned all of its patience; a false alarm should not linger.
        strictness: how surprising a sighting may be and still be the same face; above it a new track is born.
        """
        if not patience > 0:
            raise UsageError(f"patience {patience}: must be more than 0 seconds")
        self._patience = patience
        self._hiding = max(hiding, patience)
        self._settled = settled
        self._strictness = strictness
        self._noises = noises or Noises()
        self._memory = _nothing()
        self._now = -np.inf
        self._next_id = 1

    def update(self, detections: Detections, seconds: float, /) -> Tracks:
        """One track per detection, in their order. Seconds never run backwards within a stream; if they do, as where
        two broken recordings are joined, the same moment is taken to last."""
        passed = max(seconds - self._now, 0.0) if len(self._memory) else 0.0
        self._now = max(self._now, seconds)
        self._forget()
        seen = observed(detections.boxes)
        expected = moved(self._memory.motion, self._now - self._memory.seen, self._noises)
        known, found = self._pair(expected, seen)
        tracks = self._numbered(detections, known, found)
        self._memory = _together(
            self._lost(expected, known, detections, passed), self._found(expected, known, found, tracks, seen)
        )
        return tracks

    def predict(self, seconds: float, *, unseen: bool = False) -> Tracks:
        """Where the faces of the last update are believed to be at another moment, landmarks moved along; for frames
        in which nobody looks. With `unseen`, also those that have been lost for less than the patience."""
        memory = self._memory if unseen else self._memory[self._memory.seen == self._now]
        motion = moved(memory.motion, np.maximum(seconds - memory.seen, 0), self._noises)
        return Tracks(_carried(memory.last, memory.motion, motion), memory.ids, memory.ages)

    def _forget(self) -> None:
        memory = self._memory
        earned = np.minimum(memory.ages / self._settled, 1)
        unseen = self._now - memory.seen
        self._memory = memory[(memory.missed <= self._patience * earned) & (unseen <= self._hiding * earned)]

    def _pair(self, expected: Motion, seen: Doubles) -> tuple[Integers, Integers]:
        """Which track goes on in which detection: the most likely choice for all of them together."""
        place = np.sqrt(expected.spreads[:, 0, 0] + self._noises.measured[0] ** 2)
        reach = place * np.sqrt(self._strictness) * sizes(expected.values)
        track, detection = nearby(expected, seen, reach)
        gains = self._strictness - surprises(expected[track], seen[detection], self._noises)
        chosen = best_pairs(track, detection, gains)
        return track[chosen], detection[chosen]

    def _numbered(self, detections: Detections, known: Integers, found: Integers) -> Tracks:
        """The detections with the ids and ages of the tracks they continue, or with new ones."""
        ids, ages = np.zeros(len(detections), np.int64), np.ones(len(detections), np.int64)
        ids[found] = self._memory.ids[known]
        ages[found] = self._memory.ages[known] + 1
        fresh = np.flatnonzero(ids == 0)
        ids[fresh] = self._next_id + np.arange(len(fresh))
        self._next_id += len(fresh)
        return Tracks(detections, ids, ages)

    def _lost(self, expected: Motion, known: Integers, detections: Detections, passed: float) -> _Memory:
        """The tracks that go on in no detection, a little less likely to come back."""
        away = np.ones(len(self._memory), bool)
        away[known] = False
        lost = self._memory[away]
        exposed = ~_covered(boxes_of(expected.values[away]), detections.boxes)
        return replace(lost, missed=lost.missed + passed * exposed)

    def _found(self, expected: Motion, known: Integers, found: Integers, tracks: Tracks, seen: Doubles) -> _Memory:
        """The tracks of this frame: those that go on, corrected by what was seen, and those just born."""
        fresh = np.ones(len(tracks), bool)
        fresh[found] = False
        here = np.concatenate([found, np.flatnonzero(fresh)])
        motion = joined(corrected(expected[known], seen[found], self._noises), born(seen[fresh], self._noises))
        now, never = np.full(len(here), self._now), np.zeros(len(here))
        return _Memory(motion, tracks.detections[here], tracks.ids[here], tracks.ages[here], now, never)


def _covered(boxes: Floats, others: Floats) -> npt.NDArray[np.bool_]:
    """Which boxes have a fair part behind one of the others: the detector loses a face long before all of it is."""
    if not len(boxes) or not len(others):
        return np.zeros(len(boxes), bool)
    return np.asarray(overlaps(boxes, others).max(axis=1) > COVER * areas(boxes), np.bool_)


def _nothing() -> _Memory:
    none = np.empty(0, np.int64)
    return _Memory(born(np.empty((0, 4)), Noises()), Detections.empty(), none, none, np.empty(0), np.empty(0))


def _together(first: _Memory, second: _Memory) -> _Memory:
    return _Memory(
        joined(first.motion, second.motion),
        Detections(
            np.concatenate([first.last.boxes, second.last.boxes]),
            np.concatenate([first.last.scores, second.last.scores]),
            np.concatenate([first.last.landmarks, second.last.landmarks]),
        ),
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.ages, second.ages]),
        np.concatenate([first.seen, second.seen]),
        np.concatenate([first.missed, second.missed]),
    )


def _carried(last: Detections, before: Motion, after: Motion) -> Detections:
    """The last detections, shifted and stretched as the belief about each face has been since."""
    stretch = np.exp(after.values[:, 2:] - before.values[:, 2:])
    origin, target = before.values[:, :2], after.values[:, :2]

    def carry(points: Floats) -> Floats:
        moved_points = (points - origin[:, None]) * stretch[:, None] + target[:, None]
        result: Floats = moved_points.astype(np.float32)
        return result

    return Detections(carry(last.boxes.reshape(-1, 2, 2)).reshape(-1, 4), last.scores, carry(last.landmarks))
