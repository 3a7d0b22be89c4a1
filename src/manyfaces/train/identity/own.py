"""A network of one's own that tells people apart, from photos alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from manyfaces.card import InputSpec, ModelCard, Point
from manyfaces.train.data import DataError
from manyfaces.train.device import device
from manyfaces.train.export import onnx_bytes
from manyfaces.train.files import held, write_whole
from manyfaces.train.fit import Report, fit, read_checkpoint, silent
from manyfaces.train.identity.designs import Bend
from manyfaces.train.identity.goals import objective
from manyfaces.train.identity.lesson import FaceLesson
from manyfaces.train.identity.merged import OUTPUT
from manyfaces.train.identity.nets import Learner, Served, build
from manyfaces.train.identity.people import SIDE, PeopleData, refuse_unlearnable
from manyfaces.train.identity.recipe import IdentityRecipe, write_recipe
from manyfaces.train.identity.student import MEAN, SCALE, parameters
from manyfaces.train.journal import Journal
from manyfaces.train.plan import Figures
from manyfaces.train.plots import plot_course

NOTES = (
    "Vectors are of unit length; similarity is their cosine. The threshold must be calibrated for each gallery.",
    "Learnt from few photos of few people: it tells these apart and knows little of anybody else.",
    "The figures are of held-out photos of the same people, which chose nothing.",
)


@dataclass(frozen=True, slots=True)
class IdentityTraining:
    """How to train. `template` is where the landmarks lie in the crops; `made_by` is what to type to have it again."""

    recipe: IdentityRecipe
    template: tuple[Point, ...]
    made_by: str


def train_own(
    people: PeopleData, out: Path, training: IdentityTraining, resume: bool = False, report: Report = silent
) -> ModelCard:
    """Learn from what is not held out; leave the network, its card and recipe, a log and curves in `out`.

    The last epoch is what ships, and not the best: a few held-out photos are too few to choose by and then to believe.
    """
    refuse_unlearnable(people)
    recipe = training.recipe
    assert not isinstance(recipe.design, Bend)
    lesson = FaceLesson(people, recipe)
    with held(out), Journal(out, report) as journal:
        if not (out / "last.pt").exists():  # also who breaks off before the end has the recipe
            write_recipe(recipe, out / "recipe.json")
        log = fit(learner(recipe, len(people.names)), lesson, recipe.plan, out, resume, journal)
        write_recipe(recipe, out / "recipe.json")
        plot_course(log, out / "curves.png", "held-out photos", keep="last")
        return _ship(out, people, training, log)


def learner(recipe: IdentityRecipe, people: int, length: int = 0) -> Learner:
    """A fresh one, from the recipe's seed. `length` is that of the vectors that a `Bend` is given."""
    torch.manual_seed(recipe.plan.seed)
    network = build(recipe.design, length)
    fresh = Learner(network, objective(recipe.goal, people, length or _length(recipe)))
    return cast(Learner, fresh.to(device(), memory_format=torch.channels_last))  # type: ignore[call-overload]


def _length(recipe: IdentityRecipe) -> int:
    assert not isinstance(recipe.design, Bend)
    return recipe.design.length


def learnt(out: Path, fresh: Learner) -> Learner:
    """The averaged weights of the last epoch in `out`."""
    state = read_checkpoint(out / "last.pt")
    try:
        fresh.load_state_dict(state["average"])
    except (KeyError, RuntimeError):
        raise DataError(f"{out / 'last.pt'}: is of another network; name another folder") from None
    return fresh.eval()


def _ship(out: Path, people: PeopleData, training: IdentityTraining, log: Sequence[Figures]) -> ModelCard:
    design = training.recipe.design
    assert not isinstance(design, Bend)
    network = learnt(out, learner(training.recipe, len(people.names))).network.cpu()
    digest = export_vectors(Served(network, design.side), out / "model.onnx")
    card = ModelCard(
        name=f"identity-{design.kind}",
        task="identity",
        input=InputSpec(SIDE, SIDE, "rgb", MEAN, SCALE, training.template),
        sha256=digest,
        licence="the trainer's to choose; mind the terms of the photos",
        trained_by=training.made_by,
        metrics=_metrics(people, network, log[-1]["accuracy"]),
        notes=NOTES,
    )
    write_whole(out / "model.json", card.write)
    return card


def _metrics(people: PeopleData, network: nn.Module, accuracy: float) -> dict[str, float]:
    return {
        "held_out_accuracy": float(np.round(accuracy, 4)),
        "held_out_photos": float(people.held.sum()),
        "photos": float(len(people)),
        "people": float(len(people.names)),
        "parameters": float(parameters(network)),
    }


def export_vectors(network: nn.Module, path: Path) -> str:
    """Write a network of crops with a free batch size and return the file's SHA-256."""
    content = onnx_bytes(network.eval(), torch.zeros(2, 3, SIDE, SIDE), OUTPUT)
    write_whole(path, lambda fresh: fresh.write_bytes(content))
    return hashlib.sha256(content).hexdigest()
