"""Small embedders that learn from a large one: carved from it, taught by it, without a label."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from onnx import helper, numpy_helper

from manyfaces.build import build_identity_head
from manyfaces.card import InputSpec, ModelCard
from manyfaces.errors import UsageError
from manyfaces.options import Options
from manyfaces.runtime import Runtime, load_network
from manyfaces.types import Crops, Floats, Pixels

torch = pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")

from manyfaces.train.data import DataError  # noqa: E402
from manyfaces.train.fit import Progress  # noqa: E402
from manyfaces.train.identity.carve import carve, pivots, read_teacher, solved  # noqa: E402
from manyfaces.train.identity.imitate import (  # noqa: E402
    Embedder,
    ImitationLesson,
    blended,
    relations_apart,
    vectors_of,
)
from manyfaces.train.identity.student import Student, StudentDesign, as_served, scaled  # noqa: E402
from manyfaces.train.identity.student_recipe import (  # noqa: E402
    RECIPES,
    Aims,
    StudentRecipe,
    find_student,
    write_student,
)
from manyfaces.train.identity.teach import Teaching, teach  # noqa: E402
from manyfaces.train.plan import Plan  # noqa: E402

SIDE, LENGTH = 16, 8
WIDTHS = (6, 10, 12)
SPEC = InputSpec(SIDE, SIDE, "rgb", template=((5, 6), (11, 6), (8, 9), (6, 12), (10, 12)))
FULL = StudentDesign(SIDE, stem=5, stem_stride=1, widths=WIDTHS, halving=(1,), length=LENGTH)
NARROW = dataclasses.replace(FULL, stem=4, widths=(5, 8, 9))
EARLY = dataclasses.replace(NARROW, stem_stride=2, halving=())


# --- a teacher that is small and drawn at random ---------------------------------------------------------------------


class Written:
    """An ONNX chain, layer after layer, as embedders are spread."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(3)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.last = "pixels"

    def put(self, kind: str, *arrays: npt.NDArray[np.float64], **attributes: Any) -> None:
        names = [f"w{len(self.weights) + place}" for place in range(len(arrays))]
        self.weights += [
            numpy_helper.from_array(np.asarray(array, np.float32), name)
            for array, name in zip(arrays, names, strict=True)
        ]
        result = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.last, *names], [result], **attributes))
        self.last = result

    def norm(self, count: int) -> None:
        gain, shift, mean = self.random.normal(size=(3, count)) * 0.2
        self.put("BatchNormalization", gain + 1, shift, mean, self.random.uniform(0.5, 1.5, count), epsilon=1e-3)

    def layer(self, inputs: int, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> None:
        weight = self.random.normal(size=(outputs, inputs // group, kernel, kernel))
        weight /= np.sqrt(weight[0].size)
        edge = [kernel // 2] * 4
        self.put("Conv", weight, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=edge, group=group)
        self.norm(outputs)
        self.put("PRelu", self.random.uniform(0.05, 0.4, (outputs, 1, 1)))

    def content(self) -> bytes:
        pixels = helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
        vectors = helper.make_tensor_value_info(self.last, onnx.TensorProto.FLOAT, ["batch", LENGTH])
        graph = helper.make_graph(self.nodes, "teacher", [pixels], [vectors], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        content: bytes = model.SerializeToString()
        return content


@pytest.fixture(scope="session")
def chain() -> bytes:
    written = Written()
    written.put("Sub", np.array([127.5]))
    written.put("Mul", np.array([1 / 64]))
    written.layer(3, 5, 3)
    inputs = 5
    for number, width in enumerate(WIDTHS):
        written.layer(inputs, inputs, 3, stride=2 if number == 1 else 1, group=inputs)
        written.layer(inputs, width, 1)
        inputs = width
    written.norm(inputs)
    written.put("Flatten")
    inside = inputs * (SIDE // 2) ** 2
    written.put("Gemm", written.random.normal(size=(LENGTH, inside)) / np.sqrt(inside), np.zeros(LENGTH), transB=1)
    written.norm(LENGTH)
    return written.content()


@pytest.fixture(scope="session")
def teacher(chain: bytes) -> Embedder:
    network = load_network(chain, SPEC, Runtime("openvino", "f32", 1))
    card = ModelCard("drawn", "identity", SPEC, "00" * 32, "none", "nobody")

    def ask(faces: Pixels) -> Floats:
        vectors = next(iter(network(np.ascontiguousarray(faces)).values()))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    return Embedder(card, ask, chain)


@pytest.fixture(scope="session")
def faces() -> Pixels:
    """Smooth noise, for which maps have something to agree about."""
    coarse = np.random.default_rng(0).integers(0, 256, (64, 6, 6, 3))
    image = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(0, 3, 1, 2).float(), size=(SIDE, SIDE), mode="bilinear"
    )
    return np.asarray(image.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())


def agreement(student: Student, teacher: Embedder, faces: Pixels) -> float:
    return float((vectors_of(student, faces, SIDE) * teacher.ask(faces)).sum(1).mean())


def carved_by(teacher: Embedder, design: StudentDesign, faces: Pixels) -> Student:
    return carve(teacher.content, design, scaled(torch.from_numpy(faces)), torch.from_numpy(teacher.ask(faces)))


# --- carving ---------------------------------------------------------------------------------------------------------


def test_the_teacher_is_read_as_its_file_runs(teacher: Embedder, faces: Pixels) -> None:
    read = read_teacher(teacher.content)
    maps = (scaled(torch.from_numpy(faces)) * 64 + 127.5 - read.mean) / read.scale
    for layer in read.layers:
        maps = layer.after(maps)
    said = torch.nn.functional.normalize(maps.flatten(1) @ read.matrix.T + read.offset, dim=1)
    np.testing.assert_allclose(said.numpy(), teacher.ask(faces), atol=1e-4)


def test_a_student_of_the_same_shape_says_what_the_teacher_says(teacher: Embedder, faces: Pixels) -> None:
    student = carved_by(teacher, FULL, faces)
    assert agreement(student, teacher, faces) > 0.999


@pytest.mark.parametrize("design", [NARROW, EARLY], ids=["narrower", "halved earlier"])
def test_a_carved_student_begins_far_ahead_of_a_random_one(
    teacher: Embedder, faces: Pixels, design: StudentDesign
) -> None:
    learnt, other = faces[:40], faces[40:]
    carved = carved_by(teacher, design, learnt)
    torch.manual_seed(0)
    assert agreement(carved, teacher, other) > 0.5
    assert agreement(carved, teacher, other) > agreement(Student(design).eval(), teacher, other) + 0.3


def test_what_is_no_chain_is_not_carved_from(teacher: Embedder, faces: Pixels) -> None:
    pictures, said = scaled(torch.from_numpy(faces[:4])), torch.from_numpy(teacher.ask(faces[:4]))
    model = onnx.load_from_string(teacher.content)
    model.graph.node[2].op_type = "ConvTranspose"
    with pytest.raises(DataError, match=r"holds ConvTranspose.*begins from nothing"):
        carve(model.SerializeToString(), FULL, pictures, said)
    with pytest.raises(DataError, match="no chain"):
        carve(b"nothing", FULL, pictures, said)
    with pytest.raises(DataError, match="not the teacher's made narrower"):
        carve(teacher.content, dataclasses.replace(FULL, widths=(6, 10)), pictures, said)


@settings(max_examples=30, deadline=None)
@given(some.integers(1, 8), some.integers(1, 8), some.integers(0, 999))
def test_least_squares_finds_what_made_the_outputs(inputs: int, outputs: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    seen = torch.from_numpy(random.normal(size=(60, inputs)).astype(np.float32))
    matrix = torch.from_numpy(random.normal(size=(inputs, outputs)).astype(np.float32))
    weights, bias = solved(seen, seen @ matrix + 3)
    torch.testing.assert_close(weights, matrix, atol=0.01, rtol=0.01)
    torch.testing.assert_close(bias, torch.full((outputs,), 3.0), atol=0.01, rtol=0.01)


@settings(max_examples=30, deadline=None)
@given(some.integers(2, 6), some.integers(0, 999))
def test_pivots_leave_out_what_can_be_guessed(count: int, seed: int) -> None:
    """Of columns that are mixtures of the first ones, as many pivots as there are first ones tell all."""
    random = np.random.default_rng(seed)
    first = random.normal(size=(50, count))
    columns = torch.from_numpy(np.concatenate([first, first @ random.normal(size=(count, 4))], axis=1))
    kept = pivots(columns.T @ columns, count)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert torch.linalg.matrix_rank(columns[:, kept]) == count


# --- the lesson ------------------------------------------------------------------------------------------------------


def recipe(**changes: Any) -> StudentRecipe:
    plan = Plan(epochs=2, batch=8, method="adam", rate=3e-3, warmup=0, average=0.5)
    return dataclasses.replace(StudentRecipe(NARROW, plan, begin="teacher", pictures=32), **changes)


def test_the_teacher_is_asked_about_the_very_picture_that_the_student_sees(teacher: Embedder, faces: Pixels) -> None:
    lesson = ImitationLesson([faces, faces[:10, ..., :1]], recipe(aims=Aims(mixed=1, blended=1)), teacher)
    torch.manual_seed(0)
    pixels, said = lesson.batch(torch.arange(12), 0.0)
    assert pixels.shape == (12, 3, SIDE, SIDE)
    np.testing.assert_array_equal(said.numpy(), teacher.ask(as_served(pixels).numpy()))


def test_coloured_pictures_get_their_share(teacher: Embedder, faces: Pixels) -> None:
    plain = dataclasses.replace(RECIPES["carved"].augmentation, rotation=0)
    grey = np.repeat(faces[..., :1], 10, axis=0)
    grey[:, 0, 0, 0] = np.arange(len(grey)) % 256
    one = recipe(aims=Aims(mixed=0, blended=0, tint=0, coloured=0.8), augmentation=plain)
    torch.manual_seed(0)
    pixels, _ = ImitationLesson([grey, faces], one, teacher).batch(torch.arange(400), 0.0)
    shades = (as_served(pixels).numpy().astype(int).max(axis=3) - as_served(pixels).numpy().min(axis=3)).mean((1, 2))
    coloured = float((shades > 8).mean())
    assert 0.7 < coloured < 0.9


def test_equal_pictures_lie_on_one_side(teacher: Embedder, faces: Pixels) -> None:
    """What is kept out is nowhere else, however often it is there."""
    lesson = ImitationLesson([np.concatenate([faces, faces])], recipe(), teacher)
    learnt = {picture.numpy().tobytes() for picture in lesson._pools[0]}
    held = {picture.tobytes() for picture in lesson._held[0]}
    assert learnt
    assert held
    assert not learnt & held


def test_too_few_faces_are_refused_with_their_number(teacher: Embedder, faces: Pixels) -> None:
    with pytest.raises(DataError, match="12 different faces are too few to learn from; give 40 or more"):
        ImitationLesson([np.repeat(faces[:12], 9, axis=0)], recipe(), teacher)


def test_a_student_of_another_length_is_refused(teacher: Embedder, faces: Pixels) -> None:
    longer = dataclasses.replace(NARROW, length=9)
    with pytest.raises(DataError, match="the teacher's vectors have 8 numbers and the student's 9"):
        ImitationLesson([faces], recipe(design=longer), teacher)


@settings(max_examples=20, deadline=None)
@given(some.integers(0, 999))
def test_turning_all_vectors_together_changes_no_relation(seed: int) -> None:
    torch.manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(6, 5), dim=1)
    turned = vectors @ torch.linalg.qr(torch.randn(5, 5))[0]
    assert float(relations_apart(turned, vectors)) < 1e-3
    assert float(relations_apart(vectors.flip(0) * torch.tensor([1.0, 1, 1, -1, -1]), -vectors[:, [1, 0, 2, 3, 4]])) > 0


def test_every_byte_comes_back_as_it_was() -> None:
    image = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(as_served(scaled(image)), image)


def test_blending_stays_between_the_two_faces() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(8, 3, 4, 4)
    mixed = blended(pixels)
    assert mixed.shape == pixels.shape
    assert bool((mixed >= pixels.amin(0) - 1e-6).all())
    assert bool((mixed <= pixels.amax(0) + 1e-6).all())


# --- teaching --------------------------------------------------------------------------------------------------------


def test_a_student_learns_and_runs_like_any_face_network(teacher: Embedder, faces: Pixels, tmp_path: Path) -> None:
    told: list[Progress] = []
    card = teach([faces], tmp_path, Teaching(recipe(), teacher, "typed so"), report=told.append)
    assert [one.epoch for one in told if one.figures] == [1, 2]
    assert card.task == "identity"
    assert card.licence.startswith("made from the weights of drawn (none)")
    assert card.input == dataclasses.replace(SPEC, mean=127.5, scale=64.0)
    assert ModelCard.read(tmp_path / "model.json") == card
    head = build_identity_head(Options(identity_model=str(tmp_path / "model.onnx"), precision="f32", threads=1))
    vectors = head(Crops(faces, np.arange(len(faces)))).vectors
    assert float((vectors * teacher.ask(faces)).sum(1).mean()) > 0.5
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".png", ".csv", ".json", ".onnx")) == [
        "curves.png",
        "log.csv",
        "model.json",
        "model.onnx",
        "recipe.json",
    ]


def test_a_resumed_training_is_the_uninterrupted_one(teacher: Embedder, faces: Pixels, tmp_path: Path) -> None:
    whole, parts = (Teaching(recipe(plan=Plan(epochs=2, batch=8, rate=0.01, cooling=0)), teacher, "") for _ in range(2))
    teach([faces], tmp_path / "whole", whole)
    first = dataclasses.replace(parts, recipe=parts.recipe.with_plan(epochs=1))
    teach([faces], tmp_path / "parts", first)
    teach([faces], tmp_path / "parts", parts, resume=True)
    assert (tmp_path / "whole" / "model.onnx").read_bytes() == (tmp_path / "parts" / "model.onnx").read_bytes()


@pytest.mark.parametrize("change", ["data", "teacher", "network", "recipe"])
def test_another_lesson_is_not_gone_on_with(teacher: Embedder, faces: Pixels, tmp_path: Path, change: str) -> None:
    one = recipe(plan=Plan(epochs=1, batch=8, rate=0.01), pictures=8)
    teach([faces], tmp_path, Teaching(one, teacher, ""))
    other = dataclasses.replace(teacher, card=dataclasses.replace(teacher.card, sha256="11" * 32))
    wide = dataclasses.replace(NARROW, stem=5)
    changed = {
        "data": ([faces[1:]], one, teacher),
        "teacher": ([faces], one, other),
        "network": ([faces], dataclasses.replace(one, design=wide), teacher),
        "recipe": ([faces], dataclasses.replace(one, aims=Aims(relations=2)), teacher),
    }
    pools, asked, whom = changed[change]
    with pytest.raises(DataError, match=f"the {change} changed since this checkpoint was made"):
        teach(pools, tmp_path, Teaching(asked.with_plan(epochs=2), whom, ""), resume=True)


# --- recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    write_student(RECIPES[name], tmp_path / "recipe.json")
    assert find_student(str(tmp_path / "recipe.json")) == RECIPES[name]


def test_a_wrong_recipe_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="recipe 'huge': there is no such recipe; known are carved, compact"):
        find_student("huge")
    for fields, said in (
        ({"design": {"stem": 0}}, "stem is 0, but must be a whole number from 1"),
        ({"design": {"kind": "faces"}}, "a recipe has no 'kind' there"),
        ({"design": {}, "begin": "anywhere"}, "begin is 'anywhere', but must be one of nothing, teacher"),
    ):
        (tmp_path / "recipe.json").write_text(json.dumps(fields), encoding="utf-8")
        with pytest.raises(DataError, match=said):
            find_student(str(tmp_path / "recipe.json"))
