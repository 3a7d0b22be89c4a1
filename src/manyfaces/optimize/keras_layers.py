"""Keras layers as ONNX operators, one by one.

PyTorch's exporter can do the same for the torch backend, but only for one size of the batch where layers have strides,
and it takes twenty times as long; it serves for what is not known here. Pictures lie in Keras with their channels last
and in ONNX with them first, so each value is kept as it comes and turned only where a layer needs it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
Array = npt.NDArray[Any]
BATCH = "batch"


class Unknown(Exception):
    """A layer that nobody has said in ONNX yet. It never leaves this folder: the exporter is asked instead."""


class Sheet:
    """The ONNX network while it is written. Values are called after the layers that give them; `called` says which
    of Keras's own tensors, whose names are numbers, is which. `outputs` are names that only the last step may use. In a
    sequential network, whose layers remember other tensors, `chained` is what the last layer gave."""

    def __init__(self, outputs: Sequence[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.called: dict[str, str] = {}
        self.chained = ""
        self._outputs = set(outputs)
        self._first: dict[str, bool] = {}
        self._turned: dict[tuple[str, bool], str] = {}
        self._ranks: dict[str, int] = {}

    def name(self, layer: Any) -> str:
        return f"{layer.name}_value" if layer.name in self._outputs else str(layer.name)

    def of(self, layer: Any) -> list[str]:
        """The values that a layer is given."""
        if self.chained:
            return [self.chained]
        given = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
        return [self.called[tensor.name] for tensor in given]

    def enter(self, name: str, rank: int, first: bool = False) -> None:
        """A value of this name exists from now on; `first`: with its channels before its rows."""
        self._ranks[name], self._first[name] = rank, first

    def is_first(self, name: str) -> bool:
        return self._first[name]

    def rank(self, name: str) -> int:
        return self._ranks[name]

    def get(self, name: str, first: bool) -> str:
        """The name under which this value lies in the wanted order."""
        if self._first[name] == first:
            return name
        key = (name, first)
        if key not in self._turned:
            rank = self._ranks[name]
            order = (0, rank - 1, *range(1, rank - 1)) if first else (0, *range(2, rank), 1)
            self._turned[key] = self.node("Transpose", [name], f"{name}_turned", perm=order)
        return self._turned[key]

    def weight(self, array: Array, name: str) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output


Write = Callable[[Sheet, Any], None]


def written(network: Any) -> onnx.ModelProto:
    """The whole network, or `Unknown`."""
    ins, outs = network_inputs(network), network_outputs(network)
    sheet = Sheet(outs)
    for tensor, name in zip(network.inputs, ins, strict=True):
        sheet.called[tensor.name] = name
        sheet.enter(name, len(tensor.shape))
    is_chain = type(network).__name__ == "Sequential"
    sheet.chained = ins[0] if is_chain else ""
    for layer in network.layers:
        if type(layer).__name__ != "InputLayer":
            _rule_of(layer, is_chain)(sheet, layer)
            sheet.called[layer.output.name] = sheet.name(layer)
            sheet.chained = sheet.name(layer) if is_chain else ""
    if is_chain:
        sheet.called[network.outputs[0].name] = sheet.chained
    for tensor, name in zip(network.outputs, outs, strict=True):
        sheet.node("Identity", [sheet.get(sheet.called[tensor.name], False)], name)
    graph = helper.make_graph(
        sheet.nodes,
        str(network.name),
        [_described(tensor, name) for tensor, name in zip(network.inputs, ins, strict=True)],
        [_described(tensor, name) for tensor, name in zip(network.outputs, outs, strict=True)],
        sheet.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def _rule_of(layer: Any, is_chain: bool) -> Write:
    kind = type(layer).__name__
    is_kerass = type(layer).__module__.split(".")[0] == "keras"
    if kind not in LAYERS or not is_kerass or getattr(layer, "quantization_mode", None):
        raise Unknown(kind)
    if not is_chain and len(layer._inbound_nodes) != 1:
        raise Unknown(f"{layer.name} in two places")
    if getattr(layer, "data_format", None) not in (None, "channels_last"):
        raise Unknown("channels first")
    return LAYERS[kind]


def network_inputs(network: Any) -> list[str]:
    """Names of the layers that what goes in comes from; the tensors' own names are numbers that differ every time."""
    return [str(tensor._keras_history.operation.name) for tensor in network.inputs]


def network_outputs(network: Any) -> list[str]:
    """Keras names an output after its layer; a layer may give several, and a name may be an input's."""
    taken = set(network_inputs(network))
    names: list[str] = []
    for tensor in network.outputs:
        name = str(tensor._keras_history.operation.name)
        fresh = name if name not in taken else f"{name}_{len(names)}"
        names.append(fresh)
        taken.add(fresh)
    return names


def _described(tensor: Any, name: str) -> onnx.ValueInfoProto:
    sizes = [BATCH, *(size if size is not None else f"{name}_{place}" for place, size in enumerate(tensor.shape[1:]))]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(str(tensor.dtype))), sizes)


def _weights(layer: Any) -> list[Array]:
    return [np.asarray(weight, np.float32) for weight in layer.get_weights()]


def _end(sheet: Sheet, layer: Any, made: str, first: bool) -> None:
    """Give the layer's own tensor to what was made, after its activation."""
    output = sheet.name(layer)
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", "linear") if function is not None else "linear"
    sheet.enter(output, len(layer.output.shape), first)
    activate(sheet, name, made, output, 1 if first else -1)


# --- activations -----------------------------------------------------------------------------------------------------

SIMPLE: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("Identity", {}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {}),
    "selu": ("Selu", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "exponential": ("Exp", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "hard_swish": ("HardSwish", {}),
}


def activate(sheet: Sheet, name: str, source: str, output: str, axis: int) -> None:
    if name in SIMPLE:
        kind, attributes = SIMPLE[name]
        sheet.node(kind, [source], output, **attributes)
    elif name in ("softmax", "log_softmax"):
        sheet.node("Softmax" if name == "softmax" else "LogSoftmax", [source], output, axis=axis)
    elif name in ("silu", "swish"):
        sheet.node("Mul", [source, sheet.node("Sigmoid", [source], f"{output}_gate")], output)
    elif name == "relu6":
        limits = [sheet.weight(np.float32(limit), f"{output}_{limit}") for limit in (0, 6)]
        sheet.node("Clip", [source, *limits], output)
    else:
        raise Unknown(f"activation {name}")


def _activation(sheet: Sheet, layer: Any) -> None:
    (name,) = sheet.of(layer)
    _end(sheet, layer, sheet.get(name, sheet.is_first(name)), sheet.is_first(name))


def _rectifier(sheet: Sheet, layer: Any) -> None:
    slope, threshold = float(layer.negative_slope or 0), float(layer.threshold or 0)
    if threshold or (slope and layer.max_value is not None):
        raise Unknown("a rectifier with a threshold")
    source, first = _as_it_lies(sheet, layer)
    output = sheet.name(layer)
    if slope:
        sheet.node("LeakyRelu", [source], output, alpha=slope)
    elif layer.max_value is None:
        sheet.node("Relu", [source], output)
    else:
        limits = [sheet.weight(np.float32(limit), f"{output}_limit_{limit}") for limit in (0, float(layer.max_value))]
        sheet.node("Clip", [source, *limits], output)
    sheet.enter(output, len(layer.output.shape), first)


def _leaky(sheet: Sheet, layer: Any) -> None:
    source, first = _as_it_lies(sheet, layer)
    sheet.node("LeakyRelu", [source], sheet.name(layer), alpha=float(layer.negative_slope))
    sheet.enter(sheet.name(layer), len(layer.output.shape), first)


def _softmax(sheet: Sheet, layer: Any) -> None:
    axis = layer.axis
    source = sheet.get(sheet.of(layer)[0], False)
    if not isinstance(axis, int):
        raise Unknown("softmax over several axes")
    sheet.node("Softmax", [source], sheet.name(layer), axis=axis)
    sheet.enter(sheet.name(layer), len(layer.output.shape))


def _as_it_lies(sheet: Sheet, layer: Any) -> tuple[str, bool]:
    (name,) = sheet.of(layer)
    return sheet.get(name, sheet.is_first(name)), sheet.is_first(name)


def _same(sheet: Sheet, layer: Any) -> None:
    """What does something in training only."""
    source, first = _as_it_lies(sheet, layer)
    sheet.node("Identity", [source], sheet.name(layer))
    sheet.enter(sheet.name(layer), len(layer.output.shape), first)


def _rescale(sheet: Sheet, layer: Any) -> None:
    source, first = _as_it_lies(sheet, layer)
    scale, offset = np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
    if scale.ndim or offset.ndim:
        raise Unknown("rescaling each channel otherwise")
    output = sheet.name(layer)
    scaled = sheet.node("Mul", [source, sheet.weight(scale, f"{output}_scale")], f"{output}_scaled")
    sheet.node("Add", [scaled, sheet.weight(offset, f"{output}_offset")], output)
    sheet.enter(output, len(layer.output.shape), first)


# --- layers with weights ---------------------------------------------------------------------------------------------


def _sliding(layer: Any) -> dict[str, Any]:
    ways = {"same": "SAME_UPPER", "valid": "VALID"}
    if layer.padding not in ways:
        raise Unknown(f"padding {layer.padding}")
    dilations = layer.dilation_rate if isinstance(layer.dilation_rate, (list, tuple)) else [layer.dilation_rate]
    given = {"auto_pad": ways[layer.padding], "strides": _sizes(layer.strides)}
    if any(step > 1 for step in dilations):
        given["dilations"] = _sizes(layer.dilation_rate)
    return given


def _sizes(value: Any) -> list[int]:
    return [int(one) for one in value] if isinstance(value, (list, tuple)) else [int(value)]


def _turned(kernel: Array) -> Array:
    """(..., channels in, channels out) to (channels out, channels in, ...)."""
    return np.transpose(kernel, (-1 % kernel.ndim, -2 % kernel.ndim, *range(kernel.ndim - 2)))


def _depthwise_kernel(kernel: Array) -> Array:
    """(..., channels, multiplier) to (channels * multiplier, 1, ...)."""
    joined = kernel.reshape(*kernel.shape[:-2], -1)
    return np.moveaxis(joined, -1, 0)[:, None]


def _conv(sheet: Sheet, layer: Any) -> None:
    kernel, *bias = _weights(layer)
    output = sheet.name(layer)
    inputs = [sheet.get(sheet.of(layer)[0], True), sheet.weight(_turned(kernel), f"{output}_kernel")]
    inputs += [sheet.weight(array, f"{output}_bias") for array in bias]
    made = sheet.node("Conv", inputs, f"{output}_conv", group=int(getattr(layer, "groups", 1)), **_sliding(layer))
    _end(sheet, layer, made, True)


def _depthwise(sheet: Sheet, layer: Any) -> None:
    kernel, *bias = _weights(layer)
    output = sheet.name(layer)
    turned = sheet.weight(_depthwise_kernel(kernel), f"{output}_kernel")
    inputs = [sheet.get(sheet.of(layer)[0], True), turned, *(sheet.weight(one, f"{output}_bias") for one in bias)]
    made = sheet.node("Conv", inputs, f"{output}_conv", group=kernel.shape[-2], **_sliding(layer))
    _end(sheet, layer, made, True)


def _separable(sheet: Sheet, layer: Any) -> None:
    depthwise, pointwise, *bias = _weights(layer)
    output = sheet.name(layer)
    turned = sheet.weight(_depthwise_kernel(depthwise), f"{output}_depthwise")
    source = sheet.get(sheet.of(layer)[0], True)
    spread = sheet.node("Conv", [source, turned], f"{output}_spread", group=depthwise.shape[-2], **_sliding(layer))
    inputs = [spread, sheet.weight(_turned(pointwise), f"{output}_pointwise")]
    inputs += [sheet.weight(array, f"{output}_bias") for array in bias]
    _end(sheet, layer, sheet.node("Conv", inputs, f"{output}_conv"), True)


def _dense(sheet: Sheet, layer: Any) -> None:
    kernel, *bias = _weights(layer)
    output = sheet.name(layer)
    source = sheet.get(sheet.of(layer)[0], False)
    made = sheet.node("MatMul", [source, sheet.weight(kernel, f"{output}_kernel")], f"{output}_product")
    for array in bias:
        made = sheet.node("Add", [made, sheet.weight(array, f"{output}_bias")], f"{output}_sum")
    _end(sheet, layer, made, False)


def _embed(sheet: Sheet, layer: Any) -> None:
    if layer.mask_zero:
        raise Unknown("an embedding that masks")
    (table,) = _weights(layer)
    output = sheet.name(layer)
    source = sheet.get(sheet.of(layer)[0], False)
    if "int" not in str(layer.input.dtype):
        source = sheet.node("Cast", [source], f"{output}_ids", to=TensorProto.INT32)
    sheet.node("Gather", [sheet.weight(table, f"{output}_table"), source], output, axis=0)
    sheet.enter(output, len(layer.output.shape))


def _normalise(sheet: Sheet, layer: Any) -> None:
    (name,) = sheet.of(layer)
    rank = sheet.rank(name)
    if layer.axis not in (-1, rank - 1):
        raise Unknown("normalising along another dimension")
    mean, variance = (np.asarray(one.numpy() if hasattr(one, "numpy") else one, np.float32) for one in _moments(layer))
    scale, shift = np.ones_like(mean), np.zeros_like(mean)
    given = iter(_weights(layer))
    scale = next(given) if layer.scale else scale
    shift = next(given) if layer.center else shift
    output, first = sheet.name(layer), rank > 2
    figures = {"scale": scale, "shift": shift, "mean": mean, "variance": variance}
    names = [sheet.weight(array, f"{output}_{what}") for what, array in figures.items()]
    sheet.node("BatchNormalization", [sheet.get(name, first), *names], output, epsilon=float(layer.epsilon))
    sheet.enter(output, rank, first)


def _moments(layer: Any) -> tuple[Any, Any]:
    *_, mean, variance = layer.get_weights()
    return mean, variance


# --- pools and shapes ------------------------------------------------------------------------------------------------


def _pool(sheet: Sheet, layer: Any) -> None:
    kind = "MaxPool" if type(layer).__name__.startswith("Max") else "AveragePool"
    ways = {"same": "SAME_UPPER", "valid": "VALID"}
    strides = _sizes(layer.strides if layer.strides is not None else layer.pool_size)
    source = sheet.get(sheet.of(layer)[0], True)
    figures = {"kernel_shape": _sizes(layer.pool_size), "strides": strides, "auto_pad": ways[layer.padding]}
    sheet.node(kind, [source], sheet.name(layer), **figures)
    sheet.enter(sheet.name(layer), len(layer.output.shape), True)


def _pool_all(sheet: Sheet, layer: Any) -> None:
    kind = "ReduceMax" if "Max" in type(layer).__name__ else "ReduceMean"
    (name,) = sheet.of(layer)
    first, rank = sheet.is_first(name), sheet.rank(name)
    axes = range(2, rank) if first else range(1, rank - 1)
    output = sheet.name(layer)
    places = sheet.weight(np.array(axes, np.int64), f"{output}_axes")
    sheet.node(kind, [sheet.get(name, first), places], output, keepdims=int(bool(layer.keepdims)))
    sheet.enter(output, len(layer.output.shape), first and bool(layer.keepdims))


def _reshape(sheet: Sheet, layer: Any) -> None:
    output = sheet.name(layer)
    sizes = [-1, *(layer.output.shape[1:])]
    if None in sizes:
        raise Unknown("a shape that is found when it runs")
    target = sheet.weight(np.array(sizes, np.int64), f"{output}_sizes")
    sheet.node("Reshape", [sheet.get(sheet.of(layer)[0], False), target], output)
    sheet.enter(output, len(sizes))


def _permute(sheet: Sheet, layer: Any) -> None:
    sheet.node("Transpose", [sheet.get(sheet.of(layer)[0], False)], sheet.name(layer), perm=[0, *layer.dims])
    sheet.enter(sheet.name(layer), len(layer.output.shape))


def _pad(sheet: Sheet, layer: Any) -> None:
    output = sheet.name(layer)
    sides = layer.padding if isinstance(layer.padding[0], (list, tuple)) else [layer.padding]
    before, after = [0, *(one[0] for one in sides), 0], [0, *(one[1] for one in sides), 0]
    pads = sheet.weight(np.array([*before, *after], np.int64), f"{output}_pads")
    sheet.node("Pad", [sheet.get(sheet.of(layer)[0], False), pads], output)
    sheet.enter(output, len(layer.output.shape))


# --- several into one ------------------------------------------------------------------------------------------------


def _merge(sheet: Sheet, layer: Any) -> None:
    kinds = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Maximum": "Max", "Minimum": "Min"}
    names = sheet.of(layer)
    first = all(map(sheet.is_first, names))
    made = sheet.get(names[0], first)
    output = sheet.name(layer)
    for place, name in enumerate(names[1:], 1):
        result = output if place == len(names) - 1 else f"{output}_{place}"
        made = sheet.node(kinds[type(layer).__name__], [made, sheet.get(name, first)], result)
    sheet.enter(output, len(layer.output.shape), first)


def _concatenate(sheet: Sheet, layer: Any) -> None:
    names = sheet.of(layer)
    first = all(map(sheet.is_first, names))
    rank = sheet.rank(names[0])
    axis = layer.axis % rank
    place = (0, *range(2, rank), 1)[axis] if first else axis
    sheet.node("Concat", [sheet.get(name, first) for name in names], sheet.name(layer), axis=place)
    sheet.enter(sheet.name(layer), rank, first)


LAYERS: dict[str, Write] = {
    "Conv1D": _conv,
    "Conv2D": _conv,
    "DepthwiseConv1D": _depthwise,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "Embedding": _embed,
    "BatchNormalization": _normalise,
    "Activation": _activation,
    "ReLU": _rectifier,
    "LeakyReLU": _leaky,
    "Softmax": _softmax,
    "Dropout": _same,
    "SpatialDropout1D": _same,
    "SpatialDropout2D": _same,
    "GaussianNoise": _same,
    "GaussianDropout": _same,
    "Rescaling": _rescale,
    "MaxPooling1D": _pool,
    "MaxPooling2D": _pool,
    "AveragePooling1D": _pool,
    "AveragePooling2D": _pool,
    "GlobalAveragePooling1D": _pool_all,
    "GlobalAveragePooling2D": _pool_all,
    "GlobalMaxPooling1D": _pool_all,
    "GlobalMaxPooling2D": _pool_all,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Permute": _permute,
    "ZeroPadding1D": _pad,
    "ZeroPadding2D": _pad,
    "Add": _merge,
    "Subtract": _merge,
    "Multiply": _merge,
    "Maximum": _merge,
    "Minimum": _merge,
    "Concatenate": _concatenate,
}
