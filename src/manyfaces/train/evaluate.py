"""How good probabilities are, against labels: plain functions of arrays, the same for every model and runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from manyfaces.train.data import EMOTIONS, VOTES, EmotionData
from manyfaces.types import Floats, Integers

Probabilities = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]

RESAMPLES = 2000
CENTRAL = (2.5, 97.5)
"""Percentiles between which 95 of 100 resampled figures lie."""


def confusion(probabilities: Probabilities, labels: Integers) -> Integers:
    """Counts (true class, predicted class)."""
    classes = probabilities.shape[1]
    pairs = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def per_class(counts: Integers) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each class; zero where a class was never predicted or never there."""
    right = np.diag(counts).astype(np.float32)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    return (
        right / np.maximum(predicted, 1, dtype=np.float32),
        right / np.maximum(true, 1, dtype=np.float32),
        2 * right / np.maximum(true + predicted, 1, dtype=np.float32),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Confidence against accuracy in equal bins of confidence: counts (bins,), and where a bin is not empty the mean
    confidence and the share that is right."""

    counts: Integers
    confidence: Doubles
    accuracy: Doubles

    @property
    def error(self) -> float:
        """How far confidence lies from accuracy, averaged over the pictures."""
        gaps = self.counts * np.abs(self.confidence - self.accuracy)
        return float(gaps.sum() / max(self.counts.sum(), 1))


def reliability(probabilities: Probabilities, labels: Integers, bins: int = 15) -> Reliability:
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, right))
    means = [total / np.maximum(counts, 1) for total in sums]
    return Reliability(counts.astype(np.int64), *means)


def expected_calibration_error(probabilities: Probabilities, labels: Integers, bins: int = 15) -> float:
    """How far confidence lies from accuracy, averaged over equal bins of confidence (Guo et al. 2017, 15 bins)."""
    return reliability(probabilities, labels, bins).error


def averages(counts: Doubles | Integers) -> dict[str, Doubles]:
    """Accuracy, balanced accuracy and macro-F1 of any number of confusions (..., true, predicted). Averages over
    classes leave out classes that do not occur."""
    right, true = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)
    occurs = true > 0
    classes = np.maximum(occurs.sum(axis=-1), 1)
    recall = right / np.maximum(true, 1)
    f1 = 2 * right / np.maximum(true + counts.sum(axis=-2), 1)
    return {
        "accuracy": right.sum(axis=-1) / np.maximum(true.sum(axis=-1), 1),
        "balanced_accuracy": (recall * occurs).sum(axis=-1) / classes,
        "macro_f1": (f1 * occurs).sum(axis=-1) / classes,
    }


def intervals(counts: Integers, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, list[float]]:
    """Between what each average would lie in 95 of 100 sets of as many pictures like these (bootstrap, percentiles).

    The averages depend on the confusion alone, and the confusion of pictures drawn with replacement is one draw from
    the multinomial of its cells: nothing has to be drawn picture by picture.
    """
    total = int(counts.sum())
    shares = counts.ravel() / max(total, 1)
    drawn = np.random.default_rng(seed).multinomial(total, shares if total else np.eye(counts.size)[0], resamples)
    several = averages(drawn.reshape(resamples, *counts.shape))
    return {f"{name}_interval": np.percentile(values, CENTRAL).tolist() for name, values in several.items()}


def figures(probabilities: Probabilities, labels: Integers, names: Sequence[str] = EMOTIONS) -> dict[str, Any]:
    """Every figure of one set of pictures."""
    counts = confusion(probabilities, labels)
    precision, recall, f1 = per_class(counts)
    return {
        "count": len(labels),
        **{name: float(value) for name, value in averages(counts).items()},
        **intervals(counts),
        "ece": expected_calibration_error(probabilities, labels),
        "per_class": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "count": int(n)}
            for name, p, r, f, n in zip(names, precision, recall, f1, counts.sum(axis=1), strict=True)
        },
        "confusion": counts.tolist(),
    }


def report(probabilities: Probabilities, data: EmotionData) -> dict[str, Any]:
    """The figures of `evaluate emotion`: of all pictures, of those not seen in training (`clean`), and against the
    majority of the taggers (`ferplus`) where they voted."""
    fresh = ~data.duplicate
    voted, majority = ferplus_majority(data.votes)
    return {
        **figures(probabilities, data.labels),
        "clean": figures(probabilities[fresh], data.labels[fresh]),
        **({"ferplus": figures(probabilities[voted], majority[voted])} if voted.any() else {}),
    }


def ferplus_majority(votes: Floats) -> tuple[npt.NDArray[np.bool_], Integers]:
    """Which pictures (n,) have one emotion of ours with more votes than anything else, and which emotion that is.

    Ties, contempt, "unknown" and "no face" have no majority that a seven-class network could agree with.
    """
    ours = np.array([EMOTIONS.index(name) if name in EMOTIONS else -1 for name in VOTES])
    most = votes.max(axis=1, initial=0)
    single = (votes == most[:, None]).sum(axis=1) == 1
    majority = ours[votes.argmax(axis=1)]
    return single & (most > 0) & (majority >= 0), np.where(majority >= 0, majority, 0).astype(np.int64)
