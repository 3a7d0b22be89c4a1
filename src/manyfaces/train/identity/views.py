"""Many pictures of one photo: everything that `augment` changes, and the colours of lamps and cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from manyfaces.train.augment import Augmentation, augment
from manyfaces.train.ranges import SHARE, TRUTH, Number, Whole, refuse_outside

AS_IT_IS = Augmentation(
    0, 0, 0, mirror=False, coarse_chance=0, noise_chance=0, brightness=0, contrast=0, erase_chance=0, erase_side=0
)
"""Nothing is changed."""


@dataclass(frozen=True, slots=True)
class Views:
    """`each` pictures of every photo in an epoch, new ones every time, or drawn `once` and for all, as the tutorials
    did. `tint` is how far the colours are drawn to one side, as logarithms; so many turn grey, so many are blurred, by
    up to `blur` shares of the side."""

    change: Augmentation = field(default_factory=Augmentation)
    each: int = 5
    once: bool = False
    tint: float = 0.0
    grey_chance: float = 0.0
    blur_chance: float = 0.0
    blur: float = 0.03

    def __post_init__(self) -> None:
        refuse_outside(
            self,
            each=Whole(1, 1000),
            once=TRUTH,
            tint=Number(0, 3),
            grey_chance=SHARE,
            blur_chance=SHARE,
            blur=Number(0.001, 0.2),
        )


def varied(pixels: Tensor, views: Views) -> Tensor:
    """A changed copy of scaled pictures (n, 3, h, w)."""
    return augment(_blurred(_tinted(pixels, views), views), views.change)


def _tinted(pixels: Tensor, views: Views) -> Tensor:
    count = len(pixels)
    gains = torch.exp((torch.rand(count, 3, 1, 1, device=pixels.device) * 2 - 1) * views.tint)
    grey = (torch.rand(count, 1, 1, 1, device=pixels.device) < views.grey_chance).to(pixels)
    # Black is the darkest there is, so that a lamp's colour leaves the dark dark.
    darkest = pixels.amin(dim=(1, 2, 3), keepdim=True)
    tinted = (pixels - darkest) * gains + darkest
    return torch.lerp(tinted, tinted.mean(dim=1, keepdim=True).expand_as(tinted), grey)


def _blurred(pixels: Tensor, views: Views) -> Tensor:
    """Some pictures out of focus: one strength per batch, so that it is two convolutions."""
    if not views.blur_chance:
        return pixels
    spread = max(views.blur * pixels.shape[-1] * torch.rand(()).item(), 0.3)
    reach = min(math.ceil(2 * spread), pixels.shape[-1] - 1)
    bell = torch.exp(-(torch.arange(-reach, reach + 1, device=pixels.device) ** 2) / (2 * spread**2)).to(pixels)
    bell = (bell / bell.sum()).expand(pixels.shape[1], 1, -1)
    padded = functional.pad(pixels, (reach,) * 4, mode="reflect")
    across = functional.conv2d(padded, bell[:, :, None, :], groups=pixels.shape[1])
    soft = functional.conv2d(across, bell[:, :, :, None], groups=pixels.shape[1])
    chosen = (torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < views.blur_chance).to(pixels)
    return torch.lerp(pixels, soft, chosen)
