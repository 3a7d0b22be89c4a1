"""Who goes with whom: the set of pairs with the greatest total gain, each side used at most once.

Candidates are few (a face has one or two possible successors), so the pairs are split into groups that share nobody.
Most groups are a single pair; the others are solved exactly, each as a small dense matrix, by shortest augmenting
paths (Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
1987; the potentials are kept as in the well-known short form of the Hungarian method).
"""

from __future__ import annotations

from math import inf

import numpy as np
import numpy.typing as npt

from manyfaces.kernels import tracks as kernel
from manyfaces.types import Integers

Doubles = npt.NDArray[np.float64]

ENDLESS = 1e100

SMALL = 64
"""Up to this many columns interpreted loops beat NumPy's overhead per call; compiled ones always do."""


def best_pairs(rows: Integers, columns: Integers, gains: Doubles) -> Integers:
    """Which of the candidate pairs to choose: their positions, so that the sum of their gains is the greatest.

    Pair k says that `rows[k]` could go with `columns[k]`. Pairs without a positive gain are never chosen; no pair may
    be given twice.
    """
    useful = np.flatnonzero(gains > 0)
    if not len(useful):
        return useful
    row, column = rows[useful], columns[useful]
    alone = (np.bincount(row)[row] == 1) & (np.bincount(column)[column] == 1)
    contested = useful[~alone]
    chosen = [useful[alone]]
    for group in _groups(rows[contested].tolist(), columns[contested].tolist()):
        members = contested[group]
        chosen.append(members[_best_of_group(rows[members], columns[members], gains[members])])
    return np.sort(np.concatenate(chosen))


def _groups(rows: list[int], columns: list[int]) -> list[list[int]]:
    """Positions of the pairs that hang together through a row or a column, by walking from pair to pair."""
    of_row: dict[int, list[int]] = {}
    of_column: dict[int, list[int]] = {}
    for pair, (row, column) in enumerate(zip(rows, columns, strict=True)):
        of_row.setdefault(row, []).append(pair)
        of_column.setdefault(column, []).append(pair)
    groups = []
    for row in list(of_row):
        waiting = of_row.pop(row, [])
        group = []
        while waiting:
            pair = waiting.pop()
            group.append(pair)
            for other in of_column.pop(columns[pair], []):
                waiting.extend(of_row.pop(rows[other], []))
        if group:
            groups.append(sorted(group))
    return groups


def _best_of_group(rows: Integers, columns: Integers, gains: Doubles) -> Integers:
    """Solve one group as a dense matrix. No candidate costs nothing, which is the same as staying alone."""
    kept_rows, row = np.unique(rows, return_inverse=True)
    kept_columns, column = np.unique(columns, return_inverse=True)
    costs = np.zeros((len(kept_rows), len(kept_columns)))
    costs[row, column] = -gains
    partner = assign(costs)
    return np.flatnonzero(partner[row] == column)


def assign(costs: Doubles) -> Integers:
    """The column for each row that makes the sum of costs the least; -1 for rows left over when columns run out.

    Costs that are endless or no number at all count as very high or very low, because the search ends only with finite
    ones.
    """
    rows, columns = costs.shape
    if rows > columns:
        partner = np.full(rows, -1, np.int64)
        partner[assign(costs.T)] = np.arange(columns)
        return partner
    costs = np.clip(np.nan_to_num(costs, nan=ENDLESS), -ENDLESS, ENDLESS)
    owned = kernel.owners(costs) if kernel.COMPILED or columns <= SMALL else _owners_large(costs)
    partner = np.full(rows, -1, np.int64)
    taken = np.flatnonzero(owned >= 0)
    partner[owned[taken]] = taken
    return partner


def _owners_large(costs: Doubles) -> Integers:
    """The kernel's search with the loops over columns handed to NumPy, for where it is not compiled."""
    rows, columns = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns + 1, -1, np.int64)
    for row in range(rows):
        owner[columns] = row
        reach = np.full(columns, inf)
        before = np.full(columns, columns, np.int64)
        free = np.ones(columns, bool)
        visited = []
        at = columns
        while owner[at] != -1:
            asking = int(owner[at])
            reduced = costs[asking] - row_price[asking] - column_price
            better = free & (reduced < reach)
            reach[better] = reduced[better]
            before[better] = at
            following = int(np.argmin(np.where(free, reach, inf)))
            step = reach[following]
            visited.append(at)
            seated = np.array(visited[1:], np.int64)
            row_price[owner[visited]] += step
            column_price[seated] -= step
            reach[free] -= step
            free[following] = False
            at = following
        while at != columns:
            owner[at] = owner[before[at]]
            at = int(before[at])
    return owner[:columns]
