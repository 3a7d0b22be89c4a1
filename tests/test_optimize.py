"""`manyfaces optimize` as a user meets it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from conftest import REPOSITORY, Run
from manyfaces.build import quantised
from manyfaces.card import ModelCard
from manyfaces.errors import WeightsError
from manyfaces.optimize.judge import Verdict
from manyfaces.optimize.measure import Cost
from manyfaces.optimize.model import Form
from manyfaces.optimize.work import Row, Wanted, choose
from manyfaces.weights import load
from test_optimize_forms import pictures, texts

pytest.importorskip("onnxruntime", reason="quantising needs the extra manyfaces[optimize]")
pytest.importorskip("matplotlib", reason="the picture needs the extra manyfaces[optimize]")

QUICK = ("--seconds", 0)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    onnx.save(texts(), str(tmp_path / "texts.onnx"))
    return tmp_path / "texts.onnx"


def test_every_form_and_the_report_are_there_and_are_not_made_twice(run: Run, net: Path, tmp_path: Path) -> None:
    np.savez(
        tmp_path / "ids.npz", tokens=np.random.default_rng(0).integers(0, 2000, (40, 50)), labels=np.arange(40) % 64
    )
    asked = ("optimize", net, "--data", "ids.npz", "--out", "small", "--quantize", "weights,static", *QUICK)
    ran = run(*asked, "--max-drop", 100)
    assert ran.status == 0, ran.err
    out = tmp_path / "small"
    files = {path.name for path in out.iterdir()}
    assert {"model.onnx", "model.weights.onnx", "model.int8.onnx", "model.int8.xml", "model.int8.bin"} <= files
    assert {"report.json", "report.html", "report.png", "work.json"} <= files
    figures = json.loads((out / "report.json").read_text())
    rows = {row["name"]: row for row in figures["rows"]}
    assert {"onnx none", "onnx weights", "onnx static", "openvino none", "openvino static"} <= rows.keys()
    for row in rows.values():
        assert row["cost"]["milliseconds"].keys() == {"1", "8", "32"}
        assert min(row["cost"]["throughput"], row["cost"]["memory_mb"], row["form"]["size"]) > 0
        assert row["verdict"]["accuracy"] is not None
    assert figures["chosen"] in rows
    assert {"python", "onnxruntime", "openvino"} <= figures["versions"].keys()
    assert figures["chosen"] in ran.out
    page = (out / "report.html").read_text()
    assert "onnx static" in page
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:|//)", page)
    with Image.open(out / "report.png") as picture:
        assert picture.width > 500

    before = {path: path.stat().st_mtime_ns for path in out.glob("model*")}
    again = run(*asked, "--max-drop", 100)
    assert again.err.count("done before") == 6
    assert {path: path.stat().st_mtime_ns for path in out.glob("model*")} == before
    run(*asked, "--max-drop", 100, "--time-again")
    timed = {one["name"]: one for one in json.loads((out / "report.json").read_text())["rows"]}
    assert {path: path.stat().st_mtime_ns for path in out.glob("model*")} == before
    assert timed["onnx static"]["verdict"] == rows["onnx static"]["verdict"]
    assert timed["onnx static"]["cost"] != rows["onnx static"]["cost"]
    (out / "model.int8.onnx").write_bytes(b"damaged")
    mended = run(*asked, "--max-drop", 100)
    assert mended.err.count("done before") == 5
    assert (out / "model.int8.onnx").stat().st_size > 100


def test_without_data_it_says_that_it_draws(run: Run, net: Path) -> None:
    ran = run("optimize", net, "--out", "small", "--to", "onnx", "--quantize", "static", *QUICK)
    assert ran.status == 0, ran.err
    assert "no --data: inputs are drawn" in ran.err
    assert "drawn inputs say only whether forms agree" in ran.out


def test_the_forms_of_a_network_with_a_card_serve(run: Run, photo: Path, tmp_path: Path) -> None:
    asked = ("optimize", "default", "--out", "small", "--to", "onnx", "--quantize", "weights,static")
    ran = run(*asked, "--max-drop", 100, *QUICK)
    assert ran.status == 0, ran.err
    small, light, plain = (tmp_path / "small" / f"model{kind}.onnx" for kind in (".int8", ".weights", ""))
    card = ModelCard.read(small.with_suffix(".json"))
    assert card.task == "emotion"
    assert card.metrics["agreement_with_float"] > 0.5
    assert small.stat().st_size < 0.3 * plain.stat().st_size
    for model in (plain, small, light):
        shown = run("analyze", photo, "--no-identity", "--emotion-model", model)
        assert '"emotion": "happy"' in shown.out, shown.err
    twin = quantised(load(plain))  # what `tune` measures beside the network
    assert twin is not None
    assert twin.card.sha256 == card.sha256


@pytest.mark.parametrize(
    ("more", "status", "sentence"),
    [
        (("--to", "coreml"), 2, "--to coreml: there is no such one; known are onnx, openvino, litert"),
        (("--quantize", "int3"), 2, "--quantize int3: there is no such one"),
        (("--by", 3), 2, "--by 3: expected 1, 8, 32"),
        (("--data", "nowhere.npz"), 3, "nowhere.npz: there is no such file or folder"),
        (("--data", "empty"), 3, "takes (n, 50), not pictures"),
        (("--data", "other.npz"), 3, "tokens has shape (4, 9), but the network takes (n, 50)"),
        (("--data", "none.npz"), 3, "none.npz: holds no samples"),
        (("--data", "notes.txt"), 3, "notes.txt: data of this kind is unknown"),
        (("--out", "texts.onnx"), 3, "texts.onnx: this is a file, and a folder is needed"),
        (("--out", "taken"), 2, "taken: holds a model.onnx that was not made here"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, net: Path, tmp_path: Path, more: tuple[object, ...], status: int, sentence: str
) -> None:
    for folder in ("empty", "taken"):
        (tmp_path / folder).mkdir()
    (tmp_path / "taken" / "model.onnx").write_bytes(net.read_bytes())
    np.savez(tmp_path / "other.npz", tokens=np.zeros((4, 9), int))
    np.savez(tmp_path / "none.npz", tokens=np.zeros((0, 50), int))
    (tmp_path / "notes.txt").write_text("notes")
    ran = run(
        "optimize",
        net,
        *({"--out": "small"} | {more[0]: more[1]}).popitem(),
        *(("--out", "small") if more[0] != "--out" else ()),
    )
    assert ran.status == status, ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("missing", ["matplotlib", "onnxruntime"])
def test_an_extra_that_is_not_installed_is_said_before_the_work(
    run: Run, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "manyfaces.optimize.plot", raising=False)
    monkeypatch.setitem(
        sys.modules, "matplotlib.figure", None if missing == "matplotlib" else sys.modules.get("matplotlib.figure")
    )
    ran = run("optimize", net, "--out", "small", "--to", "onnx", "--quantize", "none", *QUICK)
    assert ran.status == 3
    assert "pip install '.[optimize]'" in ran.err
    assert not list((tmp_path / "small").glob("model*"))


def row(name: str, quantisation: str, milliseconds: float, drop: float) -> Row:
    form = Form("onnx", quantisation, ())  # type: ignore[arg-type]
    cost = Cost({1: milliseconds, 8: 8 * milliseconds, 32: 32 * milliseconds}, 1.0, 1.0, 1.0)
    return Row(name, form, Verdict(0.0, 0.0, 1 - drop / 100, True, drop=drop), cost)


PLAIN = row("plain", "none", 1.0, 0.0)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([row("fast", "static", 0.5, 0.2), row("faster", "static", 0.3, 0.9)], "fast"),
        ([row("hardly", "static", 0.97, 0.0)], "plain"),
        ([row("slow", "dynamic", 9.0, 0.0)], "plain"),
        ([row("bf16", "none", 0.4, 0.1), row("fast", "static", 0.5, 0.0)], "bf16"),
        ([Row("broken", failed="no kernel")], "plain"),
    ],
)
def test_the_fastest_within_what_may_be_lost_is_chosen(others: list[Row], chosen: str) -> None:
    found, why = choose([PLAIN, *others], Wanted())
    assert found.name == chosen
    assert "0.5 points" in why


def test_nothing_is_chosen_where_all_lose_too_much() -> None:
    with pytest.raises(WeightsError, match=r"no form loses 0\.1 points or less \(far 3\.00\)"):
        choose([row("far", "static", 1.0, 3.0)], replace(Wanted(), max_drop=0.1))


@pytest.mark.parametrize(
    "line", re.findall(r"^manyfaces optimize .*$", (REPOSITORY / "docs/optimize.md").read_text("utf-8"), re.M)
)
def test_the_documents_commands_are_understood(run: Run, line: str) -> None:
    """With --help behind them the options are checked by name and nothing is made."""
    ran = run(*line.split()[1:], "--help")
    assert ran.status == 0
    known = set(re.findall(r"--[a-z-]+", ran.out))
    assert set(re.findall(r"--[a-z-]+", line)) <= known


def test_the_documents_first_command_runs(run: Run, tmp_path: Path) -> None:
    """What the document begins with, on a network as small as one can be."""
    onnx.save(pictures(), str(tmp_path / "net.onnx"))
    rows = np.random.default_rng(0).random((40, 3, 12, 12), np.float32)
    np.save(tmp_path / "rows.npy", rows)
    ran = run("optimize", "net.onnx", "--data", "rows.npy", "--out", "small", *QUICK)
    assert ran.status == 0, ran.err


def test_the_help_says_what_is_to_be_typed(run: Run) -> None:
    """A word between two colons would be shown as a small picture."""
    shown = run("optimize", "--help").out
    assert shown.count("module:factory") == 3
    assert not re.search("[\U0001f300-\U0001faff]", shown)


def test_data_with_holes_is_refused(run: Run, tmp_path: Path) -> None:
    onnx.save(pictures(), str(tmp_path / "net.onnx"))
    rows = np.zeros((6, 3, 12, 12), np.float32)
    rows[1, 0, 0, 0] = np.nan  # a row to calibrate with
    np.save(tmp_path / "rows.npy", rows)
    ran = run("optimize", "net.onnx", "--data", "rows.npy", "--out", "small", "--quantize", "static", *QUICK)
    assert ran.status == 3
    assert "the data to calibrate with hold NaN or infinity as 'pixels'" in ran.err


def test_a_folder_with_a_report_of_somebody_else_is_left_alone(run: Run, net: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "report.json").write_text("theirs")
    ran = run("optimize", net, "--out", "theirs", *QUICK)
    assert ran.status == 2
    assert "theirs: holds a report.json that was not made here" in ran.err
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["report.json"]


def test_a_single_row_is_said_to_do_for_both_and_another_scale_is_other_data(run: Run, tmp_path: Path) -> None:
    onnx.save(pictures(), str(tmp_path / "net.onnx"))
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (20, 20), (90, 60, 30)).save(tmp_path / "photos" / "one.png")
    asked = ("optimize", "net.onnx", "--data", "photos", "--out", "small", "--to", "onnx", "--quantize", "none", *QUICK)
    ran = run(*asked)
    assert "judged and calibrated on the only row of photos" in ran.out
    assert "done before" in run(*asked).err
    assert "done before" not in run(*asked, "--mean", 127, "--scale", 128).err


def test_whoever_breaks_off_is_told_that_it_goes_on(
    run: Run, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*_: object) -> None:
        raise KeyboardInterrupt

    asked = ("optimize", net, "--out", "small", "--to", "onnx", *QUICK)
    assert run(*asked, "--quantize", "none").status == 0
    with monkeypatch.context() as patch:
        patch.setattr("manyfaces.optimize.work.measured_alone", broken_off)
        ran = run(*asked, "--quantize", "weights")
    assert ran.status == 130
    assert "broken off; the same command goes on" in ran.err
    again = run(*asked, "--quantize", "weights")
    assert (again.status, again.err.count("done before")) == (0, 1)
