"""LiteRT: ONNX networks as `.tflite` files, in float or fewer bits, and how they are run.

The network is written operator by operator (litert_translate.py, litert_operators.py) and asked the same as the
original before its file is kept, so that an operator that was understood wrongly is found here and not by a user.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from manyfaces.errors import MissingExtra, WeightsError
from manyfaces.optimize.files import write_whole
from manyfaces.optimize.litert_draft import SIGNATURE, packed, schema
from manyfaces.optimize.litert_graph import graph_of
from manyfaces.optimize.litert_operators import RULES
from manyfaces.optimize.litert_quantise import NO_KERNEL, Doors, Ranges, left_in_float, quantised
from manyfaces.optimize.litert_translate import WEIGHTED, Translation, Value, described
from manyfaces.optimize.model import (
    Columns,
    Form,
    Format,
    Kept,
    Opened,
    Order,
    Original,
    Quantisation,
    Samples,
    Unsupported,
)

NEAR = 1e-3
"""How far a float form's answers may lie from the original's, against the largest of them: far more than rounding
makes, far less than a wrong operator."""

ROWS = 3
"""Besides one, so that a batch that is not free shows itself."""

EMBEDDING = "EMBEDDING_LOOKUP"


class LiteRtWriter:
    """Writes and runs `.tflite` files. `doors`: what statically quantised networks are given and give."""

    def __init__(self, doors: Doors = "float") -> None:
        schema()
        self._doors = doors
        self._ranges = Ranges()

    @property
    def format(self) -> Format:
        return "litert"

    @property
    def quantisations(self) -> tuple[Quantisation, ...]:
        return ("none", "weights", "weights4", "dynamic", "static")

    def layers(self, original: Original, /) -> tuple[str, ...]:
        return converted(original.onnx)[1]

    def write(self, original: Original, order: Order, /) -> Form:
        content, layers = converted(original.onnx)
        _compare(original, content, order.samples)
        kept = order.keep
        if order.quantisation != "none":
            ranges = self._ranges.of(content, order.samples) if order.quantisation == "static" else None
            content = quantised(content, order.quantisation, ranges, order.keep, self._doors)
            chosen = {one.layer for one in order.keep}
            rest = [layer for layer in left_in_float(content, layers) if layer not in chosen]
            kept = (*kept, *(Kept(layer, NO_KERNEL) for layer in rest))
        path = order.stem.with_name(f"{order.stem.name}.tflite")
        write_whole(path, content)
        return Form("litert", order.quantisation, (path,), kept)

    def open(self, form: Form, threads: int, /) -> Opened:
        try:
            return opened(form.paths[0].read_bytes(), threads)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{form.paths[0]}: cannot be run by LiteRT ({error}); make it anew") from None


def converted(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The same network as a float file, and the names of its layers with weights in the order in which they run."""
    work = Translation(graph_of(content))
    graph = work.graph
    lacking = sorted({node.op_type for node in graph.nodes} - set(RULES))
    if lacking:
        raise Unsupported(
            f"LiteRT cannot have the operator{'s' * (len(lacking) > 1)} {', '.join(lacking)}; "
            "choose another format, or build the network without"
        )
    inputs = [_door(work, name) for name in graph.inputs]
    for node in graph.nodes:
        _say(work, node)
    outputs = [_exit(work, name, inputs) for name in graph.outputs]
    draft, inputs, outputs = work.draft.pruned(inputs, outputs)
    names = draft.named(inputs, outputs)
    layers = tuple(names[one.output] for one in draft.operators if one.code in (*WEIGHTED, EMBEDDING))
    return packed(draft, inputs, outputs), layers


def _say(work: Translation, node: onnx.NodeProto) -> None:
    """A rule knows what operators usually are; what it stumbles over is something that nobody has thought of yet."""
    try:
        RULES[node.op_type](work, node)
    except (KeyError, IndexError, ValueError, TypeError, AssertionError) as error:
        raise Unsupported(f"LiteRT cannot have {described(node)} as it stands here; choose another format") from error


def _door(work: Translation, name: str) -> int:
    shape = work.shape(name)
    return work.settle(name, Value(work.draft.tensor(name, shape.sizes, work.graph.dtypes[name], shape.batched)))


def _exit(work: Translation, name: str, inputs: Sequence[int]) -> int:
    """A tensor for this output alone, under its own name."""
    tensor = work.plain(name)
    if tensor in inputs or work.draft.tensors[tensor].name in set(work.graph.outputs) - {name}:
        tensor = work.reshaped(tensor, work.shape(name), name)
    work.draft.tensors[tensor].name = name
    return tensor


def _compare(original: Original, content: bytes, samples: Samples) -> None:
    first = next(iter(samples), None)
    if first is None:
        raise WeightsError(f"{original.name}: there are no samples to compare forms with; give some")
    try:
        run = opened(content, 1)
        for rows in (1, ROWS):
            given = {name: array[:rows] for name, array in first.items()}
            _compare_rows(original, original.run(given), run(given))
    except (RuntimeError, ValueError) as error:
        raise Unsupported(f"LiteRT cannot run {original.name} ({_first_line(error)}); choose another format") from None


def _compare_rows(original: Original, meant: Columns, said: Columns) -> None:
    for name, expected in meant.items():
        allowed = NEAR * max(1.0, float(np.abs(expected).max(initial=0)))
        away = np.inf if said[name].shape != expected.shape else float(np.abs(said[name] - expected).max(initial=0))
        if not away <= allowed:
            raise Unsupported(
                f"LiteRT gives another {name} than {original.name} (by {away:.2g}), so the file was not kept; "
                "choose another format"
            )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# --- running ---------------------------------------------------------------------------------------------------------


def opened(content: bytes, threads: int) -> Opened:
    """Ready to run; tensors are laid anew only when the batch has another size than the last."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        raise MissingExtra("LiteRT", "litert") from None
    with _without_chatter():
        return _Session(Interpreter(model_content=content, num_threads=threads))


class _Session:
    """Doors are known by the names in the file's signature, for a quantiser may put tensors of its own before them."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._sizes: dict[str, tuple[int, ...]] = {}
        runner = interpreter.get_signature_runner(SIGNATURE)
        self._inputs, self._outputs = runner.get_input_details(), runner.get_output_details()

    def __call__(self, columns: Columns, /) -> Columns:
        self._fit({name: columns[name].shape for name in self._inputs})
        for name, door in self._inputs.items():
            self._interpreter.set_tensor(door["index"], _inward(columns[name], door))
        self._interpreter.invoke()
        return {
            name: _outward(self._interpreter.get_tensor(door["index"]), door) for name, door in self._outputs.items()
        }

    def _fit(self, sizes: dict[str, tuple[int, ...]]) -> None:
        if sizes == self._sizes:
            return
        for name, door in self._inputs.items():
            self._interpreter.resize_tensor_input(door["index"], sizes[name])
        with _without_chatter():
            self._interpreter.allocate_tensors()
        self._sizes = sizes


def _inward(array: npt.NDArray[Any], door: dict[str, Any]) -> npt.NDArray[Any]:
    scale, zero = door["quantization"]
    if not scale:
        return np.ascontiguousarray(array, door["dtype"])
    limits = np.iinfo(door["dtype"])
    return np.asarray(np.clip(np.rint(array / scale) + zero, limits.min, limits.max), door["dtype"])


def _outward(array: npt.NDArray[Any], door: dict[str, Any]) -> npt.NDArray[Any]:
    scale, zero = door["quantization"]
    return np.asarray((array.astype(np.float32) - zero) * np.float32(scale), np.float32) if scale else array


@contextmanager
def _without_chatter() -> Iterator[None]:
    """LiteRT tells from C++ which delegate it made; that concerns nobody who waits for a table."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
