"""Several networks that answer together: how their probabilities are joined, and what that is worth.

Joined probabilities are a weighted mean. Weights that are fitted to PublicTest fit its accidents too, so they are
judged by cross-fitting: weights from some of the pictures, accuracy on the others. Equal weights win unless fitted ones
are better there by more than chance explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from manyfaces.errors import UsageError
from manyfaces.types import Floats, Integers

FOLDS = 5
STEPS = 200

LEAST_GAIN = 1.0
"""Standard errors by which fitted weights must be better than equal ones before anybody believes them."""

LEAST_WEIGHT = 0.01
"""A member that fitting gives less is left out: it would cost its whole time and change next to nothing."""

Bools: TypeAlias = npt.NDArray[np.bool_]
Weights: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """What each network said of the same pictures: probabilities (members, n, classes)."""

    names: tuple[str, ...]
    probabilities: Floats

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 3 or len(self.names) != len(self.probabilities):
            shape = self.probabilities.shape
            raise ValueError(f"probabilities: expected ({len(self.names)}, n, classes), got {shape}")

    def __len__(self) -> int:
        return len(self.names)

    def of(self, which: Bools) -> Members:
        """What they said of some of the pictures."""
        return Members(self.names, self.probabilities[:, which])


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """A weight for every member, and which pictures are named rightly: by each member alone (members, n), by hard
    voting, by equal weights, and by fitted weights on pictures that they were not fitted to; each (n,)."""

    weights: Weights
    alone: Bools
    hard: Bools
    equal: Bools
    cross_fitted: Bools

    @property
    def gain(self) -> float:
        """The accuracy that fitted weights add to equal ones, on pictures that they were not fitted to."""
        return float(self._gains.mean())

    @property
    def gain_error(self) -> float:
        """Its standard error: the same pictures are asked in both ways, so only those that change sides count."""
        return float(self._gains.std() / np.sqrt(len(self._gains)))

    @property
    def is_fitted(self) -> bool:
        return self.gain > LEAST_GAIN * self.gain_error

    @property
    def _gains(self) -> npt.NDArray[np.float64]:
        return self.cross_fitted.astype(np.float64) - self.equal


def members(said: Mapping[str, Floats]) -> Members:
    """The answers of networks by their names."""
    if len(said) < 2:
        raise UsageError("an ensemble needs two networks or more; name another")
    return Members(tuple(said), np.stack(list(said.values())))


def join(group: Members, labels: Integers, folds: int = FOLDS) -> Joined:
    """Weights for every member: equal ones, unless fitted ones are clearly better on pictures they have not seen."""
    equal = _equal(len(group))
    judged = Joined(
        weights=equal,
        alone=group.probabilities.argmax(axis=2) == labels,
        hard=voted(group) == labels,
        equal=is_right(blended(group, equal), labels),
        cross_fitted=_cross_fitted(group, labels, folds),
    )
    if not judged.is_fitted:
        return judged
    return Joined(fitted_weights(group, labels), judged.alone, judged.hard, judged.equal, judged.cross_fitted)


def blended(group: Members, weights: Sequence[float]) -> Floats:
    """The weighted mean of what the members say."""
    mean: Floats = np.tensordot(np.asarray(weights, np.float64), group.probabilities, axes=1).astype(np.float32)
    return mean


def voted(group: Members) -> Integers:
    """Hard voting: every member names one class, and the mean probability decides between classes of equal votes."""
    classes = group.probabilities.shape[2]
    votes = np.eye(classes)[group.probabilities.argmax(axis=2)].sum(axis=0)
    winners: Integers = (votes + 0.5 * group.probabilities.mean(axis=0)).argmax(axis=1).astype(np.int64)
    return winners


def is_right(probabilities: Floats, labels: Integers) -> Bools:
    right: Bools = probabilities.argmax(axis=1) == labels
    return right


def fitted_weights(group: Members, labels: Integers, steps: int = STEPS) -> Weights:
    """The weights, none negative and with a sum of one, that make the labels most likely.

    The likelihood of a mixture rises with every step of expectation and maximisation, which needs no step size.
    """
    if not len(labels):
        return _equal(len(group))
    said = group.probabilities[:, np.arange(len(labels)), labels].astype(np.float64)
    weights = np.full(len(group), 1 / len(group))
    for _ in range(steps):
        shares = weights[:, None] * np.maximum(said, 1e-12)
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    return _without_idlers(weights)


def _without_idlers(weights: npt.NDArray[np.float64]) -> Weights:
    # Of very many members each may be small; the largest always stays.
    kept = np.where(weights >= min(LEAST_WEIGHT, weights.max()), weights, 0.0)
    return tuple((kept / kept.sum()).tolist())


def _equal(count: int) -> Weights:
    return (1 / count,) * count


def _cross_fitted(group: Members, labels: Integers, folds: int) -> Bools:
    """Whether each picture is named rightly by weights that were fitted without it."""
    fold = np.random.default_rng(0).permutation(len(labels)) % folds
    right = np.zeros(len(labels), bool)
    for number in range(folds):
        inside = fold == number
        weights = fitted_weights(group.of(~inside), labels[~inside])
        right[inside] = is_right(blended(group.of(inside), weights), labels[inside])
    return right
