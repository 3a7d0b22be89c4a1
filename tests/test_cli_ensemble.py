"""`ensemble emotion` and `distill emotion` as a user meets them: files, figures, and one sentence for what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Run
from manyfaces.card import ModelCard
from manyfaces.train.data import EMOTIONS
from manyfaces.types import Pixels
from manyfaces.weights import Weights, load
from test_train_ensemble import LARGER, SPEC, network, part

pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")


def written(member: Weights, folder: Path) -> Path:
    """A member's file and its card, as a training leaves them."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(member.content)
    member.card.write(folder / "model.json")
    return folder / "model.onnx"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return written(part(1), tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return written(part(2, LARGER), tmp_path / "other")


def test_an_ensemble_is_again_a_model_with_a_card(
    run: Run, labelled_faces: Path, one: Path, other: Path, tmp_path: Path
) -> None:
    ran = run(
        "ensemble", "emotion", one, other, "--data", labelled_faces, "--out", "runs/both", "--json", "figures.json"
    )
    assert ran.status == 0, ran.err
    whole = load(tmp_path / "runs" / "both" / "model.onnx")
    assert (whole.card.task, whole.card.labels, whole.card.input) == ("emotion", EMOTIONS, SPEC)
    members = [load(path).card.identifier for path in (one, other)]
    assert whole.card.trained_by == f"manyfaces ensemble emotion {' '.join(members)}"
    assert all(any(name in note for note in whole.card.notes) for name in members)
    assert all(name in ran.out for name in members)

    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures == json.loads((tmp_path / "runs" / "both" / "ensemble.json").read_text())
    assert figures["model"] == whole.card.identifier
    assert [member["model"] for member in figures["members"]] == members
    assert sum(member["weight"] for member in figures["members"]) == pytest.approx(1)
    assert (figures["count"], figures["clean"]["count"]) == (14, 13)
    assert figures["ways"]["cross_fitted"].keys() == {"accuracy", "clean_accuracy", "gain", "gain_error"}
    assert figures["accuracy"] == pytest.approx(whole.card.metrics["public_test_accuracy"], abs=1e-4)
    assert all(cost > 0 for cost in (figures["ms_per_face"], *(member["ms_per_face"] for member in figures["members"])))


def test_its_figures_are_what_evaluate_says_of_it(
    run: Run, labelled_faces: Path, one: Path, other: Path, tmp_path: Path
) -> None:
    run("ensemble", "emotion", one, other, "--data", labelled_faces, "--out", "both", "--mirror", "--half")
    assert run("evaluate", "emotion", "both/model.onnx", "--data", labelled_faces, "--json", "again.json").status == 0
    ensemble, again = (json.loads((tmp_path / name).read_text()) for name in ("both/ensemble.json", "again.json"))
    assert (ensemble["mirror"], ensemble["half"]) == (True, True)
    assert ensemble["confusion"] == again["confusion"]
    for figure in ("accuracy", "balanced_accuracy", "ece"):
        assert ensemble[figure] == pytest.approx(again[figure])


def test_an_ensemble_joins_another(run: Run, labelled_faces: Path, one: Path, other: Path, tmp_path: Path) -> None:
    run("ensemble", "emotion", one, other, "--data", labelled_faces, "--out", "both")
    third = written(part(3), tmp_path / "third")
    assert run("ensemble", "emotion", "both/model.onnx", third, "--data", labelled_faces, "--out", "three").status == 0
    assert load(tmp_path / "three" / "model.onnx").card.name == "emotion-ensemble"


def test_a_small_network_learns_from_several(
    run: Run, labelled_faces: Path, one: Path, other: Path, tmp_path: Path, tiny_recipe: Path
) -> None:
    told = ("--data", labelled_faces, "--out", "small", "--recipe", tiny_recipe)
    ran = run("distill", "emotion", one, other, *told)
    assert ran.status == 0, ran.err
    assert "the teacher: " in ran.err
    names = " ".join(load(path).card.identifier for path in (one, other))
    card = ModelCard.read(tmp_path / "small" / "model.json")
    assert card.trained_by == f"manyfaces distill emotion {names} --recipe tiny.json"
    assert load(tmp_path / "small" / "model.onnx").card == card

    changed = run("distill", "emotion", one, *told, "--epochs", 2, "--resume")
    assert changed.status == 3
    assert "the teacher changed since this checkpoint was made; resume with the same" in changed.err
    assert run("distill", "emotion", one, other, *told, "--epochs", 2, "--resume").status == 0
    assert len((tmp_path / "small" / "log.csv").read_text().splitlines()) == 1 + 2


COMMANDS = ("ensemble", "distill")
ROLES = {"ensemble": "a member of the ensemble", "distill": "a teacher"}


@pytest.fixture
def photos(tmp_path: Path, astronaut: Pixels, hopper: Pixels) -> Path:
    """Three photos of each of two classes; one of each is held out."""
    for name, image in (("happy", astronaut), ("neutral", hopper)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for cut in range(3):
            Image.fromarray(image[cut:, cut:]).save(tmp_path / "photos" / name / f"{cut}.png")
    return tmp_path / "photos"


def test_photos_are_read_as_training_reads_them(
    run: Run, photos: Path, one: Path, other: Path, tmp_path: Path, tiny_recipe: Path
) -> None:
    ran = run("ensemble", "emotion", one, other, "--data", photos, "--out", "both")
    assert ran.status == 0, ran.err
    assert "6 photos, 6 faces (6 photos searched now" in ran.err
    assert (tmp_path / "both" / "faces.npz").is_file()
    assert any("weighed on the held-out photos" in note for note in load(tmp_path / "both" / "model.onnx").card.notes)
    ran = run("distill", "emotion", one, "--data", photos, "--out", "small", "--recipe", tiny_recipe)
    assert "% of the held-out photos" in ran.err


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_wrong_with_a_network_is_one_sentence_about_its_file(
    run: Run, labelled_faces: Path, one: Path, tmp_path: Path, command: str
) -> None:
    written(part(8, labels=()), tmp_path / "unlabelled")
    written(part(9, content=network(9, classes=5)), tmp_path / "five")
    written(part(7), tmp_path / "cardless").with_suffix(".json").unlink()
    for file, sentence in (
        ("gone.onnx", "there is no such model file"),
        ("unlabelled/model.onnx", "its card's labels are none"),
        ("five/model.onnx", "it gives 5 numbers for a face, not 7"),
        ("cardless/model.onnx", "there is no model card"),
        ("sface", "does identity, not emotion"),
        (one, "is named twice; name it once"),
    ):
        ran = run(command, "emotion", one, file, "--data", labelled_faces, "--out", "out")
        assert ran.status in (2, 3), file
        assert sentence in ran.err, ran.err
        assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_that_is_needed_is_written_over(
    run: Run, labelled_faces: Path, one: Path, other: Path, tmp_path: Path, command: str
) -> None:
    content = one.read_bytes()
    ran = run(command, "emotion", one, other, "--data", labelled_faces, "--out", one.parent)
    assert (ran.status, f"model.onnx: this is {ROLES[command]}, or its card" in ran.err) == (2, True)
    (tmp_path / "file").write_text("mine")
    ran = run(command, "emotion", one, other, "--data", labelled_faces, "--out", "file")
    assert (ran.status, "file: this is a file, and a folder is needed" in ran.err) == (3, True)
    assert (one.read_bytes(), (tmp_path / "file").read_text()) == (content, "mine")


def test_figures_go_into_no_file_that_holds_something_else(
    run: Run, labelled_faces: Path, one: Path, other: Path
) -> None:
    told = ("ensemble", "emotion", one, other, "--data", labelled_faces, "--out", "out", "--json")
    for file in (labelled_faces, other.with_suffix(".json"), "out/model.json"):
        ran = run(*told, file)
        assert ran.status == 2, ran.err
        assert len(ran.err.splitlines()) == 1
    assert ModelCard.read(other.with_suffix(".json")).name == "tiny"


@pytest.mark.parametrize("command", COMMANDS)
def test_data_without_a_part_to_select_on_is_refused(
    run: Run, labelled_faces: Path, one: Path, other: Path, tmp_path: Path, command: str
) -> None:
    with np.load(labelled_faces) as arrays:
        learnt = dict(arrays) | {"usage": np.zeros(42, np.int64)}
    np.savez(tmp_path / "learnt.npz", **learnt)
    ran = run(command, "emotion", one, other, "--data", "learnt.npz", "--out", "out")
    assert ran.status == 3
    assert "learnt.npz: holds no pictures of PublicTest, to select on; give data that does" in ran.err
    assert not (tmp_path / "out" / "model.onnx").exists()


def test_one_network_is_no_ensemble(run: Run, labelled_faces: Path, one: Path) -> None:
    ran = run("ensemble", "emotion", one, "--data", labelled_faces, "--out", "out")
    assert (ran.status, "an ensemble needs two networks or more" in ran.err) == (2, True)


def test_a_network_whose_file_was_changed_is_not_asked(run: Run, labelled_faces: Path, one: Path, other: Path) -> None:
    card = ModelCard.read(one.with_suffix(".json"))
    replace(card, sha256="0" * 64).write(one.with_suffix(".json"))
    ran = run("ensemble", "emotion", one, other, "--data", labelled_faces, "--out", "out")
    assert (ran.status, "these are not the weights of tiny" in ran.err) == (3, True)
