"""What a network is, as data, before there are layers.

A design is a frozen dataclass of plain values. It is written into every checkpoint and every card, so that whoever has
the file can build the network again; `nets.build` is the one place that turns a design into layers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from manyfaces.train.data import DataError
from manyfaces.train.ranges import TRUTH, Number, OneOf, Several, Whole, refuse_outside

WIDTH, SIDE, DROPOUT = Whole(1, 4096), Whole(16, 256), Number(0, 0.95)
ACTIVATIONS = ("softmax", "elu", "selu", "softplus", "softsign", "relu", "tanh", "sigmoid", "linear")
"""What a searched network may bend its maps with; nets.py has the layers."""


@dataclass(frozen=True, slots=True)
class Residual:
    """Widths and depths of a plain residual network: the stem, then stages at half the resolution of the one before.

    `squeeze` lets every block weigh its channels by what the whole picture shows (Hu et al. 2018), at little cost in
    operations but some in milliseconds.
    """

    kind: ClassVar[str] = "residual"
    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 192)
    depths: tuple[int, ...] = (1, 1, 1)
    squeeze: bool = False
    dropout: float = 0.2
    side: int = 48

    def __post_init__(self) -> None:
        refuse_outside(
            self,
            stem=WIDTH,
            widths=Several(WIDTH),
            depths=Several(Whole(1, 64)),
            squeeze=TRUTH,
            dropout=DROPOUT,
            side=SIDE,
        )
        if len(self.widths) != len(self.depths):
            raise ValueError(f"there are {len(self.widths)} widths but {len(self.depths)} depths; each stage has both")


@dataclass(frozen=True, slots=True)
class MiniXception:
    """The hand-made network of the tutorials: separable convolutions, each block half as large and twice as wide.

    `clipped` puts the ReLU on the logits that their code has: it cannot say "rather not" of a class, and is kept only
    so that their figure can be measured.
    """

    kind: ClassVar[str] = "mini-xception"
    stem: int = 8
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    hidden: tuple[int, ...] = (128, 64, 32)
    dropout: float = 0.3
    clipped: bool = False
    side: int = 64

    def __post_init__(self) -> None:
        widths = Several(WIDTH)
        refuse_outside(self, stem=WIDTH, widths=widths, hidden=widths, dropout=DROPOUT, clipped=TRUTH, side=SIDE)


@dataclass(frozen=True, slots=True)
class Module:
    """One module of a searched network: a convolution and what surrounds it."""

    filters: int
    kernel: int
    stride: int
    bias: bool
    norm_before: bool
    norm_after: bool
    activation: str
    dropout: float

    def __post_init__(self) -> None:
        truths = dict.fromkeys(("bias", "norm_before", "norm_after"), TRUTH)
        refuse_outside(
            self,
            filters=WIDTH,
            kernel=Whole(1, 15),
            stride=Whole(1, 4),
            activation=OneOf(ACTIVATIONS),
            dropout=DROPOUT,
            **truths,
        )


@dataclass(frozen=True, slots=True)
class Genotype:
    """The choices of one searched network. Two equal genotypes are one network, whoever drew them."""

    kind: ClassVar[str] = "genotype"
    stem: int
    modules: tuple[Module, ...]
    pooling: str
    side: int = 48

    def __post_init__(self) -> None:
        refuse_outside(self, stem=WIDTH, pooling=OneOf(("mean", "max")), side=SIDE)


Design: TypeAlias = Residual | MiniXception | Genotype
DESIGNS: Mapping[str, type[Design]] = {one.kind: one for one in (Residual, MiniXception, Genotype)}


def design_as_dict(design: Design) -> dict[str, Any]:
    """Plain values for JSON; `design_from_dict` reads them back."""
    return {"kind": design.kind} | dataclasses.asdict(design)


def design_from_dict(fields: Mapping[str, Any]) -> Design:
    try:
        values = {name: _frozen(value) for name, value in fields.items() if name != "kind"}
        if "modules" in values:
            values["modules"] = tuple(Module(**module) for module in values["modules"])
        return DESIGNS[fields["kind"]](**values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"this is no design of a network ({error}); take it from a recipe.json") from None


def design_hash(design: Design) -> str:
    """Names the design: equal designs have equal names on every machine."""
    text = json.dumps(design_as_dict(design), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
