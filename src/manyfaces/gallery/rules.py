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
    """How far each of a person's faces leans towards their mean, 0 (the nearest face decides) to 1 (the mean does), and
    the share of the faces, those least like the others, that the mean leaves out.

    The nearest of the leaning faces is as similar as (1 - lean) times the nearest face and lean times the mean face
    are: what is by chance in one photo counts less, and a person may still have two looks. It costs nothing to search.
    """

    name: str
    lean: float = 0.0
    trim: float = 0.0

    def of_person(self, vectors: Floats) -> Floats:
        """What stands for the person with these faces (n, d); one vector where all would be the same."""
        if not self.lean:
            return vectors
        mean = trimmed_mean(vectors, self.trim)[None]
        return mean if self.lean == 1 else _mixed(vectors, mean, self.lean)

    def without_itself(self, vectors: Floats, rows: Integers) -> Floats:
        """How like the rest of the person each of these faces is: what a photo that is not enrolled yet would find."""
        asked, itself = vectors[rows], (np.arange(len(rows)), rows)
        alike = asked @ vectors.T
        alike[itself] = -np.inf
        nearest: Floats = alike.max(axis=1)
        if not self.lean:
            return nearest
        to_middle = (vectors.sum(axis=0) - asked) @ vectors.T
        to_middle[itself] = -np.inf
        kept = np.argsort(-to_middle, axis=1, kind="stable")[:, : _keep(len(vectors) - 1, self.trim)]
        mean = np.stack([vectors[faces].sum(axis=0) for faces in kept])
        lengths = np.maximum(np.linalg.norm(mean, axis=1), 1e-6)
        mixed: Floats = (1 - self.lean) * nearest + self.lean * (asked * mean).sum(axis=1) / lengths
        return mixed.astype(np.float32)

    def __call__(self, roster: Roster) -> Roster:
        """The faces that are compared with. Of the nearest face these are the enrolled ones, not copied."""
        if not self.lean or not len(roster):
            return roster
        owners, starts = np.unique(roster.owners, return_index=True)
        standing = [self.of_person(vectors) for vectors in np.split(roster.embeddings.vectors, starts[1:])]
        counts = [len(vectors) for vectors in standing]
        embeddings = Embeddings(np.concatenate(standing), roster.model)
        return Roster(roster.names, np.repeat(owners, counts), embeddings, roster.revision)


NEAREST = Rule("nearest")
LEANING = Rule("leaning", lean=0.5, trim=0.25)
MEAN = Rule("mean", lean=1)
TRIMMED = Rule("trimmed mean", lean=1, trim=0.25)
RULES = {rule.name: rule for rule in (NEAREST, LEANING, MEAN, TRIMMED)}
DEFAULT = LEANING

MOST_FACES = 5000
"""Larger galleries lie in a file that is mapped into memory and not copied: there the nearest face decides."""


def fitting(rule: Rule, roster: Roster) -> Rule:
    """The rule that a gallery of this size can be searched by."""
    return rule if len(roster) < MOST_FACES else NEAREST


def trimmed_mean(vectors: Floats, trim: float) -> Floats:
    """The mean direction of the faces that are most like all of them; of two there is none to leave out."""
    middle = _unit(vectors.sum(axis=0))
    keep = _keep(len(vectors), trim)
    if keep == len(vectors):
        return middle
    nearest = np.argsort(-(vectors @ middle), kind="stable")[:keep]
    return _unit(vectors[nearest].sum(axis=0))


def _keep(faces: int, trim: float) -> int:
    """How many of so many faces stay in a mean."""
    return max(int(np.ceil(faces * (1 - trim))), min(faces, 2))


def _mixed(vectors: Floats, mean: Floats, lean: float) -> Floats:
    mixed: Floats = ((1 - lean) * vectors + lean * mean).astype(np.float32)
    return mixed


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
    if len(roster) >= MOST_FACES or (counts >= FEW).sum() < 2:
        return Chosen(fitting(default, roster), {}, 0)
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
