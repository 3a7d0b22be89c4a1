"""`manyfaces compile` as a user meets it: the examples, what is left, the way back, a sentence for what is wrong."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from conftest import REPOSITORY, Run
from manyfaces.optimize.compiling import SUFFIX

pytest.importorskip("Cython", reason="compiling needs the extra manyfaces[compile]")
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler on this machine")

EXAMPLES = REPOSITORY / "examples" / "compile"


def example_commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_examples_gain_what_their_readme_says(run: Run, tmp_path: Path) -> None:
    sources = {"dither.py", "distance.py", "smooth.py"}
    for name in sources:
        shutil.copy(EXAMPLES / name, tmp_path)
    gain, *others, back, wheel = (words[1:] for words in example_commands())
    compiled = run(*gain)
    assert compiled.status == 0, compiled.err
    assert "times as fast; equal results\n" in compiled.out
    assert f"dither.py -> dither{SUFFIX}" in compiled.out
    assert "Back:  manyfaces compile --remove dither.py" in compiled.err
    figures = json.loads((tmp_path / "compile-dither.json").read_text())
    assert figures["ratio"] >= 10  # hundreds, so that a busy machine does not matter
    assert (figures["equal"], figures["built"]) == (True, [{"module": "dither", "source": "dither.py"}])

    for other in others:
        assert run(*other).status == 0
        assert json.loads((tmp_path / other[-1]).read_text())["equal"] is True
    assert run(*wheel).status == 0
    assert len(list((tmp_path / "wheels").glob("smooth-0-cp*.whl"))) == 1

    assert "removed" in run(*back).out
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".json"} == {*sources, "wheels"}


def test_the_table_of_the_examples_is_the_measured_one() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in ("dither", "distance", "smooth"):
        told = json.loads((REPOSITORY / "benchmarks" / "results" / f"compile-{name}.json").read_text())
        slow, fast = (f"{told[way] * 1000:.3g} ms" for way in ("interpreted_seconds", "compiled_seconds"))
        assert re.search(rf"\| `{name}\.py` \|.*\| {slow} \| {fast} \| {told['ratio']:.1f} \|\n", text)


def test_the_examples_run_without_cython(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['cython'] = None; from dither import dithered, picture; from smooth import blurred; "
        "print(set(dithered(picture(9)).ravel().tolist()) == {0, 255}, blurred(picture(9), 2).shape)"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=EXAMPLES, capture_output=True, text=True, check=True)
    assert done.stdout == "True (9, 9)\n"


DIFFERS = """
import cython

@cython.locals(sum="double")
def added(count):
    sum = 0
    for number in range(count):
        sum += number
    return sum
"""


def test_what_answers_otherwise_is_not_put_in_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "adds.py").write_text(DIFFERS)
    ran = run("compile", "adds.py", "--bench", "added(4)", "--json", "f.json")
    assert ran.status == 3
    assert "the results differ: 6 (int) interpreted, 6.0 (float) compiled; nothing was put in place" in ran.err
    assert json.loads((tmp_path / "f.json").read_text())["equal"] is False
    assert {path.name for path in tmp_path.iterdir()} == {"adds.py", "f.json"}


def test_one_that_fails_does_not_stop_the_others_but_a_wheel_needs_all(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("where = __file__\n")
    (tmp_path / "bad.py").write_text("def f(:\n")
    ran = run("compile", "gone.py", "bad.py", "good.py")
    assert ran.status == 1
    assert "gone.py: there is no such file" in ran.err
    assert "bad.py, line 1: " in ran.err
    assert "good.py: line 1 uses __file__" in ran.err
    assert "Traceback" not in ran.err
    assert (tmp_path / f"good{SUFFIX}").exists()
    assert PathFinder.find_spec("good", [str(tmp_path)]).origin == str(tmp_path / f"good{SUFFIX}")  # type: ignore[union-attr]

    for missing in ("bad.py", "gone.py"):
        compared = run("compile", missing, "good.py", "--bench", "where")
        assert compared.status == 3
        assert "nothing was put in place" in compared.err
    assert run("compile", "--remove", "good.py").status == 0
    assert "nothing that manyfaces compiled" in run("compile", "--remove", "good.py").out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["."], 3, "this is a folder; name the modules in it"),
        (["good.py", "--remove", "--annotate"], 2, "--remove: it goes with no other option"),
        (["good.py", "--bench", "f("], 3, "no expression"),
        (["good.py", "--json", "good.py"], 2, "good.py: this is also an input"),
        (["good.py", "--json", "no/f.json"], 3, "there is no folder no"),
        (["good.py", "--wheel", "good.py"], 3, "a folder is needed for the wheel"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_compiled(
    run: Run, tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    ran = run("compile", *arguments)
    assert ran.status == status
    assert said in ran.err
    assert {path.name for path in tmp_path.iterdir()} == {"good.py"}


def test_what_is_missing_to_compile_with_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    monkeypatch.setenv("CC", "no-such-compiler")
    ran = run("compile", "good.py")
    assert ran.status == 3
    assert "no-such-compiler: there is no such C compiler; install one" in ran.err
    monkeypatch.setattr("manyfaces.optimize.compiling.find_spec", lambda _name: None)
    ran = run("compile", "good.py")
    assert ran.status == 3
    assert "pip install '.[compile]'" in ran.err


def test_a_library_of_others_and_a_folder_that_is_only_read_are_left_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / f"good{SUFFIX}").write_bytes(b"another's")
    ran = run("compile", "good.py")
    assert ran.status == 3
    assert "was not compiled by manyfaces from good.py" in ran.err
    assert (tmp_path / f"good{SUFFIX}").read_bytes() == b"another's"
    (tmp_path / f"good{SUFFIX}").unlink()
    monkeypatch.setattr("os.access", lambda _path, mode: mode != os.W_OK)  # root may write everywhere
    ran = run("compile", "good.py")
    assert ran.status == 3
    assert "you may not write there" in ran.err


COMPILER = """#!/bin/sh
kill -INT $MANYFACES
exec tail -f /dev/null
"""


@pytest.mark.skipif(os.name == "nt", reason="a signal is sent by a shell")
def test_ctrl_c_while_the_compiler_works_leaves_nothing_and_nobody(tmp_path: Path) -> None:
    """The compiler of this test presses Ctrl-C, and would go on for ever."""
    (tmp_path / "good.py").write_text("x = 1\n")
    compiler, places = tmp_path / "compiler", tmp_path / "places"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    places.mkdir()
    start = (
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "os.environ['MANYFACES'] = str(os.getpid()); "
        "import sys; sys.argv = ['manyfaces', 'compile', 'good.py']; from manyfaces.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", start],
        cwd=tmp_path,
        env=os.environ | {"CC": str(compiler), "TMPDIR": str(places)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )  # the pipes close only when all that was started has ended
    assert done.returncode == 130, done.stderr
    assert list(places.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"good.py", "compiler", "places"}


def test_results_that_differ_by_file_are_explained(run: Run, tmp_path: Path) -> None:
    (tmp_path / "place.py").write_text("def place():\n    return __file__\n")
    ran = run("compile", "place.py", "--bench", "place()")
    assert ran.status == 3
    assert "the results differ" in ran.err
    assert "place.py: line 2 uses __file__" in ran.err
