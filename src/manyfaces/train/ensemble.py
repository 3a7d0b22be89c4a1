"""Several networks that answer together: how their probabilities are joined, and what that is worth.

Joined probabilities are a weighted mean. Weights that are fitted to PublicTest fit its accidents too, so they are judged
by cross-fitting: weights from some of the pictures, accuracy on the others. Equal weights win unless fitted ones are
better there by more than chance explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from manyfaces.errors import UsageError
from manyfaces.types import Floats, Integers

FOLDS = 5
STEPS = 200
LEAST_GAIN = 1.0
"""Standard errors by which fitted weights must be better than equal ones before anybody believes them."""


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """What each network said of the same pictures: probabilities (members, n, classes)."""

    names: tuple[str, ...]
    probabilities: Floats

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 3 or len(self.names) != len(self.probabilities):
            shape = self.probabilities.shape
            raise ValueError(f"expected probabilities ({len(self.names)}, n, classes), got {shape}")


@dataclass(frozen=True, slots=True)
class Joined:
    """How members are joined, and the accuracies that decided it. `cross_fitted` is what fitted weights reach on
    pictures that they were not fitted to."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    accuracies: tuple[float, ...]
    hard: float
    equal: float
    cross_fitted: float
    is_fitted: bool


def members(said: Mapping[str, Floats]) -> Members:
    """The answers of networks by their names."""
    if len(said) < 2:
        raise UsageError("an ensemble needs two networks or more; name another")
    return Members(tuple(said), np.stack(list(said.values())))


def join(group: Members, labels: Integers, folds: int = FOLDS) -> Joined:
    """Weights for every member: equal ones, unless fitted ones are clearly better on pictures they have not seen."""
    equal = np.full(len(group.names), 1 / len(group.names))
    right_equal = is_right(blended(group, equal), labels)
    right_fitted = _cross_fitted(group, labels, folds)
    gain = right_fitted.astype(float) - right_equal
    is_fitted = bool(gain.mean() > LEAST_GAIN * gain.std() / np.sqrt(max(len(labels), 1)) and gain.mean() > 0)
    weights = fitted_weights(group, labels) if is_fitted else equal
    return Joined(
        names=group.names,
        weights=tuple(float(weight) for weight in weights),
        accuracies=tuple(float(is_right(one, labels).mean()) for one in group.probabilities),
        hard=float(is_right(votes(group), labels).mean()),
        equal=float(right_equal.mean()),
        cross_fitted=float(right_fitted.mean()),
        is_fitted=is_fitted,
    )


def blended(group: Members, weights: Floats | Sequence[float]) -> Floats:
    """The weighted mean of what the members say."""
    mean: Floats = np.tensordot(np.asarray(weights, np.float64), group.probabilities, axes=1).astype(np.float32)
    return mean


def votes(group: Members) -> Floats:
    """Hard voting as shares (n, classes): every member names one class; the mean probability decides between equals."""
    classes = group.probabilities.shape[2]
    ballots = np.eye(classes, dtype=np.float32)[group.probabilities.argmax(axis=2)].mean(axis=0)
    shares: Floats = ballots + 1e-3 / len(group.names) * group.probabilities.mean(axis=0)
    return shares


def is_right(probabilities: Floats, labels: Integers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    right: np.ndarray[tuple[int], np.dtype[np.bool_]] = probabilities.argmax(axis=1) == labels
    return right


def fitted_weights(group: Members, labels: Integers, steps: int = STEPS) -> Floats:
    """The weights, none negative and with a sum of one, that make the labels most likely.

    The likelihood of a mixture rises with every step of expectation and maximisation, which needs no step size.
    """
    said = group.probabilities[:, np.arange(len(labels)), labels].astype(np.float64)
    weights = np.full(len(said), 1 / len(said))
    for _ in range(steps):
        shares = weights[:, None] * said
        weights = (shares / np.maximum(shares.sum(axis=0), 1e-12)).mean(axis=1)
        weights /= weights.sum()
    return weights


def _cross_fitted(group: Members, labels: Integers, folds: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each picture is named rightly by weights that were fitted without it."""
    fold = np.random.default_rng(0).permutation(len(labels)) % folds
    right = np.zeros(len(labels), bool)
    for number in range(folds):
        inside, outside = fold == number, fold != number
        weights = fitted_weights(Members(group.names, group.probabilities[:, outside]), labels[outside])
        right[inside] = is_right(blended(Members(group.names, group.probabilities[:, inside]), weights), labels[inside])
    return right
