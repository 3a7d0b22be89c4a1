"""The README cannot lie: its commands and examples run, its table is the measured one."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

from manyfaces.types import Pixels

README = Path(__file__).resolve().parent.parent / "README.md"
NOT_HERE = (
    "pip ",
    "manyfaces demo",
    "manyfaces analyze 0 ",
    "manyfaces analyze rtsp:",
    "manyfaces train ",
    "runs/mine",
    "manyfaces bench predict",
)
"""Lines that need a camera, a network, a training set or minutes; each has tests of its own."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> Iterator[str]:
    for block in blocks("console"):
        for line in block.splitlines():
            if not any(part in line for part in NOT_HERE):
                yield line


@pytest.fixture(scope="module")
def belongings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user")


@pytest.fixture
def user(belongings: Path, astronaut: Pixels, hopper: Pixels, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files the README speaks of, in a folder of a user's."""
    monkeypatch.chdir(belongings)
    monkeypatch.setenv("MANYFACES_GALLERY", str(belongings / "default.db"))
    if not (belongings / "party.jpg").exists():
        for name in ("party.jpg", "lan1.jpg"):
            Image.fromarray(astronaut).save(belongings / name)
        Image.fromarray(astronaut[:, ::-1]).save(belongings / "lan2.jpg")
        for person, picture in (("Eileen", astronaut), ("Grace", hopper)):
            (belongings / "family" / person).mkdir(parents=True)
            Image.fromarray(picture).save(belongings / "family" / person / "1.jpg", quality=85)
        (belongings / "holiday").mkdir()
        shutil.copy("party.jpg", "holiday/1.jpg")
        film(belongings / "film.mp4", astronaut)
    return belongings


def film(path: Path, picture: Pixels) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 400, 400, "yuv420p"
        for step in range(5):
            part = picture[:400, step : step + 400]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part.copy(), format="rgb24")))
        container.mux(stream.encode())


def test_there_are_two_commands_for_everything() -> None:
    text = README.read_text(encoding="utf-8")
    assert "\npip install . && manyfaces demo\n" in text
    assert "\npip install '.[test]' && pytest\n" in text
    assert len(list(commands())) > 10


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_runs(user: Path, line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "manyfaces"
    done = subprocess.run([sys.executable, "-m", *words], cwd=user, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_python_examples_run(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (user / "people.db").unlink(missing_ok=True)
    for example in blocks("python"):
        exec(compile(example, str(README), "exec"), {})
    said = capsys.readouterr().out
    assert "3 ['happy']" in said
    assert "happy" in said
    assert "['Lan']" in said


def test_the_figures_are_the_measured_ones() -> None:
    spec = importlib.util.spec_from_file_location("table", README.parent / "benchmarks" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    for document in table.DOCUMENTS:
        assert table.written(document) == document.read_text(encoding="utf-8")
