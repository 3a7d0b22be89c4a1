"""What a network is shown of people, and how well it tells them apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from manyfaces.train.device import device
from manyfaces.train.identity.designs import Bend, design_as_dict
from manyfaces.train.identity.nets import Learner
from manyfaces.train.identity.people import SIDE, PeopleData, fingerprint
from manyfaces.train.identity.recipe import IdentityRecipe, recipe_as_dict
from manyfaces.train.identity.sampling import Sampler
from manyfaces.train.identity.student import as_served, scaled
from manyfaces.train.identity.views import Views, varied
from manyfaces.train.plan import Figures
from manyfaces.types import Floats, Integers, Pixels

AT_ONCE = 64
"""Pictures that pass a network at a time when nothing is learnt; their maps would else fill the memory."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One batch: what goes in, and whose each is."""

    given: Tensor
    owners: Tensor


def about(recipe: IdentityRecipe, data: str) -> Mapping[str, str]:
    """What a checkpoint must agree with to be gone on from. Of the recipe not how long: a run may be made longer."""
    return {
        "network": json.dumps(design_as_dict(recipe.design)),
        "data": data,
        "recipe": json.dumps(recipe_as_dict(recipe.with_plan(epochs=1))),
    }


class FaceLesson:
    """A `Lesson` of pictures: people are told apart by a network of one's own, judged on photos it never saw."""

    def __init__(self, data: PeopleData, recipe: IdentityRecipe) -> None:
        assert not isinstance(recipe.design, Bend)
        self._recipe, self._side = recipe, recipe.design.side
        self._about = about(recipe, fingerprint(data))
        self._data = data
        learnt = data.learnt
        self._owners = torch.from_numpy(learnt.owners).to(device())
        self._pixels = drawn_once(learnt.pixels, recipe) if recipe.views.once else _shrunk(learnt.pixels, self._side)
        self._sampler = Sampler(self._owners.cpu())

    @property
    def about(self) -> Mapping[str, str]:
        return self._about

    def __len__(self) -> int:
        return len(self._owners) * self._recipe.views.each

    def batch(self, which: Tensor, _done: float, /) -> Asked:
        """Examples are numbered view by view. Where every person is to have the same number, the dice choose the rows,
        and `which` only says how many."""
        count = len(self._owners)
        if self._recipe.goal.photos:
            rows = self._sampler.draw(len(which), self._recipe.goal.photos)
            which = rows + count * torch.randint(self._recipe.views.each, (len(rows),))
        which = which.to(self._pixels.device)
        return Asked(self._seen(which), self._owners[which % count])

    def _seen(self, which: Tensor) -> Tensor:
        if self._recipe.views.once:
            return _ready(self._pixels[which])
        return varied(_ready(self._pixels[which % len(self._owners)]), self._recipe.views)

    def loss(self, network: nn.Module, batch: Asked, /) -> Tensor:
        assert isinstance(network, Learner)
        found: Tensor = network.goal(network(batch.given), batch.owners)
        return found

    def score(self, network: nn.Module, /) -> Figures:
        learnt, held = self._data.learnt, self._data.kept_out
        vectors, asked = (vectors_of(network, part.pixels, self._side) for part in (learnt, held))
        return {"accuracy": float((learnt.owners[nearest(asked, vectors)] == held.owners).mean())}


def drawn_once(pixels: Pixels, recipe: IdentityRecipe) -> Tensor:
    """Every view of every photo, as bytes: (each * n, 3, side, side), view by view."""
    assert not isinstance(recipe.design, Bend)
    return torch.cat(_views(_shrunk(pixels, recipe.design.side), recipe))


def views_of(pixels: Pixels, recipe: IdentityRecipe) -> Pixels:
    """The photos as they are, and then each of their views: (1 + each, n, 112, 112, 3), to be embedded."""
    seen = _views(_shrunk(pixels, SIDE), recipe)
    return np.stack([pixels, *(view.permute(0, 2, 3, 1).cpu().numpy() for view in seen)])


def _views(small: Tensor, recipe: IdentityRecipe) -> list[Tensor]:
    """New views of all pictures, as often as the recipe says; the same ones for one seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.plan.seed)
        return [_view(small, recipe.views) for _ in range(recipe.views.each)]


def _view(small: Tensor, views: Views) -> Tensor:
    return torch.cat([as_bytes(varied(_ready(some), views)) for some in torch.split(small, AT_ONCE)])


def _shrunk(pixels: Pixels, side: int) -> Tensor:
    """Bytes (n, 3, side, side), as `Served` shrinks them."""
    shrink = nn.AvgPool2d(SIDE // side)
    parts = [as_bytes(shrink(scaled(some))) for some in torch.split(torch.from_numpy(pixels), AT_ONCE)]
    return torch.cat(parts).to(device())


def as_bytes(pictures: Tensor) -> Tensor:
    """Scaled pictures as the bytes they are served as, in torch's order (n, 3, h, w)."""
    return as_served(pictures).permute(0, 3, 1, 2).contiguous()


def _ready(some: Tensor) -> Tensor:
    return scaled(some.permute(0, 2, 3, 1))


@torch.no_grad()
def vectors_of(network: nn.Module, pixels: Pixels, side: int) -> Floats:
    """The unit vectors of crops."""
    parts = [network(_ready(some)).cpu() for some in torch.split(_shrunk(pixels, side), AT_ONCE)]
    found: Floats = torch.cat(parts).numpy().astype(np.float32)
    return found


def nearest(asked: Floats, enrolled: Floats) -> Integers:
    """For every vector asked about, the place of the most similar enrolled one."""
    step = max(4_000_000 // max(len(enrolled), 1), 1)
    parts = [(asked[at : at + step] @ enrolled.T).argmax(axis=1) for at in range(0, len(asked), step)]
    found: Integers = np.concatenate(parts).astype(np.int64)
    return found
