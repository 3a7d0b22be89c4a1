"""`manyfaces evaluate emotion`: figures, their uncertainty, their cost, their pictures; and everything it refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from conftest import Run
from manyfaces.card import InputSpec, ModelCard
from manyfaces.errors import OutputError, UsageError, WeightsError
from manyfaces.evaluate import emotion
from manyfaces.evaluate.emotion import batch_count, columns_of, milliseconds_a_face, mirrored, read_expressions
from manyfaces.train.data import EMOTIONS, SIDE
from manyfaces.train.evaluate import Reliability, reliability
from manyfaces.types import Crops, Emotions

SPEC = InputSpec(SIDE, SIDE, "grey", mean=128.0, scale=64.0)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (21, SIDE, SIDE), dtype=np.uint8)
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "ece", "count", "per_class", "clean", "ferplus")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emotion, "TIMED_SECONDS", 0.0)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Noise with labels: seven pictures to learn from, fourteen public ones, the last two of them learnt from."""
    images = IMAGES.copy()
    images[19:] = images[:2]
    votes = np.zeros((21, 10), np.uint8)
    votes[7:, 1] = 10
    labels, usage = np.tile(np.arange(7), 3), np.repeat([0, 1], [7, 14])
    np.savez(tmp_path / "faces.npz", images=images, labels=labels, usage=usage, ferplus_votes=votes)
    return tmp_path / "faces.npz"


def write_model(
    path: Path, labels: Sequence[str] = EMOTIONS, outputs: int = 7, output: str = "probabilities", **card: Any
) -> Path:
    """A network that is one matrix and a softmax, and what its card says of it."""
    matrix = RANDOM.normal(0, 0.02, (SIDE * SIDE * (3 if card.get("input", SPEC).depth == 3 else 1), outputs))
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["pixels"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
            helper.make_node("Softmax", ["logits"], [output], axis=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", card.get("input", SPEC).depth, SIDE, SIDE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(matrix.astype(np.float32), "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    made = ModelCard("tiny", "emotion", SPEC, digest, "none", "a test", tuple(labels))
    replace(made, **card).write(path.with_suffix(".json"))
    return path


def test_the_figures_stand_in_the_table_and_in_the_file(run: Run, faces: Path, tmp_path: Path) -> None:
    ran = run("evaluate", "emotion", "default", "--data", faces, "--json", "figures.json")
    assert ran.status == 0
    found = json.loads((tmp_path / "figures.json").read_text())
    assert set(FIGURES) <= found.keys()
    assert (found["count"], found["clean"]["count"], found["ferplus"]["count"]) == (14, 12, 14)
    for part in (found, found["clean"], found["ferplus"]):
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            low, high = part[f"{name}_interval"]
            assert 0 <= low <= high <= 1
    assert found["ms_per_face"] > 0
    assert "ms_per_face_mirror" not in found
    assert f"{found['accuracy']:.2%}" in ran.out
    assert f"{found['ms_per_face']:.3f} ms a face on one core" in ran.out


def test_every_interval_stands_on_one_line_of_80_columns(
    run: Run, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = run("evaluate", "emotion", "default", "--data", faces, "--json", "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text())
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        for part in (found, found["clean"], found["ferplus"]):
            low, high = part[f"{name}_interval"]
            assert f"{low:.1%} to {high:.1%} " in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_a_mirrored_reading_is_the_mean_of_both_and_says_what_it_costs(run: Run, faces: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.onnx")
    assert run("evaluate", "emotion", model, "--data", faces, "--json", "plain.json").status == 0
    ran = run("evaluate", "emotion", model, "--data", faces, "--mirror", "--json", "both.json")
    assert ran.status == 0
    plain, both = (json.loads((tmp_path / name).read_text()) for name in ("plain.json", "both.json"))
    assert both["accuracy_without_mirror"] == plain["accuracy"]
    assert both["ms_per_face_mirror"] > 0
    assert both["confusion"] != plain["confusion"]
    assert "with the mirrored face" in ran.out

    # Pictures that are their own mirror images are read as before.
    with np.load(faces) as arrays:
        columns = dict(arrays)
    columns["images"][:, :, SIDE // 2 :] = columns["images"][:, :, SIDE // 2 - 1 :: -1]
    np.savez(tmp_path / "even.npz", **columns)
    assert run("evaluate", "emotion", model, "--data", "even.npz", "--mirror", "--json", "both.json").status == 0
    both = json.loads((tmp_path / "both.json").read_text())
    assert both["accuracy"] == both["accuracy_without_mirror"]


def test_pictures_of_the_figures_are_drawn(run: Run, faces: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra manyfaces[train]")
    names = ("confusion.png", "calibration.PNG")
    drawn = ("--confusion", names[0], "--calibration", names[1])
    assert run("evaluate", "emotion", "default", "--data", faces, *drawn).status == 0
    for name in names:
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 600
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_pictures_are_drawn_of_classes_and_bins_without_anything(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra manyfaces[train]")
    from manyfaces.train.pictures import draw_calibration, draw_confusion

    draw_confusion(np.diag([5, 0, 1_234_567]), ("cat", "dog", "owl"), tmp_path / "confusion.png")
    draw_calibration(reliability(np.eye(3), np.arange(3)), tmp_path / "sure.png")
    draw_calibration(Reliability(np.zeros(4, np.int64), np.zeros(4), np.zeros(4)), tmp_path / "nothing.png")
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("confusion.png", "sure.png", "nothing.png"))
    with pytest.raises(OutputError, match=r"no/c.png: cannot be written"):
        draw_confusion(np.eye(3, dtype=np.int64), ("cat", "dog", "owl"), tmp_path / "no" / "c.png")


@pytest.mark.parametrize(
    ("outputs", "status", "sentence"),
    [
        (["--confusion", "c.jpg"], 2, "c.jpg: pictures of figures are PNG files"),
        (["--confusion", "same.png", "--calibration", "same.png"], 2, "same.png: this file is given for two outputs"),
        (["--calibration", "nowhere/c.png"], 3, "there is no folder nowhere"),
        (["--json", "faces.npz"], 2, "faces.npz: this is also an input"),
        (["--json", "tiny.onnx"], 2, "tiny.onnx: this is also an input"),
        (["--json", "notes.json"], 3, "notes.json: this file holds something else than figures"),
    ],
)
def test_outputs_that_would_destroy_something_are_refused_before_any_work(
    run: Run, faces: Path, tmp_path: Path, outputs: list[str], status: int, sentence: str
) -> None:
    model = write_model(tmp_path / "tiny.onnx")
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    ran = run("evaluate", "emotion", model, "--data", faces, *outputs)
    assert (ran.status, ran.out) == (status, "")
    assert sentence in ran.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_part_that_the_data_does_not_hold_is_one_sentence(run: Run, faces: Path) -> None:
    ran = run("evaluate", "emotion", "default", "--data", faces, "--split", "private")
    assert ran.status == 3
    assert ran.err == f"manyfaces: {faces}: holds no pictures of PrivateTest, to test on; give data that does\n"
    ran = run("evaluate", "emotion", "default", "--data", faces, "--split", "last")
    assert "there is no such part; use training, public or private" in ran.err


def test_photos_are_sent_to_where_their_faces_lie(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos" / "happy").mkdir(parents=True)
    ran = run("evaluate", "emotion", "default", "--data", "photos")
    assert ran.status == 2
    assert "give the faces.npz that training left in its folder" in ran.err


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"labels": (*EMOTIONS, "contempt"), "outputs": 8}, "tells 8 classes apart (angry, disgust, fear, happy, sad"),
        ({"labels": ("calm", *EMOTIONS[1:])}, "but the faces are labelled with 7 (angry, disgust"),
        ({"outputs": 8}, "output is not what its card says (probabilities: expected (n, 7), got ("),
        ({"output": "logits_of_mine"}, "output is not what its card says"),
        ({"input": InputSpec(SIDE, SIDE, "rgb")}, "reads rgb pictures, but the labelled faces are grey"),
        ({"task": "identity"}, "this network does identity, not emotion"),
    ],
)
def test_a_network_that_cannot_be_judged_by_these_labels_is_one_sentence(
    run: Run, faces: Path, tmp_path: Path, model: dict[str, Any], sentence: str
) -> None:
    ran = run("evaluate", "emotion", write_model(tmp_path / "tiny.onnx", **model), "--data", faces)
    assert ran.status in (2, 3)
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_evaluate_lists_only_options_that_mean_something(run: Run) -> None:
    helps = {name: run("evaluate", name, "--help").out for name in ("emotion", "detection", "identity", "tracking")}
    assert all("--precision" in text and "--runtime" in text for text in helps.values())
    for name, without in (
        ("emotion", ("--detector", "--min-face", "--every-face", "--emotion-model", "--no-identity", "--gallery")),
        ("detection", ("--every-face", "--emotion-model", "--no-emotion", "--no-identity", "--gallery")),
        ("identity", ("--every-face", "--emotion-model", "--no-emotion", "--no-identity", "--gallery")),
        ("tracking", ("--emotion-model", "--emotion-rate", "--gallery")),
    ):
        assert [flag for flag in without if flag in helps[name]] == []
    assert "--every-face" in helps["tracking"]
    assert "--min-face" in helps["detection"]


# --- the parts -------------------------------------------------------------------------------------------------------


class Fake:
    """Sure of the class that a face's first pixel names, counting what it was shown."""

    def __init__(self, labels: Sequence[str] = EMOTIONS, spec: InputSpec = SPEC) -> None:
        self.spec = spec
        self.labels = tuple(labels)
        self.batches: list[int] = []

    def __call__(self, crops: Crops, /) -> Emotions:
        self.batches.append(len(crops))
        return Emotions(np.eye(len(self.labels), dtype=np.float32)[crops.pixels[:, 0, 0, 0] % 7], self.labels)


def test_faces_are_read_in_batches_that_are_counted() -> None:
    steps: list[int] = []
    images = np.resize(IMAGES, (600, SIDE, SIDE))
    head = Fake()
    said = read_expressions(images, head, lambda: steps.append(1))
    assert head.batches == [256, 256, 88]
    assert len(steps) == batch_count(600) == 3
    assert said.argmax(axis=1).tolist() == (images[:, 0, 0] % 7).tolist()
    assert (batch_count(0), batch_count(1), batch_count(256), batch_count(257)) == (0, 1, 1, 2)


def test_classes_in_another_order_are_put_in_ours() -> None:
    head = Fake(EMOTIONS[::-1])
    columns = columns_of(head, EMOTIONS)
    assert columns == [6, 5, 4, 3, 2, 1, 0]
    assert head.batches == [0]  # nothing is read to learn that
    with pytest.raises(UsageError, match="tells 2 classes apart"):
        columns_of(Fake(EMOTIONS[:2]), EMOTIONS)


def test_a_head_that_answers_with_nonsense_is_one_sentence() -> None:
    class Odd(Fake):
        def __call__(self, crops: Crops, /) -> Emotions:
            return Emotions(np.zeros((len(crops), 3), np.float32), self.labels)

    with pytest.raises(WeightsError, match="output is not what its card says"):
        read_expressions(IMAGES, Odd())


def test_a_network_that_answers_no_numbers_is_one_sentence(run: Run, faces: Path, tmp_path: Path) -> None:
    path = write_model(tmp_path / "lost.onnx")
    model = onnx.load(path)
    matrix = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(matrix * np.float32(np.nan), "matrix"))
    onnx.save(model, path)
    card = ModelCard.read(path.with_suffix(".json"))
    replace(card, sha256=hashlib.sha256(path.read_bytes()).hexdigest()).write(path.with_suffix(".json"))
    ran = run("evaluate", "emotion", path, "--data", faces)
    assert (ran.status, ran.out) == (3, "")
    assert ran.err.startswith("manyfaces: this network answers with no numbers; ")
    assert ran.err.count("\n") == 1


def test_mirroring_twice_changes_nothing() -> None:
    assert mirrored(IMAGES)[0, 5].tolist() == IMAGES[0, 5, ::-1].tolist()
    np.testing.assert_array_equal(mirrored(mirrored(IMAGES)), IMAGES)


@pytest.mark.parametrize("count", [1, 5, 21])
def test_the_cost_is_that_of_eight_faces_at_once(count: int) -> None:
    plain, both = Fake(), Fake()
    assert milliseconds_a_face(IMAGES[:count], plain) > 0
    assert milliseconds_a_face(IMAGES[:count], both, mirror=True) > 0
    assert set(plain.batches) == set(both.batches) == {8}
    assert len(both.batches) == 2 * len(plain.batches)


def test_small_faces_are_enlarged_as_training_enlarges_them() -> None:
    torch = pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
    from manyfaces.train.emotion import resized

    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    learnt_from = resized(torch.from_numpy(images)[:, None].float(), 64)[:, 0].numpy()
    served: list[np.ndarray] = []

    class Keeps:
        spec = InputSpec(64, 64, "grey")

        def __call__(self, crops: Crops, /) -> Emotions:
            served.append(crops.pixels[..., 0])
            return Emotions(np.full((len(crops), 7), 1 / 7, np.float32), EMOTIONS)

    read_expressions(images, Keeps())
    np.testing.assert_allclose(served[0], learnt_from, atol=1.0)
