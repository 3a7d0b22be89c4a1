"""`distill identity` as a user meets it: what it leaves, that it can be used, and one sentence for what is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Run
from manyfaces.card import ModelCard
from manyfaces.types import Pixels
from manyfaces.weights import load

pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")

TINY = {
    "design": {"side": 32, "stem": 4, "widths": [8, 8], "halving": [1]},
    "plan": {"epochs": 1, "batch": 4, "method": "adam", "rate": 0.001},
    "pictures": 4,
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "small.json").write_text(json.dumps(TINY), encoding="utf-8")
    return tmp_path / "small.json"


def test_it_leaves_a_network_that_tells_faces_apart(
    run: Run, labelled_faces: Path, photo: Path, other: Path, small: Path
) -> None:
    asked = ("--data", labelled_faces, "--data", photo, "--out", "out", "--recipe", small, "--seed", 3)
    ran = run("distill", "identity", *asked)
    assert ran.status == 0, ran.err
    assert "43 faces, 42 of them grey" in ran.err
    assert "times cheaper" in ran.out
    assert "--identity-model out/model.onnx" in " ".join(ran.out.split())
    card = ModelCard.read(Path("out/model.json"))
    assert card.task == "identity"
    assert (card.input.width, len(card.input.template)) == (32, 5)
    assert "distill identity --teacher sface-2021dec-" in card.trained_by
    assert card.trained_by.endswith("--recipe small.json --seed 3")
    verified = run("identify", photo, "--identity-model", "out/model.onnx")
    assert verified.status == 0, verified.err


def test_a_second_run_cuts_nothing_twice_and_goes_on(run: Run, labelled_faces: Path, photo: Path, small: Path) -> None:
    """The picture becomes another one behind an unchanged name, size and time: nobody looks into it again."""
    asked = ("distill", "identity", "--data", labelled_faces, "--data", photo, "--out", "out", "--recipe", small)
    assert run(*asked).status == 0
    before = photo.stat()
    photo.write_bytes(bytes(before.st_size))
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    ran = run(*asked, "--epochs", 2, "--resume")
    assert ran.status == 0, ran.err
    assert "epoch 2 of 2" in ran.err
    assert "epoch 1 of" not in ran.err


def test_what_shows_no_face_is_named_and_the_rest_learnt_from(
    run: Run, labelled_faces: Path, photo: Path, small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    photo.rename(folder / "face.png")
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(folder / "wall.png")
    (folder / "broken.jpg").write_bytes(b"no picture at all")
    ran = run("distill", "identity", "--data", folder, "--data", labelled_faces, "--out", "out", "--recipe", small)
    assert ran.status == 0, ran.err
    assert "wall.png: shows no face of 24 pixels or more" in ran.err
    assert "broken.jpg" in ran.err
    assert "43 faces, 42 of them grey" in ran.err


@pytest.mark.parametrize(
    ("more", "status", "sentence"),
    [
        (("--recipe", "huge"), 2, "recipe 'huge': there is no such recipe; known are carved, compact"),
        (("--teacher", "emotion.onnx"), 3, "this network does emotion, not identity"),
        (("--teacher", "grey.onnx"), 3, "grey.onnx: this network sees grey faces; give one that sees colours"),
        (("--teacher", "nothing.onnx"), 3, "nothing.onnx: there is no such model file"),
        (("--data", "nowhere"), 3, "nowhere: there is no such file or folder"),
        (("--data", "empty"), 3, "empty: this folder holds no pictures or videos"),
        (("--data", "walls"), 3, "walls: no face of 24 pixels or more was found; give other pictures"),
        (("--data", "one"), 3, "1 different faces are too few to learn from; give 40 or more"),
        (("--resume",), 3, "last.pt: there is no checkpoint to go on from; start without --resume"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, photo: Path, labelled_faces: Path, small: Path, more: tuple[str, ...], status: int, sentence: str
) -> None:
    for name in ("empty", "walls", "one"):
        Path(name).mkdir()
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save("walls/wall.png")
    Path("one/face.png").write_bytes(photo.read_bytes())
    _write_other_networks(Path("emotion.onnx"))
    asked = {"--data": labelled_faces, "--out": "out", "--recipe": small} | dict(
        zip(more[::2], more[1::2], strict=False)
    )
    flags = [part for pair in asked.items() for part in pair] + [flag for flag in more if flag == "--resume"]
    ran = run("distill", "identity", *flags)
    assert ran.status == status, ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err


def _write_other_networks(path: Path) -> None:
    """One for expressions, and one that says it is for faces, and sees grey ones."""
    weights = load("emotion")
    path.write_bytes(weights.content)
    weights.card.write(path.with_suffix(".json"))
    grey = path.with_name("grey.onnx")
    grey.write_bytes(weights.content)
    dataclasses.replace(weights.card, task="identity").write(grey.with_suffix(".json"))


def test_a_teacher_is_not_written_over(run: Run, labelled_faces: Path, small: Path) -> None:
    asked = ("--data", labelled_faces, "--recipe", small)
    assert run("distill", "identity", *asked, "--out", "out").status == 0
    before = Path("out/model.onnx").read_bytes()
    ran = run("distill", "identity", *asked, "--out", "out", "--teacher", "out/model.onnx")
    assert ran.status == 2
    assert "out/model.onnx: this is the teacher; write to another file" in ran.err
    assert Path("out/model.onnx").read_bytes() == before


def test_other_data_is_not_gone_on_with(run: Run, labelled_faces: Path, photo: Path, small: Path) -> None:
    asked = ("distill", "identity", "--data", labelled_faces, "--out", "out", "--recipe", small)
    assert run(*asked).status == 0
    ran = run(*asked, "--data", photo, "--epochs", 2, "--resume")
    assert ran.status == 3
    assert "the data changed since this checkpoint was made" in ran.err


def test_a_video_is_looked_at_once_a_second(run: Run, astronaut: Pixels, labelled_faces: Path, small: Path) -> None:
    """Three frames in two seconds, of which the second is too near the first."""
    face = Image.fromarray(astronaut[:300, 80:380])
    face.save("film.gif", save_all=True, append_images=[face.rotate(2), face.rotate(4)], duration=[500, 700, 800])
    ran = run("distill", "identity", "--data", "film.gif", "--data", labelled_faces, "--out", "out", "--recipe", small)
    assert ran.status == 0, ran.err
    assert "44 faces, 42 of them grey" in ran.err
