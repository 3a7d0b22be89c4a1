"""From trained weights to the one file that is run: ONNX, with the softmax and the temperature inside."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from manyfaces.card import InputSpec
from manyfaces.errors import MissingExtra
from manyfaces.train.files import write_whole
from manyfaces.train.nets import Probabilities
from manyfaces.types import Floats, Integers

INPUT, OUTPUT = "pixels", "probabilities"
OPSET = 18


def fitted_temperature(logits: Floats, labels: Integers) -> float:
    """The divisor of the logits that makes the labels most likely (Guo et al. 2017), to one part in a hundred."""
    candidates = np.geomspace(0.25, 4.0, 281)
    scaled = logits[None].astype(np.float64) / candidates[:, None, None]
    scaled -= scaled.max(axis=2, keepdims=True)
    likelihood = scaled[:, np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(axis=2))
    return float(candidates[likelihood.mean(axis=1).argmax()])


def export_probabilities(network: nn.Module, temperature: float, spec: InputSpec, path: Path) -> str:
    """Write the network with a free batch size and return the file's SHA-256."""
    exported = Probabilities(network, temperature).eval()
    example = torch.zeros(2, spec.depth, spec.height, spec.width)
    content = onnx_bytes(exported, example, OUTPUT)
    write_whole(path, lambda fresh: fresh.write_bytes(content))
    return hashlib.sha256(content).hexdigest()


def onnx_bytes(network: nn.Module, example: Tensor, output: str) -> bytes:
    """A network of one input and one output as an ONNX file's bytes, with a free batch size."""
    try:
        with only_errors("torch.onnx"):
            program: Any = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[output],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                verbose=False,
            )
    except ModuleNotFoundError:
        raise MissingExtra("writing ONNX", "train") from None
    return without_traces(program.model_proto)


@contextmanager
def only_errors(name: str) -> Iterator[None]:
    """The exporter tells of every library it could have used, and warns of torch's own use of torch; none of that
    concerns who trains."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def without_traces(model: onnx.ModelProto) -> bytes:
    """The exporter notes source files and lines of the machine it ran on; they have no place in a shipped file."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input):
        del part.metadata_props[:]
    content: bytes = model.SerializeToString()
    return content
