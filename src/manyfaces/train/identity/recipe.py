"""A recipe for telling people apart: everything that decides what comes out, apart from the photos."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manyfaces.train.augment import Augmentation
from manyfaces.train.files import write_whole
from manyfaces.train.identity.designs import Bend, Design, Faces, design_as_dict, design_from_dict
from manyfaces.train.identity.goals import Goal
from manyfaces.train.identity.views import Views
from manyfaces.train.plan import Plan
from manyfaces.train.recipe import recipe_from


@dataclass(frozen=True, slots=True)
class IdentityRecipe:
    """A network of one's own, or, where the design is a `Bend`, a head on the pretrained one."""

    design: Design = field(default_factory=Faces)
    plan: Plan = field(default_factory=lambda: Plan(epochs=60))
    views: Views = field(default_factory=Views)
    goal: Goal = field(default_factory=Goal)

    @property
    def adapts(self) -> bool:
        return isinstance(self.design, Bend)

    def with_plan(self, epochs: int | None = None, seed: int | None = None) -> IdentityRecipe:
        """The same for so many epochs, from another seed; None leaves what there is."""
        asked = {"epochs": epochs, "seed": seed}
        changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, **changed))


def recipe_as_dict(recipe: IdentityRecipe) -> dict[str, Any]:
    """Plain values for JSON."""
    return dataclasses.asdict(recipe) | {"design": design_as_dict(recipe.design)}


def write_recipe(recipe: IdentityRecipe, path: Path) -> None:
    """The whole recipe as JSON, so that exactly this training can be repeated: `--recipe recipe.json`."""
    text = json.dumps(recipe_as_dict(recipe), indent=2) + "\n"
    write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))


def read_recipe(path: Path) -> IdentityRecipe:
    """A recipe from a file. What the file leaves out stays as usual."""
    return recipe_from(path, _recipe)


def _recipe(fields: dict[str, Any]) -> IdentityRecipe:
    parts: Mapping[str, Callable[[dict[str, Any]], Any]] = {
        "design": design_from_dict,
        "plan": lambda values: Plan(**values),
        "views": _views,
        "goal": lambda values: Goal(**values),
    }
    return IdentityRecipe(**{name: parts.get(name, dict)(values) for name, values in fields.items()})


def _views(fields: dict[str, Any]) -> Views:
    change = {"change": Augmentation(**fields["change"])} if "change" in fields else {}
    return Views(**(fields | change))
