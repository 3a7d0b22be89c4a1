"""How the photos of a person stand for that person when a face is compared with everybody.

A rule turns a roster into another one: the faces that are really compared with. Search, threshold and probability
follow from there as before, so a rule is data and nothing else knows how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manyfaces.gallery.roster import Roster
from manyfaces.gallery.search import Search
from manyfaces.types import Embeddings, Floats, Integers

FOLDS = 5
SURE = 2.0
"""By how many standard errors another rule must be better than the default to be taken in its place."""

FEW = 3
"""Photos a person at which there is something to choose; below, the rules hardly differ and a fold proves nothing."""

MOST = 2000
"""Faces asked about in a cross-validation, evenly spread: more only take longer."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`each`: a person's faces are compared with one by one. `mean`: so is their mean. `trim`: the share of a person's
    faces, those least like the others, that the mean leaves out."""

    name: str
    each: bool = False
    mean: bool = False
    trim: float = 0.0

    def of_person(self, vectors: Floats) -> Floats:
        """What stands for the person with these faces (n, d)."""
        parts = [vectors] if self.each else []
        if self.mean:
            parts.append(trimmed_mean(vectors, self.trim)[None])
        return np.concatenate(parts)

    def without_itself(self, vectors: Floats, rows: Integers) -> Floats:
        """How like the rest of the person each of these faces is: what a photo that is not enrolled yet would find."""
        parts = [_nearest_other(vectors, rows)] if self.each else []
        if self.mean and self.trim:
            parts.append(np.array([vectors[row] @ self._rest_mean(vectors, row) for row in rows.tolist()], np.float32))
        elif self.mean:
            rest = vectors.sum(axis=0) - vectors[rows]
            lengths = np.maximum(np.linalg.norm(rest, axis=1), 1e-6)
            parts.append(((vectors[rows] * rest).sum(axis=1) / lengths).astype(np.float32))
        return np.asarray(np.max(parts, axis=0), np.float32)

    def _rest_mean(self, vectors: Floats, row: int) -> Floats:
        return trimmed_mean(np.delete(vectors, row, axis=0), self.trim)

    def __call__(self, roster: Roster) -> Roster:
        """The faces that are compared with. Of the nearest face these are the enrolled ones, not copied."""
        if not self.mean or not len(roster):
            return roster
        owners, starts = np.unique(roster.owners, return_index=True)
        people = np.split(roster.embeddings.vectors, starts[1:])
        standing = [self.of_person(vectors) for vectors in people]
        counts = [len(vectors) for vectors in standing]
        vectors = np.concatenate(standing).astype(np.float32)
        embeddings = Embeddings(vectors, roster.embeddings.model)
        return Roster(roster.names, np.repeat(owners, counts).astype(np.int64), embeddings, roster.revision)


NEAREST = Rule("nearest", each=True)
MEAN = Rule("mean", mean=True)
TRIMMED = Rule("trimmed mean", mean=True, trim=0.25)
BOTH = Rule("nearest or mean", each=True, mean=True)
RULES = {rule.name: rule for rule in (NEAREST, MEAN, TRIMMED, BOTH)}
DEFAULT = NEAREST


def trimmed_mean(vectors: Floats, trim: float) -> Floats:
    """The mean direction of the faces that are most like all of them; of two there is none to leave out."""
    middle = _unit(vectors.sum(axis=0))
    keep = max(int(np.ceil(len(vectors) * (1 - trim))), min(len(vectors), 2))
    if keep == len(vectors):
        return middle
    nearest = np.argsort(-(vectors @ middle), kind="stable")[:keep]
    return _unit(vectors[nearest].sum(axis=0))


def _nearest_other(vectors: Floats, rows: Integers) -> Floats:
    similarities = vectors[rows] @ vectors.T
    similarities[np.arange(len(rows)), rows] = -1
    nearest: Floats = similarities.max(axis=1)
    return nearest


def _unit(vector: Floats) -> Floats:
    """Vectors that cancel out have no direction; theirs stays nearly nothing and is like nobody."""
    unit: Floats = (vector / max(float(np.linalg.norm(vector)), 1e-6)).astype(np.float32)
    return unit


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rule that a gallery's own photos speak for, the share of them it names rightly, that of every rule, and how
    many were asked about; none where the photos are too few to choose."""

    rule: Rule
    accuracies: dict[str, float]
    asked: int


def choose(roster: Roster, rules: Sequence[Rule] = tuple(RULES.values()), default: Rule = DEFAULT) -> Chosen:
    """Cross-validated: each photo is asked about by the photos of the other folds. The default stays unless another
    rule is better beyond doubt, since on a few photos some rule is always ahead by chance."""
    counts = np.bincount(roster.owners) if len(roster) else np.zeros(0)
    if (counts >= FEW).sum() < 2:
        return Chosen(default, {}, 0)
    right = {rule.name: asked_about(roster, rule) for rule in rules}
    best = max(rules, key=lambda rule: (float(right[rule.name].mean()), rule is default))
    gain = right[best.name].astype(np.float64) - right[default.name]
    doubt = float(gain.std()) / np.sqrt(len(gain))
    rule = best if float(gain.mean()) > SURE * doubt else default
    return Chosen(rule, {name: float(flags.mean()) for name, flags in right.items()}, len(gain))


def asked_about(roster: Roster, rule: Rule, folds: int = FOLDS) -> npt.NDArray[np.bool_]:
    """Whether the rule names each asked photo rightly from the photos of the other folds."""
    answers = [_right(roster, rule, held) for held in _folds(roster.owners, folds)]
    return np.concatenate(answers) if answers else np.empty(0, np.bool_)


def _right(roster: Roster, rule: Rule, held: Integers) -> npt.NDArray[np.bool_]:
    kept = np.setdiff1d(np.arange(len(roster)), held)
    rest = Roster(roster.names, roster.owners[kept], roster.embeddings[kept], roster.revision)
    named = Search(rule(rest))(roster.embeddings[held]).people
    return np.asarray(named == roster.owners[held], np.bool_)


def _folds(owners: Integers, folds: int) -> Iterator[Integers]:
    """Photos of people who have several, dealt out person by person; nobody loses all photos to one fold."""
    counts = np.bincount(owners)
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)
    share = max(len(owners) // MOST, 1)
    for fold in range(folds):
        held = np.flatnonzero((place % folds == fold) & (counts[owners] > 1))[::share]
        if len(held):
            yield held.astype(np.int64)
