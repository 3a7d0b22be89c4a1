"""The recipes that have names. Each is a small file: what differs from the defaults, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manyfaces.errors import UsageError
from manyfaces.train.identity.recipe import IdentityRecipe, read_recipe
from manyfaces.train.identity.recipes import adapt, compact, tutorial

RECIPES: Mapping[str, IdentityRecipe] = {
    "compact": compact.RECIPE,
    "tutorial": tutorial.RECIPE,
    "tutorial-plain": tutorial.PLAIN,
    "adapt": adapt.RECIPE,
    "adapt-triplet": adapt.TRIPLET,
    "adapt-arcface": adapt.ARCFACE,
}


def find_recipe(name: str) -> IdentityRecipe:
    """A recipe by its name, or from the `recipe.json` that a training left."""
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".json"):
        return read_recipe(Path(name))
    raise UsageError(f"recipe {name!r}: there is no such recipe; known are {', '.join(RECIPES)}, or give a recipe.json")
