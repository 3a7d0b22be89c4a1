"""PyTorch networks in: a factory with weights, a program, a training; what could run code is refused; and learning to
be rounded."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from conftest import Run
from manyfaces.errors import UsageError, WeightsError
from manyfaces.optimize.judge import ask, judge
from manyfaces.optimize.model import Order, Original, Unsupported
from manyfaces.optimize.readers import Asked, read
from manyfaces.optimize.samples import Data, draw

torch = pytest.importorskip("torch", reason="reading PyTorch networks needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")
pytest.importorskip("onnxruntime", reason="quantising needs the extra manyfaces[optimize]")

NETS = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 4),
                         nn.Softmax(dim=1))

def nothing():
    return 3
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "nets_of_a_test.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    yield "nets_of_a_test"
    sys.modules.pop("nets_of_a_test", None)


@pytest.fixture
def original(nets: str) -> Original:
    return read(Asked(f"{nets}:small", inputs=("1x8x8",)))


def drawn(original: Original) -> Data:
    return draw(original, {})


def test_a_factory_gives_a_network_with_a_free_batch(original: Original) -> None:
    truth = ask(original.run, drawn(original).judged, np.empty(0, np.int64))
    from manyfaces.optimize.runs import open_onnx

    assert judge(open_onnx(original.onnx, 1), truth).largest < 1e-5
    assert original.inputs[0].shape == (None, 1, 8, 8)
    assert truth.classes


def test_weights_come_from_a_file(nets: str, tmp_path: Path, original: Original) -> None:
    module = original.source
    changed = {
        name: tensor * 2 if tensor.is_floating_point() else tensor for name, tensor in module.state_dict().items()
    }
    torch.save(changed, tmp_path / "weights.pt")
    loaded = read(Asked(f"{nets}:small", tmp_path / "weights.pt", ("1x8x8",)))
    torch.testing.assert_close(loaded.source.state_dict()["0.weight"], changed["0.weight"])
    assert loaded.fingerprint != original.fingerprint
    torch.save({"other": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="are not the weights of this network"):
        read(Asked(f"{nets}:small", tmp_path / "other.pt", ("1x8x8",)))


def test_inputs_that_the_network_does_not_take_are_told_in_its_own_words(nets: str) -> None:
    with pytest.raises(UsageError, match=r"fails on inputs of float32 \(2, 3, 8, 8\) \(.*channels.*--input"):
        read(Asked(f"{nets}:small", inputs=("3x8x8",)))


def test_safetensors_are_read(nets: str, tmp_path: Path, original: Original) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="needs the extra manyfaces[optimize]")
    safetensors.save_file(original.source.state_dict(), tmp_path / "w.safetensors")
    loaded = read(Asked(f"{nets}:small", tmp_path / "w.safetensors", ("1x8x8",)))
    torch.testing.assert_close(loaded.source.state_dict(), original.source.state_dict())
    (tmp_path / "broken.safetensors").write_bytes(b"12345678")
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        read(Asked(f"{nets}:small", tmp_path / "broken.safetensors", ("1x8x8",)))


class Harm:
    """Leaves a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> object:
        return (Path.touch, (self.place,))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(nets: str, tmp_path: Path) -> None:
    (tmp_path / "harm.pt").write_bytes(pickle.dumps(Harm(tmp_path / "was here")))
    for asked in (Asked(f"{nets}:small", tmp_path / "harm.pt", ("1x8x8",)), Asked(str(tmp_path / "harm.pt"))):
        with pytest.raises(WeightsError, match=r"add --trust|cannot be read"):
            read(asked)
    torch.save(Harm(tmp_path / "was here"), tmp_path / "saved.pt")
    with pytest.raises(WeightsError, match=r"saved\.pt: is a pickle that would run code .* add --trust"):
        read(Asked(f"{nets}:small", tmp_path / "saved.pt", ("1x8x8",)))
    assert not (tmp_path / "was here").exists()


def test_a_program_is_read_when_it_is_trusted(tmp_path: Path, original: Original) -> None:
    rows = torch.export.Dim("rows", min=1)
    program = torch.export.export(original.source, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(WeightsError, match=r"net\.pt2: reading a \.pt2 can run code"):
        read(Asked(str(tmp_path / "net.pt2")))
    again = read(Asked(str(tmp_path / "net.pt2"), trust=True))
    batch = next(iter(drawn(original).judged))
    said = next(iter(again.run({again.names[0]: batch[original.names[0]]}).values()))
    np.testing.assert_allclose(said, next(iter(original.run(batch).values())), atol=1e-5)


@pytest.mark.parametrize(
    ("factory", "inputs", "sentence"),
    [
        ("small", (), "say what goes in"),
        ("small", ("1xa",), "--input 1xa: expected lengths and a kind"),
        ("small", ("8:float99",), "expected lengths and a kind"),
        ("nothing", ("8",), "made a int, not a torch module"),
        ("missing", ("8",), "cannot be built"),
    ],
)
def test_factories_that_make_no_sense(nets: str, factory: str, inputs: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read(Asked(f"{nets}:{factory}", inputs=inputs))


def test_a_network_learns_to_be_rounded(tmp_path: Path, original: Original) -> None:
    """With one weight that takes the whole range of its channel, rounding hurts; learning takes most of that away."""
    from manyfaces.optimize.learn import Lessons, learnt
    from manyfaces.optimize.onnx_writer import OnnxWriter

    before = {name: tensor.clone() for name, tensor in original.source.state_dict().items()}
    data = drawn(original)
    taught = learnt(original, data.calibration, data.training, Lessons(steps=40, rate=1e-3))
    torch.testing.assert_close(original.source.state_dict(), before)  # a copy has learnt
    assert taught.inputs == original.inputs
    truth = ask(original.run, data.judged, data.labels)
    form = OnnxWriter().write(taught, Order("static", tmp_path / "net", data.calibration))
    assert judge(OnnxWriter().open(form, 1), truth).relative < 0.05
    assert taught.onnx != original.onnx


def test_a_file_alone_cannot_learn(original: Original) -> None:
    from dataclasses import replace

    from manyfaces.optimize.learn import Lessons, learnt

    data = drawn(original)
    with pytest.raises(Unsupported, match="qat needs the PyTorch network"):
        learnt(replace(original, source=None), data.calibration, data.training, Lessons(1))


def test_a_training_is_read_with_its_network(run: Run, labelled_faces: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    asked = ("train", "emotion", "--data", labelled_faces, "--recipe", tiny_recipe, "--out", "mine")
    assert run(*asked).status == 0
    original = read(Asked(str(tmp_path / "mine")))
    assert original.card is not None
    batch = next(iter(drawn(original).judged))
    with torch.no_grad():
        said = original.source(torch.from_numpy(batch[original.names[0]])).numpy()
    np.testing.assert_allclose(said, next(iter(original.run(batch).values())), atol=1e-4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"empty: holds no model\.onnx"):
        read(Asked(str(tmp_path / "empty")))


def test_what_was_learnt_is_not_learnt_again(run: Run, nets: str, tmp_path: Path) -> None:
    asked = ("optimize", f"{nets}:small", "--input", "1x8x8", "--out", "small", "--to", "onnx", "--steps", 3)
    first = run(*asked, "--quantize", "qat", "--seconds", 0, "--max-drop", 100)
    assert first.status == 0, first.err
    (kept,) = (tmp_path / "small").glob("learnt-*.onnx")
    written = kept.stat().st_mtime_ns
    (tmp_path / "small" / "model.qat.onnx").unlink()
    again = run(*asked, "--quantize", "qat", "--seconds", 0, "--max-drop", 100)
    assert again.status == 0, again.err
    assert kept.stat().st_mtime_ns == written
    assert "onnx qat" in again.out


def test_litert_is_compared_with_what_was_learnt(run: Run, nets: str, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_quantizer", reason="needs the extra manyfaces[litert]")
    small = tmp_path / "small"
    asked = ("optimize", f"{nets}:small", "--input", "1x8x8", "--out", "small", "--to", "litert", "--steps", 1)
    run(*asked, "--quantize", "qat", "--seconds", 0, "--max-drop", 100)
    (kept,) = small.glob("learnt-*.onnx")
    model = onnx.load(str(kept))
    for tensor in model.graph.initializer:  # as if it had learnt for long
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, str(kept))
    (small / "model.qat.tflite").unlink()
    ran = run(*asked, "--quantize", "qat", "--seconds", 0, "--max-drop", 100)
    assert "litert qat" in ran.out, ran.err
    assert (small / "model.qat.tflite").is_file()
