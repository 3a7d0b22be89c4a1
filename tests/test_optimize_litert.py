"""LiteRT files written from ONNX: every operator answers as before, in every form, for every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from manyfaces.bench.networks import textcnn
from manyfaces.errors import WeightsError
from manyfaces.optimize import litert, litert_operators
from manyfaces.optimize.model import Form, Kept, Order, Original, Unsupported
from manyfaces.optimize.readers import original_of, read_packaged
from manyfaces.optimize.samples import Drawn

pytest.importorskip("ai_edge_litert", reason="the extra [litert] is not installed")

Array = npt.NDArray[Any]
random = np.random.default_rng(5)
CLOSE = 1e-5


def drawn(*sizes: int) -> Array:
    return random.normal(0, 0.5, sizes).astype(np.float32)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def network(
    nodes: Sequence[onnx.NodeProto],
    sizes: Sequence[int],
    weights: dict[str, Array],
    kind: int = TensorProto.FLOAT,
    answer: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """From `x` to `y`, with a free batch."""
    graph = helper.make_graph(
        nodes,
        "tested",
        [helper.make_tensor_value_info("x", kind, ["batch", *sizes])],
        [helper.make_tensor_value_info("y", answer, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def one(kind: str, sizes: Sequence[int], *weights: Array, **attributes: Any) -> onnx.ModelProto:
    """A network of one operator."""
    names = {f"w{place}": array for place, array in enumerate(weights)}
    return network([helper.make_node(kind, ["x", *names], ["y"], **attributes)], sizes, names)


def chain(sizes: Sequence[int], *steps: tuple[Any, ...]) -> onnx.ModelProto:
    """Operators one after the other: kind, constants, attributes."""
    nodes, weights, last = [], {}, "x"
    for place, (kind, constants, attributes) in enumerate(steps):
        names = {f"w{place}_{number}": array for number, array in enumerate(constants)}
        weights |= names
        output = "y" if place == len(steps) - 1 else f"v{place}"
        nodes.append(helper.make_node(kind, [last, *names], [output], **attributes))
        last = output
    return network(nodes, sizes, weights)


PICTURE, LINE, ROW = (3, 8, 9), (4, 10), (6,)
ONE_EACH = {"pads": [1, 1, 1, 1]}
CASES: dict[str, onnx.ModelProto] = {
    "convolution": one("Conv", PICTURE, drawn(5, 3, 3, 3), drawn(5)),
    "convolution with strides": one("Conv", PICTURE, drawn(5, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    "padded as TensorFlow does": one("Conv", PICTURE, drawn(5, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
    "convolution padded the other way": one("Conv", PICTURE, drawn(5, 3, 2, 2), auto_pad="SAME_LOWER"),
    "convolution with holes": one("Conv", PICTURE, drawn(5, 3, 3, 3), dilations=[2, 2]),
    "depthwise convolution": one("Conv", PICTURE, drawn(6, 1, 3, 3), drawn(6), group=3, **ONE_EACH),
    "convolution along a line": one("Conv", LINE, drawn(5, 4, 3), drawn(5), pads=[1, 1]),
    "even convolution along a line": one("Conv", LINE, drawn(5, 4, 4), auto_pad="SAME_UPPER"),
    "largest of windows": one("MaxPool", PICTURE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "largest along a line": one("MaxPool", LINE, kernel_shape=[4], strides=[4]),
    "mean of windows": one("AveragePool", PICTURE, kernel_shape=[2, 3], strides=[2, 2]),
    "mean of padded windows": one("AveragePool", PICTURE, kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
    "mean of everything": one("GlobalAveragePool", PICTURE),
    "mean along dimensions": one("ReduceMean", PICTURE, whole(2, 3), keepdims=0),
    "mean of channels": one("ReduceMean", PICTURE, whole(1), keepdims=1),
    "sum along one dimension": one("ReduceSum", PICTURE, whole(-1), keepdims=0),
    "product": one("Gemm", ROW, drawn(6, 4), drawn(4)),
    "product turned and scaled": one("Gemm", ROW, drawn(4, 6), drawn(4), transB=1, alpha=0.5, beta=2.0),
    "product of more dimensions": one("MatMul", (5, 6), drawn(6, 4)),
    "normalisation": one("BatchNormalization", PICTURE, drawn(3), drawn(3), drawn(3), abs(drawn(3)) + 0.5),
    "rectifier with slopes": one("PRelu", PICTURE, drawn(3, 1, 1)),
    "leaky rectifier": one("LeakyRelu", PICTURE, alpha=0.3),
    "limits of six": one("Clip", PICTURE, np.float32(0), np.float32(6)),
    "other limits": one("Clip", PICTURE, np.float32(-0.2), np.float32(0.3)),
    "hard sigmoid": one("HardSigmoid", PICTURE, alpha=1 / 6, beta=0.5),
    "sigmoid": one("Sigmoid", PICTURE),
    "tangent": one("Tanh", PICTURE),
    "exponential unit": one("Elu", PICTURE),
    "hard swish": one("HardSwish", PICTURE),
    "softmax of rows": one("Softmax", ROW, axis=1),
    "softmax of channels": one("Softmax", PICTURE, axis=1),
    "plus a number": one("Add", PICTURE, np.float32(1.5)),
    "minus for each channel": one("Sub", PICTURE, drawn(3, 1, 1)),
    "divided": one("Div", PICTURE, abs(drawn(1, 3, 1, 9)) + 1),
    "to a power": one("Pow", PICTURE, np.float32(2)),
    "turned": one("Transpose", PICTURE, perm=[0, 3, 1, 2]),
    "channels last": one("Transpose", PICTURE, perm=[0, 2, 3, 1]),
    "flat": one("Flatten", PICTURE),
    "reshaped": one("Reshape", PICTURE, whole(0, 4, -1)),
    "cut": one("Slice", PICTURE, whole(1, 2), whole(7, 9), whole(2, 3), whole(2, 1)),
    "padded": one("Pad", PICTURE, whole(0, 0, 1, 2, 0, 1, 0, 1)),
    "enlarged": one("Resize", PICTURE, np.float32([]), np.float32([1, 1, 2, 2]), mode="nearest",
                    coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "convolved, normalised and rectified": chain(
        PICTURE,
        ("Conv", [drawn(5, 3, 3, 3)], ONE_EACH),
        ("BatchNormalization", [drawn(5), drawn(5), drawn(5), abs(drawn(5)) + 0.5], {}),
        ("Relu", [], {}),
        ("Conv", [drawn(5, 1, 3, 3)], {"group": 5, **ONE_EACH}),
        ("Mul", [drawn(5, 1, 1)], {}),
        ("Add", [drawn(1, 5, 1, 1)], {}),
        ("Clip", [np.float32(0), np.float32(6)], {}),
        ("Flatten", [], {}),
        ("MatMul", [drawn(360, 4)], {}),
        ("Sub", [drawn(4)], {}),
        ("Div", [np.float32(0.7)], {}),
        ("Softmax", [], {"axis": 1}),
    ),
    "turned and turned back": chain(
        (8, 9, 3),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
        ("Conv", [drawn(5, 3, 3, 3)], {}),
        ("Transpose", [], {"perm": [0, 2, 3, 1]}),
        ("Relu", [], {}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
        ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ),
}  # fmt: skip


def branches() -> onnx.ModelProto:
    """What a residual block, gates and joints need: values that several read."""
    nodes = [
        helper.make_node("Conv", ["x", "k1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["e"]),
        helper.make_node("Mul", ["c", "e"], ["f"]),
        helper.make_node("Concat", ["f", "x"], ["g"], axis=1),
        helper.make_node("Split", ["g", "parts"], ["h", "i"], axis=1),
        helper.make_node("Conv", ["h", "k2"], ["j"]),
        helper.make_node("Add", ["j", "i"], ["y"]),
    ]
    return network(nodes, PICTURE, {"k1": drawn(3, 3, 3, 3), "k2": drawn(4, 2, 1, 1), "parts": whole(2, 4)})


CASES["branches"] = branches()


def original(model: onnx.ModelProto, name: str = "tested") -> Original:
    return original_of(model, name, "a test", b"", None)


def samples(source: Original, rows: int = 16) -> Drawn:
    return Drawn(source.inputs, {"x": 20, "ids": 2000}, rows)


def order(source: Original, folder: Path, **more: Any) -> Order:
    return Order(**{"quantisation": "none", "stem": folder / "made.some", "samples": samples(source), **more})


@pytest.mark.parametrize("case", CASES)
def test_every_operator_answers_as_before_for_every_batch(case: str) -> None:
    source = original(CASES[case])
    run = litert.opened(litert.converted(source.onnx)[0], 1)
    for rows in (1, 4, 2):
        given = next(iter(samples(source, rows)))
        np.testing.assert_allclose(run(given)["y"], source.run(given)["y"], atol=CLOSE, rtol=CLOSE)


def test_transposes_that_only_say_the_order_anew_cost_nothing() -> None:
    content, _ = litert.converted(original(CASES["turned and turned back"]).onnx)
    assert operators(content).count("TRANSPOSE") == 1  # the answer has its channels first, as ONNX says


def test_normalisation_and_activation_go_into_the_layer_before() -> None:
    content, layers = litert.converted(original(CASES["convolved, normalised and rectified"]).onnx)
    found = operators(content)
    assert not {"MUL", "ADD", "SUB", "DIV", "RELU", "RELU6"} & set(found)
    assert len(layers) == 3


def operators(content: bytes) -> list[str]:
    from ai_edge_litert import schema_py_generated as drawn_schema

    model = drawn_schema.ModelT.InitFromPackedBuf(content, 0)
    names = {value: name for name, value in vars(drawn_schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [names[code.builtinCode] for code in model.operatorCodes]
    return [codes[one.opcodeIndex] for one in model.subgraphs[0].operators]


# --- what cannot be --------------------------------------------------------------------------------------------------


def test_operators_that_are_lacking_are_named() -> None:
    model = chain(ROW, ("Erf", [], {}), ("Asinh", [], {}))
    with pytest.raises(Unsupported, match="Asinh, Erf"):
        litert.converted(original(model).onnx)


def test_an_open_size_is_told_with_its_input() -> None:
    model = one("Relu", PICTURE)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(Unsupported, match=r"x: .* every size but the batch"):
        litert.converted(original(model).onnx)


def test_what_runs_across_the_batch_is_refused() -> None:
    model = chain((4, 4), ("Reshape", [whole(-1, 2)], {}), ("ReduceMax", [whole(0)], {"keepdims": 1}))
    with pytest.raises(Unsupported, match="across the batch"):
        litert.converted(model.SerializeToString())


def test_another_answer_than_the_originals_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(litert_operators.RULES, "Sigmoid", litert_operators.RULES["Tanh"])
    source = original(CASES["sigmoid"])
    with pytest.raises(Unsupported, match=r"gives another y than tested \(by"):
        litert.LiteRtWriter().write(source, order(source, tmp_path))
    assert not list(tmp_path.iterdir())


def test_no_samples_and_no_file_are_told(tmp_path: Path) -> None:
    source = original(CASES["product"])
    with pytest.raises(WeightsError, match="no samples"):
        litert.LiteRtWriter().write(source, order(source, tmp_path, samples=[]))
    (tmp_path / "broken.tflite").write_bytes(b"TFL3 it is not")
    for name in ("broken.tflite", "missing.tflite"):
        with pytest.raises(WeightsError, match=f"{name}: cannot be run by LiteRT"):
            litert.LiteRtWriter().open(Form("litert", "none", (tmp_path / name,)), 1)


# --- fewer bits ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Original:
    """Enough weights to be worth quantising."""
    return original(
        chain(
            PICTURE,
            ("Conv", [drawn(16, 3, 3, 3), drawn(16)], ONE_EACH),
            ("Relu", [], {}),
            ("Conv", [drawn(64, 16, 3, 3) / 3], ONE_EACH),
            ("Relu", [], {}),
            ("ReduceMean", [whole(2, 3)], {"keepdims": 0}),
            ("Gemm", [drawn(64, 5), drawn(5)], {}),
            ("Softmax", [], {"axis": 1}),
        ),
        "small",
    )


@pytest.mark.parametrize(("how", "near"), [("weights", 0.02), ("weights4", 0.4), ("dynamic", 0.03), ("static", 0.05)])
def test_fewer_bits_make_a_smaller_file_that_answers_nearly_the_same(
    small: Original, tmp_path: Path, how: Any, near: float
) -> None:
    writer = litert.LiteRtWriter()
    plain = writer.write(small, order(small, tmp_path, stem=tmp_path / "plain"))
    form = writer.write(small, order(small, tmp_path, quantisation=how))
    assert form.paths == (tmp_path / "made.some.tflite",)
    assert form.size < 0.6 * plain.size
    given = next(iter(samples(small)))
    said = writer.open(form, 1)(given)["y"]
    assert 0 < np.abs(said - small.run(given)["y"]).max() < near


def test_whole_numbers_at_the_doors_answer_the_same(small: Original, tmp_path: Path) -> None:
    writer = litert.LiteRtWriter(doors="int8")
    form = writer.write(small, order(small, tmp_path, quantisation="static"))
    assert {door["dtype"] for door in doors(form.paths[0])} == {np.int8}
    given = next(iter(samples(small)))
    said = writer.open(form, 1)(given)["y"]
    assert said.dtype == np.float32
    np.testing.assert_allclose(said, small.run(given)["y"], atol=0.05)


def doors(path: Path) -> list[dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=path.read_bytes())
    return [*interpreter.get_input_details(), *interpreter.get_output_details()]


def test_a_layer_that_is_to_stay_in_float_does(small: Original, tmp_path: Path) -> None:
    writer = litert.LiteRtWriter()
    layers = writer.layers(small)
    kept = (Kept(layers[1], "it hurts"),)
    all_small = writer.write(small, order(small, tmp_path, quantisation="static", stem=tmp_path / "all"))
    one_float = writer.write(small, order(small, tmp_path, quantisation="static", keep=kept))
    assert (all_small.kept, one_float.kept) == ((), kept)
    assert one_float.size > all_small.size + 2.5 * 64 * 16 * 9  # three bytes more for each weight, less its scales


def test_trying_layer_after_layer_walks_through_the_samples_once(small: Original, tmp_path: Path) -> None:
    walked = Counting(samples(small))
    writer = litert.LiteRtWriter()
    for layer in writer.layers(small):
        writer.write(small, order(small, tmp_path, quantisation="static", keep=(Kept(layer, "tried"),), samples=walked))
    assert walked.batches == 1 + len(writer.layers(small))  # one to compare with for each form


class Counting:
    """Samples that know how many of their batches were taken."""

    def __init__(self, within: Drawn) -> None:
        self._within, self.batches = within, 0

    def __iter__(self) -> Iterator[Any]:
        for batch in self._within:
            self.batches += 1
            yield batch


def test_an_operator_that_a_rule_stumbles_over_is_named() -> None:
    """Slopes that the network reckons itself."""
    slopes = [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("PRelu", ["x", "s"], ["y"], name="sloped")]
    with pytest.raises(Unsupported, match=r"PRelu \(sloped\)"):
        litert.converted(network(slopes, ROW, {}).SerializeToString())


def test_what_no_kernel_exists_for_is_told_as_kept(tmp_path: Path) -> None:
    source = original(chain(PICTURE, ("Conv", [drawn(96, 1, 3, 3)], {"group": 3}), ("Flatten", [], {})))
    form = litert.LiteRtWriter().write(source, order(source, tmp_path, quantisation="weights4"))
    assert [one.why for one in form.kept] == [litert_quantise_reason()]


def litert_quantise_reason() -> str:
    from manyfaces.optimize.litert_quantise import NO_KERNEL

    return NO_KERNEL


# --- whole networks --------------------------------------------------------------------------------------------------


def test_the_packaged_emotion_network_answers_the_same(tmp_path: Path) -> None:
    source = read_packaged("emotion")
    form = litert.LiteRtWriter().write(source, order(source, tmp_path, samples=samples(source, 3)))
    given = next(iter(samples(source, 2)))
    said = litert.LiteRtWriter().open(form, 1)(given)
    np.testing.assert_allclose(said["probabilities"], source.run(given)["probabilities"], atol=1e-5)


@pytest.mark.parametrize("how", ["none", "weights", "weights4", "dynamic", "static"])
def test_a_network_of_text_takes_whole_numbers(tmp_path: Path, how: Any) -> None:
    source = original(onnx.load_from_string(textcnn()), "textcnn")
    writer = litert.LiteRtWriter()
    form = writer.write(source, order(source, tmp_path, quantisation=how))
    assert form.kept == ()
    ids = np.array([[1] * 50], np.int32)
    said = writer.open(form, 1)({"ids": ids})["probabilities"]
    assert said.shape == (1, 6)
    np.testing.assert_allclose(said, source.run({"ids": ids})["probabilities"], atol=0.05 if how != "none" else 1e-5)
    if how != "none":
        assert form.size < 120_000  # the table alone has 256,000 bytes in float
