"""Networks in and forms out: any network, of pictures or of texts, each form held to the original's answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from manyfaces.errors import UsageError, WeightsError
from manyfaces.optimize import graph
from manyfaces.optimize.hurt import grouped, hurting, spared
from manyfaces.optimize.judge import Truth, ask, judge
from manyfaces.optimize.model import Kept, Order, Original, Quantisation, Unsupported
from manyfaces.optimize.onnx_writer import OnnxWriter
from manyfaces.optimize.readers import Asked, original_of, read, read_onnx
from manyfaces.optimize.samples import Data, draw
from manyfaces.optimize.writers import formats, quantisations, writer_of

pytest.importorskip("onnxruntime", reason="quantising needs the extra manyfaces[optimize]")

RANDOM = np.random.default_rng(3)


def weights(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(
        (RANDOM.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name
    )


def made(
    nodes: list[onnx.NodeProto], given: list[object], tensors: list[TensorProto], said: list[object]
) -> onnx.ModelProto:
    network = helper.make_graph(nodes, "net", given, said, tensors)
    return helper.make_model(network, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def pictures(batch: int | str = "n") -> onnx.ModelProto:
    """Two convolutions, a mean, a dense layer and a softmax."""
    nodes = [
        helper.make_node("Conv", ["pixels", "a"], ["maps"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["bent"]),
        helper.make_node("Conv", ["bent", "b"], ["more"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["more"], ["means"]),
        helper.make_node("Flatten", ["means"], ["vector"]),
        helper.make_node("Gemm", ["vector", "c"], ["logits"], name="dense", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    given = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, 12, 12])]
    said = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 5])]
    return made(nodes, given, [weights("a", 64, 3, 3, 3), weights("b", 64, 64, 3, 3), weights("c", 5, 64)], said)


def texts() -> onnx.ModelProto:
    """Token ids, an embedding, a convolution over them, the largest of each channel."""
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["embedded"], name="embedding"),
        helper.make_node("Transpose", ["embedded"], ["channels"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["channels", "w"], ["maps"], name="conv", pads=[1, 1]),
        helper.make_node("ReduceMax", ["maps", "axes"], ["largest"], keepdims=0),
        helper.make_node("Softmax", ["largest"], ["said"]),
    ]
    given = [helper.make_tensor_value_info("tokens", TensorProto.INT32, ["n", 50])]
    tensors = [weights("table", 2000, 16), weights("w", 64, 16, 3), numpy_helper.from_array(np.array([2]), "axes")]
    return made(nodes, given, tensors, [helper.make_tensor_value_info("said", TensorProto.FLOAT, ["n", 64])])


def network(model: onnx.ModelProto) -> tuple[Original, Data, Truth]:
    original = original_of(model, "net", "drawn up here", model.SerializeToString(), None)
    data = draw(original, graph.limits(onnx.load_from_string(original.onnx)))
    return original, data, ask(original.run, data.judged, data.labels)


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
@pytest.mark.parametrize("model", [pictures, texts])
def test_every_form_answers_like_the_original(
    tmp_path: Path, model: Callable[[], onnx.ModelProto], format_: str
) -> None:
    original, data, truth = network(model())
    writer = writer_of(formats(format_)[0])
    most: dict[Quantisation, float] = {"none": 1e-5, "weights": 0.01, "weights4": 0.2, "dynamic": 0.03, "static": 0.03}
    sizes = {}
    for quantisation in writer.quantisations:
        form = writer.write(original, Order(quantisation, tmp_path / quantisation, data.calibration))
        verdict = judge(writer.open(form, 1), truth)
        assert verdict.relative < most[quantisation], (quantisation, verdict)
        assert verdict.classes
        sizes[quantisation] = form.size
    assert sizes["weights"] < sizes["none"]
    assert sizes["weights4"] < sizes["weights"]
    assert sizes["static"] < sizes["none"]


def test_static_computes_in_whole_numbers(tmp_path: Path) -> None:
    """ONNX Runtime's own optimiser finds convolutions and dense layers that it can do without a float."""
    onnxruntime = pytest.importorskip("onnxruntime")
    original, data, _ = network(pictures())
    form = OnnxWriter().write(original, Order("static", tmp_path / "net", data.calibration))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(form.paths[0]), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node]
    assert kinds.count("QLinearConv") == 2
    assert "Conv" not in kinds
    assert "Gemm" not in kinds


def test_a_layer_that_is_kept_is_not_rounded(tmp_path: Path) -> None:
    original, data, truth = network(pictures())
    writer = OnnxWriter()
    order = Order("static", tmp_path / "all", data.calibration)
    rounded = judge(writer.open(writer.write(original, order), 1), truth)
    assert {"first", "second", "dense"} <= set(writer.layers(original))
    everything = tuple(Kept(layer, "tried") for layer in writer.layers(original))
    form = writer.write(original, Order("static", tmp_path / "none", data.calibration, everything))
    assert judge(writer.open(form, 1), truth).relative < 1e-6 < rounded.relative
    assert form.kept == everything


def spoilt() -> onnx.ModelProto:
    """Its second convolution has a weight in every channel so large that 8 bits leave little of its neighbours."""
    model = pictures()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name == "b":
            values[:, 0, 0, 0] = 20.0
        tensor.CopyFrom(numpy_helper.from_array(values * (0.02 if tensor.name == "c" else 1), tensor.name))
    return model


def test_the_layer_that_hurts_is_found_and_kept(tmp_path: Path) -> None:
    original, data, truth = network(spoilt())
    writer = OnnxWriter()
    order = Order("static", tmp_path / "net", data.calibration)
    before = judge(writer.open(writer.write(original, order), 1), truth)
    found = hurting(writer, original, order, truth)
    assert len(found) == len(writer.layers(original))
    assert found[0].relative >= found[-1].relative
    assert "moves the answers by" in found[0].why
    assert found[0].layers == ("second",)
    form, verdict = spared(writer, original, order, truth, found, max_drop=before.drop / 2)
    assert form.kept
    assert form.kept[0].layer in found[0].layers
    assert verdict.relative < before.relative


def test_long_networks_are_tried_in_groups_of_neighbours() -> None:
    layers = [str(number) for number in range(53)]
    groups = grouped(layers, 24)
    assert len(groups) == 24
    assert [layer for group in groups for layer in group] == layers
    assert {len(group) for group in groups} == {2, 3}
    assert grouped([]) == []
    assert grouped(["a", "b"]) == [("a",), ("b",)]


def test_a_fixed_batch_is_freed() -> None:
    model = pictures(1)
    model.graph.node[4].CopyFrom(helper.make_node("Reshape", ["means", "shape"], ["vector"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 64]), "shape"))
    original = original_of(model, "net", "fixed", b"", None)
    rows = np.random.default_rng(0).standard_normal((3, 3, 12, 12)).astype(np.float32)
    together = original.run({"pixels": rows})["probabilities"]
    alone = np.concatenate([original.run({"pixels": rows[i : i + 1]})["probabilities"] for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_network_without_a_batch_is_refused() -> None:
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])]
    summed = made(nodes, given, [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])])
    with pytest.raises(WeightsError, match="its output 'y' has shape"):
        original_of(summed, "net", "", b"", None)
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [])]
    single = made([helper.make_node("Relu", ["x"], ["y"])], given, [], [helper.make_tensor_value_info("y", 1, [])])
    with pytest.raises(WeightsError, match="its input 'x' has no batch dimension"):
        original_of(single, "net", "", b"", None)


def test_an_operator_that_a_runtime_lacks_is_named() -> None:
    nodes = [helper.make_node("Twirl", ["x"], ["y"], domain="com.example")]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])]
    model = made(nodes, given, [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])])
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(Unsupported, match="Twirl"):
        original_of(model, "net", "", b"", None)
    original, data, _ = network(texts())
    odd = original.__class__("net", "", original.inputs, original.outputs, original.run, model.SerializeToString(), "1")
    with pytest.raises(Unsupported, match="Twirl"):
        writer_of("openvino").write(odd, Order("none", Path("never"), data.calibration))


def test_files_that_are_no_networks_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"no network", pictures().SerializeToString()[:-400]):
        (tmp_path / "net.onnx").write_bytes(content)
        with pytest.raises(WeightsError, match=r"net\.onnx: "):
            read_onnx(tmp_path / "net.onnx")
    (tmp_path / "net.xyz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"networks of the kind '\.xyz' are unknown"):
        read(Asked(str(tmp_path / "net.xyz")))
    with pytest.raises(WeightsError, match="there is no such network"):
        read(Asked(str(tmp_path / "nowhere.onnx")))


def test_what_is_asked_for_must_be_known() -> None:
    assert formats("openvino, onnx") == ("openvino", "onnx")
    assert quantisations("static") == ("none", "static")
    for wrong in ("onnx,coreml", "", ","):
        with pytest.raises(UsageError, match="--to"):
            formats(wrong)
    with pytest.raises(UsageError, match="--quantize int3: there is no such one; known are none, weights"):
        quantisations("int3")


@pytest.mark.parametrize("quantisation", ["weights", "dynamic", "static"])
def test_a_tensor_called_like_what_quantisers_add_is_no_stumbling_block(
    tmp_path: Path, quantisation: Quantisation
) -> None:
    """As Keras and others call what scales a batch normalisation."""
    model = pictures()
    model.graph.node[2].output[0] = "maps_zero_point"
    norm = ["maps_zero_point", "more_scale", "more_quantized", "mean", "variance"]
    model.graph.node.insert(3, helper.make_node("BatchNormalization", norm, ["more"], name="norm"))
    numbers = {"more_scale": 1.5, "more_quantized": 0.1, "mean": 0.0, "variance": 1.0}
    model.graph.initializer.extend(numpy_helper.from_array(np.full(64, at, np.float32), x) for x, at in numbers.items())
    original, data, truth = network(model)
    writer = OnnxWriter()
    form = writer.write(original, Order(quantisation, tmp_path / "net", data.calibration))
    assert judge(writer.open(form, 1), truth).relative < 0.03


def test_a_fixed_reshape_of_pytorch_is_freed() -> None:
    """Its exporter says of each that zeros are meant as zeros."""
    model = pictures(1)
    model.graph.node[4].CopyFrom(helper.make_node("Reshape", ["means", "shape"], ["vector"], allowzero=1))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 64]), "shape"))
    original = original_of(model, "net", "fixed", b"", None)
    assert original.run({"pixels": np.ones((3, 3, 12, 12), np.float32)})["probabilities"].shape == (3, 5)


def test_what_is_no_number_is_said_and_not_judged() -> None:
    original, data, _ = network(pictures())
    spoilt = {"pixels": np.full((2, 3, 12, 12), np.nan, np.float32)}
    with pytest.raises(WeightsError, match="the data hold NaN as 'pixels'"):
        ask(original.run, [spoilt], data.labels)
    model = pictures()
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.full((5, 64), np.nan, np.float32), "c"))
    with pytest.raises(WeightsError, match="the network itself answers 'probabilities' with NaN"):
        network(model)
