"""Where strangers and a gallery's own people fall: what each threshold would let in, and what it would lose."""

from __future__ import annotations

from dataclasses import dataclass

from manyfaces.gallery.calibrate import Distributions

RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001)
"""Shares of strangers that a threshold lets in, of which a report tells."""


@dataclass(frozen=True, slots=True)
class Fall:
    """At a threshold of `similarity`: the share of strangers who stay under it, whomever of the gallery they resemble
    most, and the share of photos of the gallery's people that reach it."""

    similarity: float
    strangers_under: float
    own_above: float


def falls(measured: Distributions, chosen: float) -> tuple[Fall, ...]:
    """From a lenient threshold to a strict one; the one for the `chosen` false-accept rate is among them."""
    return tuple(_fall(measured, rate) for rate in sorted({*RATES, chosen}, reverse=True))


def _fall(measured: Distributions, rate: float) -> Fall:
    similarity = measured.worst.at(1 - rate)
    above = float(measured.weights[measured.genuine >= similarity].sum() / measured.weights.sum())
    return Fall(similarity, 1 - rate, above)
