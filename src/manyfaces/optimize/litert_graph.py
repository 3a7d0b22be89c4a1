"""An ONNX network made ready to be written as LiteRT: every shape known, and nothing left that can be reckoned now.

Shapes are found for one unusual batch size. A first dimension that it divides grows with the batch, and all else is as
it will always be, so that what an exporter reckons about shapes while the network runs is gone before it is written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from manyfaces.optimize.litert_draft import Array
from manyfaces.optimize.model import Unsupported

BATCH = 13
"""Prime, and hardly a number of channels or pixels."""
ROUNDS = 8
"""Each makes more shapes known; networks need two or three."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes for a batch of one, and whether the first grows with the batch."""

    sizes: tuple[int, ...]
    batched: bool

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def target(self) -> tuple[int, ...]:
        """What a reshape is told: -1 for what it has to find out."""
        return (-1, *self.sizes[1:]) if self.batched else self.sizes


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in the order in which they run, the constants among their inputs, and of all others shape and type.
    `uses` counts by how many inputs a value is read."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, Array]
    shapes: dict[str, Shape]
    dtypes: dict[str, np.dtype[Any]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    uses: Counter[str]


def graph_of(content: bytes) -> Graph:
    model = _inlined(onnx.load_from_string(content))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    inputs = tuple(value.name for value in model.graph.input if value.name not in constants)
    outputs = tuple(value.name for value in model.graph.output)
    _fix_batch(model, set(inputs))
    nodes, described = _reckoned(model, constants)
    nodes = _needed(nodes, outputs)
    uses = Counter(name for node in nodes for name in node.input if name)
    kept = {name: array for name, array in constants.items() if name in uses or name in outputs}
    shapes = {name: _shape(value) for name, value in described.items() if value.HasField("shape")}
    dtypes = {name: helper.tensor_dtype_to_np_dtype(value.elem_type) for name, value in described.items()}
    return Graph(tuple(nodes), kept, shapes, dtypes, inputs, outputs, uses)


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Functions that a file defines for itself are written out."""
    if not model.functions:
        return model
    from onnx import inliner

    return inliner.inline_local_functions(model)


def _fix_batch(model: onnx.ModelProto, inputs: set[str]) -> None:
    for value in model.graph.input:
        if value.name not in inputs:
            continue
        free = [dim for dim in value.type.tensor_type.shape.dim[1:] if not dim.HasField("dim_value")]
        if free:
            raise Unsupported(
                f"{value.name}: LiteRT needs every size but the batch to be fixed, and one here is not; "
                "export the network for one size of its input"
            )
        value.type.tensor_type.shape.dim[0].dim_value = BATCH
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _shape(value: Any) -> Shape:
    sizes = tuple(dim.dim_value for dim in value.shape.dim)
    batched = bool(sizes) and sizes[0] > 0 and sizes[0] % BATCH == 0
    return Shape((sizes[0] // BATCH, *sizes[1:]) if batched else sizes, batched)


def _reckoned(model: onnx.ModelProto, constants: dict[str, Array]) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """The nodes that are left, and what is known of each value. `constants` gains what was reckoned."""
    nodes = list(model.graph.node)
    described: dict[str, Any] = {}
    for _ in range(ROUNDS):
        described = _described(model, nodes, constants)
        left = [node for node in nodes if not _reckon(node, constants, described, model)]
        if len(left) == len(nodes):
            break
        nodes = left
    return nodes, described


def _described(model: onnx.ModelProto, nodes: list[onnx.NodeProto], constants: dict[str, Array]) -> dict[str, Any]:
    """What shape inference says of each value, given all that was reckoned so far."""
    graph = helper.make_graph(
        nodes,
        "now",
        model.graph.input,
        model.graph.output,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    now = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    seen = shape_inference.infer_shapes(now, data_prop=True).graph
    return {value.name: value.type.tensor_type for value in (*seen.input, *seen.value_info, *seen.output)}


def _reckon(
    node: onnx.NodeProto, constants: dict[str, Array], described: dict[str, Any], model: onnx.ModelProto
) -> bool:
    """Whether what this node gives is constant now; if so, it is among the constants from here on."""
    if node.op_type == "Shape":
        return _reckon_shape(node, constants, described)
    if any(name and name not in constants for name in node.input) or _has_inner(node):
        return False
    results = _run(node, {name: constants[name] for name in node.input if name}, model)
    constants.update(zip(node.output, results, strict=True))
    return True


def _reckon_shape(node: onnx.NodeProto, constants: dict[str, Array], described: dict[str, Any]) -> bool:
    if node.input[0] in constants:
        sizes: list[int] = list(constants[node.input[0]].shape)
    else:
        known = described.get(node.input[0])
        if known is None or not known.HasField("shape"):
            return False
        sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in known.shape.dim]
    if not all(sizes):
        return False
    start, end = attribute(node, "start", 0), attribute(node, "end", None)
    constants[node.output[0]] = np.array(sizes[start:end], np.int64)
    return True


def _has_inner(node: onnx.NodeProto) -> bool:
    return any(one.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for one in node.attribute)


def _run(node: onnx.NodeProto, inputs: dict[str, Array], model: onnx.ModelProto) -> list[Array]:
    from onnx.reference import ReferenceEvaluator

    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    wanted = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output]
    alone = helper.make_model(helper.make_graph([node], "one", given, wanted), opset_imports=model.opset_import)
    return [np.asarray(result) for result in ReferenceEvaluator(alone).run(None, inputs)]


def _needed(nodes: list[onnx.NodeProto], outputs: tuple[str, ...]) -> list[onnx.NodeProto]:
    """Without what nothing reads."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def attribute(node: onnx.NodeProto, name: str, otherwise: Any) -> Any:
    for one in node.attribute:
        if one.name == name:
            value = helper.get_attribute_value(one)
            return value.decode() if isinstance(value, bytes) else value
    return otherwise
