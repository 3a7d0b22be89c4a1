"""Keras networks: read with Keras on PyTorch, said in ONNX, and asked both ways before anybody relies on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from manyfaces.errors import WeightsError
from manyfaces.optimize import graph
from manyfaces.optimize.keras_files import Files, custom_objects, find, library, load, quietly, refuse_code
from manyfaces.optimize.keras_layers import Unknown, network_inputs, network_outputs, written
from manyfaces.optimize.model import Columns, Original, Port, Run, Unsupported
from manyfaces.optimize.readers import importable_from_here
from manyfaces.optimize.runs import open_reference
from manyfaces.optimize.samples import Drawn

NEAR = 1e-4
"""How far ONNX's answers may lie from Keras's, against the largest of them."""

ROWS = 3
OPSET = 18
EXPORT = "export it yourself with model.export(..., format='onnx') and give that file"


def read_keras(path: Path, /, *, trust: bool = False, custom: Sequence[str] = ()) -> Original:
    """`.keras`, `.h5`, `.hdf5`, or a definition `.json` with its weights beside it. `custom`: classes of the user's own
    as `module:Name`, which are imported; so is what a trusted file names."""
    try:
        files = find(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}); check its name and rights") from None
    if not trust:
        refuse_code(path, files.config)
    if custom and not trust:
        raise WeightsError(f"{path}: classes of your own are code that runs here; add --trust if you mean it")
    library()  # before a module of the user's own imports Keras, which would then be on TensorFlow
    with importable_from_here():  # only what is trusted is imported
        network = load(path, files, custom_objects(custom), trust)
    if not getattr(network, "inputs", None):
        raise WeightsError(f"{path}: is a network without fixed inputs; build it as a functional or sequential model")
    return _original(path, files, network)


def _original(path: Path, files: Files, network: Any) -> Original:
    run = run_of(network)
    model = _onnx_of(path, network, run)
    inputs, outputs = graph.ports(model)
    digest = hashlib.sha256(b"".join(one.read_bytes() for one in files.paths)).hexdigest()
    return Original(path.stem, "Keras file", inputs, outputs, run, model.SerializeToString(), digest, None, path)


def run_of(network: Any) -> Run:
    """The network called as Keras calls it, under the names that its ONNX form has."""
    ins, outs = network_inputs(network), network_outputs(network)

    def run(columns: Columns) -> Columns:
        import torch

        given = [columns[name] for name in ins]
        with quietly(), torch.no_grad():
            made = network(given if len(given) > 1 else given[0], training=False)
        answers = list(made.values()) if isinstance(made, dict) else made if isinstance(made, (list, tuple)) else [made]
        return {name: answer.detach().cpu().numpy() for name, answer in zip(outs, answers, strict=True)}

    return run


def _onnx_of(path: Path, network: Any, run: Run) -> onnx.ModelProto:
    """Layer by layer where all layers are known, else by PyTorch's exporter."""
    for make in (written, _exported):
        try:
            with quietly():
                model = graph.with_shapes(make(network))
        except Unknown:
            continue
        if _agrees(path, model, run):
            return model
    raise WeightsError(f"{path}: ONNX gives other answers than Keras for it, alone or for several rows; {EXPORT}")


def _agrees(path: Path, model: onnx.ModelProto, run: Run) -> bool:
    inputs, outputs = graph.ports(model)
    try:
        said = open_reference(model.SerializeToString(), outputs)
        return all(_agree(said, run, given) for given in _drawn(inputs, model))
    except Unsupported as error:
        raise WeightsError(f"{path}: does not run in ONNX ({error}); {EXPORT}") from None


def _drawn(inputs: tuple[Port, ...], model: onnx.ModelProto) -> list[Columns]:
    """One row, and some."""
    limits = graph.limits(model)
    return [next(iter(Drawn(inputs, limits, rows))) for rows in (1, ROWS)]


def _agree(said: Callable[[Columns], Columns], run: Run, given: Columns) -> bool:
    meant, told = run(given), said(given)
    return all(
        told[name].shape == answer.shape
        and bool(np.abs(told[name] - answer).max(initial=0) <= NEAR * max(1.0, float(np.abs(answer).max(initial=0))))
        for name, answer in meant.items()
    )


def _exported(network: Any) -> onnx.ModelProto:
    """By PyTorch's exporter, for one row, and freed after: with a free batch it fails on layers with strides."""
    import torch

    from manyfaces.train.export import only_errors, without_traces

    if any(None in tensor.shape[1:] for tensor in network.inputs):
        raise WeightsError(f"{network.name}: a size other than its batch is open; build it for one size of its input")
    examples = tuple(
        torch.ones((1, *tensor.shape[1:]), dtype=getattr(torch, str(tensor.dtype))) for tensor in network.inputs
    )
    try:
        with only_errors("torch.onnx"):
            made: Any = torch.onnx.export(
                network,
                examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=network_inputs(network),
                output_names=network_outputs(network),
                verbose=False,
            )
    except Exception as error:  # the exporter wraps whatever a network raises in classes of its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(f"{network.name}: cannot be written as ONNX ({lines[0]}); export it yourself") from None
    clean = onnx.load_from_string(without_traces(made.model_proto))
    return graph.with_free_batch(clean, network.name)
