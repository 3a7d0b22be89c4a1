"""A recipe: everything that decides which network comes out, apart from the data and the number of epochs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from manyfaces.errors import UsageError
from manyfaces.train.augment import Augmentation
from manyfaces.train.data import DataError
from manyfaces.train.designs import Design, Residual, design_as_dict, design_from_dict
from manyfaces.train.files import write_whole
from manyfaces.train.plan import Plan
from manyfaces.train.ranges import SHARE, Number, Whole, refuse_outside

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Targets:
    """What is asked of the network for every picture.

    `smoothing` keeps it from certainty, `votes` is how much the second question counts (see `nets.Answers`), `mixed` is
    the share of batches whose pictures carry a rectangle of another picture, and are asked for both (CutMix).
    `teacher` is how much an ensemble's answer counts against the label, where there is a teacher.
    """

    smoothing: float = 0.1
    votes: float = 0.5
    mixed: float = 0.0
    teacher: float = 0.7

    def __post_init__(self) -> None:
        refuse_outside(self, smoothing=SHARE, votes=Number(0, 100), mixed=SHARE, teacher=SHARE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """`small_until` is the share of the epochs that go through pictures of `small_side` pixels: the network learns the
    coarse things first, in about half the time per picture, and the fine things at its full size. Meanwhile its
    figures, which are always taken at full size, say less than it can."""

    design: Design = field(default_factory=Residual)
    plan: Plan = field(default_factory=lambda: Plan(epochs=60))
    augmentation: Augmentation = field(default_factory=Augmentation)
    targets: Targets = field(default_factory=Targets)
    small_until: float = 0.0
    small_side: int = 36

    def __post_init__(self) -> None:
        refuse_outside(self, small_until=SHARE, small_side=Whole(16, 256))

    def side(self, done: float) -> int:
        """How large the pictures are after this share of the epochs."""
        return self.small_side if done < self.small_until else self.design.side

    def with_epochs(self, epochs: int | None) -> Recipe:
        if epochs is None:
            return self
        if epochs < 1:
            raise UsageError(f"epochs {epochs}: must be 1 or more")
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, epochs=epochs))

    def with_seed(self, seed: int | None) -> Recipe:
        if seed is None:
            return self
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, seed=seed))


def write_recipe(recipe: Recipe, path: Path) -> None:
    """The whole recipe as JSON, so that exactly this training can be repeated: `--recipe recipe.json`."""
    text = json.dumps(recipe_as_dict(recipe), indent=2) + "\n"
    write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))


def recipe_as_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain values for JSON."""
    return dataclasses.asdict(recipe) | {"design": design_as_dict(recipe.design)}


def read_recipe(path: Path) -> Recipe:
    """A recipe from a file: `recipe.json` of a training or of a trial. What the file leaves out stays as usual."""
    return recipe_from(path, _recipe)


def recipe_from(path: Path, make: Callable[[dict[str, Any]], Made]) -> Made:
    """A recipe of any kind from a file: what `make` makes of its fields, among which there is a design."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as a recipe ({error}); take recipe.json of a training") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("design"), dict):
        raise DataError(f"{path}: is no recipe, since it holds no design; take recipe.json of a training or of a trial")
    try:
        return make(fields)
    except (ValueError, TypeError, DataError) as error:
        raise DataError(f"{path}: {_plain(str(error))}; correct it, or take recipe.json of a training") from None


def _plain(reason: str) -> str:
    """Python's words for a field that no recipe has."""
    found = re.search(r"unexpected keyword argument '(\w+)'", reason)
    return f"a recipe has no {found[1]!r} there" if found else reason


def _recipe(fields: dict[str, Any]) -> Recipe:
    parts: Mapping[str, Callable[..., Any]] = {"plan": Plan, "augmentation": Augmentation, "targets": Targets}
    made = {name: part(**fields[name]) for name, part in parts.items() if name in fields}
    return Recipe(**(fields | made | {"design": design_from_dict(fields["design"])}))
