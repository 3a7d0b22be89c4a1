"""Whose pictures meet in a batch: P people with K photos each, or a comparison would find nobody to compare."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor


class Sampler:
    """Draws by torch's generator from what belongs to people numbered in `owners`."""

    def __init__(self, owners: Tensor) -> None:
        self._owners = owners

    @cached_property
    def _places(self) -> Sequence[Tensor]:
        order = torch.argsort(self._owners, stable=True)
        counts = torch.bincount(self._owners)
        return torch.split(order, counts[counts > 0].tolist())

    def draw(self, size: int, photos: int) -> Tensor:
        """About `size` places: of as many people as get `photos` each, two at least. Where there are fewer people, each
        has more; who has fewer photos is there with some of them again."""
        several = min(max(size // photos, 2), len(self._places))
        chosen = torch.randperm(len(self._places))[:several].tolist()
        return torch.cat([_some(self._places[person], max(size // several, 1)) for person in chosen])


def _some(places: Tensor, count: int) -> Tensor:
    """Each once before any of them twice."""
    rounds = -(-count // len(places))
    return torch.cat([places[torch.randperm(len(places))] for _ in range(rounds)])[:count]
