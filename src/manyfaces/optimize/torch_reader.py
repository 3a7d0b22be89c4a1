"""PyTorch networks: trainings of ours, exported programs, and what a factory makes with weights from a file."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from manyfaces.errors import MissingExtra, UsageError, WeightsError
from manyfaces.optimize import graph
from manyfaces.optimize.files import file_hash
from manyfaces.optimize.model import Columns, Original, Port
from manyfaces.optimize.readers import importable_from_here, original_of, read_onnx

try:
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError:
    raise MissingExtra("reading PyTorch networks", "train") from None

OPSET = 18
KINDS = {"float32": torch.float32, "int32": torch.int32, "int64": torch.int64, "uint8": torch.uint8}


def read_training(folder: Path) -> Original:
    """What `train`, `distill` or a trial left: the network that ships, and behind it the one that can still learn."""
    from manyfaces.train.emotion import trained_network
    from manyfaces.train.nets import Probabilities

    if not (folder / "model.onnx").is_file():
        raise WeightsError(f"{folder}: holds no model.onnx; name the folder of a training that has ended, or a file")
    original = read_onnx(folder / "model.onnx")
    if not (folder / "best.pt").is_file():
        return replace(original, name=folder.name, origin="a folder with an ONNX file")
    network, _ = trained_network(folder)
    temperature = original.card.metrics.get("temperature", 1.0) if original.card else 1.0
    source = Probabilities(network, temperature).eval()
    return replace(original, name=folder.name, origin="a training of manyfaces", source=source)


def read_program(path: Path, *, trust: bool = False) -> Original:
    """A program that torch.export saved. Reading one evaluates text of the file, so nobody else's is read unasked."""
    if not trust:
        raise WeightsError(f"{path}: reading a .pt2 can run code that is in it; if you made it yourself, add --trust")
    try:
        program = torch.export.load(path)
    except Exception as error:  # its reader lets out whatever the archive makes it stumble over
        raise WeightsError(
            f"{path}: cannot be read as an exported program ({_first_line(error)}); save it anew"
        ) from None
    model = onnx_of(program, (), str(path))
    return _with_module(model, path.stem, "PyTorch program", file_hash(path), program.module())


def read_pickle(path: Path, *, trust: bool = False) -> Original:
    """A module that torch.save pickled whole. It says itself nothing of its inputs, so only a factory can be read."""
    state = _loaded(path, trust=trust)
    what = "a whole module" if isinstance(state, nn.Module) else "weights without a network"
    raise WeightsError(
        f"{path}: holds {what}; name what builds the network, module:factory, and add "
        f"--weights {path} and --input SHAPE"
    )


def read_factory(name: str, weights: Path | None, inputs: Sequence[str], *, trust: bool = False) -> Original:
    """`module:factory` is called without arguments and gives a module; `inputs` say what goes in, as 1x48x48 or
    50:int32, without the batch."""
    module = _built(name)
    digest = hashlib.sha256(name.encode())
    if weights is not None:
        _load_weights(module, weights, trust)
        digest.update(file_hash(weights).encode())
    else:
        for tensor in module.state_dict().values():
            digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    examples = _examples(inputs, name)
    _refuse_other_inputs(module.eval(), examples, name)
    model = onnx_of(module, examples, name)
    return _with_module(model, name.rpartition(":")[2], "PyTorch module", digest.hexdigest(), module)


def _built(name: str) -> nn.Module:
    place, _, factory = name.partition(":")
    try:
        with importable_from_here():
            made = getattr(importlib.import_module(place), factory)()
    except Exception as error:  # it is the user's own code that is run here
        raise UsageError(
            f"{name}: cannot be built ({_first_line(error)}); name MODULE:FUNCTION from this folder"
        ) from error
    if not isinstance(made, nn.Module):
        raise UsageError(f"{name}: made a {type(made).__name__}, not a torch module; return the network")
    return made


def _load_weights(module: nn.Module, path: Path, trust: bool) -> None:
    state = _safe_tensors(path) if path.suffix.lower() == ".safetensors" else _loaded(path, trust=trust)
    if isinstance(state, nn.Module):
        state = state.state_dict()
    if isinstance(state, Mapping) and "state_dict" in state:
        state = state["state_dict"]
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: are not the weights of this network ({_first_line(error)}); give its own"
        ) from None


def _safe_tensors(path: Path) -> Any:
    if not find_spec("safetensors"):
        raise MissingExtra("reading .safetensors", "optimize")
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # the library has an exception of its own for every version
        raise WeightsError(f"{path}: cannot be read as safetensors ({_first_line(error)}); copy it anew") from None


def _loaded(path: Path, *, trust: bool) -> Any:
    try:
        with warnings.catch_warnings():  # it warns of files that it then refuses, and asks for a report to its makers
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path}: is a pickle that would run code when it is read; give .safetensors or a state dict, "
            "or, if you made the file yourself, add --trust"
        ) from None
    except Exception as error:  # a pickle may raise anything, and a trusted one runs anything
        raise WeightsError(f"{path}: cannot be read as PyTorch weights ({_first_line(error)}); save it anew") from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(lines[:2])[:200] if lines else type(error).__name__


# --- to ONNX ---------------------------------------------------------------------------------------------------------


def _examples(inputs: Sequence[str], name: str) -> tuple[Tensor, ...]:
    """Two rows of zeros for every input that was described."""
    if not inputs:
        raise UsageError(
            f"{name}: say what goes in, without the batch: --input 1x48x48, or --input 50:int32 for whole numbers"
        )
    return tuple(_example(one) for one in inputs)


def _refuse_other_inputs(module: nn.Module, examples: tuple[Tensor, ...], name: str) -> None:
    """Said here in the network's own words: the exporter would wrap them in many others."""
    try:
        with torch.no_grad():
            module(*examples)
    except Exception as error:  # it is the user's own code that is run here
        shapes = ", ".join(f"{one.dtype} {tuple(one.shape)}".removeprefix("torch.") for one in examples)
        raise UsageError(
            f"{name}: fails on inputs of {shapes} ({_first_line(error)}); say with --input what it takes"
        ) from error


def _example(described: str) -> Tensor:
    shape, _, kind = described.partition(":")
    try:
        lengths = [int(length) for length in shape.split("x")] if shape else []
        return torch.zeros(2, *lengths, dtype=KINDS[kind or "float32"])
    except (ValueError, KeyError, RuntimeError):
        raise UsageError(f"--input {described}: expected lengths and a kind, such as 3x64x64 or 50:int32") from None


def onnx_of(program: Any, examples: tuple[Tensor, ...], where: str) -> onnx.ModelProto:
    """A program already knows its inputs and which of their dimensions are free."""
    from manyfaces.train.export import only_errors

    free: dict[str, Any] = (
        {"dynamic_shapes": tuple({0: torch.export.Dim("batch", min=1)} for _ in examples)} if examples else {}
    )
    try:
        with only_errors("torch.onnx"):
            made: Any = torch.onnx.export(program, examples, dynamo=True, opset_version=OPSET, verbose=False, **free)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"writing ONNX ({error.name})", "train") from None
    except Exception as error:  # the exporter wraps whatever a network raises in classes of its own
        raise WeightsError(f"{where}: cannot be written as ONNX ({_first_line(error)}); export it yourself") from None
    model: onnx.ModelProto = made.model_proto
    return model


def _with_module(model: onnx.ModelProto, name: str, origin: str, digest: str, module: nn.Module) -> Original:
    from manyfaces.train.export import without_traces

    clean = graph.parse(without_traces(model), name)
    original = original_of(clean, name, origin, digest.encode(), None, module)
    return replace(original, fingerprint=digest, run=_run_of(module, original.inputs, original.outputs))


def _run_of(module: nn.Module, inputs: Sequence[Port], outputs: Sequence[Port]) -> Any:
    def run(columns: Columns) -> Columns:
        with torch.no_grad():
            answer = module(*(torch.from_numpy(np.array(columns[port.name])) for port in inputs))
        return dict(zip([port.name for port in outputs], map(_array, flat(answer)), strict=True))

    return run


def flat(answer: Any) -> list[Tensor]:
    if isinstance(answer, Tensor):
        return [answer]
    parts = answer.values() if isinstance(answer, Mapping) else answer
    return [tensor for part in parts for tensor in flat(part)]


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy()
