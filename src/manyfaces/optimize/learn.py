"""Quantisation-aware training: a PyTorch network learns to say in whole numbers what it says in floats.

While it learns, the weights of every convolution and dense layer are rounded to 8 bits, and what goes into it too, with
ranges taken beforehand; gradients pass the rounding as if it were not there. It is taught by its own answers in float,
so no labels are needed. Norms stay as they are: per channel they only scale, which rounding per channel does not feel.
What comes out is the same network with other weights, which is then quantised like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from manyfaces.errors import ManyfacesError, MissingExtra
from manyfaces.optimize import graph
from manyfaces.optimize.judge import Step, silent
from manyfaces.optimize.model import Columns, Original, Samples, Unsupported

try:
    import torch
    from torch import Tensor, nn
    from torch.nn.utils import parametrize
except ModuleNotFoundError:
    raise MissingExtra("quantisation-aware training", "train") from None

ROUNDED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
LEAST_SPAN = 1e-6


@dataclass(frozen=True, slots=True)
class Lessons:
    """How long to learn: batches, and the rate of Adam, which falls to zero."""

    steps: int = 600
    rate: float = 2e-5
    seed: int = 0


def learnt(original: Original, ranges: Samples, samples: Samples, lessons: Lessons, step: Step = silent) -> Original:
    """The same network with weights that stand being rounded; `ranges` are the samples that ranges are taken from."""
    from manyfaces.optimize.torch_reader import onnx_of

    torch.manual_seed(lessons.seed)
    module = trainable(original, samples).eval()
    layers = [layer for layer in module.modules() if isinstance(layer, ROUNDED)]
    if not layers:
        raise Unsupported(f"{original.name}: has no convolution and no dense layer, so there is nothing to learn")
    with _rounding(module, layers, original, ranges):
        _learn(module, original, samples, lessons, step)
    examples = tuple(torch.from_numpy(np.array(column[:2])) for column in _first(original, samples))
    model = _renamed(onnx_of(module, examples, original.name), original)
    free = graph.with_shapes(graph.with_free_batch(model, original.name)).SerializeToString()
    return replace(original, onnx=free, fingerprint=f"{original.fingerprint}-learnt", source=module)


def trainable(original: Original, samples: Samples) -> nn.Module:
    """The module that it came from, a copy; or the shipped emotion network's, made again from its file."""
    import copy

    if isinstance(original.source, nn.Module):
        return copy.deepcopy(original.source)
    if original.card is None or original.card.task != "emotion":
        raise Unsupported(
            f"{original.name}: qat needs the PyTorch network and not only its file; give module:factory, or the folder "
            "of a training"
        )
    from manyfaces.train.nets import Probabilities
    from manyfaces.train.recipes import RECIPES
    from manyfaces.train.revive import revive

    pictures = torch.from_numpy(np.concatenate([column for (column,) in _rows(original, samples, 8)]))
    try:
        network = revive(original.onnx, RECIPES["compact"].design, pictures)
    except (ManyfacesError, RuntimeError, KeyError, ValueError) as error:
        raise Unsupported(
            f"{original.name}: cannot be trained again from its file ({error}); give its folder"
        ) from error
    return Probabilities(network, original.card.metrics.get("temperature", 1.0))


def _rows(original: Original, samples: Samples, most: int) -> Iterator[tuple[Any, ...]]:
    for _, batch in zip(range(most), samples, strict=False):
        yield tuple(batch[name] for name in original.names)


def _first(original: Original, samples: Samples) -> tuple[Any, ...]:
    return next(_rows(original, samples, 1))


# --- rounding --------------------------------------------------------------------------------------------------------


class _RoundedWeights(nn.Module):
    """8 bits with a scale for every output."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self._axis = axis

    def forward(self, weights: Tensor) -> Tensor:
        others = [one for one in range(weights.ndim) if one != self._axis]
        scales = (weights.detach().abs().amax(dim=others) / 127).clamp(min=LEAST_SPAN)
        none = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weights, scales, none, self._axis, -127, 127)


@dataclass(slots=True)
class _Range:
    """What was seen going into a layer; zero is always in it, for padding."""

    least: float = 0.0
    most: float = 0.0

    def see(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.least = min(self.least, float(inputs[0].detach().amin()))
        self.most = max(self.most, float(inputs[0].detach().amax()))

    def rounded(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        scale = max(self.most - self.least, LEAST_SPAN) / 255
        zero = round(-self.least / scale)
        return (torch.fake_quantize_per_tensor_affine(inputs[0], scale, zero, 0, 255), *inputs[1:])


@contextmanager
def _rounding(module: nn.Module, layers: Sequence[nn.Module], original: Original, samples: Samples) -> Iterator[None]:
    """Within it the layers round; after it they have the weights that they learnt, unrounded."""
    ranges = [_Range() for _ in layers]
    watching = [layer.register_forward_pre_hook(one.see) for layer, one in zip(layers, ranges, strict=True)]
    with torch.no_grad():
        for batch in samples:
            _asked(module, original, batch)
    for hook in watching:
        hook.remove()
    hooks = [layer.register_forward_pre_hook(one.rounded) for layer, one in zip(layers, ranges, strict=True)]
    for layer in layers:
        axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        parametrize.register_parametrization(layer, "weight", _RoundedWeights(axis))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


# --- learning --------------------------------------------------------------------------------------------------------


def _learn(module: nn.Module, original: Original, samples: Samples, lessons: Lessons, step: Step) -> None:
    optimiser = torch.optim.Adam([one for one in module.parameters() if one.requires_grad], lessons.rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, lessons.steps)
    for _, batch in zip(range(lessons.steps), _again_and_again(samples), strict=False):
        meant = [torch.from_numpy(np.array(column)) for column in original.run(batch).values()]
        loss = sum(_away(said, wanted) for said, wanted in zip(_asked(module, original, batch), meant, strict=True))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[union-attr]  # there is at least one output
        optimiser.step()
        falling.step()
        step()


def _again_and_again(samples: Samples) -> Iterator[Columns]:
    while True:
        yield from samples


def _away(said: Tensor, meant: Tensor) -> Tensor:
    """Between distributions the likelihood of what was meant, between other numbers their squares, both of the size
    of one."""
    if (
        said.ndim == 2
        and bool((meant >= 0).all())
        and torch.allclose(meant.sum(dim=1), torch.ones(len(meant)), atol=1e-3)
    ):
        return -(meant * said.clamp(min=1e-7).log()).sum(dim=1).mean()
    return ((said - meant) ** 2).mean() / (meant**2).mean().clamp(min=1e-12)


def _asked(module: nn.Module, original: Original, batch: Columns) -> list[Tensor]:
    from manyfaces.optimize.torch_reader import flat

    return flat(module(*(torch.from_numpy(np.array(batch[name])) for name in original.names)))


def _renamed(model: onnx.ModelProto, original: Original) -> onnx.ModelProto:
    """With the names that the original's ports have."""
    names = {
        value.name: port.name
        for values, known in ((model.graph.input, original.inputs), (model.graph.output, original.outputs))
        for value, port in zip(values, known, strict=True)
    }
    for value in (*model.graph.input, *model.graph.output):
        value.name = names[value.name]
    for node in model.graph.node:
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                field[place] = names.get(name, name)
    return model
