"""The TextCNN example: its sentences, its tokens, and the commands of its page, with small sizes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import REPOSITORY

torch = pytest.importorskip("torch", reason="the example needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")

EXAMPLE = REPOSITORY / "examples" / "textcnn"
SMALL = {
    "train.py": ["--count", "8", "--epochs", "2"],
    "optimize": ["--to", "onnx,litert", "--quantize", "static", "--seconds", "0.01", "--quiet"],
}
"""Said after the page's own options, these win: the whole command makes seventeen forms and takes a minute."""


@pytest.fixture(scope="module", autouse=True)
def _modules() -> Iterator[None]:
    """The example's files import one another as they do where they are run, and leave no name behind."""
    before = set(sys.modules)
    sys.path.insert(0, str(EXAMPLE))
    yield
    sys.path.remove(str(EXAMPLE))
    for name in set(sys.modules) - before:
        if str(EXAMPLE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


# --- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["maintenance", "repair"])
def test_a_seed_draws_the_same_sentences_and_no_tested_one_is_learnt(task: str) -> None:
    from sentences import labels, sentences

    drawn = list(sentences(task, 40, 3))
    assert drawn == list(sentences(task, 40, 3))
    assert drawn != list(sentences(task, 40, 4))
    learnt, tested = ([one for one in drawn if one.held_out == part] for part in (False, True))
    for part in (learnt, tested):
        assert np.bincount([one.label for one in part]).tolist() == [80] * len(labels(task))
    assert not {one.text for one in learnt} & {one.text for one in tested}


@pytest.mark.parametrize("task", ["maintenance", "repair"])
def test_sentences_end_before_the_pooling_does(task: str) -> None:
    from network import POOL
    from sentences import sentences
    from tokens import pieces

    assert all(0 < len(pieces(one.text)) <= POOL for one in sentences(task, 100, 1))


def test_diacritics_are_dropped_as_on_a_plain_keyboard() -> None:
    from sentences import without_diacritics

    assert without_diacritics("Điều hoà rò nước, đến gấp") == "Dieu hoa ro nuoc, den gap"
    assert without_diacritics("漏水") == "漏水"


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_vietnamese_is_cut_into_syllables_and_chinese_into_characters() -> None:
    from tokens import pieces

    assert pieces("Máy bơm ở phòng 305 RÒ nước!") == ["máy", "bơm", "ở", "phòng", "305", "rò", "nước"]
    assert pieces("B车间的水泵漏水。") == ["b", "车", "间", "的", "水", "泵", "漏", "水"]
    assert pieces("nu\u031bo\u031b\u0301c") == ["nước"]  # typed as letters and marks
    assert pieces(" ,.!? ") == []


@given(st.lists(st.text(max_size=80), max_size=5), st.lists(st.text(max_size=20), max_size=5))
def test_any_text_becomes_fifty_known_ids(texts: list[str], learnt: list[str]) -> None:
    from tokens import LENGTH, PADDING, encoded, pieces, vocabulary

    known = vocabulary(learnt, most=1000, least=1)
    ids = encoded(texts, known)
    assert (ids.shape, ids.dtype) == ((len(texts), LENGTH), np.int32)
    assert ((ids >= 0) & (ids < len(known))).all()
    assert [int((row != PADDING).sum()) for row in ids] == [min(len(pieces(text)), LENGTH) for text in texts]
    again = encoded(learnt, known)
    for row, text in zip(again, learnt, strict=True):
        assert [known[number] for number in row if number != PADDING] == pieces(text)[:LENGTH]


# --- the network -----------------------------------------------------------------------------------------------------


def test_the_network_is_the_tutorials() -> None:
    from network import TextCNN

    network = TextCNN(words=20, classes=4, depth=6, filters=5).eval()
    said = network(torch.ones((3, 50), dtype=torch.int32))
    assert said.shape == (3, 4)
    torch.testing.assert_close(said.sum(1), torch.ones(3))
    assert [convolve(torch.zeros(1, 6, 50)).shape[2] for convolve in network.convolutions] == [50] * 4  # same padding
    assert network.answer.in_features == 4 * 5  # one window of the pooling for each of the four


# --- the page --------------------------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def small(words: list[str]) -> list[str]:
    start = [sys.executable, *(["-m"] if words[0] == "manyfaces" else [])]
    rest = words if words[0] == "manyfaces" else words[1:]
    return start + rest + next((more for name, more in SMALL.items() if name in " ".join(words[:2])), [])


def test_the_commands_of_the_page_run_one_after_the_other(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX files are quantised by ONNX Runtime")
    pytest.importorskip("ai_edge_litert", reason="LiteRT needs the extra manyfaces[litert]")
    for file in EXAMPLE.glob("*.py"):
        shutil.copy(file, tmp_path)
    answers = []
    for words in commands():
        command = small(words)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, (command, done.stderr)
        if "ask.py" in command[1]:
            answers.append(done.stdout)
    assert json.loads((tmp_path / "runs" / "repair" / "labels.json").read_text()) == [
        *("no power", "leak", "noise", "overheating"),
    ]
    by_onnx, by_litert, told = answers
    numbers = [[float(number) for number in re.findall(r"\d\.\d+(?:e-\d+)?", one)] for one in (by_onnx, by_litert)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-5)
    assert sum(numbers[0]) == pytest.approx(1)
    assert len(told.splitlines()) == 2


def test_the_table_of_the_page_is_the_measured_one() -> None:
    rows = json.loads((REPOSITORY / "benchmarks" / "results" / "textcnn.json").read_text(encoding="utf-8"))["rows"]
    measured = {row["name"]: row for row in rows if not row["failed"]}
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\w+ \w+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+)% \|$", text, re.MULTILINE)
    assert len(told) == 11
    for name, size, one, many, right in told:
        row = measured[name]
        assert float(size) == round(row["form"]["size"] / 1024)
        assert [float(one), float(many)] == [round(row["cost"]["milliseconds"][count], 3) for count in ("1", "32")]
        assert float(right) == pytest.approx(row["verdict"]["accuracy"] * 100, abs=0.006)


def test_training_alone_leaves_what_is_needed_to_go_on(tmp_path: Path) -> None:
    command = small(["python", str(EXAMPLE / "train.py"), "--task", "maintenance", "--out", "made"])
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True).stdout
    assert "64 sentences learnt, 64 of other templates tested" in said
    made = tmp_path / "made"
    program = torch.export.load(made / "textcnn.pt2").module()
    with np.load(made / "tested.npz") as tested:
        assert (tested["ids"].shape, tested["ids"].dtype) == ((64, 50), np.int32)
        answer = program(torch.from_numpy(tested["ids"]))  # any batch size
    torch.testing.assert_close(answer.sum(1), torch.ones(64))
    from network import TextCNN

    network = TextCNN()
    network.load_state_dict(torch.load(made / "weights.pt", weights_only=True))
    ones = torch.ones((1, 50), dtype=torch.int32)
    torch.testing.assert_close(network.eval()(ones), program(ones))
