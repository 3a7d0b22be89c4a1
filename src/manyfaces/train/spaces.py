"""Where the architecture search looks: a space draws a design, choice by choice, and says how its designs are trained.

`tutorial` is the tutorials' random search, value for value, with their training. `compact` is ours: plain residual
networks, because 3x3 convolutions over many channels are what processors do fastest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from manyfaces.errors import UsageError
from manyfaces.train.designs import Design, Genotype, MiniXception, Module, Residual
from manyfaces.train.recipe import Recipe
from manyfaces.train.recipes import RECIPES

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Choice = TypeVar("Choice", bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Space:
    """`draw` makes every choice through the trial's `suggest_` methods. `is_random`: nothing is learnt from earlier
    trials, as the tutorials did it. `recipe` is how its designs are trained, for fewer epochs than a whole training.
    """

    name: str
    draw: Callable[[BaseTrial], Design]
    recipe: Recipe
    is_random: bool
    epochs: int

    def recipe_of(self, design: Design, epochs: int, seed: int) -> Recipe:
        return dataclasses.replace(self.recipe, design=design).with_epochs(epochs).with_seed(seed)


# --- tutorial --------------------------------------------------------------------------------------------------------

STEM = 8
MODULES = (2, 8)
FILTERS = (16, 24, 32, 40, 48, 56)
KERNELS = (3, 5, 7)
STRIDES = (1, 2)
ACTIVATIONS = ("softmax", "elu", "selu", "softplus", "softsign", "relu", "tanh", "sigmoid", "linear")
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
POOLINGS = ("mean", "max")
EITHER = (False, True)


def draw_genotype(trial: BaseTrial) -> Genotype:
    count = trial.suggest_int("modules", *MODULES)
    modules = tuple(_draw_module(trial, number) for number in range(1, count + 1))
    return Genotype(STEM, modules, trial.suggest_categorical("pooling", POOLINGS))


def _draw_module(trial: BaseTrial, number: int) -> Module:
    """A choice is named by its module, so that the same module of two networks is the same choice to Optuna."""
    choose = partial(_choose, trial, f"module {number}")
    return Module(
        filters=choose("filters", FILTERS),
        kernel=choose("kernel", KERNELS),
        stride=choose("stride", STRIDES),
        bias=choose("bias", EITHER),
        norm_before=choose("norm before", EITHER),
        norm_after=choose("norm after", EITHER),
        activation=choose("activation", ACTIVATIONS),
        dropout=choose("rate", RATES) if choose("dropout", EITHER) else 0.0,
    )


def _choose(trial: BaseTrial, of: str, name: str, choices: tuple[Choice, ...]) -> Choice:
    chosen: Choice = trial.suggest_categorical(f"{of} {name}", choices)
    return chosen


# --- compact ---------------------------------------------------------------------------------------------------------

STEMS = (16, 24, 32, 48)
STAGES = (3, 4)
FIRST_WIDTHS = (32, 48, 64, 80)
GROWTHS = (1.0, 1.5, 2.0)
WIDEST = 256
MOST_BLOCKS = (2, 3, 3, 3)
DROPOUTS = (0.0, 0.1, 0.2, 0.3, 0.4)
LANES = 16
"""Channels that one vector instruction takes: a width between two multiples costs as much as the upper."""


def draw_residual(trial: BaseTrial) -> Residual:
    """Every stage is at least as wide as the one before, at half its side: width is cheap where pictures are small.
    The first works on 24x24, where a block costs most, so it is narrow and short; a fourth works on 3x3 and costs
    parameters, hardly time."""
    widths = _draw_widths(trial, trial.suggest_int("stages", *STAGES))
    most = enumerate(MOST_BLOCKS[: len(widths)], 1)
    return Residual(
        stem=trial.suggest_categorical("stem", STEMS),
        widths=widths,
        depths=tuple(trial.suggest_int(f"stage {number} depth", 1, blocks) for number, blocks in most),
        squeeze=trial.suggest_categorical("squeeze", EITHER),
        dropout=trial.suggest_categorical("dropout", DROPOUTS),
    )


def _draw_widths(trial: BaseTrial, stages: int) -> tuple[int, ...]:
    widths = [trial.suggest_categorical("stage 1 width", FIRST_WIDTHS)]
    for number in range(2, stages + 1):
        growth = trial.suggest_categorical(f"stage {number} growth", GROWTHS)
        widths.append(min(WIDEST, LANES * round(widths[-1] * growth / LANES)))
    return tuple(widths)


# --- by name ---------------------------------------------------------------------------------------------------------

SPACES: Mapping[str, Space] = {
    space.name: space
    for space in (
        Space("compact", draw_residual, RECIPES["compact"], is_random=False, epochs=6),
        Space("tutorial", draw_genotype, RECIPES["tutorial"], is_random=True, epochs=10),
    )
}


def find_space(name: str) -> Space:
    if name not in SPACES:
        raise UsageError(f"space {name!r}: there is no such space; known are {', '.join(SPACES)}")
    return SPACES[name]


def described(design: Design) -> str:
    """A design in a few words, for a table."""
    if isinstance(design, Residual):
        stages = ", ".join(f"{depth}x{width}" for width, depth in zip(design.widths, design.depths, strict=True))
        squeezed = ", squeeze" if design.squeeze else ""
        return f"stem {design.stem}, {stages}{squeezed}, dropout {design.dropout:g}"
    if isinstance(design, MiniXception):
        return f"mini-Xception, {len(design.widths)} blocks"
    filters = "-".join(f"{one.filters}{'/2' if one.stride == 2 else ''}" for one in design.modules)
    return f"{filters}, {design.pooling}"
