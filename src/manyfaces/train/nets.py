"""The networks that recipes train."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from manyfaces.train.data import EMOTIONS, VOTES


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths and depths of a `CompactNet`: the stem, then stages that each work at half the resolution before."""

    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 192)
    depths: tuple[int, ...] = (1, 1, 1)
    dropout: float = 0.2


class CompactNet(nn.Module):
    """A narrow residual network without frills: at these sizes plain 3x3 convolutions are what processors do fastest.

    Two read-outs share its features. `emotions` is what ships. `votes` learns what FER+'s ten taggers said about the
    same picture: it teaches the features which faces are ambiguous, and is dropped when the network is exported.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        steps = zip(pairwise((shape.stem, *shape.widths)), shape.depths, strict=True)
        stages = [_stage(narrow, wide, depth) for (narrow, wide), depth in steps]
        self.features = nn.Sequential(_convolution(1, shape.stem), nn.ReLU(inplace=True), *stages)
        self.dropout = nn.Dropout(shape.dropout)
        self.emotions = nn.Linear(shape.widths[-1], len(EMOTIONS))
        self.votes = nn.Linear(shape.widths[-1], len(VOTES))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, 7) and (n, 10) of scaled grey pictures (n, 1, h, w)."""
        pooled = self.dropout(self.features(pixels).mean(dim=(2, 3)))
        return self.emotions(pooled), self.votes(pooled)


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs)
        self.second = _convolution(outputs, outputs)
        self.around = nn.Identity() if inputs == outputs else _convolution(inputs, outputs, kernel=1)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.second(functional.relu(self.first(features), inplace=True))
        return functional.relu(inner + self.around(features), inplace=True)


class Probabilities(nn.Module):
    """What ships: the first read-out only, as probabilities whose confidence was corrected by one temperature."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)[0]
        return torch.softmax(logits / self.temperature, dim=1)


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    widths = (inputs, *(outputs,) * depth)
    return nn.Sequential(nn.MaxPool2d(2), *(Block(narrow, wide) for narrow, wide in pairwise(widths)))


def _convolution(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs))
