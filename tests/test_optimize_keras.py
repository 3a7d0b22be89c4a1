"""Keras files of every kind come in, and say in ONNX and LiteRT what they say in Keras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manyfaces.errors import MissingExtra, UsageError, WeightsError
from manyfaces.optimize import keras_files, keras_reader
from manyfaces.optimize.keras_reader import read_keras
from manyfaces.optimize.model import Order, Original
from manyfaces.optimize.readers import Asked, read
from manyfaces.optimize.runs import open_reference
from manyfaces.optimize.samples import Drawn

pytestmark = pytest.mark.skipif(
    not all(find_spec(name) for name in ("keras", "torch", "h5py")), reason="the extra [keras] is not installed"
)
CLOSE = 1e-4


@pytest.fixture(scope="module")
def keras() -> Any:
    return keras_files.library()


@contextmanager
def quiet() -> Iterator[Any]:
    """Keras warns while it builds and saves; here it is only a tool."""
    with keras_files.quietly():
        yield keras_files.library().layers


def mini_xception() -> Any:
    """The network of the well-known FER files: 58,423 numbers, 64 x 64 grey pixels in, seven probabilities out."""
    keras = keras_files.library()
    with quiet() as layers:
        door = keras.Input((64, 64, 1))
        value = door
        for _ in range(2):
            value = layers.Conv2D(8, 3, use_bias=False)(value)
            value = layers.Activation("relu")(layers.BatchNormalization()(value))
        for width in (16, 32, 64, 128):
            value = _block(layers, value, width)
        value = layers.GlobalAveragePooling2D()(layers.Conv2D(7, 3, padding="same")(value))
        network = keras.Model(door, layers.Activation("softmax", name="predictions")(value))
        return stirred(network)


def _block(layers: Any, value: Any, width: int) -> Any:
    around = layers.Conv2D(width, 1, strides=2, padding="same", use_bias=False)(value)
    around = layers.BatchNormalization()(around)
    through = layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(value)
    through = layers.Activation("relu")(layers.BatchNormalization()(through))
    through = layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(through)
    through = layers.MaxPooling2D(3, strides=2, padding="same")(layers.BatchNormalization()(through))
    return layers.add([through, around])


def stirred(network: Any) -> Any:
    """With weights as after a training: normalisations that do something."""
    random = np.random.default_rng(3)
    weights = [random.uniform(0.5, 1.5, one.shape) if one.ndim == 1 else one for one in network.get_weights()]
    network.set_weights(weights)
    return network


def textcnn() -> Any:
    keras = keras_files.library()
    with quiet() as layers:
        door = keras.Input((50,), dtype="int32")
        embedded = layers.Embedding(300, 16)(door)
        seen = [layers.Conv1D(8, width, padding="same", activation="relu")(embedded) for width in (2, 3, 4, 5)]
        joined = layers.concatenate([layers.MaxPooling1D(32)(one) for one in seen])
        return keras.Model(door, layers.Dense(6, activation="softmax")(layers.Dropout(0.5)(layers.Flatten()(joined))))


def save(network: Any, path: Path) -> Path:
    with quiet():
        network.save(path)
    return path


@pytest.fixture(scope="module")
def mini(keras: Any) -> Any:
    return mini_xception()


def given(source: Original, rows: int) -> dict[str, Any]:
    return dict(next(iter(Drawn(source.inputs, {"x": 300}, rows))))


def onnx_agrees(source: Original) -> None:
    said = open_reference(source.onnx, source.outputs)
    for rows in (1, 3):
        inputs = given(source, rows)
        for name, meant in source.run(inputs).items():
            np.testing.assert_allclose(said(inputs)[name], meant, atol=CLOSE)


# --- files of every age ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
def test_a_mini_xception_goes_in_and_onnx_and_litert_come_out(mini: Any, tmp_path: Path, suffix: str) -> None:
    source = read_keras(save(mini, tmp_path / f"emotions{suffix}"))
    assert [(port.shape, port.dtype) for port in source.inputs] == [((None, 64, 64, 1), "float32")]
    assert [(port.name, port.shape) for port in source.outputs] == [("predictions", (None, 7))]
    pixels = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 1)).astype(np.float32)
    with quiet():
        meant = mini.predict(pixels, verbose=0)
    inputs = {source.inputs[0].name: pixels}
    assert meant.std() > 0.01
    said = open_reference(source.onnx, source.outputs)(inputs)["predictions"]
    np.testing.assert_allclose(said, meant, atol=CLOSE)
    np.testing.assert_allclose(litert_answer(source, inputs, tmp_path)["predictions"], meant, atol=CLOSE)


def litert_answer(source: Original, inputs: dict[str, Any], folder: Path) -> Any:
    pytest.importorskip("ai_edge_litert", reason="the extra [litert] is not installed")
    from manyfaces.optimize.litert import LiteRtWriter

    writer = LiteRtWriter()
    samples = Drawn(source.inputs, dict.fromkeys(inputs, 300), 8)
    return writer.open(writer.write(source, Order("none", folder / "made", samples)), 1)(inputs)


@pytest.mark.parametrize("named", ["net.json", "net.weights.h5"])
def test_a_definition_and_its_weights_are_found_by_either(mini: Any, tmp_path: Path, named: str) -> None:
    (tmp_path / "net.json").write_text(mini.to_json())
    with quiet():
        mini.save_weights(tmp_path / "net.weights.h5")
    source = read_keras(tmp_path / named)
    inputs = given(source, 2)
    with quiet():
        meant = mini.predict(inputs["input_layer"], verbose=0)
    np.testing.assert_allclose(source.run(inputs)["predictions"], meant, atol=1e-5)


def test_a_network_of_text_takes_whole_numbers(keras: Any, tmp_path: Path) -> None:
    source = read_keras(save(textcnn(), tmp_path / "text.keras"))
    (port,), (said,) = source.inputs, source.outputs
    assert (port.shape, port.dtype) == ((None, 50), "int32")
    ids = {port.name: np.array([[1] * 50], np.int32)}
    meant = source.run(ids)[said.name]
    assert meant.shape == (1, 6)
    np.testing.assert_allclose(open_reference(source.onnx, source.outputs)(ids)[said.name], meant, atol=CLOSE)
    np.testing.assert_allclose(litert_answer(source, ids, tmp_path)[said.name], meant, atol=CLOSE)


# --- layers ----------------------------------------------------------------------------------------------------------

PICTURE, LINE, ROW = (12, 10, 4), (12, 4), (6,)
LAYERS: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "strides": (PICTURE, lambda of: of.Conv2D(5, 3, strides=2, padding="same", activation="elu")),
    "holes": (PICTURE, lambda of: of.Conv2D(5, 3, dilation_rate=2)),
    "groups": (PICTURE, lambda of: of.Conv2D(6, 3, groups=2)),
    "depthwise": (PICTURE, lambda of: of.DepthwiseConv2D(3, depth_multiplier=2, activation="relu6")),
    "separable line": (LINE, lambda of: of.SeparableConv1D(5, 3, padding="same", activation="silu")),
    "dense on lines": (LINE, lambda of: of.Dense(5, activation="tanh")),
    "softmax inside": (PICTURE, lambda of: of.Conv2D(5, 1, activation="softmax")),
    "normalised rows": (ROW, lambda of: of.BatchNormalization(scale=False)),
    "rectifier": (ROW, lambda of: of.ReLU(max_value=0.5)),
    "sloped rectifier": (ROW, lambda of: of.ReLU(negative_slope=0.1)),
    "leaky": (PICTURE, lambda of: of.LeakyReLU(negative_slope=0.2)),
    "softmax": (ROW, lambda of: of.Softmax()),
    "rescaled": (PICTURE, lambda of: of.Rescaling(1 / 255, offset=-0.5)),
    "mean pool": (PICTURE, lambda of: of.AveragePooling2D(3, strides=2)),
    "all of it": (PICTURE, lambda of: of.GlobalMaxPooling2D(keepdims=True)),
    "mean of lines": (LINE, lambda of: of.GlobalAveragePooling1D()),
    "reshaped": (PICTURE, lambda of: of.Reshape((4, 30, 4))),
    "permuted": (PICTURE, lambda of: of.Permute((3, 1, 2))),
    "padded": (PICTURE, lambda of: of.ZeroPadding2D(((1, 2), (0, 1)))),
    "hard sigmoid": (ROW, lambda of: of.Activation("hard_sigmoid")),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_are_said_in_onnx_one_by_one(
    keras: Any, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_reader, "_exported", never)
    sizes, make = LAYERS[case]
    with quiet() as layers:
        network = keras.Sequential([keras.Input(sizes, name="x"), make(layers), layers.Activation("linear")])
        stirred(network)
    onnx_agrees(read_keras(save(network, tmp_path / "net.keras")))


def never(_network: Any) -> Any:
    raise AssertionError("the exporter was asked")


def test_values_meet_in_whatever_order_they_lie(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_reader, "_exported", never)
    with quiet() as layers:
        door, other = keras.Input(PICTURE, name="x"), keras.Input((4,), name="gates")
        seen = layers.Conv2D(4, 3, padding="same")(door)
        most = layers.Maximum()([seen, door])
        joined = layers.Concatenate()([seen, most, layers.Multiply()([seen, layers.Reshape((1, 1, 4))(other)])])
        ends = [layers.Subtract()([seen, door]), layers.Concatenate(axis=1)([joined, joined])]
        network = keras.Model([door, other], ends)
    source = read_keras(save(network, tmp_path / "net.keras"))
    assert [port.name for port in source.inputs] == ["x", "gates"]
    onnx_agrees(source)


def test_layers_that_are_not_known_go_through_the_exporter(keras: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra [train] is not installed")
    with quiet() as layers:
        network = keras.Sequential([keras.Input((6,), name="x"), layers.Dense(4), layers.UnitNormalization()])
    source = read_keras(save(network, tmp_path / "net.keras"))
    assert source.inputs[0].shape == (None, 6)
    onnx_agrees(source)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_layer_in_two_places_goes_through_the_exporter(keras: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra [train] is not installed")
    with quiet() as layers:
        door, both = keras.Input((6,), name="x"), layers.Dense(6)
        network = keras.Model(door, layers.ReLU()(both(layers.ReLU()(both(door)))))
    onnx_agrees(read_keras(save(network, tmp_path / "net.keras")))


def test_a_lambda_is_code_and_refused_until_trusted(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="the extra [train] is not installed")
    with quiet() as layers:
        twice = layers.Lambda(lambda value: value * 2, output_shape=(6,), name="twice")
        network = keras.Sequential([keras.Input((6,), name="x"), twice])
    for suffix in (".keras", ".h5"):
        path = save(network, tmp_path / f"net{suffix}")
        with pytest.raises(WeightsError, match=r"'twice' holds code .* --trust"):
            read_keras(path)
        source = read_keras(path, trust=True)
        np.testing.assert_array_equal(source.run({"x": np.ones((2, 6), np.float32)})["twice"], np.full((2, 6), 2))


def test_a_module_that_a_file_names_is_not_imported(keras: Any, tmp_path: Path) -> None:
    """The old hole: a file that says where its layer's class is to be found."""
    (tmp_path / "evil.py").write_text("raise SystemExit('it was run')")
    with quiet() as layers:
        path = save(keras.Sequential([keras.Input((6,)), layers.Dense(2)]), tmp_path / "net.keras")
    rewritten = tmp_path / "named.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(rewritten, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = content.replace(b'"module": "keras.layers", "class_name": "Dense"',
                                          b'"module": "evil", "class_name": "Dense"')  # fmt: skip
                assert b"evil" in content
            new.writestr(name, content)
    with pytest.raises(WeightsError, match=r"Dense of the module evil, which would be run"):
        read_keras(rewritten)


def test_a_layer_of_ones_own_needs_its_class(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="the extra [train] is not installed")
    (tmp_path / "mylayers.py").write_text(
        "import keras\n\nclass Halved(keras.layers.Layer):\n    def call(self, value):\n        return value / 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from mylayers import Halved

    with quiet():
        network = keras.Sequential([keras.Input((6,), name="x"), Halved(name="halved")])
    path = save(network, tmp_path / "net.h5")
    for name in ("mylayers",):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(WeightsError, match=r"a layer of your own .* --custom MODULE:CLASS together with --trust"):
        read_keras(path)
    with pytest.raises(WeightsError, match="classes of your own are code"):
        read_keras(path, custom=("mylayers:Halved",))
    with pytest.raises(UsageError, match=r"'mylayers:Nothing': cannot be imported .* MODULE:CLASS"):
        read_keras(path, trust=True, custom=("mylayers:Nothing",))
    source = read(Asked(str(path), trust=True, custom=("mylayers:Halved",)))
    np.testing.assert_array_equal(source.run({"x": np.ones((2, 6), np.float32)})["halved"], np.full((2, 6), 0.5))


READER = """
import sys
sys.path[:] = [place for place in sys.path if place]  # as where an installed command runs
import numpy as np
from pathlib import Path
from manyfaces.optimize.keras_reader import read_keras
source = read_keras(Path("net.keras"), trust=True, custom=("doubled:Doubled",))
print(source.run({source.inputs[0].name: np.ones((5, 6, 6, 1), np.float32)})[source.outputs[0].name].shape)
"""


def test_a_layer_of_ones_own_is_found_beside_the_command(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, where the layer's module is the first to import Keras."""
    pytest.importorskip("onnxscript", reason="the extra [train] is not installed")
    (tmp_path / "doubled.py").write_text(
        "import keras\n\nclass Doubled(keras.layers.Layer):\n    def call(self, value):\n        return value * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from doubled import Doubled

    with quiet() as layers:
        network = [keras.Input((6, 6, 1)), layers.Conv2D(2, 3), Doubled(), layers.Flatten(), layers.Dense(3)]
        path = save(keras.Sequential(network), tmp_path / "net.keras")
    monkeypatch.delitem(sys.modules, "doubled")
    with pytest.raises(WeightsError, match="if you trust it, add --trust --custom doubled:Doubled"):
        read_keras(path)
    done = subprocess.run([sys.executable, "-c", READER], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "(5, 3)\n", done.stderr


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.hdf5"])
def test_files_that_are_cut_off_or_something_else_are_named(tmp_path: Path, name: str) -> None:
    for content in (b"", b"no network", b"PK\x03\x04 cut", b"\x89HDF\r\n\x1a\n cut"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=f"{name}: cannot be read as a Keras file"):
            read_keras(tmp_path / name)


def test_halves_of_a_network_say_what_is_missing(mini: Any, tmp_path: Path) -> None:
    with quiet():
        mini.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(WeightsError, match=r"weights and no definition; .* as net.json"):
        read_keras(tmp_path / "net.weights.h5")
    (tmp_path / "alone.json").write_text(mini.to_json())
    with pytest.raises(WeightsError, match=r"its weights are not beside it; .* alone.weights.h5"):
        read_keras(tmp_path / "alone.json")
    (tmp_path / "net.json").write_text(json.dumps({"name": "somebody's card"}))
    with pytest.raises(WeightsError, match="describes no Keras network"):
        read_keras(tmp_path / "net.json")


def test_answers_that_differ_are_not_passed_on(mini: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = keras_reader.written

    def wrong(network: Any) -> Any:
        model = right(network)
        del model.graph.node[-2:]
        model.graph.node[-1].output[0] = "predictions"  # without its softmax
        return model

    monkeypatch.setattr(keras_reader, "written", wrong)
    monkeypatch.setattr(keras_reader, "_exported", wrong)
    with pytest.raises(WeightsError, match="ONNX gives other answers than Keras"):
        read_keras(save(mini, tmp_path / "net.keras"))


# --- Keras itself ----------------------------------------------------------------------------------------------------


def test_the_users_own_choice_of_backend_is_left_alone(keras: Any) -> None:
    assert keras.backend.backend() == "torch"
    assert os.environ.get(keras_files.BACKEND_NAME) != "torch"
    assert "tensorflow" not in sys.modules


def test_another_backend_that_is_loaded_already_is_told(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(UsageError, match=r"loaded on tensorflow before; .*KERAS_BACKEND=torch"):
        keras_files.library()


def test_without_keras_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == "keras"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(MissingExtra, match=r"\[keras\]"):
        keras_files.library()
