"""Search: every face against every enrolled face, as one matrix product; among very many, as `many` does it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from manyfaces.errors import GalleryError
from manyfaces.gallery.many import Many
from manyfaces.gallery.roster import Roster
from manyfaces.types import Embeddings, Floats, Integers

AT_ONCE = 4_000_000
"""Similarities held in memory at a time (16 MB): more queries than fit go in parts."""

MANY = 5_000
"""From so many faces on, going over all similarities costs more than `many`'s way round it."""

NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """For each query: the most similar person (an index into the names, NOBODY in an empty gallery), how similar, and
    how similar the best of all other people is. The lowest cosine, -1, stands for "there is no other"."""

    people: Integers
    similarities: Floats
    runners_up: Floats

    def __len__(self) -> int:
        return len(self.people)


class Search:
    """A person is as similar as the nearest of his or her enrolled faces."""

    def __init__(self, roster: Roster, many: int = MANY) -> None:
        self.names = roster.names
        self.model = roster.model
        self._roster = roster
        self._many = Many(roster.columns) if len(roster) >= max(many, 1) else None

    def __call__(self, queries: Embeddings) -> Nearest:
        if not len(self._roster):
            count = len(queries)
            return Nearest(np.full(count, NOBODY), np.full(count, np.nan, np.float32), np.full(count, -1, np.float32))
        if len(queries) and queries.model != self.model:
            raise GalleryError(
                f"the gallery was made with the model {self.model}, these faces with {queries.model}, and the two "
                "do not compare; use the same model, or enrol everybody again in a new gallery"
            )
        if self._many:
            return Nearest(*self._many(queries.vectors))
        step = max(AT_ONCE // len(self._roster), 1)
        parts = [self._nearest(queries.vectors[at : at + step]) for at in range(0, max(len(queries), 1), step)]
        return Nearest(
            np.concatenate([part.people for part in parts]),
            np.concatenate([part.similarities for part in parts]),
            np.concatenate([part.runners_up for part in parts]),
        )

    @cached_property
    def _vectors(self) -> Floats:
        return np.ascontiguousarray(self._roster.embeddings.vectors, np.float32)

    @cached_property
    def _groups(self) -> tuple[Integers, npt.NDArray[np.intp]]:
        """Who has faces, and where each one's begin."""
        return np.unique(self._roster.owners, return_index=True)

    def of_people(self, vectors: Floats) -> Floats:
        """The similarity of each vector to each person who has faces: (n, people)."""
        if not len(vectors):
            return np.empty((0, len(self._groups[0])), np.float32)
        # The enrolled vectors stand left, so that one query is a matrix times a vector, which is read once, in order.
        similarities = (self._vectors @ vectors.astype(np.float32).T).T
        best: npt.NDArray[np.float32] = np.maximum.reduceat(similarities, self._groups[1], axis=1)
        return best

    def _nearest(self, vectors: Floats) -> Nearest:
        scores = self.of_people(vectors)
        rows = np.arange(len(scores))
        best = scores.argmax(axis=1)
        similarities = scores[rows, best].copy()
        scores[rows, best] = -1
        runners_up = scores.max(axis=1, initial=-1)
        return Nearest(self._groups[0][best].astype(np.int64), similarities, runners_up)
