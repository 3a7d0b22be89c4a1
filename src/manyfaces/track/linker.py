"""Ids corrected by looking at the faces: what a tracker that knows only places cannot see.

Every id that comes out has a person behind it: how the face looked over the last seconds, and where it was. The
tracker's ids only say which sightings belong together, a thread. When a thread shows somebody else than the person it
is tied to, or a new thread shows somebody who was lost there a moment ago, it is tied anew. The numbers are the
linker's own, counted from 1 as people appear, so they equal the tracker's until the first correction.

A row of zeros among the embeddings stands for a face that was not read in this frame; its thread goes on unjudged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, sqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from manyfaces.errors import UsageError
from manyfaces.geometry import areas, overlaps
from manyfaces.track.assign import best_pairs
from manyfaces.types import Embeddings, Floats, Tracks

Doubles: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

FADING = 0.75
"""What a sighting is worth against the next one in a thread's look: about the last four count."""

GAP = 0.2
"""Seconds out of sight after which a thread may have picked up another person; older sightings fade as fast."""

RISK = 1.5
"""Seconds after a gap or a neighbour's touch during which a changed look means a changed person. At other times heads
turn and light changes, and much more evidence is asked for."""

COVER = 0.15
"""The share of the smaller box under another from which a face's look may be partly the neighbour's."""

COHERENT = 0.75
"""How much the sightings in a thread's look must agree; a blurred face looks like somebody else every time."""

UNCLEAR = 0.2
"""What the look of a face in a neighbour's touch is worth against a clear one."""

FIRM = 5.0
"""Clear sightings until a person's look is worth arguing from."""

LASTING = 100.0
"""Clear sightings after which a person's look forgets as fast as it learns: a few seconds of video."""

LEAD = 0.15
"""How much more alike another person must look than the one a thread is tied to."""

TRIAL = 12
"""Readings during which a new thread may still turn out to be somebody known."""

CHANGED, CHANGED_UNTOUCHED = 8, 25
"""Sightings in a row that must contradict before a thread is given to a stranger, after a risk and without one."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Cosines between looks, for SFace: one person in one stream mostly stays above 0.5, two people below 0.4.

    same: from here on a look is the person's; half-covered faces that come out of hiding begin at about this. other:
    below it, it is somebody else's. Between the two nothing changes.
    """

    same: float = 0.45
    other: float = 0.25

    def __post_init__(self) -> None:
        if not -1 <= self.other <= self.same <= 1:
            raise UsageError(f"likeness {self.other} to {self.same}: must lie in -1..1, the smaller first")


@dataclass(slots=True, eq=False)
class _Look:
    """A weighted mean of unit vectors."""

    total: Floats
    weight: float = 0.0

    def learn(self, vector: Floats, weight: float, fading: float) -> None:
        self.total = self.total * np.float32(fading) + vector * np.float32(weight)
        self.weight = self.weight * fading + weight

    @property
    def direction(self) -> Floats:
        """The unit vector; zeros where nothing has been seen."""
        unit: Floats = self.total / np.float32(max(sqrt(float(self.total @ self.total)), 1e-9))
        return unit

    def like(self, other: _Look) -> float:
        """The cosine: 1 for the same look, around 0 for two people."""
        lengths = sqrt(float(self.total @ self.total) * float(other.total @ other.total))
        return float(self.total @ other.total) / lengths if lengths > 0 else 0.0

    @property
    def agreement(self) -> float:
        """1 where all sightings were alike, near 0 where each was different."""
        return float(np.linalg.norm(self.total)) / self.weight if self.weight > 0 else 0.0


@dataclass(slots=True, eq=False)
class _Person:
    """Somebody an id was given to. `look` is long-lived; `speed` is in pixels a second."""

    id: int
    look: _Look
    centre: Floats
    size: float
    seconds: float
    speed: Floats
    sightings: int = 0

    def went_to(self, centre: Floats, size: float, seconds: float) -> None:
        """Half a second of sightings makes the speed; one step alone is mostly the detector's trembling."""
        passed = seconds - self.seconds
        if passed > 0 and self.sightings:
            trust = np.float32(1 - exp(-passed / 0.5))
            self.speed = self.speed + trust * ((centre - self.centre) / np.float32(passed) - self.speed)
        self.centre, self.size, self.seconds = centre, size, seconds
        self.sightings += 1


@dataclass(slots=True, eq=False)
class _Thread:
    """One id of the tracker's: whom it is tied to, what it has shown lately, and how well that fits together; how many
    sightings in a row have spoken against it; and when it was last in danger of being mistaken."""

    person: _Person
    look: _Look
    seconds: float
    sightings: int = 0
    readings: int = 0
    fit: float = 1.0
    doubts: int = 0
    risk: float = -np.inf

    @property
    def on_trial(self) -> bool:
        """New, and tied to nobody but the person made for it: it may still be somebody known."""
        return self.readings <= TRIAL and self.person.sightings < self.sightings


@dataclass(frozen=True, slots=True, eq=False)
class _Sighting:
    """One face of the frame, and the thread it belongs to."""

    thread: _Thread
    vector: Floats
    centre: Floats
    size: float
    read: bool
    clear: bool


class AppearanceLinker:
    """A `Linker` for one stream."""

    def __init__(self, memory: float = 5.0, likeness: Likeness | None = None) -> None:
        """
        memory: seconds during which somebody lost can come back under the old id; whoever returns later is a new
            appearance, with an id of its own.
        likeness: what counts as the same face; it belongs to the embedding model.
        """
        if not memory > 0:
            raise UsageError(f"memory {memory}: must be more than 0 seconds")
        self._memory = memory
        self._likeness = likeness or Likeness()
        self._threads: dict[int, _Thread] = {}
        self._people: dict[int, _Person] = {}
        self._next_id = 1

    def update(self, tracks: Tracks, embeddings: Embeddings, seconds: float, /) -> Tracks:
        """The same tracks in the same order, with ids and ages that hold for people."""
        if len(tracks) != len(embeddings):
            raise ValueError(f"embeddings: expected one per track ({len(tracks)}), got {len(embeddings)}")
        self._forget(seconds)
        seen = self._sightings(tracks, embeddings, seconds)
        for sighting in seen:
            self._judge(sighting, seconds)
        self._tie_anew(seen, seconds)
        for sighting in seen:
            self._remember(sighting, seconds)
        people = [sighting.thread.person for sighting in seen]
        ids = np.array([person.id for person in people], np.int64)
        ages = np.array([person.sightings for person in people], np.int64)
        return replace(tracks, ids=ids, ages=ages)

    def _forget(self, seconds: float) -> None:
        oldest = seconds - self._memory
        self._threads = {key: thread for key, thread in self._threads.items() if thread.seconds >= oldest}
        self._people = {key: person for key, person in self._people.items() if person.seconds >= oldest}

    def _sightings(self, tracks: Tracks, embeddings: Embeddings, seconds: float) -> list[_Sighting]:
        boxes = tracks.detections.boxes
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        sizes = np.sqrt(np.maximum(areas(boxes), 1)).tolist()
        read = (np.abs(embeddings.vectors).max(axis=1, initial=0) > 0).tolist()
        clear = (~_touched(boxes)).tolist()
        seen = []
        for index, key in enumerate(tracks.ids.tolist()):
            vector, centre, size = embeddings.vectors[index], centres[index], sizes[index]
            if key not in self._threads:
                nobody = _Look(np.zeros_like(vector))
                self._threads[key] = _Thread(self._stranger(nobody, centre, size, seconds), replace(nobody), seconds)
            seen.append(_Sighting(self._threads[key], vector, centre, size, read[index], clear[index]))
        return seen

    def _stranger(self, look: _Look, centre: Floats, size: float, seconds: float) -> _Person:
        """Somebody new, with the next id. The look is copied, so that thread and person learn apart."""
        person = _Person(self._next_id, replace(look), centre, size, seconds, np.zeros(2, np.float32))
        self._people[person.id] = person
        self._next_id += 1
        return person

    def _judge(self, sighting: _Sighting, seconds: float) -> None:
        """Add the sighting to its thread's look, and count how often in a row that has contradicted the person's."""
        thread = sighting.thread
        gap = seconds - thread.seconds
        if gap > GAP or not sighting.clear:
            thread.risk = seconds
        thread.seconds = seconds
        thread.sightings += 1
        if not sighting.read:
            return
        thread.readings += 1
        thread.look.learn(sighting.vector, 1.0, FADING * exp(-gap / GAP) if gap > GAP else FADING)
        thread.fit = thread.look.like(thread.person.look) if thread.person.look.weight >= FIRM else 1.0
        if thread.fit >= self._likeness.other:
            thread.doubts = 0
        elif sighting.clear:
            thread.doubts += 1

    def _tie_anew(self, seen: list[_Sighting], seconds: float) -> None:
        """Give threads that are new or fit badly to the people they look like, if those are free, and threads that have
        long been in doubt to strangers."""
        seekers = [s for s in seen if s.read and (s.thread.fit < self._likeness.same or s.thread.on_trial)]
        if not seekers:
            return
        held = {s.thread.person.id for s in seen if s.thread.fit >= self._likeness.same or not s.read}
        free = [p for p in self._people.values() if p.id not in held and p.look.weight >= FIRM]
        claimed = self._claims(seekers, free, seconds)
        for seeker, person in claimed:
            self._tie(seeker.thread, person)
        taken = {person.id for _, person in claimed}
        tied = {id(seeker) for seeker, _ in claimed}
        for seeker in seekers:
            robbed = seeker.thread.person.id in taken
            if id(seeker) not in tied and (robbed or self._is_stranger(seeker.thread, seconds)):
                person = self._stranger(seeker.thread.look, seeker.centre, seeker.size, seconds)
                self._tie(seeker.thread, person)

    def _claims(self, seekers: list[_Sighting], free: list[_Person], seconds: float) -> list[tuple[_Sighting, _Person]]:
        """Who is found to be whom: the choice that looks most alike over all, among those who can have moved so. Whom
        a thread is tied to already has a lead."""
        if not free:
            return []
        gains = self._gains(seekers, free, seconds)
        rows, columns = np.nonzero(gains)
        chosen = best_pairs(rows, columns, gains[rows, columns])
        claims = [(seekers[rows[k]], free[columns[k]]) for k in chosen.tolist()]
        return [(seeker, person) for seeker, person in claims if person is not seeker.thread.person]

    def _gains(self, seekers: list[_Sighting], free: list[_Person], seconds: float) -> Doubles:
        """What it is worth to say that a seeker is somebody; 0 where it cannot be said."""
        looks = np.stack([seeker.thread.look.direction for seeker in seekers])
        alike = looks @ np.stack([person.look.direction for person in free]).T
        possible = (alike >= max(self._likeness.same, 0)) & _within_reach(seekers, free, seconds)
        gains = np.where(possible, alike, 0).astype(np.float64)
        columns = {person.id: column for column, person in enumerate(free)}
        for row, seeker in enumerate(seekers):
            own = columns.get(seeker.thread.person.id)
            if own is not None:
                gains[row, own] = max(seeker.thread.fit, 0.0) + LEAD
        return gains

    def _tie(self, thread: _Thread, person: _Person) -> None:
        """A thread on trial leaves nobody behind; a thread out of sight loses the person that another takes over."""
        before, trial = thread.person, thread.on_trial
        thread.person, thread.fit, thread.doubts = person, 1.0, 0
        self._threads = {
            key: other
            for key, other in self._threads.items()
            if other.person is not person or other.seconds == thread.seconds
        }
        if trial and all(other.person is not before for other in self._threads.values()):
            del self._people[before.id]

    def _is_stranger(self, thread: _Thread, seconds: float) -> bool:
        needed = CHANGED if seconds - thread.risk < RISK else CHANGED_UNTOUCHED
        return thread.doubts >= needed and thread.look.agreement >= COHERENT

    def _remember(self, sighting: _Sighting, seconds: float) -> None:
        """A person learns from what is surely theirs; after a risk, a look that does not fit is not."""
        thread, person = sighting.thread, sighting.thread.person
        person.went_to(sighting.centre, sighting.size, seconds)
        sure = thread.fit >= self._likeness.same or seconds - thread.risk >= RISK
        if sighting.read and sure:
            person.look.learn(sighting.vector, 1.0 if sighting.clear else UNCLEAR, 1 - 1 / LASTING)


def _within_reach(seekers: list[_Sighting], free: list[_Person], seconds: float) -> Flags:
    """Whether each person can have come where each seeker is: near the way they were going when last seen, the nearer
    the shorter ago that was, and not much larger or smaller."""
    passed = seconds - np.array([person.seconds for person in free])
    way = np.stack([person.speed for person in free]) * passed[:, None]
    apart = np.stack([s.centre for s in seekers])[:, None] - np.stack([person.centre for person in free])
    along = np.clip((apart * way).sum(axis=2) / np.maximum((way * way).sum(axis=1), 1e-6), 0, 1)
    aside = np.linalg.norm(apart - along[..., None] * way, axis=2)
    ours, theirs = np.array([s.size for s in seekers])[:, None], np.array([person.size for person in free])
    large, small = np.maximum(ours, theirs), np.minimum(ours, theirs)
    return np.asarray((aside <= large * (1 + passed)) & (large <= 2 * small), np.bool_)


def _touched(boxes: Floats) -> Flags:
    """Which boxes lie under or over another: the smaller of the two by a fair share."""
    shared = overlaps(boxes, boxes)
    np.fill_diagonal(shared, 0)
    own = areas(boxes)
    return np.asarray((shared > COVER * np.minimum(own[:, None], own[None, :])).any(axis=1), np.bool_)
