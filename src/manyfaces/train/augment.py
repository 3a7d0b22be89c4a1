"""Every batch a little different: pictures are turned, shifted, zoomed, mirrored, spoilt, relit and partly hidden.

All of it happens on the whole batch at once, with one affine sampling. Randomness is torch's own generator, so a seed
set by the training loop makes it repeatable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from manyfaces.train.ranges import SHARE, TRUTH, Number, refuse_outside


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far pictures are changed. Degrees; shifts, sizes and squares as shares of the side; the rest as shares of 1,
    where the values of a picture have a spread of about 1.

    FER2013 was never aligned while serving aligns every face, so the spread here must cover what alignment leaves:
    turned heads and landmarks that are a pixel or two off. Its pictures are also sharper and cleaner than the small
    faces of a crowd: without coarse and noisy ones a network fell from 65 to 56 % on faces of 24 pixels, and to 50 % in
    noise.
    """

    rotation: float = 15.0
    shift: float = 0.08
    zoom: float = 0.15
    mirror: bool = True
    coarse_chance: float = 0.3
    coarse_side: float = 0.3
    noise_chance: float = 0.3
    noise: float = 0.25
    brightness: float = 0.3
    contrast: float = 0.3
    erase_chance: float = 0.5
    erase_side: float = 0.33

    def __post_init__(self) -> None:
        chances = ("coarse_chance", "noise_chance", "erase_chance", "erase_side", "coarse_side", "shift")
        strengths = ("zoom", "noise", "brightness", "contrast")
        refuse_outside(
            self,
            rotation=Number(0, 180),
            mirror=TRUTH,
            **dict.fromkeys(chances, SHARE),
            **dict.fromkeys(strengths, Number(0, 10)),
        )


def augment(batch: Tensor, how: Augmentation) -> Tensor:
    """A changed copy of pictures (n, channels, h, w) whose values are centred on zero."""
    return _erased(_relit(_noisy(_coarse(_moved(batch, how), how), how), how), how)


def _spread(batch: Tensor, reach: float) -> Tensor:
    """A number for every picture, uniform in -reach..reach."""
    return (torch.rand(len(batch), device=batch.device) * 2 - 1) * reach


def _moved(batch: Tensor, how: Augmentation) -> Tensor:
    angle = _spread(batch, math.radians(how.rotation))
    # Where to read from, so a factor above 1 shrinks the face.
    scale = torch.exp(_spread(batch, math.log1p(how.zoom)))
    mirror = torch.where(_spread(batch, 1.0) < 0, -1.0, 1.0) if how.mirror else torch.ones_like(scale)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    across, down = _spread(batch, 2 * how.shift), _spread(batch, 2 * how.shift)  # affine_grid counts -1..1
    rows = [torch.stack([cosine * mirror, -sine, across], 1), torch.stack([sine * mirror, cosine, down], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)


def _chosen(batch: Tensor, chance: float) -> Tensor:
    """Which pictures a change happens to, ready to be multiplied with the batch."""
    return (torch.rand(len(batch), device=batch.device) < chance).view(-1, 1, 1, 1)


def _coarse(batch: Tensor, how: Augmentation) -> Tensor:
    """Some pictures as if the face had been small: one size per batch, at least `coarse_side` of the full one."""
    full = batch.shape[-1]
    side = int(full * (how.coarse_side + torch.rand(()).item() * (1 - how.coarse_side)))
    small = functional.interpolate(batch, size=(side, side), mode="area")
    enlarged = functional.interpolate(small, size=batch.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(_chosen(batch, how.coarse_chance), enlarged, batch)


def _noisy(batch: Tensor, how: Augmentation) -> Tensor:
    """Some pictures with the grain of a dark room."""
    strength = torch.rand(len(batch), 1, 1, 1, device=batch.device) * how.noise * _chosen(batch, how.noise_chance)
    return batch + strength * torch.randn_like(batch)


def _relit(batch: Tensor, how: Augmentation) -> Tensor:
    shape = (-1, 1, 1, 1)
    contrast = torch.exp(_spread(batch, math.log1p(how.contrast))).view(shape)
    return batch * contrast + _spread(batch, how.brightness).view(shape)


def _erased(batch: Tensor, how: Augmentation) -> Tensor:
    """Grey squares hide parts of some faces, as hands, microphones and other heads do."""
    count, side = len(batch), batch.shape[-1]
    size, strikes, down, across = torch.rand(4, count, 1, device=batch.device)
    half = size * how.erase_side * side / 2 * (strikes < how.erase_chance)
    places = torch.arange(side, device=batch.device).expand(count, side)
    rows, columns = (places - down * side).abs() < half, (places - across * side).abs() < half
    return batch.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def mix(batch: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Every picture with one rectangle of another picture, and asked for both by their areas (CutMix, Yun et al. 2019).

    The rectangle is the same for the whole batch, so that it is one copy.
    """
    height, width = batch.shape[-2:]
    side, down, across = torch.rand(3).tolist()
    half = math.sqrt(side) / 2
    top, bottom = _range(down, half, height)
    left, right = _range(across, half, width)
    other = torch.randperm(len(batch), device=batch.device)
    mixed = batch.clone()
    mixed[..., top:bottom, left:right] = batch[other, ..., top:bottom, left:right]
    share = (bottom - top) * (right - left) / (height * width)
    return mixed, torch.lerp(targets, targets[other], share)


def _range(middle: float, half: float, size: int) -> tuple[int, int]:
    return max(round((middle - half) * size), 0), min(round((middle + half) * size), size)
