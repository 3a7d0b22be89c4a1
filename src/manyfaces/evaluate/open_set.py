"""Strangers before a gallery: how many are given a name, and how many of the enrolled are missed, by gallery size.

Each draw enrols some of the people, chosen by lot, and asks about their photos held back and about everybody else, who
are strangers to it. The gallery decides by itself, as calibrated for a stated share of strangers; so beside the curve
stands whether that share came true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from manyfaces.evaluate.shares import Counts, Interval, by_person
from manyfaces.portraits import Portraits
from manyfaces.stages import Identifier
from manyfaces.types import Embeddings

CalibratedAt: TypeAlias = Callable[[Embeddings, list[str], float], Identifier]
"""Makes a gallery of faces and names that lets this share of strangers pass."""

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
SIZES = (2, 4, 10, 20, 30, 50)
"""How many people are enrolled, as far as a folder has more of them than that: somebody must be a stranger."""

DRAWS = 10

Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """What galleries of `enrolled` people did when calibrated for a false-accept rate of `stated`: false-positive and
    false-negative identification rate, each with the interval in which other people would leave it."""

    enrolled: int
    strangers: int
    stated: float
    fpir: float
    fpir_interval: Interval
    fnir: float
    fnir_interval: Interval


@dataclass(slots=True)
class Tally:
    """Counts per person over all draws."""

    people: int
    happened: Counts = field(init=False)
    asked: Counts = field(init=False)
    photos: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.happened, self.asked = np.zeros(self.people), np.zeros(self.people)

    def count(self, photos: npt.NDArray[np.intp], owners: npt.NDArray[np.int64], happened: Sequence[bool]) -> None:
        np.add.at(self.happened, owners[photos], np.asarray(happened, np.float64))
        np.add.at(self.asked, owners[photos], 1)
        self.photos.update(photos.tolist())

    def share(self) -> tuple[float, Interval]:
        there = self.asked > 0
        share = float(self.happened.sum() / max(self.asked.sum(), 1))
        return share, by_person(self.happened[there], self.asked[there], len(self.photos))


def open_curve(
    portraits: Portraits,
    people: Sequence[str],
    held: Sequence[Flags],
    make_identifier: CalibratedAt,
    seed: int,
    sizes: Sequence[int] = SIZES,
) -> list[OpenPoint]:
    """The points of every gallery size and stated rate; `held` are the photos held back in each draw."""
    names, owners = np.unique(np.array(people), return_inverse=True)
    return [
        _point(portraits, names.tolist(), owners.astype(np.int64), held, make_identifier, _Asked(size, rate, seed))
        for size in sizes
        if size < len(names)
        for rate in RATES
    ]


@dataclass(frozen=True, slots=True)
class _Asked:
    size: int
    rate: float
    seed: int

    def enrolled(self, draw: int, people: int) -> npt.NDArray[np.int64]:
        """Who is enrolled in this draw: the same at every rate, so that the points of a curve compare."""
        rng = np.random.default_rng((self.seed, self.size, draw))
        return rng.permutation(people)[: self.size].astype(np.int64)


def _point(
    portraits: Portraits,
    names: list[str],
    owners: npt.NDArray[np.int64],
    held: Sequence[Flags],
    make_identifier: CalibratedAt,
    asked: _Asked,
) -> OpenPoint:
    strangers, known = Tally(len(names)), Tally(len(names))
    for draw, back in enumerate(held):
        inside = np.isin(owners, asked.enrolled(draw, len(names)))
        enrolled = np.flatnonzero(inside & ~back & portraits.found)
        identify = make_identifier(
            portraits.embeddings[enrolled], [names[owner] for owner in owners[enrolled]], asked.rate
        )
        foreign, own = np.flatnonzero(~inside & portraits.found), np.flatnonzero(inside & back)
        strangers.count(foreign, owners, [name is not None for name in identify(portraits.embeddings[foreign]).names])
        known.count(own, owners, list(missed(portraits, own, owners, names, identify)))
    fpir, fpir_interval = strangers.share()
    fnir, fnir_interval = known.share()
    return OpenPoint(
        asked.size, len(names) - asked.size, asked.rate, fpir, fpir_interval, fnir, fnir_interval
    )  # fmt: skip


def missed(
    portraits: Portraits,
    photos: npt.NDArray[np.intp],
    owners: npt.NDArray[np.int64],
    names: Sequence[str],
    identify: Identifier,
) -> Iterator[bool]:
    """Whether each photo of an enrolled person got no name or a wrong one; one without a face got none."""
    answers = identify(portraits.embeddings[photos]).names
    for photo, answer in zip(photos.tolist(), answers, strict=True):
        yield answer != names[owners[photo]] or not bool(portraits.found[photo])
