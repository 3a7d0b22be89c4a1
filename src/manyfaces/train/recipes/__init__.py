"""The recipes that have names. Each is a small file: what differs from `Recipe`'s defaults, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manyfaces.errors import UsageError
from manyfaces.train.recipe import Recipe, read_recipe
from manyfaces.train.recipes import compact, large, polish, tutorial, tutorial_relu

RECIPES: Mapping[str, Recipe] = {
    "compact": compact.RECIPE,
    "polish": polish.RECIPE,
    "large": large.RECIPE,
    "tutorial": tutorial.RECIPE,
    "tutorial-relu": tutorial_relu.RECIPE,
}


def find_recipe(name: str) -> Recipe:
    """A recipe by its name, or from the `recipe.json` that a training or a trial left."""
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".json"):
        return read_recipe(Path(name))
    raise UsageError(f"recipe {name!r}: there is no such recipe; known are {', '.join(RECIPES)}, or give a recipe.json")
