"""How good probabilities are, against labels: plain functions of arrays, the same for every model and runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from manyfaces.train.data import EMOTIONS, VOTES, EmotionData
from manyfaces.types import Floats, Integers

Probabilities = npt.NDArray[np.floating[Any]]


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


def expected_calibration_error(probabilities: Probabilities, labels: Integers, bins: int = 15) -> float:
    """How far confidence lies from accuracy, averaged over equal bins of confidence (Guo et al. 2017, 15 bins)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(labels), 1))


def figures(probabilities: Probabilities, labels: Integers, names: Sequence[str] = EMOTIONS) -> dict[str, Any]:
    """Every figure of one set of pictures. Averages over classes leave out classes that do not occur."""
    counts = confusion(probabilities, labels)
    precision, recall, f1 = per_class(counts)
    occurs = counts.sum(axis=1) > 0
    return {
        "count": len(labels),
        "accuracy": float(np.trace(counts) / max(len(labels), 1)),
        "balanced_accuracy": float(recall[occurs].mean()) if occurs.any() else 0.0,
        "macro_f1": float(f1[occurs].mean()) if occurs.any() else 0.0,
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
