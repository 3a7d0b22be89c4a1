"""Everybody who is enrolled, in memory or mapped into it, ready for searching."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from manyfaces.types import Embeddings, Floats, Integers

Words: TypeAlias = npt.NDArray[np.uint64]

GONE = -1
"""Stands where a row's person would, in a row whose face was removed."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Faces as they lie, in any order: row i is a face of the person at place `people[i]`, or a zero vector of nobody's
    (GONE). `sketches` (words, n) are what `index` looks at first; there may be none (0, n)."""

    people: Integers
    vectors: Floats
    sketches: Words

    def __len__(self) -> int:
        return len(self.people)


@dataclass(frozen=True, slots=True, eq=False)
class Roster:
    """The enrolled vectors, people together: face i is one of `names[owners[i]]`; owners never fall.

    `revision` tells which state of the gallery this is.
    """

    names: tuple[str, ...]
    owners: Integers
    embeddings: Embeddings
    revision: int = 0

    def __post_init__(self) -> None:
        if self.owners.shape != (len(self.embeddings),):
            raise ValueError(f"owners: expected ({len(self.embeddings)},), got {self.owners.shape}")
        if np.any(np.diff(self.owners) < 0):
            raise ValueError("owners: the faces of a person must lie together, in the order of the names")

    @classmethod
    def empty(cls) -> Roster:
        return cls((), np.empty(0, np.int64), Embeddings(np.empty((0, 0), np.float32), ""))

    @property
    def model(self) -> str:
        return self.embeddings.model

    @property
    def columns(self) -> Columns:
        return Columns(self.owners, self.embeddings.vectors, np.empty((0, len(self.owners)), np.uint64))

    def only(self, people: Integers) -> Roster:
        """Only these people's faces, copied; places and names stay."""
        chosen = np.flatnonzero(np.isin(self.owners, people))
        return Roster(self.names, self.owners[chosen], self._copied(chosen), self.revision)

    def _copied(self, faces: Integers) -> Embeddings:
        return self.embeddings[faces]

    def __len__(self) -> int:
        return len(self.owners)


class MappedRoster(Roster):
    """A roster whose vectors stay in a file: what is not asked for is not read.

    Its faces lie in the file as they came. Asked for in a roster's order, the vectors are the file's own where the two
    orders are the same, and a copy where they are not.
    """

    def __init__(self, names: tuple[str, ...], columns: Columns, model: str, revision: int) -> None:
        for name, value in (("names", names), ("revision", revision)):
            object.__setattr__(self, name, value)
        self.__dict__.update(_columns=columns, _model=model)

    @property
    def model(self) -> str:
        model: str = self.__dict__["_model"]
        return model

    @property
    def columns(self) -> Columns:
        columns: Columns = self.__dict__["_columns"]
        return columns

    @cached_property
    def rows(self) -> Integers:
        """The rows of the file in a roster's order."""
        people = self.columns.people
        ordered = np.argsort(people, kind="stable")
        return ordered[int((people == GONE).sum()) :]

    @cached_property
    def owners(self) -> Integers:
        return self.columns.people[self.rows]

    @cached_property
    def embeddings(self) -> Embeddings:
        whole = len(self.rows) == len(self.columns) and bool(np.all(np.diff(self.rows) == 1))
        vectors = self.columns.vectors if whole else self.columns.vectors[self.rows]
        return Embeddings(np.asarray(vectors), self.model)

    def _copied(self, faces: Integers) -> Embeddings:
        return Embeddings(self.columns.vectors[self.rows[faces]], self.model)

    def __len__(self) -> int:
        return int((self.columns.people != GONE).sum())
