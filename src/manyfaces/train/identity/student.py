"""Small networks that learn an embedder's vectors: their designs, and from designs to layers.

Depthwise separable blocks one after another, the last maps read position by position into one vector, as in the
embedders they learn from (MobileFaceNet, SFace). PReLU stays, since OpenVINO joins it to the convolution before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from manyfaces.card import InputSpec
from manyfaces.train.ranges import TRUTH, OneOf, Several, Whole, refuse_outside

MEAN, SCALE = 127.5, 64.0
"""Scaled so that the values of a picture have a spread of about one, which is what `augment` expects."""


@dataclass(frozen=True, slots=True)
class StudentDesign:
    """The choices of a student as data; as they stand, less than a third of SFace's time.

    SFace spends two thirds of its time before the maps are 28 wide, and in bf16 the many channels of later layers cost
    almost nothing. So the maps are halved at once, the first layers are narrow, the later ones wide.

    `widths` are the channels after each block, and the blocks named by `halving` (counted from 0) halve the maps first.
    `residual` adds what went in where the shape stays. `length` is that of the vector.
    """

    side: int = 112
    stem: int = 16
    stem_stride: int = 2
    widths: tuple[int, ...] = (32, 48, 48, 96, 96, 320, 320, 320, 320, 320, 320, 448, 320)
    halving: tuple[int, ...] = (3, 5, 11)
    residual: bool = False
    length: int = 128

    def __post_init__(self) -> None:
        refuse_outside(
            self,
            side=Whole(16, 512),
            stem=Whole(1, 4096),
            stem_stride=OneOf((1, 2)),
            widths=Several(Whole(1, 4096)),
            halving=Several(Whole(0, len(self.widths) - 1), least=0),
            residual=TRUTH,
            length=Whole(2, 4096),
        )

    @property
    def last_side(self) -> int:
        """How large the last maps are."""
        side = -(-self.side // self.stem_stride)
        for _ in self.halving:
            side = -(-side // 2)
        return side

    def spec(self, teacher: InputSpec) -> InputSpec:
        """The contract of a network of this design: the faces of its teacher, at its own size."""
        factor = self.side / teacher.width
        template = tuple((x * factor, y * factor) for x, y in teacher.template)
        return InputSpec(self.side, self.side, "rgb", MEAN, SCALE, template)


class Student(nn.Module):
    """Scaled pictures (n, 3, side, side) in, vectors (n, length) out, not yet of unit length."""

    def __init__(self, design: StudentDesign) -> None:
        super().__init__()
        self.stem = Unit(3, design.stem, 3, design.stem_stride)
        self.blocks = nn.ModuleList(_blocks(design))
        inside = design.widths[-1] * design.last_side**2
        self.read_out = nn.Linear(inside, design.length, bias=False)
        self.norm = nn.BatchNorm1d(design.length)

    def units(self) -> Iterator[Unit]:
        """All convolutions with what belongs to them, in the order of the flow."""
        yield self.stem
        for block in self.blocks:
            assert isinstance(block, Block)
            yield from (block.space, block.together)

    def maps(self, pixels: Tensor) -> Tensor:
        """The last maps, in one row for each picture."""
        maps = self.stem(pixels)
        for block in self.blocks:
            maps = block(maps)
        rows: Tensor = maps.flatten(1)
        return rows

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.norm(self.read_out(self.maps(pixels)))
        return vectors


class Unit(nn.Module):
    """Convolution, norm, activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = nn.PReLU(outputs)
        self.outputs = outputs

    def forward(self, maps: Tensor) -> Tensor:
        bent: Tensor = self.activation(self.norm(self.convolution(maps)))
        return bent


class Block(nn.Module):
    """Every map by itself in space, then all maps together at every place."""

    def __init__(self, inputs: int, outputs: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.space = Unit(inputs, inputs, 3, stride, groups=inputs)
        self.together = Unit(inputs, outputs, 1)
        self.adds = residual and stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = self.together(self.space(maps))
        return result + maps if self.adds else result


def _blocks(design: StudentDesign) -> Iterator[Block]:
    inputs = design.stem
    for number, width in enumerate(design.widths):
        yield Block(inputs, width, 2 if number in design.halving else 1, design.residual)
        inputs = width


def unit_length(vectors: Tensor) -> Tensor:
    """The same directions."""
    return functional.normalize(vectors.float(), dim=1)


class UnitVectors(nn.Module):
    """What ships: unit vectors, whatever the network gives."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return unit_length(self.network(pixels))


def parameters(network: nn.Module) -> int:
    """How many numbers the network learns."""
    return sum(one.numel() for one in network.parameters())


def scaled(images: Tensor) -> Tensor:
    """uint8 pictures (n, h, w, 3) as the card says: (n, 3, h, w), (pixel - mean) / scale."""
    return (images.permute(0, 3, 1, 2).float() - MEAN) / SCALE


def as_served(pixels: Tensor) -> Tensor:
    """Scaled pictures back to the bytes that a network is served: (n, h, w, 3)."""
    return (pixels * SCALE + MEAN).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
