"""`train emotion` as a user meets it: what it leaves, what it says, and one sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import Run
from manyfaces.card import ModelCard

pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")


def test_training_leaves_everything_that_is_needed_to_use_and_to_repeat_it(
    run: Run, labelled_faces: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    ran = run(
        "train",
        "emotion",
        "--data",
        labelled_faces,
        "--out",
        "runs/mine",
        "--recipe",
        tiny_recipe,
        "--seed",
        3,
        "--clean",
    )
    assert ran.status == 0, ran.err
    out = tmp_path / "runs" / "mine"
    files = {path.name for path in out.iterdir()}
    assert {"model.onnx", "model.json", "recipe.json", "log.csv", "curves.png", "best.pt", "last.pt"} <= files
    assert ModelCard.read(out / "model.json").trained_by == (
        "manyfaces train emotion --recipe tiny.json --seed 3 --clean"
    )
    assert "of PublicTest; use it with --emotion-model runs/mine/model.onnx" in ran.out
    assert "angry" in ran.err  # the balance of the classes
    assert "epoch 1 of 1: " in ran.err

    again = run(
        "train", "emotion", "--data", labelled_faces, "--out", "again", "--recipe", out / "recipe.json", "--clean"
    )
    assert again.status == 0, again.err
    assert (tmp_path / "again" / "model.onnx").read_bytes() == (out / "model.onnx").read_bytes()


def test_a_run_goes_on_and_another_begins_where_it_stopped(
    run: Run, labelled_faces: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    asked = ("train", "emotion", "--data", labelled_faces, "--recipe", tiny_recipe)
    assert run(*asked, "--out", "one").status == 0
    resumed = run(*asked, "--out", "one", "--epochs", 2, "--resume")
    assert resumed.status == 0, resumed.err
    assert (tmp_path / "one" / "log.csv").read_text().count("\n") == 1 + 2
    begun = run(*asked, "--out", "two", "--start", "one")
    assert begun.status == 0, begun.err
    assert ModelCard.read(tmp_path / "two" / "model.json").trained_by.endswith("--recipe tiny.json --start one")


@pytest.mark.parametrize(
    ("more", "status", "sentence"),
    [
        (("--recipe", "huge"), 2, "recipe 'huge': there is no such recipe; known are compact"),
        (("--resume",), 3, "last.pt: there is no checkpoint to go on from; start without --resume"),
        (("--start", "nowhere"), 3, "nowhere: holds no training to start from; name the folder that --out named"),
        (("--data", "nothing.npz"), 3, "nothing.npz: there is no such file or folder"),
        (("--out", "faces.npz"), 3, "faces.npz"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, labelled_faces: Path, tiny_recipe: Path, more: tuple[str, ...], status: int, sentence: str
) -> None:
    asked = {"--data": labelled_faces, "--out": "out", "--recipe": tiny_recipe} | dict(
        zip(more[::2], more[1::2], strict=False)
    )
    flags = [part for pair in asked.items() for part in pair] + [flag for flag in more if flag == "--resume"]
    ran = run("train", "emotion", *flags)
    assert ran.status == status, ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err


def test_changed_data_is_not_gone_on_with(run: Run, labelled_faces: Path, tiny_recipe: Path) -> None:
    asked = ("train", "emotion", "--data", labelled_faces, "--recipe", tiny_recipe, "--out", "out")
    assert run(*asked).status == 0
    arrays = dict(np.load(labelled_faces))
    arrays["images"][0] += 1
    np.savez(labelled_faces, **arrays)
    ran = run(*asked, "--epochs", 2, "--resume")
    assert ran.status == 3
    assert "last.pt: the data changed since this checkpoint was made" in ran.err
