"""A folder per person: how often is everybody told apart, and are strangers kept out?

Every split enrols 80 % of each person's photos and asks about the rest; copies of one photo stay together, and a photo
without a detected face is wrong. For the open-set figures each person in turn is a stranger whom the gallery does not
know; the open-set curve draws who is enrolled by lot, for galleries of several sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from manyfaces.enrol import file_digest, photos_by_person
from manyfaces.errors import InputError
from manyfaces.evaluate.open_set import DRAWS, CalibratedAt, OpenPoint, Tally, missed, open_curve
from manyfaces.evaluate.shares import Interval
from manyfaces.evaluate.verification import FALSE_ACCEPTS, equal_error_rate, roc, true_accepts
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.rules import DEFAULT, RULES, Rule
from manyfaces.gallery.search import Search
from manyfaces.portraits import Portraits
from manyfaces.prepare.copies import grouped
from manyfaces.types import Integers

Flags: TypeAlias = npt.NDArray[np.bool_]

RATE = 0.01
"""The stated share of strangers of the single open-set figures."""

MOST_PAIRED = 3000
"""Photos of which every pair is compared; of more, as many are taken evenly."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A photo that was taken for somebody else, or in which no face was found, and in how many splits."""

    picture: str
    person: str
    taken_for: str | None
    similarity: float | None
    splits: int


@dataclass(frozen=True, slots=True)
class IdentityScore:
    """`rules`: the accuracy of each way to compare, `rule` the one that the other figures are of. `copies`: photos that
    are nearly another one, which share its side in every split."""

    accuracy: float
    accuracy_std: float
    accuracy_interval: Interval
    splits: int
    pictures: int
    rule: str
    rules: dict[str, dict[str, Any]]
    undetected: list[str]
    copies: list[str]
    wrong: list[Mistake]
    verification: dict[str, Any]
    open_set: dict[str, Any]
    open_curve: list[OpenPoint]


def photos_by_folder(data: Path) -> dict[str, list[Path]]:
    """Every person's photos without exact duplicates (a split that has a photo on both sides proves nothing)."""
    seen: set[str] = set()
    people: dict[str, list[Path]] = {}
    for name, photo in photos_by_person(data):
        if _is_new(photo, seen):
            people.setdefault(name, []).append(photo)
    people = {name: photos for name, photos in people.items() if len(photos) >= 2}
    if len(people) < 2:
        raise InputError(
            f"{data}: two people at least, with two different photos or more each, are needed to tell how often they "
            "are told apart; add folders and photos"
        )
    return people


def _is_new(photo: Path, seen: set[str]) -> bool:
    """A photo that cannot be read is kept: whoever reads it says so, and it counts as one without a face."""
    try:
        digest = file_digest(photo)
    except InputError:
        return True
    if digest in seen:
        return False
    seen.add(digest)
    return True


def stratified_splits(
    people: Sequence[str], count: int, seed: int, share: float = 0.2, groups: Integers | None = None
) -> Iterator[Flags]:
    """Masks of the photos held back: of each person the same share, at least one, never all; all of a group or none."""
    names = np.array(people)
    together = np.arange(len(names)) if groups is None else groups
    for split in range(count):
        rng = np.random.default_rng((seed, split))
        held = np.zeros(len(names), bool)
        for name in np.unique(names):
            photos = np.flatnonzero(names == name)
            back = int(np.clip(round(share * len(photos)), 1, len(photos) - 1))
            held[photos] = _some_groups(together[photos], back, rng)
        yield held


def _some_groups(groups: Integers, wanted: int, rng: np.random.Generator) -> Flags:
    """Groups by lot until as many photos are chosen as wanted; the last group always stays."""
    chosen = np.zeros(len(groups), bool)
    for group in rng.permutation(np.unique(groups))[:-1]:
        if chosen.sum() >= wanted:
            break
        chosen |= groups == group
    return chosen


def identity_score(
    portraits: Portraits, people: list[str], splits: int, seed: int, make_identifier: CalibratedAt
) -> IdentityScore:
    """Closed set by every rule; open set by galleries calibrated on what they have enrolled."""
    names, owners = np.unique(np.array(people), return_inverse=True)
    asked = _Asked(portraits, tuple(names.tolist()), owners.astype(np.int64))
    groups = copies(portraits)
    held = list(stratified_splits(people, splits, seed, groups=groups))
    answers = {name: [asked.answers(rule, back) for back in held] for name, rule in RULES.items()}
    accuracies = {name: asked.accuracy(given, held) for name, given in answers.items()}
    again = list(stratified_splits(people, DRAWS, seed + 1, groups=groups))
    return IdentityScore(
        accuracy=accuracies[DEFAULT.name]["accuracy"],
        accuracy_std=accuracies[DEFAULT.name]["std"],
        accuracy_interval=accuracies[DEFAULT.name]["interval"],
        splits=splits,
        pictures=len(people),
        rule=DEFAULT.name,
        rules=accuracies,
        undetected=portraits.undetected,
        copies=[portraits.names[photo] for photo in _copied(groups)],
        wrong=asked.mistakes(answers[DEFAULT.name], held),
        verification=pairs_score(portraits, asked.owners, groups),
        open_set=asked.open_set(held, make_identifier),
        open_curve=open_curve(portraits, people, again, make_identifier, seed),
    )


def copies(portraits: Portraits) -> Integers:
    """A number per photo, equal where one photo is nearly the other."""
    return grouped(portraits.names, portraits.names, portraits.crops, portraits.embeddings.vectors)


def _copied(groups: Integers) -> list[int]:
    """All but the first photo of every group."""
    return sorted(set(range(len(groups))) - set(np.unique(groups, return_index=True)[1].tolist()))


def pairs_score(portraits: Portraits, owners: Integers, groups: Integers) -> dict[str, Any]:
    """Every pair of photos, copies apart: the same person or not? A pair with an undetected face is never accepted."""
    chosen = np.unique(np.linspace(0, len(owners) - 1, min(len(owners), MOST_PAIRED)).astype(np.int64))
    vectors, found = portraits.embeddings.vectors[chosen], portraits.found[chosen]
    first, second = np.triu_indices(len(chosen), 1)
    similarities = (vectors @ vectors.T)[first, second]
    similarities[~(found[first] & found[second])] = -1
    same = owners[chosen][first] == owners[chosen][second]
    genuine = similarities[same & (groups[chosen][first] != groups[chosen][second])]
    impostor = similarities[~same]
    return {
        "genuine": len(genuine),
        "impostor": len(impostor),
        "eer": equal_error_rate(genuine, impostor),
        "tar_at_far": {far: true_accepts(genuine, impostor, float(far)) for far in FALSE_ACCEPTS},
        "curve": roc(genuine, impostor),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Everybody's photos, and the answers that galleries of some of them give about the others."""

    portraits: Portraits
    names: tuple[str, ...]
    owners: Integers

    def enrolled(self, held: Flags) -> Roster:
        photos = np.flatnonzero(~held & self.portraits.found)
        photos = photos[np.argsort(self.owners[photos], kind="stable")]
        return Roster(self.names, self.owners[photos], self.portraits.embeddings[photos])

    def answers(self, rule: Rule, held: Flags) -> Integers:
        """Whom each photo held back is taken for; nobody, -1, where it shows no face."""
        photos = np.flatnonzero(held)
        answers = Search(rule(self.enrolled(held)))(self.portraits.embeddings[photos]).people
        return np.where(self.portraits.found[photos], answers, -1).astype(np.int64)

    def accuracy(self, answers: Sequence[Integers], held: Sequence[Flags]) -> dict[str, Any]:
        tally = Tally(len(self.names))
        shares = []
        for given, back in zip(answers, held, strict=True):
            photos = np.flatnonzero(back)
            right = given == self.owners[photos]
            tally.count(photos, self.owners, right.tolist())
            shares.append(float(right.mean()))
        return {"accuracy": float(np.mean(shares)), "std": float(np.std(shares)), "interval": tally.share()[1]}

    def mistakes(self, answers: Sequence[Integers], held: Sequence[Flags]) -> list[Mistake]:
        found: Counter[tuple[int, int]] = Counter()
        for given, back in zip(answers, held, strict=True):
            found.update(
                (photo, self._nearest_of(photo, taken, back))
                for photo, taken in zip(np.flatnonzero(back).tolist(), given.tolist(), strict=True)
                if taken != self.owners[photo]
            )
        return [self._mistake(*pair, count) for pair, count in sorted(found.items())]

    def _nearest_of(self, photo: int, person: int, held: Flags) -> int:
        """The enrolled photo of this person that the photo looks most like; -1 of nobody."""
        theirs = np.flatnonzero((self.owners == person) & ~held & self.portraits.found)
        if not len(theirs):
            return -1
        vectors = self.portraits.embeddings.vectors
        return int(theirs[(vectors[theirs] @ vectors[photo]).argmax()])

    def _mistake(self, photo: int, taken: int, splits: int) -> Mistake:
        picture, person = self.portraits.names[photo], self.names[self.owners[photo]]
        if taken < 0:
            return Mistake(picture, person, None, None, splits)
        vectors = self.portraits.embeddings.vectors
        similarity = round(float(vectors[photo] @ vectors[taken]), 4)
        return Mistake(picture, person, self.names[self.owners[taken]], similarity, splits)

    def open_set(self, held: Sequence[Flags], make_identifier: CalibratedAt) -> dict[str, Any]:
        """Enrol everybody but one, and show the gallery that one's photos and the photos held back."""
        strangers, known = Tally(len(self.names)), Tally(len(self.names))
        for back in held:
            for stranger in range(len(self.names)):
                self._ask_open(back, stranger, make_identifier, strangers, known)
        (fpir, fpir_interval), (fnir, fnir_interval) = strangers.share(), known.share()
        return {"fpir": fpir, "fnir": fnir, "fpir_interval": fpir_interval, "fnir_interval": fnir_interval}

    def _ask_open(
        self, held: Flags, stranger: int, make_identifier: CalibratedAt, strangers: Tally, known: Tally
    ) -> None:
        foreign = self.owners == stranger
        enrolled = np.flatnonzero(~held & ~foreign & self.portraits.found)
        embeddings = self.portraits.embeddings
        identify = make_identifier(embeddings[enrolled], [self.names[owner] for owner in self.owners[enrolled]], RATE)
        unknown = np.flatnonzero(foreign & self.portraits.found)
        strangers.count(unknown, self.owners, [name is not None for name in identify(embeddings[unknown]).names])
        own = np.flatnonzero(held & ~foreign)
        known.count(own, self.owners, list(missed(self.portraits, own, self.owners, self.names, identify)))
