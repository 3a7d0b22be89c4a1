"""A shipped network back to one that can be trained: for those who have only its file.

Export melts every batch norm into the convolution before it. Here each gets its norm again: the convolution keeps the
melted weights, its outputs over some pictures say what the norm's statistics are, and scale and shift are those with
which the norm changes nothing but adds the melted bias. The taggers' read-out was dropped at export and begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from manyfaces.train.data import DataError
from manyfaces.train.designs import Design
from manyfaces.train.nets import EmotionNet, build

PREFIX = "network."
MELTED = ".weight_bias"
"""What the exporter calls the bias of a convolution that took in its norm."""


def revive(content: bytes, design: Design, pictures: Tensor) -> EmotionNet:
    """The network of an exported file, of this design; `pictures` (n, 1, side, side), scaled, are measured with."""
    network = build(design).eval()
    stored = _stored(content)
    with torch.no_grad():
        norms = _norms(network, pictures)
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and not name.startswith("votes"):
                _restore(module, name, stored)
        # In the order of the flow, since each norm sees what the ones before it let through.
        for convolution, norm in norms.items():
            _settle(network, norm, stored.get(f"{PREFIX}{convolution}{MELTED}"), pictures)
    return network


def _stored(content: bytes) -> Mapping[str, Tensor]:
    graph = onnx.load_from_string(content).graph
    return {one.name: torch.from_numpy(np.array(numpy_helper.to_array(one))) for one in graph.initializer}


def _restore(module: nn.Conv2d | nn.Linear, name: str, stored: Mapping[str, Tensor]) -> None:
    for part, parameter in module.named_parameters():
        found = stored.get(f"{PREFIX}{name}.{part}")
        if found is None or found.shape != parameter.shape:
            raise DataError(f"the model holds no {name}.{part} as its recipe has it; start from a model of that recipe")
        parameter.copy_(found)


def _norms(network: nn.Module, pictures: Tensor) -> dict[str, nn.BatchNorm2d]:
    """Every norm by the name of the convolution right before it, in the order in which pictures pass them."""
    modules = dict(network.named_modules())
    passed: list[str] = []
    hooks = [
        module.register_forward_hook(_noting(passed, name))
        for name, module in modules.items()
        if isinstance(module, nn.BatchNorm2d)
    ]
    network(pictures[:1])
    for hook in hooks:
        hook.remove()
    found = {}
    for name in passed:
        folder, _, place = name.rpartition(".")
        before = f"{folder}.{int(place) - 1}"
        norm = modules[name]
        if isinstance(modules.get(before), nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            found[before] = norm
    return found


def _noting(passed: list[str], name: str) -> Callable[..., None]:
    def note(*_: Any) -> None:
        passed.append(name)

    return note


def _settle(network: nn.Module, norm: nn.BatchNorm2d, bias: Tensor | None, pictures: Tensor) -> None:
    """Give the norm the statistics of what reaches it, and the scale and shift that undo them."""
    if bias is None:
        raise DataError("the model holds a norm that was not melted in; start from the folder of its training instead")
    reaching: list[Tensor] = []
    hook = norm.register_forward_pre_hook(lambda _, inputs: reaching.append(inputs[0]))
    network(pictures)
    hook.remove()
    variance, mean = torch.var_mean(reaching[0], dim=(0, 2, 3), correction=0)
    norm.running_mean, norm.running_var = mean, variance
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean + bias)
