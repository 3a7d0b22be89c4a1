"""A LiteRT file in the making: tensors, the operators between them, and in the end its bytes.

The file is a flatbuffer; its schema comes with the runtime, so what is written is what that runtime reads, and neither
TensorFlow nor a converter of its size is needed. Tensors have the shape that they have for a batch of one; those that
grow with the batch say so, and the runtime finds all shapes anew for the batch that it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from manyfaces.errors import MissingExtra

Array = npt.NDArray[Any]
SIGNATURE = "serving_default"
MAGIC = b"TFL3"
PLACEHOLDER = 127
"""Stands in the byte that held an operator's code when there were fewer of them."""


@dataclass(slots=True)
class Tensor:
    """`batched`: its first dimension grows with the batch. `content` is there for constants only."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    batched: bool
    content: Array | None = None


@dataclass(slots=True)
class Operator:
    """`kind` names the options in the schema, such as Conv2DOptions; operators without any have none."""

    code: str
    inputs: list[int]
    output: int
    kind: str = ""
    options: dict[str, Any] = field(default_factory=dict)


class Draft:
    """Tensors are known by their number."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self._makers: dict[int, Operator] = {}

    def constant(self, content: Array, name: str) -> int:
        return self._add(Tensor(name, content.shape, content.dtype, False, np.ascontiguousarray(content)))

    def tensor(self, name: str, shape: Sequence[int], dtype: np.dtype[Any], batched: bool) -> int:
        return self._add(Tensor(name, tuple(shape), dtype, batched))

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add(self, operator: Operator) -> None:
        self.operators.append(operator)
        self._makers[operator.output] = operator

    def maker(self, tensor: int) -> Operator | None:
        """The operator that a tensor comes from; None for inputs and constants."""
        return self._makers.get(tensor)

    def pruned(self, inputs: Sequence[int], outputs: Sequence[int]) -> tuple[Draft, list[int], list[int]]:
        """The same without what nothing leads from to an output; and where its doors are then."""
        wanted, kept = {*inputs, *outputs}, []
        for operator in reversed(self.operators):
            if operator.output in wanted:
                wanted.update(operator.inputs)
                kept.append(operator)
        places = {old: new for new, old in enumerate(sorted(wanted))}
        draft = Draft()
        for old in places:
            draft._add(self.tensors[old])
        for one in reversed(kept):
            draft.add(replace(one, inputs=[places[old] for old in one.inputs], output=places[one.output]))
        return draft, [places[old] for old in inputs], [places[old] for old in outputs]

    def named(self, inputs: Sequence[int], outputs: Sequence[int]) -> list[str]:
        """A name for each tensor and none twice: quantisers know tensors by their names alone. Doors keep theirs."""
        doors = {*inputs, *outputs}
        taken = {self.tensors[number].name for number in doors}
        names = []
        for number, tensor in enumerate(self.tensors):
            name = tensor.name if number in doors else _free(tensor.name, taken)
            taken.add(name)
            names.append(name)
        return names


def _free(name: str, taken: set[str]) -> str:
    fresh, count = name, 1
    while fresh in taken:
        count += 1
        fresh = f"{name}/{count}"
    return fresh


def schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ModuleNotFoundError:
        raise MissingExtra("LiteRT", "litert") from None
    return schema_py_generated


def packed(draft: Draft, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    """The file's bytes. `inputs` and `outputs` are the tensors that a user gives and gets."""
    import flatbuffers

    drawn = schema()
    codes = list(dict.fromkeys(operator.code for operator in draft.operators))
    names = draft.named(inputs, outputs)
    model = drawn.ModelT()
    model.version = 3
    model.description = "written by manyfaces"
    model.operatorCodes = [_code(drawn, code) for code in codes]
    model.buffers = [drawn.BufferT(), *(_buffer(drawn, tensor) for tensor in draft.tensors)]
    graph = drawn.SubGraphT()
    graph.name, graph.inputs, graph.outputs = "main", list(inputs), list(outputs)
    graph.tensors = [
        _tensor(drawn, one, name, number) for number, (one, name) in enumerate(zip(draft.tensors, names, strict=True))
    ]
    graph.operators = [_operator(drawn, operator, codes) for operator in draft.operators]
    model.subgraphs = [graph]
    model.signatureDefs = [_signature(drawn, names, inputs, outputs)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), MAGIC)
    return bytes(builder.Output())


def _code(drawn: Any, name: str) -> Any:
    code = drawn.OperatorCodeT()
    code.builtinCode = getattr(drawn.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, PLACEHOLDER)
    code.version = 1
    return code


def _buffer(drawn: Any, tensor: Tensor) -> Any:
    buffer = drawn.BufferT()
    if tensor.content is not None:
        buffer.data = np.frombuffer(tensor.content.tobytes(), np.uint8)
    return buffer


def _tensor(drawn: Any, tensor: Tensor, name: str, number: int) -> Any:
    made = drawn.TensorT()
    made.name, made.shape, made.hasRank = name, list(tensor.shape), True
    made.type = getattr(drawn.TensorType, tensor.dtype.name.upper())
    made.buffer = number + 1
    if tensor.batched:
        made.shapeSignature = [-1, *tensor.shape[1:]]
    return made


def _operator(drawn: Any, operator: Operator, codes: list[str]) -> Any:
    made = drawn.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = codes.index(operator.code), operator.inputs, [operator.output]
    if operator.kind:
        made.builtinOptionsType = getattr(drawn.BuiltinOptions, operator.kind)
        made.builtinOptions = getattr(drawn, f"{operator.kind}T")()
        for name, value in operator.options.items():
            setattr(made.builtinOptions, name, value)
    return made


def _signature(drawn: Any, names: Sequence[str], inputs: Sequence[int], outputs: Sequence[int]) -> Any:
    made = drawn.SignatureDefT()
    made.signatureKey, made.subgraphIndex = SIGNATURE, 0
    made.inputs, made.outputs = ([_entry(drawn, names[one], one) for one in ones] for ones in (inputs, outputs))
    return made


def _entry(drawn: Any, name: str, tensor: int) -> Any:
    entry = drawn.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
