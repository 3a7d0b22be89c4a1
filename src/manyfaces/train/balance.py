"""How the classes are spread over the parts, and whether there is anything to tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manyfaces.train.data import EMOTIONS, USAGES, DataError, EmotionData


@dataclass(frozen=True, slots=True)
class ClassCount:
    """How many pictures of a class each part holds, and its share of Training."""

    name: str
    training: int
    public: int
    private: int
    share: float


def balance(data: EmotionData) -> tuple[ClassCount, ...]:
    """One row per class, in FER2013's order, also for classes that have no pictures."""
    cells = len(EMOTIONS) * len(USAGES)
    counts = np.bincount(data.labels * len(USAGES) + data.usage, minlength=cells).reshape(-1, len(USAGES))
    shares = counts[:, 0] / max(counts[:, 0].sum(), 1)
    rows = zip(EMOTIONS, *counts.T.tolist(), shares.tolist(), strict=True)
    return tuple(ClassCount(*row) for row in rows)


def refuse_one_class(data: EmotionData, where: Path) -> None:
    """Where all pictures to learn from are of one class, or there are none, there is nothing to tell apart."""
    if not (data.usage == 0).any():
        raise DataError(f"{where}: holds no pictures of {USAGES[0]}, to learn from; give data that does")
    learnt = [row.name for row in balance(data) if row.training]
    if len(learnt) == 1:
        raise DataError(
            f"{where}: all pictures to learn from are {learnt[0]}; give pictures of two classes or more "
            f"({', '.join(EMOTIONS)})"
        )


def never_learnt(data: EmotionData) -> tuple[str, ...]:
    """The classes that have no pictures in Training: the network will hardly ever name them."""
    return tuple(row.name for row in balance(data) if not row.training)
