"""From designs to layers.

Every network here has the same three parts, so that training, distillation and explanation need not know which it is:
`features` turns pictures into maps, `head` turns maps into one vector, and two read-outs answer from it. `emotions` is
what ships. `votes` learns what FER+'s ten taggers said about the same picture: it teaches the features which faces are
ambiguous, and is dropped when the network is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from manyfaces.train.data import EMOTIONS, VOTES
from manyfaces.train.designs import Design, Genotype, MiniXception, Module, Residual


class Answers(NamedTuple):
    """Logits (n, 7) of the emotions and (n, 10) of the taggers' votes."""

    emotions: Tensor
    votes: Tensor


class EmotionNet(nn.Module):
    """Scaled grey pictures (n, 1, h, w) in, `Answers` out."""

    def __init__(self, features: nn.Module, head: nn.Module, emotions: nn.Module, votes: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.emotions = emotions
        self.votes = votes

    def forward(self, pixels: Tensor) -> Answers:
        vector = self.head(self.features(pixels))
        return Answers(self.emotions(vector), self.votes(vector))


def build(design: Design) -> EmotionNet:
    """The network of a design, with fresh weights from torch's generator."""
    if isinstance(design, Residual):
        return _residual(design)
    return _mini_xception(design) if isinstance(design, MiniXception) else _genotype(design)


class Probabilities(nn.Module):
    """What ships: the first read-out only, as probabilities whose confidence was corrected by one temperature."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)[0]
        return torch.softmax(logits / self.temperature, dim=1)


def shipped_parameters(network: EmotionNet) -> int:
    """How many numbers the exported file holds: all but the taggers' read-out."""
    return sum(one.numel() for one in network.parameters()) - sum(one.numel() for one in network.votes.parameters())


# --- residual: at these sizes plain 3x3 convolutions are what processors do fastest ----------------------------------


def _residual(design: Residual) -> EmotionNet:
    steps = zip(pairwise((design.stem, *design.widths)), design.depths, strict=True)
    stages = [stage(narrow, wide, depth, design.squeeze) for (narrow, wide), depth in steps]
    features = nn.Sequential(convolution(1, design.stem), nn.ReLU(inplace=True), *stages)
    return _with_read_outs(features, [nn.Dropout(design.dropout)], design.widths[-1])


def _with_read_outs(features: nn.Module, between: list[nn.Module], width: int) -> EmotionNet:
    read_outs = (nn.Linear(width, len(classes)) for classes in (EMOTIONS, VOTES))
    return EmotionNet(features, nn.Sequential(GlobalMean(), *between), *read_outs)


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inputs: int, outputs: int, squeeze: bool) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs)
        self.second = convolution(outputs, outputs)
        self.weigh = Squeeze(outputs) if squeeze else nn.Identity()
        self.around = nn.Identity() if inputs == outputs else convolution(inputs, outputs, kernel=1)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.weigh(self.second(functional.relu(self.first(features), inplace=True)))
        return functional.relu(inner + self.around(features), inplace=True)


class Squeeze(nn.Module):
    """Every channel weighed by what the whole picture shows."""

    def __init__(self, width: int, share: int = 8) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, width // share)
        self.wide = nn.Linear(width // share, width)

    def forward(self, maps: Tensor) -> Tensor:
        weights = torch.sigmoid(self.wide(functional.relu(self.narrow(maps.mean(dim=(2, 3))))))
        return maps * weights[:, :, None, None]


def stage(inputs: int, outputs: int, depth: int, squeeze: bool) -> nn.Sequential:
    """Residual blocks at half the resolution of what goes in."""
    widths = (inputs, *(outputs,) * depth)
    return nn.Sequential(nn.MaxPool2d(2), *(Block(narrow, wide, squeeze) for narrow, wide in pairwise(widths)))


def convolution(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """A convolution and its norm."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class GlobalMean(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(2, 3))


class GlobalMax(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.amax(dim=(2, 3))


# --- mini-xception: the tutorials' network, layer for layer ----------------------------------------------------------


def _mini_xception(design: MiniXception) -> EmotionNet:
    widths = pairwise((design.stem, *design.widths))
    blocks = [SeparableBlock(narrow, wide, design.dropout) for narrow, wide in widths]
    features = nn.Sequential(convolution(1, design.stem), nn.ReLU(inplace=True), *blocks)
    dense = list(_dense((design.widths[-1], *design.hidden), design.dropout))
    network = _with_read_outs(features, dense, design.hidden[-1])
    if design.clipped:
        network.emotions = nn.Sequential(network.emotions, nn.ReLU())
    return network


def _dense(widths: tuple[int, ...], dropout: float) -> Iterator[nn.Module]:
    for narrow, wide in pairwise(widths):
        yield from (nn.Linear(narrow, wide), nn.ReLU(inplace=True), nn.Dropout(dropout))


class SeparableBlock(nn.Module):
    """Two separable convolutions and a pooling, with a 1x1 convolution of stride 2 around them."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.first = _separable(inputs, outputs)
        self.second = _separable(outputs, outputs)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.around = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.second(functional.relu(self.first(maps), inplace=True))
        summed: Tensor = self.dropout(self.pool(inner) + self.around(maps))
        return summed


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


# --- genotypes: what the search draws --------------------------------------------------------------------------------

LAYERS: Mapping[str, Callable[[], nn.Module]] = {
    "softmax": lambda: nn.Softmax(dim=1),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}


def _genotype(design: Genotype) -> EmotionNet:
    widths = (design.stem, *(module.filters for module in design.modules))
    modules = [_module(narrow, one) for narrow, one in zip(widths, design.modules, strict=False)]
    features = nn.Sequential(convolution(1, design.stem), nn.ReLU(inplace=True), *modules)
    pool = GlobalMax() if design.pooling == "max" else GlobalMean()
    # A map for every class, pooled: there is no dense layer.
    emotions, votes = (nn.Conv2d(widths[-1], len(classes), 3, padding=1) for classes in (EMOTIONS, VOTES))
    return EmotionNet(features, nn.Identity(), nn.Sequential(emotions, pool), nn.Sequential(votes, pool))


def _module(inputs: int, module: Module) -> nn.Sequential:
    layers: list[nn.Module] = [nn.BatchNorm2d(inputs)] if module.norm_before else []
    layers.append(nn.Conv2d(inputs, module.filters, module.kernel, module.stride, module.kernel // 2, bias=module.bias))
    layers += [nn.BatchNorm2d(module.filters)] if module.norm_after else []
    layers.append(LAYERS[module.activation]())
    layers += [nn.Dropout(module.dropout)] if module.dropout else []
    return nn.Sequential(*layers)
