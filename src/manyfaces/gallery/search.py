"""Exact search: every face against every enrolled face, as one matrix product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manyfaces.errors import GalleryError
from manyfaces.gallery.roster import Roster
from manyfaces.types import Embeddings, Floats, Integers

AT_ONCE = 4_000_000
"""Similarities held in memory at a time (16 MB): more queries than fit go in parts."""

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

    def __init__(self, roster: Roster) -> None:
        self.names = roster.names
        self.model = roster.embeddings.model
        self._vectors = np.ascontiguousarray(roster.embeddings.vectors, np.float32)
        self._people, self._starts = np.unique(roster.owners, return_index=True)

    def __call__(self, queries: Embeddings) -> Nearest:
        if not len(self._people):
            count = len(queries)
            return Nearest(np.full(count, NOBODY), np.full(count, np.nan, np.float32), np.full(count, -1, np.float32))
        if len(queries) and queries.model != self.model:
            raise GalleryError(
                f"the gallery was made with the model {self.model}, these faces with {queries.model}, and the two "
                "do not compare; use the same model, or enrol everybody again in a new gallery"
            )
        step = max(AT_ONCE // len(self._vectors), 1)
        parts = [self._nearest(queries.vectors[at : at + step]) for at in range(0, max(len(queries), 1), step)]
        return Nearest(
            np.concatenate([part.people for part in parts]),
            np.concatenate([part.similarities for part in parts]),
            np.concatenate([part.runners_up for part in parts]),
        )

    def of_people(self, vectors: Floats) -> Floats:
        """The similarity of each vector to each person who has faces: (n, people)."""
        if not len(vectors):
            return np.empty((0, len(self._people)), np.float32)
        # The enrolled vectors stand left, so that one query is a matrix times a vector, which is read once, in order.
        similarities = (self._vectors @ vectors.astype(np.float32).T).T
        best: npt.NDArray[np.float32] = np.maximum.reduceat(similarities, self._starts, axis=1)
        return best

    def _nearest(self, vectors: Floats) -> Nearest:
        scores = self.of_people(vectors)
        rows = np.arange(len(scores))
        best = scores.argmax(axis=1)
        similarities = scores[rows, best].copy()
        scores[rows, best] = -1
        runners_up = scores.max(axis=1, initial=-1)
        return Nearest(self._people[best].astype(np.int64), similarities, runners_up)
