"""What a folder of photos per person comes to: every face that can be used, and every photo that cannot, and why.

An `Album` holds columns, one entry per face, in the order of the folder. Whoever splits it keeps faces of one group on
one side, for they are copies of one photo.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from manyfaces.enrol import Enrolment
from manyfaces.prepare.copies import grouped
from manyfaces.types import Detections, Embeddings, Index, Integers, Pixels, Qualities

Why = Literal["unreadable", "no face", "several faces", "poor face"]

SIDE = 112
"""Of the crops, which are those of the identity head, and of what is shown in place of one."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a person's folder, and the SHA-256 of its file; empty where that could not be read."""

    person: str
    path: Path
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The one face of a photo, ready for every use. `decoded`: the SHA-256 of the photo's pixels."""

    decoded: str
    enrolment: Enrolment


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """Why a photo gives no face, and a picture of `SIDE` x `SIDE` to show for it: the poor face, or the photo made
    small; black where there is neither."""

    why: Why
    reason: str
    picture: Pixels = field(default_factory=lambda: np.zeros((SIDE, SIDE, 3), np.uint8))


Reading: TypeAlias = Found | Refused
"""What was read of one photo. It hangs on the photo's bytes alone, not on where they lie."""


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """A photo that is not in the album, and why."""

    photo: Photo
    refused: Refused


@dataclass(frozen=True, slots=True, eq=False)
class Album:
    """The faces of a folder per person, one entry of each column per face.

    crops: (n, 112, 112, 3) RGB, aligned for the identity head. detections: in pixels of the whole photo. decoded: the
    SHA-256 of each photo's pixels. groups: (n,) numbers from 0; faces of one number are copies of one photo, the same
    file or nearly the same picture, and belong on one side of a split.
    """

    photos: tuple[Photo, ...]
    decoded: tuple[str, ...]
    crops: Pixels
    embeddings: Embeddings
    qualities: Qualities
    detections: Detections
    groups: Integers
    left_out: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        columns = (self.decoded, self.crops, self.embeddings, self.qualities, self.detections, self.groups)
        if any(len(column) != len(self.photos) for column in columns):
            raise ValueError(
                f"album: expected columns of {len(self.photos)}, got {[len(column) for column in columns]}"
            )

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, which: Index) -> Album:
        """Some of the faces; their groups keep their numbers."""
        places = np.arange(len(self))[which]
        return Album(
            tuple(self.photos[place] for place in places),
            tuple(self.decoded[place] for place in places),
            self.crops[places],
            self.embeddings[places],
            self.qualities[places],
            self.detections[places],
            self.groups[places],
            self.left_out,
        )

    @property
    def people(self) -> tuple[str, ...]:
        """Whose each face is."""
        return tuple(photo.person for photo in self.photos)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(photo.path for photo in self.photos)

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(photo.digest for photo in self.photos)

    def without_copies(self) -> Album:
        """The first face of each group."""
        return self[np.sort(np.unique(self.groups, return_index=True)[1])]

    @classmethod
    def of(cls, readings: Iterable[tuple[Photo, Reading]]) -> Album:
        """An album of what was read, photo by photo."""
        photos: list[Photo] = []
        found: list[Found] = []
        crops: list[Pixels] = []
        left_out: list[LeftOut] = []
        for photo, reading in readings:
            if isinstance(reading, Refused):
                left_out.append(LeftOut(photo, reading))
            else:
                photos.append(photo)
                found.append(_without_crops(reading))
                crops.append(reading.enrolment.crops)
        return _stacked(tuple(photos), found, crops, tuple(left_out))


def _without_crops(found: Found) -> Found:
    return replace(found, enrolment=replace(found.enrolment, crops=found.enrolment.crops[:0].copy()))


def _stacked(
    photos: tuple[Photo, ...], found: list[Found], parts: list[Pixels], left_out: tuple[LeftOut, ...]
) -> Album:
    if not found:
        return _empty(left_out)
    enrolments = [one.enrolment for one in found]
    decoded = tuple(one.decoded for one in found)
    vectors = np.concatenate([one.embeddings.vectors for one in enrolments])
    crops = _emptied_into_one(parts)
    return Album(
        photos,
        decoded,
        crops,
        Embeddings(vectors, enrolments[0].embeddings.model),
        _qualities([one.qualities for one in enrolments]),
        _detections([one.detections for one in enrolments]),
        grouped([photo.digest for photo in photos], decoded, crops, vectors),
        left_out,
    )


def _emptied_into_one(parts: list[Pixels]) -> Pixels:
    """All crops as one array. They are the bulk of an album, so each is let go as soon as it is copied."""
    crops = np.empty((len(parts), *parts[0].shape[1:]), np.uint8)
    for place in range(len(parts) - 1, -1, -1):
        crops[place] = parts.pop()[0]
    return crops


def _empty(left_out: tuple[LeftOut, ...]) -> Album:
    nothing = np.empty(0, np.float32)
    return Album(
        (),
        (),
        np.empty((0, SIDE, SIDE, 3), np.uint8),
        Embeddings(np.empty((0, 0), np.float32), ""),
        Qualities(nothing, nothing, nothing, nothing),
        Detections.empty(),
        np.empty(0, np.int64),
        left_out,
    )


def _qualities(parts: list[Qualities]) -> Qualities:
    return Qualities(*(np.concatenate([getattr(part, name) for part in parts]) for name in Qualities.__slots__))


def _detections(parts: list[Detections]) -> Detections:
    return Detections(*(np.concatenate([getattr(part, name) for part in parts]) for name in Detections.__slots__))
