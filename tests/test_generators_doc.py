"""The how-to on generators cannot lie: its program measures, its snippets run, its table is the measured one."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import REPOSITORY
from manyfaces.cartoon import crowd_frames

DOCUMENT = REPOSITORY / "docs" / "generators.md"
PROGRAM = REPOSITORY / "benchmarks" / "generators.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generators", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def test_the_program_measures_a_list_that_grows_and_a_generator_that_does_not(tmp_path: Path) -> None:
    command = [sys.executable, PROGRAM, "--counts", "20", "80", "--json", tmp_path / "figures.json"]
    subprocess.run(command, check=True, capture_output=True)
    report = json.loads((tmp_path / "figures.json").read_text())
    found = {(row["work"], row["count"], row["way"]): row for row in report["rows"]}
    frame = np.prod(report["frame"]) / 2**20
    sample = np.prod(report["sample"]) / 2**20
    for work, size in (("frames of a film", frame), ("calibration samples", sample)):
        grown = found[work, 80, "list"]["peak_mb"] - found[work, 20, "list"]["peak_mb"]
        assert grown == pytest.approx(60 * size, rel=0.3)
        assert found[work, 80, "generator"]["peak_mb"] < 20 * size
        for count in (20, 80):
            answers = {found[work, count, way]["answer"] for way in ("list", "generator")}
            assert len(answers) == 1  # the same work


def test_the_table_is_the_measured_one(program: ModuleType) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    report = json.loads(program.RESULTS.read_text(encoding="utf-8"))
    assert program.written(text, report) == text
    assert len(text.splitlines()) <= 64  # short, or nobody reads it


def test_the_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import av

    monkeypatch.chdir(tmp_path)
    with av.open("film.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for frame in crowd_frames(2, 1, 5, (320, 240)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="rgb24")))
        container.mux(stream.encode())
    how, where = snippets()
    exec(compile(how, str(DOCUMENT), "exec"), {})
    assert "0.0" in capsys.readouterr().out
    exec(compile(where, str(DOCUMENT), "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0", "1", "2", "3", "4"]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9))
def test_both_works_take_any_iterable_and_ask_once(program: ModuleType, numbers: list[float]) -> None:
    def given_once() -> Iterator[np.ndarray]:
        yield from (np.array([number], np.float32) for number in numbers)

    assert program.ranges(given_once()) == pytest.approx(max(numbers) - min(numbers))
    assert program.brightness(given_once()) == pytest.approx(sum(numbers) / len(numbers), abs=1e-3)
