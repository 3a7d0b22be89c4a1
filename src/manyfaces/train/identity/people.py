"""Faces of people to learn from: aligned crops, whose each is, and which of them are one picture.

Copies, and pictures nearly as good as copies, form a group. A group lies on one side of every split, or a figure would
measure memory. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from manyfaces.train.labels import DataError
from manyfaces.types import Index, Integers, Pixels

SIDE = 112
"""Pixels of a crop's side, as recognisers have them; smaller networks have it made smaller."""

HELD_OUT = 5
"""One group of so many is held out."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PeopleData:
    """Crops (n, 112, 112, 3) RGB; owners (n,), places in `names`; groups (n,), equal where two are one picture; held
    (n,), which are kept out of learning, to judge by. `where` is what sentences call all this."""

    pixels: Pixels
    owners: Integers
    names: tuple[str, ...]
    groups: Integers
    held: Flags
    where: str = "the photos"

    def __post_init__(self) -> None:
        count = len(self.owners)
        _expect("pixels", self.pixels, np.uint8, (count, SIDE, SIDE, 3))
        _expect("owners", self.owners, np.int64, (count,))
        _expect("groups", self.groups, np.int64, (count,))
        _expect("held", self.held, np.bool_, (count,))
        if count and not 0 <= self.owners.min() <= self.owners.max() < len(self.names):
            raise ValueError(f"owners must be 0 to {len(self.names) - 1}, got {self.owners.min()}..{self.owners.max()}")

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, which: Index) -> PeopleData:
        return replace(
            self,
            pixels=self.pixels[which],
            owners=self.owners[which],
            groups=self.groups[which],
            held=self.held[which],
        )

    @property
    def learnt(self) -> PeopleData:
        return self[~self.held]

    @property
    def kept_out(self) -> PeopleData:
        return self[self.held]


def _expect(name: str, array: npt.NDArray[np.generic], kind: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != kind or array.shape != shape:
        raise ValueError(f"{name}: expected {kind.__name__} of {shape}, got {array.dtype} of {array.shape}")


def people_data(pixels: Pixels, people: Sequence[str], groups: Integers | None = None, where: str = "") -> PeopleData:
    """Crops, the name of each one's person, and which are one picture; equal pixels always are. About a fifth of each
    person's pictures is held out, the same ones in every run; of those who have one picture, none."""
    names, owners = np.unique(np.array(people, dtype=np.str_), return_inverse=True)
    digests = [hashlib.sha256(crop.tobytes()).hexdigest() for crop in pixels]
    joined = _joined(digests, groups)
    held = _held_out(owners, joined, digests)
    data = PeopleData(pixels, owners.astype(np.int64), tuple(names.tolist()), joined, held, where or "the photos")
    refuse_shared(data)
    return data


def _joined(digests: Sequence[str], groups: Integers | None) -> Integers:
    """Groups that know each other by equal pixels become one."""
    given = np.arange(len(digests)) if groups is None else groups
    first: dict[str, int] = {}
    leader = {int(group): int(group) for group in given}

    def found(group: int) -> int:
        while leader[group] != group:
            group = leader[group]
        return group

    for digest, group in zip(digests, given.tolist(), strict=True):
        leader[found(first.setdefault(digest, group))] = found(group)
    return np.array([found(group) for group in given.tolist()], np.int64)


def _held_out(owners: npt.NDArray[np.intp], groups: Integers, digests: Sequence[str]) -> Flags:
    """Of each person the groups whose digests come first; one at least where there are two."""
    held = np.zeros(len(owners), bool)
    for owner in np.unique(owners):
        first: dict[int, str] = {}
        for row in np.flatnonzero(owners == owner).tolist():
            group = int(groups[row])
            first[group] = min(first.get(group, digests[row]), digests[row])
        ordered = sorted(first, key=lambda group: first[group])
        count = max(round(len(ordered) / HELD_OUT), 1) if len(ordered) > 1 else 0
        held |= (owners == owner) & np.isin(groups, ordered[:count])
    return held


def refuse_shared(data: PeopleData) -> None:
    """One picture under two names teaches that nobody is anybody."""
    owner_of: dict[int, int] = {}
    for owner, group in zip(data.owners.tolist(), data.groups.tolist(), strict=True):
        first = owner_of.setdefault(group, owner)
        if first != owner:
            raise DataError(
                f"{data.where}: the same picture lies under {data.names[first]!r} and {data.names[owner]!r}; keep it "
                "in one of them"
            )


def refuse_unlearnable(data: PeopleData) -> None:
    """What no comparison of people can be learnt from."""
    several = len(np.unique(data.owners))
    if several < 2:
        held = f"shows {data.names[data.owners[0]]!r} alone" if several else "shows nobody"
        raise DataError(f"{data.where}: {held}, and telling people apart takes two; give a folder for each person")
    learnt = data.learnt
    if not data.held.any() or not len(learnt) or _most(learnt) < 2:
        raise DataError(
            f"{data.where}: nobody has three different photos, and that is what learning takes: two to compare and one "
            "to judge by; give more, or enrol these with  manyfaces people import,  which one photo is enough for"
        )


def _most(data: PeopleData) -> int:
    """The most different pictures that somebody has."""
    pairs = np.unique(np.stack([data.owners, data.groups]), axis=1)
    return int(np.bincount(pairs[0]).max())


def fingerprint(data: PeopleData) -> str:
    """Names the examples: pixels, people, groups, and what is held out."""
    digest = hashlib.sha256("\n".join(data.names).encode())
    for column in (data.pixels, data.owners, data.groups, data.held):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]
