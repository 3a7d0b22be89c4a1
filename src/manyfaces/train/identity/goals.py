"""What is asked of vectors: that one person's lie together and two people's apart.

The losses and the mining are those of pytorch-metric-learning. Distances are squared ones of unit vectors, which is
2 - 2 cosine, as FaceNet and the tutorials have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from manyfaces.errors import MissingExtra
from manyfaces.train.ranges import Number, OneOf, Whole, refuse_outside

KINDS = ("triplet", "arcface", "subcentre")


@dataclass(frozen=True, slots=True)
class Goal:
    """`triplet`: whoever is of another person must be farther by `margin` than whoever is of the same, asked of those
    who are farther but not by that much (semi-hard). `arcface`: every person has a direction, and a vector must be
    nearer to its own by `margin` degrees (Deng et al. 2019), weighed by `scale`; `subcentre`: each has several
    (`centres`), so that odd photos need not be drawn to the others (Deng et al. 2020).

    `photos` is how many of each person a batch has; 0 takes the pictures as they come. `keep` weighs how far the
    similarities may go from those of the pretrained network, where there is one.
    """

    kind: Literal["triplet", "arcface", "subcentre"] = "triplet"
    margin: float = 0.2
    scale: float = 16.0
    centres: int = 3
    photos: int = 4
    keep: float = 0.0

    def __post_init__(self) -> None:
        refuse_outside(
            self,
            kind=OneOf(KINDS),
            margin=Number(0, 90),
            scale=Number(0.01, 1000),
            centres=Whole(1, 100),
            photos=Whole(0, 1000),
            keep=Number(0, 1e6),
        )


def objective(goal: Goal, people: int, length: int) -> Objective:
    """The loss of a goal, for vectors of this length of so many people."""
    try:
        from pytorch_metric_learning.distances import LpDistance
        from pytorch_metric_learning.losses import ArcFaceLoss, SubCenterArcFaceLoss, TripletMarginLoss
        from pytorch_metric_learning.miners import TripletMarginMiner
    except ModuleNotFoundError:
        raise MissingExtra("learning to tell people apart", "train") from None
    if goal.kind == "triplet":
        squared = LpDistance(normalize_embeddings=True, p=2, power=2)
        miner = TripletMarginMiner(margin=goal.margin, type_of_triplets="semihard", distance=squared)
        return Objective(TripletMarginLoss(margin=goal.margin, distance=squared), miner)
    centred = {"num_classes": people, "embedding_size": length, "margin": goal.margin, "scale": goal.scale}
    if goal.kind == "arcface":
        return Objective(ArcFaceLoss(**centred))
    return Objective(SubCenterArcFaceLoss(**centred, sub_centers=goal.centres))


class Objective(nn.Module):
    """The loss, over what a miner finds where there is one. Its own weights are learnt with the network's."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner

    def forward(self, vectors: Tensor, owners: Tensor) -> Tensor:
        mined: Any = self.miner(vectors, owners) if self.miner else None
        found: Tensor = self.loss(vectors, owners, mined)
        return found


def drift(vectors: Tensor, before: Tensor) -> Tensor:
    """How far the similarities within a batch have gone from what they were, as a mean square."""
    return torch.mean((vectors @ vectors.T - before @ before.T) ** 2)
