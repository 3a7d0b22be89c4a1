"""What looks wrong in an album: copies, photos that hold another's face, one person under two names, names that are
nearly one.

A face is as like a person as the mean of its similarities to that person's photos, of copies only the first: a mean is
not taken in by a second misfiled photo of the same stranger, as the nearest would be. docs/decisions/0015 says what
the limits find and what they flag falsely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from manyfaces.enrol import folded
from manyfaces.prepare.album import Album
from manyfaces.types import Embeddings, Floats, Integers

AT_ONCE = 4_000_000
"""Similarities held in memory at a time."""

ENOUGH_PEOPLE = 2000
"""Of whom the likeness of strangers is measured."""

Sameness = Literal["the same file", "the same pixels", "nearly the same picture"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Mean similarities. stranger: a face less like its own folder than this is not that person's, or shows it unlike
    all others. other: a face that is so like another person, and more than its own, is that one's. twins: two folders
    more alike than this show one person."""

    stranger: float
    other: float
    twins: float


SFACE = Limits(stranger=0.22, other=0.35, twins=0.4)
"""Of the 65 people of docs/decisions/0015: a face is up to 0.37 like another person, and then more like its own; two
people are up to 0.30 alike; one face in two hundred is less than 0.3 like its own person."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Two faces of an album, by their places, that are one photo; `first` is the first of its group."""

    first: int
    second: int
    sameness: Sameness


@dataclass(frozen=True, slots=True)
class Stray:
    """A face that is unlike its own folder: `own` is how like. `other` is the person it is most like, and `similarity`
    how like; where that is no more than strangers come, `other` is empty."""

    place: int
    own: float
    other: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Twins:
    """Two names whose photos look like one person's."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Doubts:
    """All that somebody should look at before the album is used. `names`: pairs of names that differ only in case,
    width, blanks or invisible marks."""

    copies: tuple[Copy, ...]
    strays: tuple[Stray, ...]
    twins: tuple[Twins, ...]
    names: tuple[tuple[str, str], ...]


def doubts(album: Album, limits: Limits | None = None) -> Doubts:
    """Everything that looks wrong. The limits of another network's vectors are taken from the album itself, where no
    others are given."""
    strays, twins = unlikely(album.embeddings, album.people, album.groups, limits)
    everybody = sorted({*album.people, *(out.photo.person for out in album.left_out)})
    return Doubts(tuple(_copies(album)), strays, twins, tuple(near_names(everybody)))


def unlikely(
    embeddings: Embeddings, people: Sequence[str], groups: Integers, limits: Limits | None = None
) -> tuple[tuple[Stray, ...], tuple[Twins, ...]]:
    """What vectors alone tell: faces that seem to be somebody else's, and names that seem to be one person's."""
    likeness = _Likeness(embeddings.vectors, people, groups)
    chosen = limits or (SFACE if embeddings.model.startswith("sface") else likeness.limits())
    twins = tuple(likeness.twins(chosen.twins))
    return tuple(_without_twins(likeness.strays(chosen), twins, people)), twins


def near_names(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every pair of different names that a reader would take for one."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(folded(name), []).append(name)
    for several in alike.values():
        yield from combinations(several, 2)


def _without_twins(strays: Iterable[Stray], twins: Sequence[Twins], people: Sequence[str]) -> Iterator[Stray]:
    """Where a whole folder looks like another, this is said once, and not again of each photo."""
    pairs = {frozenset((pair.first, pair.second)) for pair in twins}
    return (stray for stray in strays if frozenset((people[stray.place], stray.other)) not in pairs)


def _copies(album: Album) -> Iterator[Copy]:
    firsts: dict[int, int] = {}
    for place, group in enumerate(album.groups.tolist()):
        first = firsts.setdefault(group, place)
        if first != place:
            yield Copy(first, place, _sameness(album, first, place))


def _sameness(album: Album, first: int, second: int) -> Sameness:
    if album.digests[first] == album.digests[second]:
        return "the same file"
    return "the same pixels" if album.decoded[first] == album.decoded[second] else "nearly the same picture"


class _Likeness:
    """How like every face is to every person, some faces at a time: a mean of products is a product with a mean."""

    def __init__(self, vectors: Floats, people: Sequence[str], groups: Integers) -> None:
        self._vectors = vectors
        self._names, self._owners = np.unique(np.array(people, object), return_inverse=True)
        self._firsts = _firsts(groups, self._owners)
        counted = np.flatnonzero(self._firsts == np.arange(len(vectors)))
        self._sums = np.zeros((len(self._names), self._vectors.shape[1]), np.float32)
        np.add.at(self._sums, self._owners[counted], self._vectors[counted])
        self._counts = np.bincount(self._owners[counted], minlength=len(self._names)).astype(np.float32)

    def strays(self, limits: Limits) -> Iterator[Stray]:
        """Where there is nothing of its own to compare with, there is no stray."""
        own = self._own()
        others, nearest = self._others()
        is_other = (others >= limits.other) & (others > own)
        for place in np.flatnonzero(~np.isnan(own) & ((own < limits.stranger) | is_other)).tolist():
            name = str(self._names[nearest[place]]) if is_other[place] else ""
            yield Stray(place, float(own[place]), name, float(others[place]))

    def limits(self) -> Limits:
        """Two deviations above the mean of strangers, and half way from there to people's own. Of very many people
        some tell as much as all."""
        some = np.linspace(0, len(self._sums) - 1, min(len(self._sums), ENOUGH_PEOPLE)).astype(np.int64)
        means = (self._sums / np.maximum(self._counts, 1)[:, None])[some]
        cross = (means @ means.T)[~np.eye(len(means), dtype=bool)] if len(means) > 1 else np.zeros(1, np.float32)
        own = self._own()
        typical = float(np.median(own[~np.isnan(own)])) if np.any(~np.isnan(own)) else 1.0
        mean, deviation = float(cross.mean()), float(cross.std())
        between = (mean + typical) / 2
        return Limits(min(mean + 2 * deviation, between), between, between)

    def _others(self) -> tuple[Floats, Integers]:
        """Of each face how like the most like other person is, and which; -1 where there is nobody else."""
        likeness = np.full(len(self._vectors), -1, np.float32)
        nearest = np.zeros(len(self._vectors), np.int64)
        means = self._sums / np.maximum(self._counts, 1)[:, None]
        step = max(AT_ONCE // max(len(means), 1), 1)
        for start in range(0, len(self._vectors), step):
            rows = slice(start, start + step)
            likely = self._vectors[rows] @ means.T
            likely[np.arange(len(likely)), self._owners[rows]] = -1
            nearest[rows] = likely.argmax(axis=1)
            likeness[rows] = likely.max(axis=1)
        return likeness, nearest

    def _own(self) -> Floats:
        """The mean similarity to the other photos of the same folder; NaN where there are none."""
        sums = (self._vectors * self._sums[self._owners]).sum(axis=1)
        itself = (self._vectors * self._vectors[self._firsts]).sum(axis=1)
        left = self._counts[self._owners] - 1
        return np.where(left > 0, (sums - itself) / np.maximum(left, 1), np.nan).astype(np.float32)

    def twins(self, limit: float) -> Iterator[Twins]:
        means = self._sums / np.maximum(self._counts, 1)[:, None]
        step = max(AT_ONCE // max(len(means), 1), 1)
        for start in range(0, len(means), step):
            likeness = means[start : start + step] @ means[start:].T
            for row, column in np.argwhere(likeness >= limit).tolist():
                if row < column:
                    first, second = str(self._names[start + row]), str(self._names[start + column])
                    yield Twins(first, second, float(likeness[row, column]))


def _firsts(groups: Integers, owners: Integers) -> Integers:
    """For each face the first copy of it in its own folder."""
    _, first, which = np.unique(np.stack([groups, owners], axis=1), axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[which.reshape(-1)], np.int64)
