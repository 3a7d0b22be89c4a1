"""ONNX networks as graphs: a free batch, their ports, 8-bit and 4-bit weights, and layers taken back to float."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from manyfaces.errors import WeightsError
from manyfaces.optimize.model import Port, Unsupported
from manyfaces.types import Floats

BATCH = "batch"
WEIGHED = {"Conv": (1, 0), "ConvTranspose": (1, 1), "MatMul": (1, -1), "Gemm": (1, 0), "Gather": (0, 0)}
"""Operators with large weights: which input these are, and along which axis every slice gets a scale of its own."""

LEAST = 256
"""Numbers below which a tensor stays float: its scales would take as much room as it saves."""

BLOCK = 32
"""Neighbours that share a scale in 4 bits, as ONNX Runtime's own kernels have them."""

OPSET_FOUR_BITS = 21
Array = npt.NDArray[Any]


def parse(content: bytes, where: str) -> onnx.ModelProto:
    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it is no ONNX"
        raise WeightsError(f"{where}: cannot be read as ONNX ({reason}); export or copy it anew") from None
    if not model.graph.node:
        raise WeightsError(f"{where}: holds no operators, so there is nothing to optimise; export it anew")
    return model


# --- the batch -------------------------------------------------------------------------------------------------------


def with_free_batch(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The same network for any number of rows. A batch that was fixed at one is often fixed inside too, in reshapes to
    one item, which become reshapes of each item."""
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    was_fixed = False
    for value in _inputs(freed):
        if not value.type.tensor_type.shape.dim:
            raise WeightsError(
                f"{where}: its input {value.name!r} has no batch dimension; export it with inputs of (n, ...)"
            )
        was_fixed = was_fixed or value.type.tensor_type.shape.dim[0].dim_value > 0
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    if was_fixed:
        _free_reshapes(freed)
        del freed.graph.value_info[:]
    for value in freed.graph.output:
        if was_fixed and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = BATCH
    return freed


def _free_reshapes(model: onnx.ModelProto) -> None:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in tensors or node.input[0] in tensors:
            continue
        shape = numpy_helper.to_array(tensors[node.input[1]]).copy()
        if shape.size > 1 and shape[0] == 1 and shape[1:].all():
            shape[0] = 0  # copies the length from what is reshaped, unless zeros are allowed, as PyTorch writes it
            _replace(node.attribute, [one for one in node.attribute if one.name != "allowzero"])
            name = f"{node.output[0]}_shape_of_each"
            model.graph.initializer.append(numpy_helper.from_array(shape, name))
            node.input[1] = name


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def ports(model: onnx.ModelProto) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Of the inputs and the outputs."""
    return tuple(map(_port, _inputs(model))), tuple(map(_port, model.graph.output))


def _port(value: onnx.ValueInfoProto) -> Port:
    kind = value.type.tensor_type
    lengths = [dimension.dim_value or None for dimension in kind.shape.dim]
    return Port(value.name, (None, *lengths[1:]), str(helper.tensor_dtype_to_np_dtype(kind.elem_type)))


def limits(model: onnx.ModelProto) -> dict[str, int]:
    """Below what number whole inputs must stay, where they look something up in a table."""
    tables = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    origin = {value.name: value.name for value in _inputs(model)}
    found: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze") and node.input[0] in origin:
            origin[node.output[0]] = origin[node.input[0]]
        elif node.op_type == "Gather" and node.input[0] in tables and node.input[1] in origin:
            axis = _attributes(node).get("axis", 0)
            name, rows = origin[node.input[1]], int(tables[node.input[0]][axis])
            found[name] = min(rows, found.get(name, rows))
    return found


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


# --- weights of fewer bits -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weighed:
    """A layer with weights worth shrinking: its node's name, its operator, and its weights' name and axis."""

    layer: str
    operator: str
    weights: str
    axis: int


def weighed_layers(model: onnx.ModelProto) -> tuple[Weighed, ...]:
    """In the order in which they run."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.data_type == 1}
    return tuple(_weighed(model, sizes))


def _weighed(model: onnx.ModelProto, sizes: Mapping[str, int]) -> Iterator[Weighed]:
    for node in model.graph.node:
        if node.op_type not in WEIGHED:
            continue
        place, axis = WEIGHED[node.op_type]
        if node.op_type == "Gemm":
            axis = 0 if _attributes(node).get("transB", 0) else 1
        if sizes.get(node.input[place], 0) >= LEAST:
            yield Weighed(layer_name(node), node.op_type, node.input[place], axis)


def layer_name(node: onnx.NodeProto) -> str:
    return str(node.name or node.output[0])


def with_small_weights(model: onnx.ModelProto, bits: int, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Weights in 8 or 4 bits, made floats again where they are used: the file shrinks, the arithmetic stays."""
    layers = [one for one in weighed_layers(model) if one.layer not in keep]
    if not layers:
        raise Unsupported(f"no layer has weights of {LEAST} numbers or more; there is nothing to shrink")
    small = onnx.ModelProto()
    small.CopyFrom(model)
    kept = {one.weights for one in weighed_layers(model) if one.layer in keep}
    chosen = {one.weights: one.axis for one in layers if one.weights not in kept}
    tensors = [tensor for tensor in small.graph.initializer if tensor.name in chosen]
    stay = [tensor for tensor in small.graph.initializer if tensor.name not in chosen]
    nodes: list[onnx.NodeProto] = []
    for tensor in tensors:
        made, node = _shrunk(tensor.name, numpy_helper.to_array(tensor), chosen[tensor.name], bits)
        stay += made
        nodes.append(node)
    _replace(small.graph.initializer, stay)
    _replace(small.graph.node, [*nodes, *model.graph.node])
    raise_opset(small, OPSET_FOUR_BITS if bits == 4 else 13)
    return small


def _replace(field: Any, content: list[Any]) -> None:
    copies = [type(one).FromString(one.SerializeToString()) for one in content]
    del field[:]
    field.extend(copies)


def raise_opset(model: onnx.ModelProto, least: int) -> None:
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < least:
            converted = onnx.version_converter.convert_version(model, least)
            model.CopyFrom(converted)
            break
    if least >= OPSET_FOUR_BITS:
        model.ir_version = max(model.ir_version, 10)


def _shrunk(name: str, values: Floats, axis: int, bits: int) -> tuple[list[onnx.TensorProto], onnx.NodeProto]:
    axis = axis % values.ndim
    whole, scales, more = _by_blocks(values, axis) if bits == 4 else _by_slices(values, axis)
    kind = onnx.TensorProto.INT4 if bits == 4 else onnx.TensorProto.INT8
    small, scale = f"{name}_int{bits}", f"{name}_scale"
    tensors = [_tensor(small, whole, kind), numpy_helper.from_array(scales, scale)]
    return tensors, helper.make_node("DequantizeLinear", [small, scale], [name], name=f"{name}_float", **more)  # type: ignore[arg-type]


def _tensor(name: str, whole: Array, kind: int) -> onnx.TensorProto:
    if kind == onnx.TensorProto.INT8:
        return numpy_helper.from_array(whole.astype(np.int8), name)
    return helper.make_tensor(name, kind, whole.shape, whole.astype(np.int8).ravel().tolist())


def _by_slices(values: Floats, axis: int) -> tuple[Array, Floats, dict[str, int]]:
    """One scale for every slice along an axis."""
    others = tuple(one for one in range(values.ndim) if one != axis)
    scales = np.maximum(np.abs(values).max(axis=others) / 127, 1e-12).astype(np.float32)
    shape = [-1 if one == axis else 1 for one in range(values.ndim)]
    return np.clip(np.rint(values / scales.reshape(shape)), -127, 127), scales, {"axis": axis}


def _by_blocks(values: Floats, axis: int) -> tuple[Array, Floats, dict[str, int]]:
    """One scale for every few neighbours along the other of the first two axes, where the sums of products run."""
    along = 1 if axis == 0 else 0
    length = values.shape[along]
    block = min(BLOCK, length)
    count = -(-length // block)
    padded = np.pad(values, [(0, count * block - length if one == along else 0) for one in range(values.ndim)])
    blocks = np.moveaxis(padded, along, -1).reshape(*np.moveaxis(padded, along, -1).shape[:-1], count, block)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / 7, 1e-12).astype(np.float32)
    whole = np.clip(np.rint(blocks / scales[..., None]), -7, 7).reshape(*blocks.shape[:-2], count * block)
    cut = np.moveaxis(whole, -1, along).take(range(length), axis=along)
    return cut, np.ascontiguousarray(np.moveaxis(scales, -1, along)), {"axis": along, "block_size": block}


# --- layers taken back to float --------------------------------------------------------------------------------------


HANDING_ON = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "MaxPool", "Relu", "Clip", "Shape")
PASSING = frozenset(("QuantizeLinear", "DequantizeLinear", "Slice", "Split", "Pad", "Resize", *HANDING_ON))
"""Operators that only hand numbers on: rounding around them hurts no more than where they come from."""


def quantised_layers(model: onnx.ModelProto) -> tuple[str, ...]:
    """Layers that work on whole numbers, in the order in which they run."""
    rounded = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return tuple(
        layer_name(node) for node in model.graph.node if node.op_type not in PASSING and rounded & set(node.input)
    )


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every operator with a name of its own, by which it can be kept in float."""
    met: set[str] = set()
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for number, node in enumerate(changed.graph.node):
        if not node.name or node.name in met:
            node.name = f"{node.op_type}_{number}"
        met.add(node.name)
    return changed


ADDED = ("_scale", "_zero_point", "_quantized", "_quantized_scale", "_quantized_zero_point", "_int8", "_int4")
"""What quantisers, and `with_small_weights`, append to a tensor's name for what they add."""


def with_free_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """No tensor called as a quantiser would call another's scale: a batch normalisation `bn` often has a `bn_scale`,
    and two tensors of one name spoil the network."""
    graph = model.graph
    doors = {value.name for value in (*graph.input, *graph.output)}
    inside = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    taken = inside | doors
    fixed = doors.union(*map(_captured, graph.node))
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    news = {name: _free_name(name, taken) for name in inside - fixed if _as_added(name, taken)}
    for tensor in changed.graph.initializer:
        tensor.name = news.get(tensor.name, tensor.name)
    for node in changed.graph.node:
        for names in (node.input, node.output):
            names[:] = [news.get(name, name) for name in names]
    return changed


def _as_added(name: str, taken: Collection[str]) -> bool:
    return any(name.endswith(end) and name.removesuffix(end) in taken for end in ADDED)


def _free_name(name: str, taken: Collection[str]) -> str:
    return next(f"{name}_{number}" for number in itertools.count(1) if f"{name}_{number}" not in taken)


def with_float_layers(quantised: onnx.ModelProto, original: onnx.ModelProto, keep: Collection[str]) -> onnx.ModelProto:
    """The quantised network with these layers as they were: neither what goes into them nor their weights are rounded.

    Ranges need not be taken anew, so that trying a layer costs no calibration.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(quantised)
    before = _before_rounding(changed)
    origin = {layer_name(node): node for node in original.graph.node}
    floats = {tensor.name: tensor for tensor in original.graph.initializer}
    restored: dict[str, onnx.TensorProto] = {}
    for node in changed.graph.node:
        if layer_name(node) in keep:
            _unround(node, origin[layer_name(node)], before, floats, restored)
            _unround_before(node, changed, before)
    changed.graph.initializer.extend(restored.values())
    return without_unused(changed)


def _unround(
    node: onnx.NodeProto,
    old: onnx.NodeProto,
    before: Mapping[str, str],
    floats: Mapping[str, onnx.TensorProto],
    restored: dict[str, onnx.TensorProto],
) -> None:
    """Weights as they were, under a new name, for the quantiser may have given theirs to what it makes of them."""
    for place, name in enumerate(list(node.input)):
        was = old.input[place] if place < len(old.input) else ""
        if was in floats:
            tensor = onnx.TensorProto.FromString(floats[was].SerializeToString())
            tensor.name = f"{was}_in_float"
            restored[tensor.name] = tensor
            node.input[place] = tensor.name
        elif name in before:
            node.input[place] = before[name]


def _unround_before(node: onnx.NodeProto, model: onnx.ModelProto, before: Mapping[str, str]) -> None:
    """What only handed on to this layer what was rounded before, such as a Relu, is handed the unrounded too."""
    makers = {name: one for one in model.graph.node for name in one.output}
    waiting = [name for name in node.input if name in makers]
    while waiting:
        maker = makers[waiting.pop()]
        if maker.op_type in HANDING_ON and maker.input:
            maker.input[0] = before.get(maker.input[0], maker.input[0])
            waiting += [maker.input[0]] if maker.input[0] in makers else []


def _before_rounding(model: onnx.ModelProto) -> dict[str, str]:
    """For what was rounded and made float again: what it was before."""
    rounded = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    return {
        node.output[0]: rounded[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in rounded
    }


def without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without operators and weights that nothing leads from to an output."""
    wanted = {value.name for value in model.graph.output}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            nodes.append(node)
            wanted |= set(node.input) | _captured(node)
    _replace(model.graph.node, nodes[::-1])
    _replace(model.graph.initializer, [tensor for tensor in model.graph.initializer if tensor.name in wanted])
    return model


def _captured(node: onnx.NodeProto) -> set[str]:
    """What the bodies of a loop or a branch use of what is around them."""
    inner = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    return {name for graph in inner for one in graph.node for name in (*one.input, *_captured(one))}


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the shapes of all outputs, as far as they follow from those of the inputs."""
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=False)
    except (RuntimeError, ValueError):
        return model
