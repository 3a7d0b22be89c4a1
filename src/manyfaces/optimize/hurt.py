"""Which layers hurt when they are rounded, and how few of them must stay in float.

One layer after the other is rounded alone, all others in float, and what that does to the answers is measured. Long
networks are tried in groups of neighbours, since every trial is a network of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from manyfaces.optimize.judge import Step, Truth, Verdict, judge, silent
from manyfaces.optimize.model import Form, Kept, Order, Original, Writer
from manyfaces.runtime import usable_cores

MOST_TRIALS = 24


@dataclass(frozen=True, slots=True)
class Hurt:
    """What rounding only these layers does: the change of the answers relative to their size, and points lost."""

    layers: tuple[str, ...]
    relative: float
    drop: float

    @property
    def why(self) -> str:
        if len(self.layers) == 1:
            return f"rounded alone, it moves the answers by {self.relative:.2%} and loses {self.drop:.2f} points"
        several = f"rounded alone, these {len(self.layers)} move"
        return f"{several} the answers by {self.relative:.2%} and lose {self.drop:.2f} points"


def grouped(layers: Sequence[str], most: int = MOST_TRIALS) -> list[tuple[str, ...]]:
    """Neighbours together, in no more groups than that, of nearly equal length."""
    count = min(len(layers), most)
    edges = [round(place * len(layers) / count) for place in range(count + 1)] if count else []
    return [tuple(layers[start:end]) for start, end in pairwise(edges)]


def hurting(writer: Writer, original: Original, order: Order, truth: Truth, step: Step = silent) -> tuple[Hurt, ...]:
    """The groups of layers, those that hurt most first. To be asked once the fully rounded form was written."""
    layers = writer.layers(original)
    found = []
    for group in grouped(layers):
        rest = tuple(Kept(layer, "") for layer in layers if layer not in group)
        verdict = tried(writer, original, replace(order, keep=rest), truth)
        found.append(Hurt(group, verdict.relative, verdict.drop))
        step()
    return tuple(sorted(found, key=lambda one: one.relative, reverse=True))


def tried(writer: Writer, original: Original, order: Order, truth: Truth) -> Verdict:
    """What becomes of an order that leaves no file."""
    with tempfile.TemporaryDirectory() as folder:
        form = writer.write(original, replace(order, stem=Path(folder) / "trial"))
        return judge(writer.open(form, usable_cores()), truth)


def spared(
    writer: Writer, original: Original, order: Order, truth: Truth, hurt: Sequence[Hurt], max_drop: float
) -> tuple[Form, Verdict]:
    """The form with the fewest of the worst groups in float that loses no more than allowed: one, two, four and so on,
    for every trial costs as much as the last. Where nothing helps, all of it was kept, and the figures say so."""
    count = 1
    while True:
        keep = tuple(Kept(layer, one.why) for one in hurt[:count] for layer in one.layers)
        form = writer.write(original, replace(order, keep=keep))
        verdict = judge(writer.open(form, usable_cores()), truth)
        if verdict.drop <= max_drop or count >= len(hurt):
            return form, verdict
        count *= 2
