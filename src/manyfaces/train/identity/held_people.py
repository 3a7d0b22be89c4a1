"""Whether one way of making vectors tells people apart better than another, on what neither has seen.

Where there are people enough, folds hold out whole people, as whoever is enrolled later was not there to learn from;
else photos of the same people. That says nothing of strangers, and what is learnt from few people makes strangers more
alike, so people are held out then too, one part of them after the other, and their pairs compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manyfaces.types import Floats, Integers

FOLDS = 5
"""Of photos fewer, where people have few: a fold has two pictures of most."""
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
    """Fold by fold, the pretrained vectors and the adapted ones. `by` says what was held out; `unseen` are the equal
    errors of both over pairs with people who were held out."""

    by: str
    pretrained: tuple[Judgement, ...]
    adapted: tuple[Judgement, ...]
    unseen: tuple[float, float]

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
        """More faces right by more than a standard error, and people it has not seen told apart no worse."""
        return self.gain > self.error and self.unseen[1] <= self.unseen[0]


def mean(several: Sequence[Judgement]) -> Judgement:
    return Judgement(
        float(np.mean([one.one_photo for one in several])), float(np.mean([one.equal_error for one in several]))
    )


def folds(owners: Integers, groups: Integers, seed: int) -> tuple[str, list[Flags]]:
    """What is held out of each fold, and by what. Copies stay together."""
    people = np.unique(owners[_several(owners, groups)])
    if len(people) >= ENOUGH_PEOPLE:
        return "people", list(people_parts(owners, people, seed))
    return "photos", list(_photo_parts(owners, groups, seed))


def _several(owners: Integers, groups: Integers) -> Flags:
    """The photos of people who have at least two different ones: of the others nobody could be found again."""
    pairs = np.unique(np.stack([owners, groups]), axis=1)[0]
    return np.isin(owners, np.flatnonzero(np.bincount(pairs) >= 2))


def people_parts(owners: Integers, people: Integers, seed: int) -> Iterator[Flags]:
    """The photos of some of these people after the other."""
    order = np.random.default_rng(seed).permutation(people)
    for fold in range(min(FOLDS, len(people))):
        yield np.isin(owners, order[fold::FOLDS])


def _photo_parts(owners: Integers, groups: Integers, seed: int) -> Iterator[Flags]:
    """Each person's pictures are dealt round, so that every fold has some of everybody who has enough."""
    pictures = np.bincount(np.unique(np.stack([owners, groups]), axis=1)[0])
    count = int(np.clip(np.median(pictures[pictures > 0]) // 2, 2, FOLDS))
    place = np.zeros(len(owners), np.int64)
    random = np.random.default_rng(seed)
    for owner in np.unique(owners):
        mine = random.permutation(np.unique(groups[owners == owner]))
        fold_of = dict(zip(mine.tolist(), range(len(mine)), strict=True))
        for row in np.flatnonzero(owners == owner).tolist():
            place[row] = fold_of[int(groups[row])] % count
    for fold in range(count):
        yield place == fold


def judge(vectors: Floats, owners: Integers, groups: Integers, seed: int) -> Judgement:
    """Of each picture one copy counts."""
    first = np.sort(np.unique(groups, return_index=True)[1])
    vectors, owners = vectors[first], owners[first]
    similarities = vectors @ vectors.T
    everybody = np.ones(len(owners), bool)
    return Judgement(_one_photo(similarities, owners, seed), _equal_error(similarities, owners, everybody))


def unseen_error(vectors: Floats, owners: Integers, groups: Integers, held: Flags) -> float:
    """The equal error over pairs with those who were held out, among themselves and with the others."""
    first = np.sort(np.unique(groups, return_index=True)[1])
    return _equal_error(vectors[first] @ vectors[first].T, owners[first], held[first])


def can_judge(owners: Integers, groups: Integers, alone: bool = False) -> bool:
    """Whether there are pairs of one person and, unless these are asked about among others, pairs of two."""
    return bool(_several(owners, groups).any()) and (alone or len(np.unique(owners)) > 1)


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


def _equal_error(similarities: Floats, owners: Integers, asked: Flags) -> float:
    """As many refused as accepted, of the pairs with one that is asked about: found among their similarities."""
    pairs = np.triu(asked[:, None] | asked[None], 1)
    same = owners[:, None] == owners[None]
    genuine, impostor = np.sort(similarities[pairs & same]), np.sort(similarities[pairs & ~same])
    refused = np.arange(len(genuine)) / len(genuine)
    accepted = 1 - np.searchsorted(impostor, genuine, side="left") / len(impostor)
    nearest = int(np.abs(refused - accepted).argmin())
    return float((refused[nearest] + accepted[nearest]) / 2)
