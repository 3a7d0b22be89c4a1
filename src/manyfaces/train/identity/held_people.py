"""Whether one way of making vectors tells people apart better than another, on what neither has seen.

Where there are people enough, folds hold out whole people, as whoever is enrolled later was not there to learn from;
else photos of the same people, which says nothing of strangers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manyfaces.types import Floats, Integers

FOLDS = 5
ENOUGH_PEOPLE = 20
"""From so many on people are held out: a fold then has four or more to tell apart."""

DRAWS = 50
"""How often one photo of each person is drawn to be the only one enrolled."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of vectors on held-out faces. one_photo: the share of photos that are nearest to their own person, where one
    photo of each is enrolled, over many draws. equal_error: where as many pairs of one person are refused as pairs of
    two accepted."""

    one_photo: float
    equal_error: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Fold by fold, the pretrained vectors and the adapted ones. `by` says what was held out."""

    by: str
    pretrained: tuple[Judgement, ...]
    adapted: tuple[Judgement, ...]

    @property
    def gains(self) -> npt.NDArray[np.float64]:
        pairs = zip(self.pretrained, self.adapted, strict=True)
        return np.array([after.one_photo - before.one_photo for before, after in pairs])

    @property
    def gain(self) -> float:
        return float(self.gains.mean())

    @property
    def error(self) -> float:
        """One standard error of the gain over the folds."""
        return float(self.gains.std(ddof=1) / np.sqrt(len(self.gains)))

    @property
    def is_better(self) -> bool:
        """More faces right by more than a standard error, and pairs told apart no worse."""
        worse = mean(self.adapted).equal_error > mean(self.pretrained).equal_error
        return self.gain > max(self.error, 0.0) and not worse


def mean(several: Sequence[Judgement]) -> Judgement:
    return Judgement(
        float(np.mean([one.one_photo for one in several])), float(np.mean([one.equal_error for one in several]))
    )


def folds(owners: Integers, groups: Integers, seed: int) -> tuple[str, list[Flags]]:
    """What is held out of each fold, and by what. Copies stay together."""
    people = np.unique(owners[_several(owners, groups)])
    if len(people) >= ENOUGH_PEOPLE:
        return "people", list(_parts(owners, people, seed))
    return "photos", list(_photo_parts(owners, groups, seed))


def _several(owners: Integers, groups: Integers) -> Flags:
    """The photos of people who have at least two different ones: of the others nobody could be found again."""
    pairs = np.unique(np.stack([owners, groups]), axis=1)[0]
    return np.isin(owners, np.flatnonzero(np.bincount(pairs) >= 2))


def _parts(numbers: Integers, drawn: npt.NDArray[np.int64], seed: int) -> Iterator[Flags]:
    order = np.random.default_rng(seed).permutation(drawn)
    for fold in range(FOLDS):
        yield np.isin(numbers, order[fold::FOLDS])


def _photo_parts(owners: Integers, groups: Integers, seed: int) -> Iterator[Flags]:
    """Each person's pictures are dealt round, so that every fold has some of everybody who has enough."""
    place = np.zeros(len(owners), np.int64)
    random = np.random.default_rng(seed)
    for owner in np.unique(owners):
        mine = random.permutation(np.unique(groups[owners == owner]))
        fold_of = dict(zip(mine.tolist(), range(len(mine)), strict=True))
        for row in np.flatnonzero(owners == owner).tolist():
            place[row] = fold_of[int(groups[row])] % FOLDS
    for fold in range(FOLDS):
        yield place == fold


def judge(vectors: Floats, owners: Integers, groups: Integers, seed: int) -> Judgement:
    """Of each picture one copy counts."""
    first = np.sort(np.unique(groups, return_index=True)[1])
    vectors, owners = vectors[first], owners[first]
    similarities = vectors @ vectors.T
    return Judgement(_one_photo(similarities, owners, seed), _equal_error(similarities, owners))


def can_judge(owners: Integers, groups: Integers) -> bool:
    """Whether there are pairs of one person and pairs of two."""
    return bool(_several(owners, groups).any()) and len(np.unique(owners)) > 1


def _one_photo(similarities: Floats, owners: Integers, seed: int) -> float:
    random = np.random.default_rng(seed)
    places = [np.flatnonzero(owners == owner) for owner in np.unique(owners)]
    right, asked = 0, 0
    for _ in range(DRAWS):
        enrolled = np.array([random.choice(mine) for mine in places])
        others = np.setdiff1d(np.arange(len(owners)), enrolled)
        nearest = enrolled[similarities[np.ix_(others, enrolled)].argmax(axis=1)]
        right += int((owners[nearest] == owners[others]).sum())
        asked += len(others)
    return right / max(asked, 1)


def _equal_error(similarities: Floats, owners: Integers) -> float:
    """As many refused as accepted: found among the similarities themselves."""
    above = np.triu_indices(len(owners), 1)
    same = owners[above[0]] == owners[above[1]]
    genuine, impostor = np.sort(similarities[above][same]), np.sort(similarities[above][~same])
    refused = np.arange(len(genuine)) / len(genuine)
    accepted = 1 - np.searchsorted(impostor, genuine, side="left") / len(impostor)
    nearest = int(np.abs(refused - accepted).argmin())
    return float((refused[nearest] + accepted[nearest]) / 2)
