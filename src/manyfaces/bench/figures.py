"""The arithmetic of a benchmark, without a clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


def percentile_ms(seconds: Sequence[float], share: float) -> float | None:
    """The milliseconds that this share of the times does not exceed; None where nothing was timed."""
    return round(1000 * float(np.percentile(seconds, 100 * share)), 2) if len(seconds) else None


def slope_per_hour(seconds: Sequence[float], values: Sequence[float]) -> float | None:
    """How fast values rise, by least squares; None where all of them are of one moment."""
    times = np.asarray(seconds, float) / 3600
    away = times - times.mean() if len(times) else times
    spread = float(away @ away)
    return float(away @ (np.asarray(values, float) - np.mean(values))) / spread if spread else None


@dataclass(frozen=True, slots=True)
class Best:
    """The batch size at which a unit, a picture or a face, takes the least time, and that time in seconds."""

    batch: int
    seconds: float


def best(times: Mapping[int, Sequence[float]]) -> Best:
    """`times`: for each batch size, how long one unit took in each call. The median keeps a disturbed call out."""
    medians = {batch: float(np.median(calls)) for batch, calls in times.items()}
    quickest = min(medians, key=lambda batch: medians[batch])
    return Best(quickest, medians[quickest])


def floor_seconds(per_picture: Sequence[Best], per_face: Sequence[Best], faces: float, cores: int) -> float:
    """What a frame of so many faces takes at least: nothing but this work is done, and every core always has some."""
    picture, face = (sum(part.seconds for part in parts) for parts in (per_picture, per_face))
    return (picture + faces * face) / cores
