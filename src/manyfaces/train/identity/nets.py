"""From designs to layers, and what stands around them while they learn."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from manyfaces.train.device import has_bf16
from manyfaces.train.identity.designs import Design, Faces, Vgg
from manyfaces.train.identity.people import SIDE
from manyfaces.train.identity.student import UnitVectors, unit_length
from manyfaces.train.nets import convolution, stage
from manyfaces.types import Floats

FLAT = 1e-3
"""The least spread of a picture: one of a single colour is not blown up to noise."""


def build(design: Design, length: int = 0) -> nn.Module:
    """The network of a design, with fresh weights from torch's generator. `length` is that of the vectors that a
    `Bend` is given."""
    if isinstance(design, Vgg):
        return _vgg(design)
    return _faces(design) if isinstance(design, Faces) else Bent(length, design.width)


class Learner(nn.Module):
    """What learns: the network that ships, and the goal, which may have weights of its own. Gives unit vectors."""

    def __init__(self, network: nn.Module, goal: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.goal = goal

    def forward(self, given: Tensor) -> Tensor:
        if given.ndim != 4:
            return unit_length(self.network(given))
        with torch.autocast(given.device.type, torch.bfloat16, enabled=has_bf16(given.device)):
            vectors = self.network(given.contiguous(memory_format=torch.channels_last))
        return unit_length(vectors)


class Served(nn.Module):
    """What ships: scaled crops of the full size in, unit vectors out."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(SIDE // side)
        self.network = UnitVectors(network)

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.network(self.shrink(pixels))
        return vectors


class Levelled(nn.Module):
    """Every picture with the mean 0 and the spread 1, so that light and contrast say nothing."""

    def forward(self, pixels: Tensor) -> Tensor:
        spread, mean = torch.std_mean(pixels, dim=(1, 2, 3), keepdim=True, correction=0)
        return (pixels - mean) / spread.clamp(min=FLAT)


def _begun(levelled: bool) -> list[nn.Module]:
    return [Levelled()] if levelled else []


# --- the tutorials' --------------------------------------------------------------------------------------------------


def _vgg(design: Vgg) -> nn.Module:
    layers, inputs = _begun(design.levelled), 3
    for width, depth in zip(design.widths, design.depths, strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    places = (design.side >> len(design.widths)) ** 2
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * places, design.length))
    network.apply(_keep_spread)
    return network


def _keep_spread(layer: nn.Module) -> None:
    """Weights that keep the spread of what passes (He et al. 2015): thirteen layers without norms lose it otherwise."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


# --- ours ------------------------------------------------------------------------------------------------------------


def _faces(design: Faces) -> nn.Module:
    layers = [*_begun(design.levelled), convolution(3, design.stem), nn.ReLU(inplace=True)]
    inputs = design.stem
    for width, depth in zip(design.widths, design.depths, strict=True):
        layers.append(stage(inputs, width, depth, design.squeeze))
        inputs = width
    last = design.side >> len(design.widths)
    reading = nn.Conv2d(inputs, inputs, last, groups=inputs, bias=False)
    head = [nn.BatchNorm2d(inputs), nn.Flatten(), nn.Dropout(design.dropout), nn.Linear(inputs, design.length)]
    return nn.Sequential(*layers, reading, *head, nn.BatchNorm1d(design.length))


# --- on a pretrained one ---------------------------------------------------------------------------------------------


class Bent(nn.Module):
    """Unit vectors (n, length) in, bent ones out; as built it changes nothing."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(length, width) if width else nn.Identity()
        self.wide = nn.Linear(width or length, length, bias=False)
        nn.init.zeros_(self.wide.weight)
        if isinstance(self.narrow, nn.Linear):
            nn.init.normal_(self.narrow.weight, std=math.sqrt(2))  # of unit vectors: values of about one

    def forward(self, vectors: Tensor) -> Tensor:
        inner = functional.relu(self.narrow(vectors)) if isinstance(self.narrow, nn.Linear) else vectors
        bent: Tensor = vectors + self.wide(inner)
        return bent

    def weights(self) -> tuple[tuple[Floats, Floats] | None, Floats]:
        """As `merged.with_head` wants them: the narrow layer's matrix and bias, where there is one, and the wide
        layer's matrix."""
        wide: Floats = self.wide.weight.detach().cpu().numpy()
        if not isinstance(self.narrow, nn.Linear):
            return None, wide
        return (self.narrow.weight.detach().cpu().numpy(), self.narrow.bias.detach().cpu().numpy()), wide
