"""Everybody who is enrolled, in memory, ready for searching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manyfaces.types import Embeddings, Integers


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

    def __len__(self) -> int:
        return len(self.owners)
