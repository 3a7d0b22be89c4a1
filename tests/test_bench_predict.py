"""The table of predictions: the same answers from everybody, its arithmetic, and what it refuses. No test says how
fast anything is."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Run
from manyfaces.bench import predict
from manyfaces.bench.networks import Twin, textcnn, with_channels_last
from manyfaces.errors import InputError
from manyfaces.weights import load

NAMED = {library.name: library for library in predict.LIBRARIES}
ROW = {"network", "library", "way", "items", "ms_per_item", "items_per_s", "first_ms", "passes", "difference"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "emotion.onnx").write_bytes(load("emotion").content)
    (tmp_path / "textcnn.onnx").write_bytes(textcnn())
    return tmp_path


def task(folder: Path, library: str, network: str) -> predict.Task:
    files = folder / f"{network}.onnx", folder / f"{network}.tflite"
    return predict.Task(NAMED[library], network, *files, (1, 3), 0.001)


def with_tflite(folder: Path) -> None:
    from manyfaces.optimize.litert import converted

    for path in folder.glob("*.onnx"):
        path.with_suffix(".tflite").write_bytes(converted(path.read_bytes())[0])


@pytest.mark.parametrize("library", ["OpenVINO", "ONNX Runtime", "LiteRT"])
@pytest.mark.parametrize("network", ["emotion", "textcnn"])
def test_one_by_one_and_in_batches_everybody_answers_the_same(folder: Path, library: str, network: str) -> None:
    if not NAMED[library].is_there:
        pytest.skip(f"{library} is not installed")
    if library == "LiteRT":
        with_tflite(folder)
    rows = predict.measured(task(folder, library, network))
    assert [(row["way"], row["items"]) for row in rows] == [("one by one", 1), ("one by one", 3), ("in batches", 3)]
    for row in rows:
        assert set(row) >= ROW
        assert row["passes"] >= 1
        assert row["difference"] <= 1e-5
        assert row["ms_per_item"] * row["items_per_s"] == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize("network", ["emotion", "textcnn"])
def test_the_twin_in_keras_answers_the_same_in_all_of_its_ways(folder: Path, network: str) -> None:
    if not all(map(find_spec, ("keras", "torch"))):
        pytest.skip("the extra [keras] is not installed")
    from manyfaces.optimize.keras_files import library, quietly

    library()
    asked = task(folder, "Keras on PyTorch", network)
    items = predict._items(network, 3)
    with quietly():
        ways = predict._keras(asked)
        said = {way: ask(items) for way, ask in ways.items()}
    assert set(said) == {"predict", "predict, generator", "called"}
    for answer in said.values():
        np.testing.assert_allclose(answer, predict._reference(asked, items), atol=1e-5)


def test_a_twin_takes_its_channels_last() -> None:
    batch = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    assert with_channels_last(batch)[0, 2, 3, 1] == batch[0, 1, 2, 3]
    ids = np.ones((2, 50), np.int32)
    assert with_channels_last(ids) is ids
    assert [node.op_type for node in Twin(textcnn()).nodes].count("Conv") == 4


def test_a_library_that_answers_otherwise_is_not_timed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(predict.WAYS, "openvino", lambda _: {"one by one": lambda items: np.zeros((len(items), 6))})
    with pytest.raises(InputError, match=r"OpenVINO, textcnn: its answers differ by 0\.\d+, so it is not timed"):
        predict.measured(task(folder, "OpenVINO", "textcnn"))


@pytest.mark.parametrize(("each", "passes"), [(0.4, 3), (0.01, 11), (100.0, 1)])
def test_what_is_far_too_slow_is_asked_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, each: float, passes: int
) -> None:
    """A clock that moves by as much with every answer, and starts away from zero."""
    clock = [50.0]

    def ask(items: Any) -> Any:
        clock[0] += each
        return np.zeros((len(items), 6))

    monkeypatch.setattr(predict.time, "perf_counter", lambda: clock[0])
    asked = replace(task(folder, "OpenVINO", "textcnn"), seconds=0.105)
    timed = predict._timed(asked, ask, np.zeros((2, 50)), np.zeros((2, 6)))
    assert timed["passes"] == passes
    assert timed["ms_per_item"] == pytest.approx(500 * each)


def test_factors_compare_one_item_with_one_item() -> None:
    def row(library: str, way: str, items: int, took: float) -> dict[str, Any]:
        return {"network": "textcnn", "library": library, "way": way, "items": items, "ms_per_item": took}

    rows = [
        row("Keras on PyTorch", "predict", 1, 30.0),
        row("Keras on PyTorch", "predict", 512, 0.3),
        row("Keras on PyTorch", "called", 1, 3.0),
        row("LiteRT", "one by one", 1, 0.25),
        row("LiteRT", "one by one", 512, 0.1),
    ]
    assert predict.factors(rows) == [{"network": "textcnn", "library": "Keras on PyTorch", "factor": 120.0}]
    assert predict.factors(rows[:3]) == []


def test_each_library_has_a_process_of_its_own(folder: Path) -> None:
    rows = predict.measured_alone(task(folder, "OpenVINO", "textcnn"))
    assert [row["items"] for row in rows] == [1, 3, 3]
    assert all(row["peak_rss_mb"] > 20 for row in rows)
    with pytest.raises(InputError, match=r"OpenVINO, missing: measuring it ended with status 1 \(RuntimeError: "):
        predict.measured_alone(task(folder, "OpenVINO", "missing"))


def test_the_line_that_names_an_error_is_found() -> None:
    said = "Traceback\n  File x\nkeras.Wrong: a\nValueError: the generator must return a tuple\n\n  [[1 2]\n   [3 4]]\n"
    assert predict._reason(said) == "ValueError: the generator must return a tuple"
    assert predict._reason("Killed\n") == "Killed"
    assert predict._reason("") == "it said nothing"


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def only_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one library that nobody has."""
    nowhere = predict.Library("Nowhere", "nowhere_to_be_found", ("nowhere",), "pip install nowhere")
    monkeypatch.setattr(predict, "LIBRARIES", (NAMED["OpenVINO"], nowhere))


def test_the_command_prints_a_table_and_writes_its_figures(run: Run, only_openvino: None) -> None:
    ran = run("bench", "predict", "--items", "1,2", "--seconds", 0.001, "--json", "figures.json")
    assert ran.status == 0, ran.err
    figures = json.loads(Path("figures.json").read_text())
    assert set(figures) >= {"machine", "versions", "commit", "date", "command", "load_before", "rows", "factors"}
    assert {(row["network"], row["way"], row["items"]) for row in figures["rows"]} == {
        (network, way, items)
        for network in ("emotion", "textcnn")
        for way, items in (("one by one", 1), ("one by one", 2), ("in batches", 2))
    }
    assert figures["missing"] == {"Nowhere": "pip install nowhere"}
    assert "not installed: Nowhere; to see it too, run  pip install nowhere" in ran.out
    assert "2 items, ms each" in ran.out
    assert "OpenVINO" in ran.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--items", "0"], "expected numbers from 1"),
        (["--items", "1,many"], "expected numbers from 1"),
        (["--seconds", "0"], "expected more than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: list[str], sentence: str) -> None:
    ran = run("bench", "predict", *arguments)
    assert ran.status == 2
    assert sentence in ran.err


def test_another_file_is_not_written_over(run: Run) -> None:
    Path("notes.json").write_text('{"mine": 1}')
    ran = run("bench", "predict", "--json", "notes.json")
    assert ran.status == 3
    assert "something else than figures" in ran.err
    assert Path("notes.json").read_text() == '{"mine": 1}'


def test_bench_without_predict_is_what_it_was(run: Run) -> None:
    assert "--faces" in run("bench", "--help").out
    assert "predict" in run("bench", "--help").out
    ran = run("bench", "--faces", "none")
    assert ran.status == 2
    assert "--faces 'none': expected numbers" in ran.err
