"""A light head on a frozen pretrained network: learnt, tried on who it has not seen, and kept only where it is better.

The pretrained network is not run here: whoever calls gives a way to ask it. It is asked once about every view of every
photo, so the head learns from vectors alone, in seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manyfaces.card import ModelCard
from manyfaces.train.data import DataError
from manyfaces.train.device import device
from manyfaces.train.files import held, write_whole
from manyfaces.train.fit import Report, fit, silent
from manyfaces.train.identity.goals import drift
from manyfaces.train.identity.held_people import (
    ENOUGH_PEOPLE,
    Comparison,
    Flags,
    can_judge,
    folds,
    judge,
    mean,
    people_parts,
    unseen_error,
)
from manyfaces.train.identity.lesson import Asked, about, views_of
from manyfaces.train.identity.merged import with_head
from manyfaces.train.identity.nets import Bent, Learner
from manyfaces.train.identity.own import IdentityTraining, learner, learnt
from manyfaces.train.identity.people import PeopleData, fingerprint, refuse_unlearnable
from manyfaces.train.identity.recipe import IdentityRecipe, write_recipe
from manyfaces.train.identity.sampling import Sampler
from manyfaces.train.journal import Journal
from manyfaces.train.plan import Figures
from manyfaces.train.plots import plot_course
from manyfaces.types import Floats, Integers, Pixels

COMPARISON = "comparison.json"

LEAST_PEOPLE = 3
"""When one is held out, two are left to tell apart."""


@dataclass(frozen=True, slots=True)
class Base:
    """The pretrained network: its file, its card, and how to ask it for the unit vectors of crops."""

    content: bytes
    card: ModelCard
    ask: Callable[[Pixels], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the pretrained network says: vectors (1 + views, n, length), the photos as they are first; owners and groups
    as in `PeopleData`."""

    vectors: Floats
    owners: Integers
    groups: Integers

    def __post_init__(self) -> None:
        if self.vectors.ndim != 3 or self.vectors.shape[1] != len(self.owners):
            raise ValueError(f"vectors: expected (views, {len(self.owners)}, length), got {self.vectors.shape}")
        if not np.isfinite(self.vectors).all():
            raise DataError("the pretrained network gave vectors that are no numbers; run  manyfaces models check")

    def __getitem__(self, which: Flags) -> Seen:
        return Seen(self.vectors[:, which], self.owners[which], self.groups[which])


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A head that was learnt from everybody, and what it was learnt from; whether it is any better is not known yet."""

    head: Learner
    seen: Seen


def learn_head(
    people: PeopleData,
    base: Base,
    out: Path,
    training: IdentityTraining,
    resume: bool = False,
    report: Report = silent,
) -> Candidate:
    """Learn a head from everybody; leave checkpoints, the recipe, a log and curves in `out`."""
    refuse_unlearnable(people)
    recipe = training.recipe
    with held(out), Journal(out, report) as journal:
        if not (out / "last.pt").exists():  # also who breaks off before the end has the recipe
            write_recipe(recipe, out / "recipe.json")
        seen = seen_by(base, people, recipe)
        refuse_undecidable(seen, recipe)
        head = learner(recipe, len(people.names), seen.vectors.shape[2])
        log = fit(head, VectorLesson(seen, recipe, fingerprint(people)), recipe.plan, out, resume, journal)
        write_recipe(recipe, out / "recipe.json")
        plot_course(log, out / "curves.png", "photos it learnt from", keep="last")
        return Candidate(learnt(out, head), seen)


def seen_by(base: Base, people: PeopleData, recipe: IdentityRecipe) -> Seen:
    """The vectors of the photos and of their views."""
    views = views_of(people.pixels, recipe)
    vectors = np.stack([base.ask(view) for view in views]).astype(np.float32)
    return Seen(vectors, people.owners, people.groups)


class VectorLesson:
    """A `Lesson` of vectors: the head's own goal, and not to go far from what the pretrained network found alike."""

    def __init__(self, seen: Seen, recipe: IdentityRecipe, data: str) -> None:
        self._seen, self._recipe, self._about = seen, recipe, about(recipe, data)
        self._vectors = torch.from_numpy(seen.vectors).to(device())
        self._owners = torch.from_numpy(seen.owners).to(device())
        self._sampler = Sampler(self._owners.cpu())

    @property
    def about(self) -> Mapping[str, str]:
        return self._about

    def __len__(self) -> int:
        return len(self._vectors) * len(self._owners)

    def batch(self, which: Tensor, _done: float, /) -> Asked:
        """Views are drawn by the dice, and where every person is to have the same number, the photos too."""
        count = len(self._owners)
        photos = self._recipe.goal.photos
        rows = self._sampler.draw(len(which), photos) if photos else which % count
        view = torch.randint(len(self._vectors), (len(rows),))
        return Asked(self._vectors[view, rows], self._owners[rows])

    def loss(self, network: nn.Module, batch: Asked, /) -> Tensor:
        assert isinstance(network, Learner)
        vectors = network(batch.given)
        asked: Tensor = network.goal(vectors, batch.owners)
        return asked + self._recipe.goal.keep * drift(vectors, batch.given)

    def score(self, network: nn.Module, /) -> Figures:
        """On the photos that are learnt from, each asked about among the others: for the curve alone."""
        vectors = bent(network, self._seen.vectors[0])
        return {"accuracy": found_again(vectors, self._seen.owners, self._seen.groups)}


@torch.no_grad()
def bent(network: nn.Module, vectors: Floats) -> Floats:
    """Vectors as the head makes them."""
    place = next(network.parameters()).device
    found: Floats = network(torch.from_numpy(vectors).to(place)).cpu().numpy()
    return found


def found_again(vectors: Floats, owners: Integers, groups: Integers) -> float:
    """The share of photos whose nearest other picture is their own person's."""
    similarities = vectors @ vectors.T
    similarities[groups[:, None] == groups[None]] = -np.inf
    return float((owners[similarities.argmax(axis=1)] == owners).mean())


# --- whether it is better --------------------------------------------------------------------------------------------


def _usable(seen: Seen, recipe: IdentityRecipe) -> tuple[str, list[Flags]]:
    """The folds on which there is something to judge."""
    by, parts = folds(seen.owners, seen.groups, recipe.plan.seed)
    return by, [part for part in parts if can_judge(seen.owners[part], seen.groups[part])]


def refuse_undecidable(seen: Seen, recipe: IdentityRecipe) -> None:
    if len(_usable(seen, recipe)[1]) < 2 or len(np.unique(seen.owners)) < LEAST_PEOPLE:
        raise DataError(
            "there are too few photos to tell whether an adapted network is better; give four or more of each of "
            f"{LEAST_PEOPLE} people, or two or more of {ENOUGH_PEOPLE} people"
        )


def decide(
    candidate: Candidate, base: Base, out: Path, training: IdentityTraining, step: Callable[[], None]
) -> tuple[ModelCard, Comparison]:
    """Where heads learnt without each fold tell its faces apart better than the pretrained network, leave one file of
    both networks in `out`, else the pretrained file as it is. The comparison lies beside it."""
    comparison = compare(candidate.seen, training.recipe, step)
    with held(out):
        text = json.dumps(as_dict(comparison), indent=2) + "\n"
        write_whole(out / COMPARISON, lambda fresh: fresh.write_text(text, encoding="utf-8"))
        network = candidate.head.network if comparison.is_better else None
        assert network is None or isinstance(network, Bent)
        return _ship(base, network, out, training.made_by, comparison), comparison


def compare(seen: Seen, recipe: IdentityRecipe, step: Callable[[], None]) -> Comparison:
    """The pretrained vectors, and those of heads learnt without each fold, judged on the fold."""
    by, parts = _usable(seen, recipe)
    before, after = [], []
    for part in parts:
        vectors = seen.vectors[0][part]
        head = head_without(part, seen, recipe)
        before.append(judge(vectors, seen.owners[part], seen.groups[part], recipe.plan.seed))
        after.append(judge(bent(head, vectors), seen.owners[part], seen.groups[part], recipe.plan.seed))
        step()
    unseen = _unseen(seen, recipe, step) if by == "photos" else (mean(before).equal_error, mean(after).equal_error)
    return Comparison(by, tuple(before), tuple(after), unseen)


def _unseen(seen: Seen, recipe: IdentityRecipe, step: Callable[[], None]) -> tuple[float, float]:
    """What becomes of people whom the head has not seen."""
    errors = []
    for part in people_parts(seen.owners, np.unique(seen.owners), recipe.plan.seed):
        if can_judge(seen.owners[part], seen.groups[part], alone=True):
            after = bent(head_without(part, seen, recipe), seen.vectors[0])
            errors.append([unseen_error(one, seen.owners, seen.groups, part) for one in (seen.vectors[0], after)])
            step()
    middle = np.mean(errors, axis=0)
    return float(middle[0]), float(middle[1])


def head_without(part: Flags, seen: Seen, recipe: IdentityRecipe) -> Learner:
    """A head that has seen nothing of a part. Its checkpoints are nobody's."""
    rest = seen[~part]
    numbers = np.unique(rest.owners, return_inverse=True)[1].astype(np.int64)
    lesson = VectorLesson(replace(rest, owners=numbers), recipe, "")
    head = learner(recipe, int(numbers.max()) + 1, seen.vectors.shape[2])
    with TemporaryDirectory() as folder:
        fit(head, lesson, recipe.plan, Path(folder))
        return learnt(Path(folder), head)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Plain values for JSON."""
    return {
        "held_out": comparison.by,
        "folds": len(comparison.pretrained),
        "pretrained": asdict(mean(comparison.pretrained)),
        "adapted": asdict(mean(comparison.adapted)),
        "gain": comparison.gain,
        "standard_error": comparison.error,
        "unseen_people_equal_error": {"pretrained": comparison.unseen[0], "adapted": comparison.unseen[1]},
        "kept": comparison.is_better,
        "each": [
            {"pretrained": asdict(before), "adapted": asdict(after)}
            for before, after in zip(comparison.pretrained, comparison.adapted, strict=True)
        ],
    }


# --- what is left ----------------------------------------------------------------------------------------------------


def _ship(base: Base, network: Bent | None, out: Path, made_by: str, comparison: Comparison) -> ModelCard:
    """The pretrained file without a head keeps its name and its bytes, so that galleries made with it stay good."""
    content = base.content if network is None else with_head(base.content, *network.weights())
    write_whole(out / "model.onnx", lambda fresh: fresh.write_bytes(content))
    card = base.card if network is None else _adapted_card(base.card, content, made_by, comparison)
    card = replace(card, source="")
    write_whole(out / "model.json", card.write)
    return card


def _adapted_card(card: ModelCard, content: bytes, made_by: str, comparison: Comparison) -> ModelCard:
    before, after = mean(comparison.pretrained), mean(comparison.adapted)
    return replace(
        card,
        name=f"{card.name}-adapted",
        sha256=hashlib.sha256(content).hexdigest(),
        trained_by=f"{card.trained_by}; a head on it by  {made_by}",
        metrics={
            "held_out_one_photo": round(after.one_photo, 4),
            "held_out_one_photo_pretrained": round(before.one_photo, 4),
            "unseen_people_equal_error": round(comparison.unseen[1], 4),
            "unseen_people_equal_error_pretrained": round(comparison.unseen[0], 4),
        },
        notes=(
            *card.notes,
            f"The pretrained network under its own terms ({card.licence}), changed by a head at its end; the photos "
            "that this was learnt from have terms of their own.",
            f"The figures are of {comparison.by} held out of the learning, over {len(comparison.adapted)} folds.",
        ),
    )
