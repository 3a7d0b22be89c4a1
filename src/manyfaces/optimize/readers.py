"""Whatever networks come in: ours by name, ONNX, trainings and PyTorch, Keras; each to an `Original`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import onnx

import manyfaces.runtime as runtime
import manyfaces.weights as weights
from manyfaces.card import ModelCard
from manyfaces.errors import UsageError, WeightsError
from manyfaces.optimize import graph
from manyfaces.optimize.model import Original
from manyfaces.optimize.runs import open_reference, refuse_lone_rows
from manyfaces.optimize.samples import Drawn

KERAS = (".keras", ".h5", ".hdf5", ".json")
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
KNOWN = "a packaged network (default, sface, yunet), .onnx, .keras, .h5, .pt2, module:factory, or a training's folder"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user names: the network, for a factory its weights and inputs, for Keras the user's own layers as
    module:class, and whether to trust what runs code."""

    model: str
    weights: Path | None = None
    inputs: tuple[str, ...] = ()
    trust: bool = False
    custom: tuple[str, ...] = ()


def read(asked: Asked) -> Original:
    name = "emotion" if asked.model == "default" else asked.model
    if name in weights.PACKAGED:
        return read_packaged(name)
    path = Path(name)
    if path.is_dir():
        from manyfaces.optimize.torch_reader import read_training

        return read_training(path)
    if ":" in name and not path.exists():
        from manyfaces.optimize.torch_reader import read_factory

        return read_factory(name, asked.weights, asked.inputs, trust=asked.trust)
    if not path.is_file():
        raise WeightsError(f"{name}: there is no such network; give {KNOWN}")
    return _read_file(path, asked)


def _read_file(path: Path, asked: Asked) -> Original:
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return read_onnx(path)
    if suffix in KERAS:
        from manyfaces.optimize.keras_reader import read_keras

        return read_keras(path, trust=asked.trust, custom=asked.custom)
    if suffix == ".pt2":
        from manyfaces.optimize.torch_reader import read_program

        return read_program(path, trust=asked.trust)
    if suffix in PICKLES:
        from manyfaces.optimize.torch_reader import read_pickle

        return read_pickle(path, trust=asked.trust)
    raise UsageError(f"{path}: networks of the kind {suffix or 'without a suffix'!r} are unknown; give {KNOWN}")


@contextmanager
def importable_from_here() -> Iterator[None]:
    """Modules beside which a command is run, as `python` itself finds them and an installed command does not."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


# --- ONNX ------------------------------------------------------------------------------------------------------------


def read_packaged(name: str) -> Original:
    """The zoo's files come with weights in blocks of int8 and a fixed batch: both are undone, as where they serve."""
    found = weights.load(name)
    model = onnx.load_from_string(found.content)
    clean = model if name == "emotion" else runtime.prepared(model, found.card.input)
    return original_of(clean, name, "packaged", found.content, found.card)


def read_onnx(path: Path) -> Original:
    """An ONNX file, with its card where one lies beside it."""
    card = weights.load(path).card if path.with_suffix(".json").is_file() and _has_card(path) else None
    try:
        content = path.read_bytes()
        model = graph.parse(content, str(path)) if not _external(path) else onnx.load(str(path))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}); check its name and rights") from None
    return original_of(model, path.stem, "ONNX file", content, card)


def _has_card(path: Path) -> bool:
    """A .json beside a network may be somebody else's."""
    try:
        ModelCard.read(path.with_suffix(".json"))
    except WeightsError:
        return False
    return True


def _external(path: Path) -> bool:
    """Whether the weights lie in a file beside the network's."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception:  # whatever is wrong with the file is said by `parse`
        return False
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)


def original_of(
    model: onnx.ModelProto, name: str, origin: str, content: bytes, card: ModelCard | None, source: Any = None
) -> Original:
    """Of an ONNX network, which is also what its forms are compared with."""
    free = graph.with_shapes(graph.with_free_batch(model, name))
    inputs, outputs = graph.ports(free)
    serialized = free.SerializeToString()
    run = open_reference(serialized, outputs)
    original = Original(
        name, origin, inputs, outputs, run, serialized, hashlib.sha256(content).hexdigest(), card, source
    )
    two = Drawn(inputs, graph.limits(free), 2)
    refuse_lone_rows(run, next(islice(two, 1)), name)
    return original
