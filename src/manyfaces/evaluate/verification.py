"""Are two photos of the same person? Accuracy, equal error rate and true accepts at stated false accepts.

As LFW asks: the threshold of a fold is chosen on the other folds. A pair with an undetected face is wrong, whatever the
threshold, since a user would get no answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manyfaces.types import Floats

Flags = npt.NDArray[np.bool_]

FALSE_ACCEPTS = ("0.01", "0.001")


@dataclass(frozen=True, slots=True)
class VerificationScore:
    accuracy: float
    accuracy_std: float
    eer: float
    tar_at_far: dict[str, float]
    threshold: float
    pairs: int


def verification_score(
    similarities: Floats, same: Flags, folds: npt.NDArray[np.int64], found: Flags
) -> VerificationScore:
    """`found` is False for a pair in which a face was not detected; its similarity does not count."""
    accuracies, thresholds = _cross_fitted(similarities, same, folds, found)
    usable = np.where(found, similarities, np.float32(-1))
    return VerificationScore(
        accuracy=float(np.average(accuracies, weights=[np.sum(folds == fold) for fold in np.unique(folds)])),
        accuracy_std=float(np.std(accuracies)),
        eer=equal_error_rate(usable[same], usable[~same]),
        tar_at_far={far: true_accepts(usable[same], usable[~same], float(far)) for far in FALSE_ACCEPTS},
        threshold=float(np.mean(thresholds)),
        pairs=len(same),
    )


def _cross_fitted(
    similarities: Floats, same: Flags, folds: npt.NDArray[np.int64], found: Flags
) -> tuple[list[float], list[float]]:
    accuracies, thresholds = [], []
    for fold in np.unique(folds):
        inside = folds == fold
        learn = found & ~inside if np.any(~inside) else found
        threshold = best_threshold(similarities[learn], same[learn])
        right = found[inside] & ((similarities[inside] >= threshold) == same[inside])
        accuracies.append(float(right.mean()))
        thresholds.append(threshold)
    return accuracies, thresholds


def best_threshold(similarities: Floats, same: Flags) -> float:
    """The threshold with the fewest errors, in the middle between two neighbouring similarities."""
    if not len(similarities):
        return 0.5
    order = np.argsort(similarities)
    values, positive = similarities[order].astype(np.float64), same[order]
    # Accepting from position k on: the positives below k are rejected, the negatives from k on are accepted.
    errors = np.concatenate([[0], np.cumsum(positive)]) + np.concatenate([np.cumsum(~positive[::-1])[::-1], [0]])
    divides = np.concatenate([[True], values[1:] > values[:-1], [True]])  # no threshold parts two equal similarities
    k = int(np.argmin(np.where(divides, errors, np.inf)))
    below = values[k - 1] if k else values[0] - 0.02
    above = values[k] if k < len(values) else values[-1] + 0.02
    return float((below + above) / 2)


def equal_error_rate(genuine: Floats, impostor: Floats) -> float:
    """Where as many genuine pairs are refused as impostor pairs accepted."""
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    refused = np.searchsorted(np.sort(genuine), thresholds, side="left") / max(len(genuine), 1)
    accepted = 1 - np.searchsorted(np.sort(impostor), thresholds, side="left") / max(len(impostor), 1)
    nearest = int(np.argmin(np.abs(refused - accepted)))
    return float((refused[nearest] + accepted[nearest]) / 2)


def true_accepts(genuine: Floats, impostor: Floats, false_accept_rate: float) -> float:
    """The share of genuine pairs above the threshold that lets at most this share of impostors pass."""
    allowed = int(np.floor(false_accept_rate * len(impostor)))
    highest = np.sort(impostor)[::-1]
    threshold = highest[allowed] if allowed < len(highest) else -np.inf
    return float(np.mean(genuine > threshold)) if len(genuine) else 0.0


def roc(genuine: Floats, impostor: Floats, points: int = 61) -> list[tuple[float, float]]:
    """Shares of impostor and of genuine pairs accepted, at false accepts from 1 in 10,000 to all of them."""
    highest, same = np.sort(impostor)[::-1], np.sort(genuine)
    rates = np.logspace(-4, 0, points)
    allowed = np.floor(rates * len(highest)).astype(np.int64)
    thresholds = np.append(highest, -np.inf)[allowed]
    accepted = 1 - np.searchsorted(same, thresholds, side="right") / max(len(same), 1)
    return list(zip(rates.tolist(), accepted.tolist(), strict=True))
