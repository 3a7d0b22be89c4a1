"""How to go through a lesson, and what the learning rate is at each moment of it: arithmetic only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from manyfaces.train.ranges import SHARE, Number, OneOf, Whole, refuse_outside

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to go through the lesson.

    With the `cooling` schedule the rate rises over `warmup` epochs, holds, and falls to zero over the last `cooling`
    share. A rate that holds does not depend on the number of epochs, so a run may be made longer when it turns out that
    there is time. With `plateau` it holds until `plateau` epochs went by without a better figure, and is then a tenth.
    `patience` epochs without a better figure end the training; 0 never does.
    """

    epochs: int
    batch: int = 128
    method: Literal["momentum", "adam"] = "momentum"
    schedule: Literal["cooling", "plateau"] = "cooling"
    rate: float = 0.1
    warmup: float = 0.5
    cooling: float = 0.5
    plateau: int = 10
    patience: int = 0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    average: float = 0.998
    seed: int = 0

    def __post_init__(self) -> None:
        refuse_outside(
            self,
            epochs=Whole(1, 1_000_000),
            batch=Whole(1, 1_000_000),
            method=OneOf(("momentum", "adam")),
            schedule=OneOf(("cooling", "plateau")),
            rate=Number(0, 1e30),
            warmup=Number(0, 1e6),
            cooling=SHARE,
            plateau=Whole(1, 1_000_000),
            patience=Whole(0, 1_000_000),
            momentum=Number(0, 0.9999),
            weight_decay=Number(0, 10),
            average=Number(0, 0.99999),
            seed=Whole(0, 2**31 - 1),
        )


def rate_at(epochs: float, plan: Plan, log: Sequence[Mapping[str, float]] = ()) -> float:
    """The learning rate after so many epochs, of which `log` tells the whole ones."""
    rise = min(1.0, (epochs + 1e-3) / plan.warmup) if plan.warmup else 1.0
    if plan.schedule == "plateau":
        return plan.rate * rise * 0.1 ** _cuts(log, plan.plateau)
    fall = (plan.epochs - epochs) / (plan.epochs * plan.cooling) if plan.cooling else 1.0
    return plan.rate * max(0.0, min(rise, fall, 1.0))


def is_spent(plan: Plan, log: Sequence[Mapping[str, float]]) -> bool:
    """Whether the patience is at its end."""
    return 0 < plan.patience <= epochs_without_gain(log)


def epochs_without_gain(log: Sequence[Mapping[str, float]]) -> int:
    """How many epochs have gone by since the best one."""
    figures = [row["accuracy"] for row in log]
    return len(figures) - 1 - figures.index(max(figures)) if figures else 0


def _cuts(log: Sequence[Mapping[str, float]], plateau: int) -> int:
    """How often so many epochs in a row brought nothing; every cut starts the count anew."""
    cuts, waited, best = 0, 0, float("-inf")
    for row in log:
        waited = 0 if row["accuracy"] > best else waited + 1
        best = max(best, row["accuracy"])
        if waited >= plateau:
            cuts, waited = cuts + 1, 0
    return cuts
