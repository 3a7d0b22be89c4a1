"""A folder per person: how often is the nearest enrolled face the right one, and are strangers kept out?

Every split enrols 80 % of each person's photos and asks about the rest; a photo without a detected face is wrong. For
the open-set figures each person in turn is a stranger whom the gallery does not know.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from manyfaces.errors import InputError
from manyfaces.portraits import Portraits
from manyfaces.stages import Identifier
from manyfaces.types import Embeddings

Flags: TypeAlias = npt.NDArray[np.bool_]
MakeIdentifier: TypeAlias = Callable[[Embeddings, list[str]], Identifier]
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


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
    accuracy: float
    accuracy_std: float
    splits: int
    undetected: list[str]
    wrong: list[Mistake]
    open_set: dict[str, float]


def photos_by_folder(data: Path) -> dict[str, list[Path]]:
    """Every person's photos without exact duplicates (a split that has a photo on both sides proves nothing)."""
    folders = [folder for folder in sorted(data.iterdir() if data.is_dir() else []) if folder.is_dir()]
    seen: set[str] = set()
    people = {folder.name: list(_new_photos(folder, seen)) for folder in folders}
    people = {name: photos for name, photos in people.items() if len(photos) >= 2}
    if len(people) < 2:
        raise InputError(f"{data}: expected a folder per person, two people at least, with two photos or more each")
    return people


def _new_photos(folder: Path, seen: set[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in seen:
                seen.add(digest)
                yield path


def stratified_splits(people: list[str], count: int, seed: int, share: float = 0.2) -> Iterator[Flags]:
    """Masks of the photos held back: of each person the same share, at least one, never all."""
    names = np.array(people)
    for split in range(count):
        rng = np.random.default_rng((seed, split))
        held = np.zeros(len(names), bool)
        for name in np.unique(names):
            photos = np.flatnonzero(names == name)
            back = int(np.clip(round(share * len(photos)), 1, len(photos) - 1))
            held[rng.choice(photos, back, replace=False)] = True
        yield held


def identity_score(
    portraits: Portraits, people: list[str], splits: int, seed: int, make_identifier: MakeIdentifier
) -> IdentityScore:
    """Closed set by the nearest enrolled face; open set by a gallery calibrated on what it has enrolled."""
    accuracies: list[float] = []
    mistakes: Counter[tuple[int, int]] = Counter()
    strangers, known = _Rate(), _Rate()
    for held in stratified_splits(people, splits, seed):
        taken_for = _nearest(portraits, held)
        right = np.array([taken >= 0 and people[taken] == people[photo] for photo, taken in taken_for])
        accuracies.append(float(right.mean()))
        mistakes.update(pair for pair, fine in zip(taken_for, right, strict=True) if not fine)
        for stranger in sorted(set(people)):
            _ask_open(portraits, people, held, stranger, make_identifier, strangers, known)
    return IdentityScore(
        accuracy=float(np.mean(accuracies)),
        accuracy_std=float(np.std(accuracies)),
        splits=splits,
        undetected=portraits.undetected,
        wrong=[_mistake(portraits, people, *pair, count) for pair, count in sorted(mistakes.items())],
        open_set={"fpir": strangers.share, "fnir": known.share},
    )


def _nearest(portraits: Portraits, held: Flags) -> list[tuple[int, int]]:
    """For each photo held back: itself and the enrolled photo it looks most like, or -1."""
    enrolled = np.flatnonzero(~held & portraits.found)
    vectors = portraits.embeddings.vectors
    similarities = vectors[held] @ vectors[enrolled].T
    best = enrolled[similarities.argmax(axis=1)]
    return [
        (int(photo), int(taken) if portraits.found[photo] else -1)
        for photo, taken in zip(np.flatnonzero(held), best, strict=True)
    ]


class _Rate:
    """Counts how often something happened."""

    def __init__(self) -> None:
        self._happened = self._asked = 0

    def count(self, happened: list[bool]) -> None:
        self._happened += sum(happened)
        self._asked += len(happened)

    @property
    def share(self) -> float:
        return self._happened / max(self._asked, 1)


def _ask_open(
    portraits: Portraits,
    people: list[str],
    held: Flags,
    stranger: str,
    make_identifier: MakeIdentifier,
    strangers: _Rate,
    known: _Rate,
) -> None:
    """Enrol everybody but one, and show the gallery that one's photos and the photos held back."""
    foreign = np.array([name == stranger for name in people])
    enrolled = ~held & ~foreign & portraits.found
    identify = make_identifier(portraits.embeddings[enrolled], [people[i] for i in np.flatnonzero(enrolled)])
    unknown = identify(portraits.embeddings[foreign & portraits.found])
    strangers.count([name is not None for name in unknown.names])
    asked = np.flatnonzero(held & ~foreign)
    answers = identify(portraits.embeddings[asked]).names
    known.count([name != people[i] or not portraits.found[i] for name, i in zip(answers, asked.tolist(), strict=True)])


def _mistake(portraits: Portraits, people: list[str], photo: int, taken: int, splits: int) -> Mistake:
    if taken < 0:
        return Mistake(portraits.names[photo], people[photo], None, None, splits)
    vectors = portraits.embeddings.vectors
    similarity = round(float(vectors[photo] @ vectors[taken]), 4)
    return Mistake(portraits.names[photo], people[photo], people[taken], similarity, splits)
