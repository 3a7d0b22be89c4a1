"""Networks that the table of predictions asks: one of text, made here, and the same networks in Keras.

What is compared is the same network with the same weights everywhere: Keras's is built from the ONNX file, operator by
operator, on whatever backend this process has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

WORDS, LENGTH, DEPTH, FILTERS, CLASSES = 2000, 50, 32, 32, 6
WIDTHS = (1, 3, 5, 7)
POOL = 32
OPSET = 18
Array = npt.NDArray[Any]


def textcnn() -> bytes:
    """Token ids (n, 50) int32 to probabilities (n, 6); its weights are drawn, for it is only timed."""
    sheet = _Sheet(np.random.default_rng(0))
    embedded = sheet.node("Gather", [sheet.drawn("table", WORDS, DEPTH), "ids"], "embedded")
    vectors = sheet.node("Transpose", [embedded], "vectors", perm=[0, 2, 1])
    pooled = [_branch(sheet, vectors, width) for width in WIDTHS]
    joined = sheet.node("Concat", pooled, "joined", axis=1)
    flat = sheet.node("Flatten", [joined], "flat")
    scores = [flat, sheet.drawn("classes", CLASSES, FILTERS * len(WIDTHS)), sheet.drawn("classes_bias", CLASSES)]
    sheet.node("Softmax", [sheet.node("Gemm", scores, "scores", transB=1)], "probabilities", axis=1)
    graph = helper.make_graph(
        sheet.nodes,
        "textcnn",
        [helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", LENGTH])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES])],
        sheet.weights,
    )
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10
    ).SerializeToString()
    return content


class _Sheet:
    def __init__(self, random: np.random.Generator) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = random

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def drawn(self, name: str, *sizes: int) -> str:
        values = self._random.normal(0, 0.1, sizes).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name


def _branch(sheet: _Sheet, vectors: str, width: int) -> str:
    kernel, bias = sheet.drawn(f"kernel_{width}", FILTERS, DEPTH, width), sheet.drawn(f"bias_{width}", FILTERS)
    seen = sheet.node("Conv", [vectors, kernel, bias], f"seen_{width}", auto_pad="SAME_UPPER", kernel_shape=[width])
    kept = sheet.node("Relu", [seen], f"kept_{width}")
    return sheet.node("MaxPool", [kept], f"pooled_{width}", kernel_shape=[POOL], strides=[POOL])


# --- the same in Keras -----------------------------------------------------------------------------------------------


class Twin:
    """Builds Keras layers with an ONNX network's weights. Channels are last, as Keras wants them on a processor."""

    def __init__(self, content: bytes) -> None:
        model = onnx.load_from_string(content)
        self.nodes = list(model.graph.node)
        self._weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._source = next(value for value in model.graph.input if value.name not in self._weights)
        self._target = model.graph.output[0].name
        self._values: dict[str, Any] = {}

    def built(self) -> Any:
        import keras

        kind = self._source.type.tensor_type
        sizes = [dim.dim_value for dim in kind.shape.dim][1:]
        lying = [*sizes[1:], sizes[0]] if len(sizes) == 3 else sizes
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        door = keras.Input(lying, dtype=dtype, name=self._source.name)
        self._values[self._source.name] = door
        for node in self.nodes:
            self._values[node.output[0]] = _TWINS[node.op_type](self, node, keras.layers)
        return keras.Model(door, self._values[self._target])

    def inputs(self, node: onnx.NodeProto) -> list[Any]:
        return [self._values[name] for name in node.input if name in self._values]

    def weights(self, node: onnx.NodeProto) -> list[Array]:
        return [self._weights[name] for name in node.input if name in self._weights]


def _told(node: onnx.NodeProto) -> dict[str, Any]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def with_channels_last(batch: Array) -> Array:
    """What the twin is given for what ONNX is given."""
    return np.ascontiguousarray(batch.transpose(0, 2, 3, 1)) if batch.ndim == 4 else batch


def _conv(twin: Twin, node: onnx.NodeProto, layers: Any) -> Any:
    kernel, bias = twin.weights(node)
    told, (given,) = _told(node), twin.inputs(node)
    same = told.get("auto_pad") == b"SAME_UPPER" or any(told.get("pads", []))
    kind = layers.Conv1D if kernel.ndim == 3 else layers.Conv2D
    layer = kind(len(kernel), kernel.shape[2:], strides=told.get("strides", 1), padding="same" if same else "valid")
    made = layer(given)
    layer.set_weights([np.moveaxis(kernel, (0, 1), (-1, -2)), bias])
    return made


def _pool(twin: Twin, node: onnx.NodeProto, layers: Any) -> Any:
    told = _told(node)
    kind = layers.MaxPooling1D if len(told["kernel_shape"]) == 1 else layers.MaxPooling2D
    return kind(told["kernel_shape"], strides=told["strides"])(*twin.inputs(node))


def _dense(twin: Twin, node: onnx.NodeProto, layers: Any) -> Any:
    weights, bias = twin.weights(node)
    layer = layers.Dense(len(weights))
    made = layer(*twin.inputs(node))
    layer.set_weights([weights.T, bias])
    return made


def _embed(twin: Twin, node: onnx.NodeProto, layers: Any) -> Any:
    (table,) = twin.weights(node)
    layer = layers.Embedding(*table.shape)
    made = layer(*twin.inputs(node))
    layer.set_weights([table])
    return made


def _divide(twin: Twin, node: onnx.NodeProto, layers: Any) -> Any:
    (divisor,) = twin.weights(node)
    return layers.Rescaling(1 / float(divisor))(*twin.inputs(node))


_TWINS: dict[str, Callable[[Twin, onnx.NodeProto, Any], Any]] = {
    "Conv": _conv,
    "MaxPool": _pool,
    "Gemm": _dense,
    "Gather": _embed,
    "Div": _divide,
    "Relu": lambda twin, node, layers: layers.ReLU()(*twin.inputs(node)),
    "Add": lambda twin, node, layers: layers.Add()(twin.inputs(node)),
    "ReduceMean": lambda twin, node, layers: layers.GlobalAveragePooling2D()(*twin.inputs(node)),
    "Softmax": lambda twin, node, layers: layers.Softmax()(*twin.inputs(node)),
    "Transpose": lambda twin, node, _: twin.inputs(node)[0],  # Keras has the channels last already
    "Concat": lambda twin, node, layers: layers.Concatenate()(twin.inputs(node)),
    "Flatten": lambda twin, node, layers: layers.Flatten()(*twin.inputs(node)),
}
"""For the operators of these two networks, each as it stands there."""
