"""What the numbers of a recipe may be, checked where they are made: a recipe is a file that people edit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Number:
    """Any number from `low` to `high`."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return is_number and self.low <= value <= self.high  # type: ignore[operator]  # it is a number by now

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words, or true or false."""

    values: Sequence[object]

    def __contains__(self, value: object) -> bool:
        return any(value is one or (isinstance(value, str) and value == one) for one in self.values)

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


@dataclass(frozen=True, slots=True)
class Several:
    """`least` values or more, each of them of a kind."""

    each: Whole | Number
    least: int = 1

    def __contains__(self, value: object) -> bool:
        return isinstance(value, tuple) and len(value) >= self.least and all(one in self.each for one in value)

    def __str__(self) -> str:
        return f"a list of {self.least} or more, each {self.each}"


Range = Whole | Number | OneOf | Several
SHARE = Number(0, 1)
TRUTH = OneOf((True, False))


def refuse_outside(thing: Any, **ranges: Range) -> None:
    """Name the first field of a dataclass whose value is not what it may be."""
    for name, allowed in ranges.items():
        value = getattr(thing, name)
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}, but must be {allowed}")
