"""`train identity` as a user meets it: what it leaves, that it can be used, and one sentence for what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Run
from manyfaces.card import ModelCard
from manyfaces.cartoon import CAST, draw_person

pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")
pytest.importorskip("pytorch_metric_learning", reason="telling people apart needs the extra manyfaces[train]")

EXPRESSIONS = ("neutral", "happy", "sad", "surprise")
NAMES = ("Lan", "Minh", "Vy")
ACROSS = np.linspace(0, 1, 200)
LIGHTS = dict(
    zip(
        EXPRESSIONS,
        (0.4 + 0.6 * ACROSS, 1 - 0.6 * ACROSS, 0.5 + 0 * ACROSS, 1 - 1.4 * np.abs(ACROSS - 0.5)),
        strict=True,
    )
)
"""From where the light falls: drawn faces in one light would be taken for copies."""
TINY = {
    "design": {"kind": "faces", "stem": 4, "widths": [8, 8], "depths": [1, 1], "length": 16, "side": 28},
    "plan": {"epochs": 1, "batch": 8},
    "views": {"each": 2},
}
HEAD = {"design": {"kind": "bend"}, "plan": {"epochs": 1, "batch": 8}, "views": {"each": 1}}


def portrait(seed: int, expression: str) -> Image.Image:
    patch, cover = draw_person(seed, expression, 150)
    wall = np.full((200, 200, 3), 165, np.float32)
    inner = wall[25:175, 25:175]
    inner += (patch - inner) * cover[..., None]
    return Image.fromarray((wall * LIGHTS[expression][:, None]).astype(np.uint8))


@pytest.fixture(scope="session")
def drawn_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn people with four photos each."""
    folder = tmp_path_factory.mktemp("photos")
    for name, seed in zip(NAMES, CAST, strict=False):
        (folder / name).mkdir()
        for expression in EXPRESSIONS:
            portrait(seed, expression).save(folder / name / f"{expression}.png")
    return folder


@pytest.fixture
def photos(drawn_photos: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(drawn_photos, tmp_path / "photos"))


def recipe(folder: Path, fields: dict[str, object]) -> Path:
    (folder / "mine.json").write_text(json.dumps(fields))
    return folder / "mine.json"


def test_a_network_of_ones_own_is_left_with_its_card_and_recognises_who_is_enrolled_with_it(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    (photos / "Lan" / "again.png").write_bytes((photos / "Lan" / "happy.png").read_bytes())
    ran = run("train", "identity", "--data", photos, "--out", "mine", "--recipe", recipe(tmp_path, TINY), "--seed", 3)
    assert ran.status == 0, ran.err
    files = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"model.onnx", "model.json", "recipe.json", "log.csv", "curves.png", "last.pt"} <= files
    card = ModelCard.read(tmp_path / "mine" / "model.json")
    assert (card.task, card.trained_by) == ("identity", "manyfaces train identity --recipe mine.json --seed 3")
    assert "13 faces of 3 people, 1 of them copies, which stay together; 0 photos left out" in ran.err
    assert "held-out photos, with the pretrained network for" in ran.out
    assert "use it with --identity-model mine/model.onnx" in ran.out

    model = ("--identity-model", "mine/model.onnx")
    added = run("people", "add", "Lan", photos / "Lan" / "neutral.png", "--gallery", "own.db", *model)
    assert added.status == 0, added.err
    known = run("identify", photos / "Lan" / "neutral.png", "--gallery", "own.db", *model)
    assert known.status == 0, known.err
    assert "1.000" in known.out  # the very face that is enrolled
    other = run("identify", photos / "Lan" / "neutral.png", "--gallery", "own.db")
    assert other.status == 3
    assert f"own.db: was made with {card.identifier}, not sface" in other.err
    assert "Traceback" not in other.err
    calibrated = run("people", "calibrate", "--gallery", "own.db")
    assert calibrated.status == 3
    assert f"was made with {card.identifier}, not sface" in calibrated.err
    assert run("people", "calibrate", "--gallery", "own.db", *model).status == 0


def test_an_adapted_network_is_one_only_if_it_is_better(run: Run, photos: Path, tmp_path: Path) -> None:
    """Drawn people are told apart already, and one epoch changes next to nothing."""
    asked = ("train", "identity", "--data", photos, "--recipe", recipe(tmp_path, HEAD), "--out", "mine")
    ran = run(*asked)
    assert ran.status == 0, ran.err
    out = tmp_path / "mine"
    said = json.loads((out / "comparison.json").read_text())
    assert said["kept"] is False
    assert (
        "not adapted, since that is no better by more than chance, or worse for people it has not seen. of photos"
        in ran.out
    )
    card = ModelCard.read(out / "model.json")
    assert card.name == "sface-2021dec"  # whose galleries stay good
    assert {"model.onnx", "recipe.json", "log.csv", "curves.png"} <= {path.name for path in out.iterdir()}
    used = run(
        "verify", photos / "Lan" / "sad.png", photos / "Lan" / "happy.png", "--identity-model", out / "model.onnx"
    )
    assert used.status == 0, used.err

    again = run(*asked)
    assert again.status == 3
    assert "holds a training already; go on with it by --resume" in again.err
    resumed = run(*asked, "--epochs", 2, "--resume")
    assert resumed.status == 0, resumed.err
    assert (out / "log.csv").read_text().count("\n") == 1 + 2
    Image.open(photos / "Lan" / "sad.png").convert("L").save(photos / "Lan" / "sad.png")
    changed = run(*asked, "--epochs", 3, "--resume")
    assert changed.status == 3
    assert "the data changed since this checkpoint was made" in changed.err


def test_what_cannot_be_learnt_from_is_named(run: Run, photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (60, 60), "green").save(photos / "Lan" / "wall.png")
    shutil.copy(photos / "Lan" / "happy.png", photos / "Minh" / "mine.png")
    for expression in ("neutral", "sad", "surprise"):
        (photos / "Lan" / f"{expression}.png").unlink()
    shutil.rmtree(photos / "Vy")
    ran = run("train", "identity", "--data", photos, "--out", "mine", "--recipe", recipe(tmp_path, TINY))
    assert ran.status == 3
    assert "wall.png: no face found" in ran.err
    assert "the same picture lies under 'Lan' and 'Minh'; keep it in one of them" in ran.err
    assert "shows 'Minh' alone, and telling people apart takes two" in ran.err
    assert not (tmp_path / "mine" / "last.pt").exists()


def test_one_photo_of_each_is_not_enough(run: Run, photos: Path, tmp_path: Path) -> None:
    for path in photos.glob("*/*.png"):
        if path.stem != "happy":
            path.unlink()
    ran = run("train", "identity", "--data", photos, "--out", "mine", "--recipe", recipe(tmp_path, TINY))
    assert ran.status == 3
    assert "nobody has three different photos" in ran.err
    assert "manyfaces people import" in ran.err


def test_an_album_without_a_face_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "walls" / "Lan").mkdir(parents=True)
    Image.new("RGB", (60, 60), "green").save(tmp_path / "walls" / "Lan" / "wall.png")
    ran = run("train", "identity", "--data", "walls", "--out", "mine")
    assert ran.status == 3
    assert "walls: shows nobody" in ran.err


@pytest.mark.parametrize(
    ("more", "status", "sentence"),
    [
        (("--recipe", "huge"), 2, "recipe 'huge': there is no such recipe; known are compact"),
        (("--recipe", "expressions.json"), 3, "'residual' is no network that tells people apart"),
        (("--data", "nowhere"), 3, "nowhere"),
        (("--out", "expressions.json"), 3, "this is a file, and a folder is needed"),
        (("--resume",), 3, "there is no checkpoint to go on from; start without --resume"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, photos: Path, tmp_path: Path, more: tuple[str, ...], status: int, sentence: str
) -> None:
    (tmp_path / "expressions.json").write_text(json.dumps({"design": {"kind": "residual"}}))
    asked = {"--data": photos, "--out": "mine", "--recipe": recipe(tmp_path, TINY)} | dict(
        zip(more[::2], more[1::2], strict=False)
    )
    flags = [part for pair in asked.items() for part in pair] + [flag for flag in more if flag == "--resume"]
    ran = run("train", "identity", *flags)
    assert ran.status == status, ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err


def test_a_network_that_does_something_else_recognises_nobody(run: Run, photos: Path, tmp_path: Path) -> None:
    picture = photos / "Lan" / "happy.png"
    ran = run("verify", picture, picture, "--identity-model", "emotion")
    assert ran.status == 3
    assert "emotion: this network does emotion, not identity; give an identity network" in ran.err
    ran = run("analyze", picture, "--no-identity", "--identity-model", "mine.onnx")
    assert ran.status == 2
    assert "an identity model was named, but nobody is to be identified" in ran.err
