"""LiteRT files in fewer bits, by Google's quantiser for such files, which needs no TensorFlow."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Literal, TypeAlias

from manyfaces.errors import MissingExtra
from manyfaces.optimize.litert_draft import SIGNATURE, schema
from manyfaces.optimize.litert_translate import WEIGHTED
from manyfaces.optimize.model import Kept, Quantisation, Samples, Unsupported

Doors: TypeAlias = Literal["float", "int8"]
"""What a statically quantised network is given and gives: numbers as before, or whole ones with their scale."""

RECIPES: dict[Quantisation, str] = {
    "weights": "weight_only_wi8_afp32",
    "weights4": "weight_only_wi4_afp32",
    "dynamic": "dynamic_wi8_afp32",
    "static": "static_wi8_ai8",
}
NO_KERNEL = "LiteRT has no int8 kernel for it as it stands here"


class Ranges:
    """What values every tensor takes. They do not depend on which layers stay in float, so that trying layer after
    layer costs one walk through the samples; the last network's are kept."""

    def __init__(self) -> None:
        self._last: tuple[bytes, Samples, Any] | None = None

    def of(self, content: bytes, samples: Samples) -> Any:
        if self._last is None or self._last[0] != content or self._last[1] is not samples:
            self._last = content, samples, _ranges(content, samples)
        return self._last[2]


def quantised(content: bytes, how: Quantisation, ranges: Any, keep: Sequence[Kept], doors: Doors) -> bytes:
    """`content` is a float file; `ranges` are there for static quantisation."""
    with _quietly(), _told(how):
        quantizer, recipe, types, algorithms = _library()
        work = quantizer.Quantizer(content)
        work.load_quantization_recipe(getattr(recipe, RECIPES[how])())
        if how == "static":  # a table is looked up, not reckoned with: it shrinks only if asked for by itself
            work.add_dynamic_config(".*", types.TFLOperationName.EMBEDDING_LOOKUP, num_bits=8)
        off = {"algorithm_key": algorithms.AlgorithmName.NO_QUANTIZE}
        for one in keep:
            work.update_quantization_recipe(
                f"^{re.escape(one.layer)}(;|$)", types.TFLOperationName.ALL_SUPPORTED, **off
            )
        if how == "static" and doors == "float":
            for door in (types.TFLOperationName.INPUT, types.TFLOperationName.OUTPUT):
                work.update_quantization_recipe(".*", door, **off)
        return bytes(work.quantize(ranges).quantized_model)


@contextmanager
def _told(how: Quantisation) -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError, NotImplementedError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise Unsupported(f"LiteRT {how}: this network cannot be quantised so ({lines[0]})") from None


def _library() -> tuple[Any, Any, Any, Any]:
    try:
        from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe
    except ModuleNotFoundError:
        raise MissingExtra("quantising for LiteRT", "litert") from None
    return quantizer, recipe, qtyping, algorithm_manager


def _ranges(content: bytes, samples: Samples) -> Any:
    """Batch after batch, each going on from the ranges before: of all of them it would make a list first."""
    quantizer, recipe, _, _ = _library()
    ranges = None
    with _quietly(), _told("static"):
        work = quantizer.Quantizer(content)
        work.load_quantization_recipe(recipe.static_wi8_ai8())
        for columns in samples:
            ranges = work.calibrate({SIGNATURE: [dict(columns)]}, ranges, num_threads=1)
    return ranges


@contextmanager
def _quietly() -> Iterator[None]:
    """The quantiser prints sizes and bars of its own, and warns of a mode that it asks for itself."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def left_in_float(content: bytes, layers: Sequence[str]) -> tuple[str, ...]:
    """Which of these layers, named after what they give, still have weights of floats."""
    drawn = schema()
    model = drawn.ModelT.InitFromPackedBuf(content, 0)
    tensors = model.subgraphs[0].tensors
    weighted = {getattr(drawn.BuiltinOperator, name) for name in (*WEIGHTED, "EMBEDDING_LOOKUP")}
    floats = {
        tensors[one.outputs[0]].name.decode()
        for one in model.subgraphs[0].operators
        if model.operatorCodes[one.opcodeIndex].builtinCode in weighted
        and _is_float_constant(drawn, model, tensors[one.inputs[1]])
    }
    return tuple(layer for layer in layers if layer in floats)


def _is_float_constant(drawn: Any, model: Any, tensor: Any) -> bool:
    """Weights that are floats in the file, not made floats when it runs. Large ones lie behind the flatbuffer."""
    buffer = model.buffers[tensor.buffer]
    return tensor.type == drawn.TensorType.FLOAT32 and (buffer.data is not None or buffer.size > 0)
