"""A student's recipe: everything that decides which network comes out, apart from the pictures and the teacher."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from manyfaces.errors import UsageError
from manyfaces.train.augment import Augmentation
from manyfaces.train.files import write_whole
from manyfaces.train.identity.student import StudentDesign
from manyfaces.train.plan import Plan
from manyfaces.train.ranges import SHARE, Number, OneOf, Whole, refuse_outside
from manyfaces.train.recipe import recipe_from

GENTLE = Augmentation(
    rotation=4,
    shift=0.02,
    zoom=0.04,
    coarse_chance=0.15,
    coarse_side=0.15,
    noise_chance=0.05,
    brightness=0.15,
    contrast=0.15,
    erase_chance=0.1,
)
"""Faces come aligned and so move little; and while a student is far from its teacher on plain portraits, what it learns
of spoilt ones is paid for there."""


@dataclass(frozen=True, slots=True)
class Aims:
    """What counts besides saying the same of each face.

    `relations`: the similarities between the faces of a batch must be the teacher's too, which is what verification
    reads. `mixed`: the share of batches whose faces carry a rectangle of another; `blended`: of those that are laid
    over one another. Both make faces of nobody. `tint` is how far the colours are moved against each other. `coloured`
    is the least share of coloured pictures, which are seen more often where grey ones are many.
    """

    relations: float = 1.0
    mixed: float = 0.1
    blended: float = 0.1
    tint: float = 0.1
    coloured: float = 0.5

    def __post_init__(self) -> None:
        shares = dict.fromkeys(("mixed", "blended", "coloured"), SHARE)
        refuse_outside(self, relations=Number(0, 1000), tint=Number(0, 2), **shares)


@dataclass(frozen=True, slots=True)
class StudentRecipe:
    """`begin` says what the student starts as: with weights drawn at random, or as the teacher made narrower.
    `pictures` is how many are looked at in an epoch: there is no end of them, since each is different every time."""

    design: StudentDesign = field(default_factory=StudentDesign)
    plan: Plan = field(default_factory=lambda: Plan(epochs=24))
    augmentation: Augmentation = GENTLE
    aims: Aims = field(default_factory=Aims)
    begin: Literal["nothing", "teacher"] = "nothing"
    pictures: int = 1024

    def __post_init__(self) -> None:
        refuse_outside(self, begin=OneOf(("nothing", "teacher")), pictures=Whole(1, 10_000_000))

    def with_plan(self, epochs: int | None = None, seed: int | None = None) -> StudentRecipe:
        """The same for so many epochs, from another seed; None leaves what there is."""
        asked = {"epochs": epochs, "seed": seed}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, **given))


RECIPES: Mapping[str, StudentRecipe] = {
    # Begins with most of what the teacher knows, which saves hours, and must not be shaken: from a cosine of 0.70 on
    # people not seen, sixteen steps of Adam at 0.0004 led to 0.57, and momentum at 0.05 to 0.28. At 0.01 it rises.
    "carved": StudentRecipe(
        plan=Plan(epochs=200, batch=32, rate=0.01, weight_decay=1e-4, average=0.97),
        begin="teacher",
    ),
    # Owes nobody a weight. What begins at random learns better where a layer may be passed by.
    "compact": StudentRecipe(
        StudentDesign(residual=True),
        Plan(epochs=400, batch=32, method="adam", rate=2e-3, weight_decay=1e-4, average=0.99),
    ),
}


def find_student(name: str) -> StudentRecipe:
    """A recipe by its name, or from the `recipe.json` that a training left."""
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".json"):
        return recipe_from(Path(name), _recipe)
    raise UsageError(f"recipe {name!r}: there is no such recipe; known are {', '.join(RECIPES)}, or give a recipe.json")


def write_student(recipe: StudentRecipe, path: Path) -> None:
    """The whole recipe as JSON, so that exactly this training can be repeated: `--recipe recipe.json`."""
    text = json.dumps(dataclasses.asdict(recipe), indent=2) + "\n"
    write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))


def _recipe(fields: dict[str, Any]) -> StudentRecipe:
    parts = {"plan": Plan, "augmentation": Augmentation, "aims": Aims}
    made = {name: part(**fields[name]) for name, part in parts.items() if name in fields}
    return StudentRecipe(**(fields | made | {"design": design_of(fields["design"])}))


def design_of(fields: Mapping[str, Any]) -> StudentDesign:
    """A design from the plain values of JSON."""
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in fields.items()}
    return StudentDesign(**values)
