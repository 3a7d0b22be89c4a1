"""How a small network learns to say what an embedder says, from pictures without a single label.

Whatever becomes of a picture, the teacher is asked about the very same one: what is turned, spoilt, mixed of two faces
or half hidden is as good a question as a portrait. So nothing here needs to be a real person.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from manyfaces.card import ModelCard
from manyfaces.train.augment import augment, mix
from manyfaces.train.data import DataError
from manyfaces.train.device import device, has_bf16
from manyfaces.train.emotion import resized
from manyfaces.train.identity.student import as_served, scaled, unit_length
from manyfaces.train.identity.student_recipe import StudentRecipe
from manyfaces.train.plan import Figures
from manyfaces.types import Floats, Pixels

LEAST = 40
"""Fewer pictures teach nothing that holds for the next face."""

HELD_OUT = 20
"""One picture of so many is kept out of training."""

MOST_ASKED = 256
"""Of the pictures kept out of a pool, so many are asked about after every epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """Whom to learn from: `ask` gives the unit vectors (n, length) of RGB faces (n, h, w, 3), cut as the card says.
    `content` is its ONNX file with plain weights, for who begins as a narrower copy of it."""

    card: ModelCard
    ask: Callable[[Pixels], Floats]
    content: bytes


class ImitationLesson:
    """A `Lesson`: the teacher's vector for every picture, as the student sees it."""

    def __init__(self, pools: Sequence[Pixels], recipe: StudentRecipe, teacher: Embedder) -> None:
        """`pools` are faces cut for the teacher: (n, h, w, 3), and grey ones (n, h, w, 1)."""
        self._recipe, self._teacher, self._device = recipe, teacher, device()
        self._data_hash = _fingerprint(pools)
        sides = [_kept_out(pool) for pool in pools]
        self._pools = [torch.from_numpy(pool[~out]) for pool, out in zip(pools, sides, strict=True) if not out.all()]
        different = sum(len({picture.tobytes() for picture in pool}) for pool in pools)
        if different < LEAST or not self._pools:
            raise DataError(f"{different} different faces are too few to learn from; give {LEAST} or more")
        self._weights = _weights(self._pools, recipe.aims.coloured)
        self._held = [coloured(pool[out][:MOST_ASKED]) for pool, out in zip(pools, sides, strict=True) if out.any()]
        self._said = [teacher.ask(pool) for pool in self._held]
        _refuse_other_length(self._said[0].shape[1], recipe.design.length)

    @property
    def about(self) -> Mapping[str, str]:
        """All of the recipe but how long: a run may be made longer."""
        recipe = dataclasses.asdict(self._recipe.with_plan(epochs=1))
        network = json.dumps(recipe.pop("design"))
        return {
            "network": network,
            "data": self._data_hash,
            "teacher": self._teacher.card.identifier,
            "recipe": json.dumps(recipe),
        }

    def __len__(self) -> int:
        return self._recipe.pictures

    def portraits(self, count: int) -> tuple[Tensor, Tensor]:
        """Some of the pictures as they are, scaled, of every pool as many, and what the teacher says of them."""
        some = [pool[:: max(len(pool) * len(self._pools) // count, 1)] for pool in self._pools]
        images = torch.cat([_in_colour(one) for one in some])
        said = torch.from_numpy(self._teacher.ask(images.numpy()))
        return resized(scaled(images), self._recipe.design.side), said

    def batch(self, which: Tensor, _done: float, /) -> tuple[Tensor, Tensor]:
        """Any pictures, whatever their numbers: an epoch is so many of them, not all."""
        pixels = self._spoilt(scaled(self._drawn(len(which))).to(self._device))
        served = as_served(pixels)
        said = torch.from_numpy(self._teacher.ask(served.cpu().numpy())).to(self._device)
        return resized(scaled(served), self._recipe.design.side), said

    def _drawn(self, count: int) -> Tensor:
        """The bytes of pictures drawn from the pools, each pool by its weight."""
        pools = torch.multinomial(self._weights, count, replacement=True)
        parts = [
            pool[torch.randint(len(pool), (int((pools == number).sum()),))] for number, pool in enumerate(self._pools)
        ]
        return torch.cat([_in_colour(part) for part in parts])[torch.randperm(count)]

    def _spoilt(self, pixels: Tensor) -> Tensor:
        aims = self._recipe.aims
        if torch.rand(()).item() < aims.blended:
            pixels = blended(pixels)
        pixels = tinted(augment(pixels, self._recipe.augmentation), aims.tint)
        if torch.rand(()).item() < aims.mixed:
            pixels, _ = mix(pixels, pixels.new_zeros(len(pixels)))
        return pixels

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor], /) -> Tensor:
        pixels, said = batch
        vectors = embedded(network, pixels)
        alone = 1 - (vectors * said).sum(dim=1).mean()
        return alone + self._recipe.aims.relations * relations_apart(vectors, said)

    def score(self, network: nn.Module, /) -> Figures:
        """On pictures kept out: how near the vectors are to the teacher's, and how far the similarities between two
        pictures are off. Labels there are none."""
        vectors = [vectors_of(network, pool, self._recipe.design.side) for pool in self._held]
        near = np.concatenate([(one * said).sum(1) for one, said in zip(vectors, self._said, strict=True)])
        off = [_off(one, said) for one, said in zip(vectors, self._said, strict=True)]
        return {
            "accuracy": float(near.mean()),
            "worst_tenth": float(np.quantile(near, 0.1)),
            "off": float(np.mean(off)),
        }


def _refuse_other_length(found: int, wanted: int) -> None:
    if found != wanted:
        raise DataError(
            f"the teacher's vectors have {found} numbers and the student's {wanted}; take a recipe.json whose design "
            f"has the length {found}"
        )


def _off(vectors: Floats, said: Floats) -> float:
    return float(np.sqrt(np.mean((vectors @ vectors.T - said @ said.T) ** 2)))


def relations_apart(vectors: Tensor, said: Tensor) -> Tensor:
    """How far the similarities between the faces of a batch are from the teacher's, as a root of the mean square: of
    the same size as a cosine, so that the two add up."""
    apart = vectors @ vectors.T - said @ said.T
    return torch.sqrt(apart.square().mean() + 1e-8)


def embedded(network: nn.Module, pixels: Tensor) -> Tensor:
    """Unit vectors, computed in bfloat16 where the processor multiplies that itself."""
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=has_bf16(pixels.device)):
        return unit_length(network(pixels.contiguous(memory_format=torch.channels_last)))


@torch.no_grad()
def vectors_of(network: nn.Module, images: Pixels, side: int) -> Floats:
    """The unit vectors of pictures (n, h, w, 3)."""
    place = next(network.parameters()).device
    parts = [
        embedded(network, resized(scaled(batch.to(place)), side)).cpu()
        for batch in torch.split(torch.from_numpy(images), 64)
    ]
    vectors: Floats = torch.cat(parts).numpy()
    return vectors


# --- pictures --------------------------------------------------------------------------------------------------------


def _kept_out(pool: Pixels) -> npt.NDArray[np.bool_]:
    """Which pictures are kept out: those whose digests come first, so equal ones lie on one side, in every run."""
    digests = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pool]
    first = sorted(set(digests))
    held = set(first[: max(round(len(first) / HELD_OUT), 2)])
    return np.array([digest in held for digest in digests], bool)


def _weights(pools: Sequence[Tensor], share: float) -> Tensor:
    """How often a pool is drawn from: by its size, but coloured ones together at least by their share."""
    sizes = torch.tensor([float(len(pool)) for pool in pools])
    rich = torch.tensor([pool.shape[-1] == 3 for pool in pools])
    if rich.all() or not rich.any() or sizes[rich].sum() >= share * sizes.sum():
        return sizes
    part = torch.where(rich, torch.tensor(share), torch.tensor(1 - share))
    return part * sizes / torch.where(rich, sizes[rich].sum(), sizes[~rich].sum())


def _in_colour(pictures: Tensor) -> Tensor:
    return pictures.expand(*pictures.shape[:3], 3)


def coloured(pool: Pixels) -> Pixels:
    """Pictures in three channels."""
    several: Pixels = np.broadcast_to(pool, (*pool.shape[:3], 3)).copy()
    return several


def blended(pixels: Tensor) -> Tensor:
    """Every face laid over another one: a face of nobody."""
    share = 0.3 + 0.4 * torch.rand(len(pixels), 1, 1, 1, device=pixels.device)
    return torch.lerp(pixels, pixels[torch.randperm(len(pixels), device=pixels.device)], share)


def tinted(pixels: Tensor, strength: float) -> Tensor:
    """The colours moved against each other, as under other lamps."""
    shift = (torch.rand(len(pixels), 3, 1, 1, device=pixels.device) * 2 - 1) * strength
    return pixels + shift


def _fingerprint(pools: Sequence[Pixels]) -> str:
    digest = hashlib.sha256()
    for pool in pools:
        digest.update(str(pool.shape).encode())
        digest.update(pool.tobytes())
    return digest.hexdigest()[:16]
