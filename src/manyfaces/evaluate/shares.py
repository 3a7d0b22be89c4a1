"""How far a share that was counted may lie from the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

CENTRAL = (2.5, 97.5)
NORMAL = 1.959964
"""Between which percentiles 95 of 100 lie, and how many deviations from the middle of a normal distribution that is."""

RESAMPLES = 2000

Interval = tuple[float, float]
Counts = npt.NDArray[np.float64]


def wilson(share: float, count: float) -> Interval:
    """The interval of a share among `count` independent answers, after Wilson (1927). Unlike the textbook's it says
    something where all or none were right."""
    if count <= 0:
        return 0.0, 1.0
    middle = share + NORMAL**2 / (2 * count)
    reach = NORMAL * np.sqrt(share * (1 - share) / count + NORMAL**2 / (4 * count**2))
    whole = 1 + NORMAL**2 / count
    low, high = float((middle - reach) / whole), float((middle + reach) / whole)
    return max(min(low, share), 0.0), min(max(high, share), 1.0)  # rounding may not leave the share outside


def by_person(happened: Counts, asked: Counts, distinct: int) -> Interval:
    """The interval of sum(happened) / sum(asked), with an entry per person: another sample would be of other people.

    People are drawn again and again (bootstrap, percentiles). Where it happened always or never, drawing again says
    nothing, so there Wilson's interval of the `distinct` photos stands.
    """
    share = float(happened.sum() / max(asked.sum(), 1e-9))
    if share in (0.0, 1.0) or len(asked) < 2:
        return wilson(share, distinct)
    drawn = np.random.default_rng(0).integers(len(asked), size=(RESAMPLES, len(asked)))
    low, high = np.percentile(happened[drawn].sum(axis=1) / np.maximum(asked[drawn].sum(axis=1), 1e-9), CENTRAL)
    return float(low), float(high)


def paired_gain(before: Counts, after: Counts, asked: Counts) -> tuple[float, Interval]:
    """By how much a share grew where the same photos of the same people were asked about twice, and its interval."""
    grown = after - before
    drawn = np.random.default_rng(0).integers(len(asked), size=(RESAMPLES, len(asked)))
    gains = grown[drawn].sum(axis=1) / np.maximum(asked[drawn].sum(axis=1), 1e-9)
    low, high = np.percentile(gains, CENTRAL)
    return float(grown.sum() / max(asked.sum(), 1e-9)), (float(low), float(high))


def counted(events: Sequence[bool], owners: npt.NDArray[np.int64], people: int) -> tuple[Counts, Counts]:
    """How often it happened to each person, and how often it was asked."""
    weights = np.asarray(events, np.float64)
    happened = np.bincount(owners, weights=weights, minlength=people)
    return happened.astype(np.float64), np.bincount(owners, minlength=people).astype(np.float64)
