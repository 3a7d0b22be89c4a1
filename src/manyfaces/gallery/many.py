"""Search among very many faces: exact in the order they lie in, or with a first look at their sketches."""

from __future__ import annotations

import numpy as np

from manyfaces.gallery.index import SHARE, Sketcher, can_count_bits, nearest_rows
from manyfaces.gallery.roster import GONE, Columns
from manyfaces.types import Floats, Integers

EXACT_TO = 100_000
"""Up to so many faces every one is compared: 3 ms a query on one core (benchmarks/results/gallery.json)."""

FEW = 4
"""Up to so many queries at once are helped by sketches. Of more, the product reads each face once for all of them."""

SEGMENT = 128
"""Of so many neighbouring rows only the highest similarity is kept. The rows of the few segments that matter are
compared again, which costs less than going over all similarities a second time."""

BLOCK = 64 * SEGMENT
"""Rows of one product: their similarities to a frame's faces stay in the processor's cache."""

AT_ONCE = 64
"""Queries of one product."""

LOWEST = np.float32(-1)


class Many:
    """For each query the nearest person, how near, and how near the next one is (-1 where there is no other)."""

    def __init__(self, columns: Columns, exact_to: int = EXACT_TO) -> None:
        self._people, self._vectors, self._sketches = columns.people, columns.vectors, columns.sketches
        sketched = len(columns) > exact_to and len(self._sketches) > 0 and can_count_bits()
        self._sketcher = Sketcher(self._vectors.shape[1]) if sketched else None

    def __call__(self, queries: Floats) -> tuple[Integers, Floats, Floats]:
        queries = np.ascontiguousarray(queries, np.float32)
        if self._sketcher and len(queries) <= FEW:
            found = self._sketched(queries, self._sketcher)
        else:
            parts = (queries[start : start + AT_ONCE] for start in range(0, len(queries), AT_ONCE))
            found = [answer for part in parts for answer in self._compared(part)]
        people, similarities, runners_up = zip(*found, strict=True) if found else ((), (), ())
        return (
            np.array(people, np.int64),
            np.array(similarities, np.float32),
            np.array(runners_up, np.float32),
        )

    def _compared(self, queries: Floats) -> list[tuple[int, float, float]]:
        bounds = self._highest(queries)
        return [self._first_two(query, bounds[:, place].copy()) for place, query in enumerate(queries)]

    def _highest(self, queries: Floats) -> Floats:
        """The highest similarity in each segment to each query: (segments, queries)."""
        highest = np.empty((-(-len(self._vectors) // SEGMENT), len(queries)), np.float32)
        for start in range(0, len(self._vectors), BLOCK):
            similarities = self._vectors[start : start + BLOCK] @ queries.T
            whole = len(similarities) // SEGMENT
            first = start // SEGMENT
            full = similarities[: whole * SEGMENT].reshape(whole, SEGMENT, len(queries))
            highest[first : first + whole] = full.max(axis=1)
            if len(similarities) > whole * SEGMENT:
                highest[first + whole] = similarities[whole * SEGMENT :].max(axis=0)
        return highest

    def _first_two(self, query: Floats, bounds: Floats) -> tuple[int, float, float]:
        person, similarity = self._best(query, bounds)
        return person, similarity, self._best(query, bounds, person)[1]

    def _best(self, query: Floats, bounds: Floats, other_than: int = GONE) -> tuple[int, float]:
        """The nearest person but one. A bound may be of a removed face or of that one person's, so what promises most
        is looked into until the best that was seen is also the most that is promised. Tightens `bounds`."""
        seen: dict[int, tuple[int, float]] = {}
        while (segment := int(bounds.argmax())) not in seen:
            rows = slice(segment * SEGMENT, (segment + 1) * SEGMENT)
            seen[segment] = best_of(self._people[rows], self._vectors[rows] @ query, other_than)
            bounds[segment] = seen[segment][1]
        return seen[segment]

    def _sketched(self, queries: Floats, sketcher: Sketcher) -> list[tuple[int, float, float]]:
        most = max(len(self._people) // SHARE, SEGMENT)
        found = []
        for query, sketch in zip(queries, sketcher(queries).T, strict=True):
            rows = nearest_rows(self._sketches, sketch, most)
            people, similarities = self._people[rows], self._vectors[rows] @ query
            person, similarity = best_of(people, similarities)
            found.append((person, similarity, best_of(people, similarities, person)[1]))
        return found


def best_of(people: Integers, similarities: Floats, other_than: int = GONE) -> tuple[int, float]:
    """The first of the highest similarities and whose it is; GONE and the lowest where nobody is left."""
    allowed = np.where((people == GONE) | (people == other_than), LOWEST, similarities)
    best = int(allowed.argmax())
    person = int(people[best])
    return (GONE, float(LOWEST)) if person in (GONE, other_than) else (person, float(allowed[best]))
