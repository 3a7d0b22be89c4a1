"""What a network that tells people apart is, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from manyfaces.train.data import DataError
from manyfaces.train.ranges import TRUTH, Number, OneOf, Several, Whole, refuse_outside

WIDTH, DEPTH, LENGTH, DROPOUT = Whole(1, 4096), Whole(1, 64), Whole(2, 4096), Number(0, 0.95)
SIDE = OneOf((28, 56, 112))
"""A crop has 112 pixels, and a network that sees fewer has whole squares of them averaged."""


@dataclass(frozen=True, slots=True)
class Vgg:
    """The backbone of the tutorials: plain 3x3 convolutions, each stage at half the size of the one before, and one
    dense layer over all that is left. `levelled` gives every picture the mean 0 and the spread 1 first."""

    kind: ClassVar[str] = "vgg"
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    levelled: bool = True
    length: int = 128
    side: int = 56

    def __post_init__(self) -> None:
        refuse_outside(self, widths=Several(WIDTH), depths=Several(DEPTH), levelled=TRUTH, length=LENGTH, side=SIDE)
        _refuse_unequal(self.widths, self.depths, self.side)


@dataclass(frozen=True, slots=True)
class Faces:
    """A residual network for aligned faces. Where a face has its eyes and its mouth is known, so the last maps are read
    place by place, each with weights of its own (as in MobileFaceNet), and not averaged."""

    kind: ClassVar[str] = "faces"
    stem: int = 32
    widths: tuple[int, ...] = (64, 96, 128)
    depths: tuple[int, ...] = (1, 1, 1)
    squeeze: bool = True
    dropout: float = 0.2
    levelled: bool = True
    length: int = 128
    side: int = 56

    def __post_init__(self) -> None:
        refuse_outside(
            self,
            stem=WIDTH,
            widths=Several(WIDTH),
            depths=Several(DEPTH),
            squeeze=TRUTH,
            dropout=DROPOUT,
            levelled=TRUTH,
            length=LENGTH,
            side=SIDE,
        )
        _refuse_unequal(self.widths, self.depths, self.side)


@dataclass(frozen=True, slots=True)
class Bend:
    """A light head on the vectors of a pretrained network: the vector and a correction that begins as nothing. With a
    width the correction passes so many bent values, without one it is a matrix."""

    kind: ClassVar[str] = "bend"
    width: int = 0

    def __post_init__(self) -> None:
        refuse_outside(self, width=Whole(0, 4096))


Design: TypeAlias = Vgg | Faces | Bend
DESIGNS: Mapping[str, type[Design]] = {one.kind: one for one in (Vgg, Faces, Bend)}


def _refuse_unequal(widths: tuple[int, ...], depths: tuple[int, ...], side: int) -> None:
    if len(widths) != len(depths):
        raise ValueError(f"there are {len(widths)} widths but {len(depths)} depths; each stage has both")
    if side >> len(widths) < 1:
        raise ValueError(f"a side of {side} cannot be halved {len(widths)} times")


def design_as_dict(design: Design) -> dict[str, Any]:
    """Plain values for JSON; `design_from_dict` reads them back."""
    return {"kind": design.kind} | dataclasses.asdict(design)


def design_from_dict(fields: Mapping[str, Any]) -> Design:
    kind = str(fields.get("kind"))
    if kind not in DESIGNS:
        raise DataError(f"{kind!r} is no network that tells people apart; known are {', '.join(DESIGNS)}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    del values["kind"]
    return DESIGNS[kind](**values)
