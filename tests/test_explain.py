"""Where a network looks: held to torch's own gradients, to networks small enough to be worked out, and to the user."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from conftest import Run
from manyfaces.card import InputSpec, ModelCard
from manyfaces.errors import WeightsError
from manyfaces.evaluate.attribution import (
    Describer,
    Explainer,
    centred_logits,
    emotion_weights,
    last_maps,
)
from manyfaces.evaluate.covering import Coverer
from manyfaces.evaluate.heat import coloured, heat_over_face, heat_scale, strongest
from manyfaces.evaluate.panel import (
    MOST_FACES,
    Explanation,
    FaceShown,
    compared_classes,
    draw_panel,
    is_panel,
    panel_png,
)
from manyfaces.train.data import EMOTIONS
from manyfaces.types import Floats, Pixels
from manyfaces.weights import Weights, load

SPEC = InputSpec(24, 24, "grey", mean=128, scale=64)


# --- networks small enough to be worked out --------------------------------------------------------------------------


def weights_of(nodes: list[onnx.NodeProto], constants: dict[str, Any], spec: InputSpec = SPEC) -> Weights:
    """A network of these nodes, from "pixels" to "probabilities", with a card."""
    element = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pixels", element, ["batch", spec.depth, spec.height, spec.width])],
        [helper.make_tensor_value_info("probabilities", element, ["batch", 7])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content = model.SerializeToString()
    digest = hashlib.sha256(content).hexdigest()
    card = ModelCard("small", "emotion", spec, digest, "none", "hand", EMOTIONS)
    return Weights(card, Path("small.onnx"), content)


def small(seed: int = 0, channels: int = 5, pooling: str = "GlobalAveragePool", stride: int = 4) -> Weights:
    """A convolution, a pooling, a dense layer."""
    random = np.random.default_rng(seed)
    constants = {
        "kernel": random.normal(size=(channels, 1, 3, 3)).astype(np.float32),
        "dense": random.normal(size=(7, channels)).astype(np.float32),
        "bias": random.normal(size=7).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["raw"], strides=[stride, stride], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["raw"], ["maps"]),
        helper.make_node(pooling, ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return weights_of(nodes, constants)


def constant(weights: Weights, name: str) -> Floats:
    graph = onnx.load_from_string(weights.content).graph
    return np.asarray(next(numpy_helper.to_array(one) for one in graph.initializer if one.name == name), np.float32)


def faces(count: int, seed: int = 1, side: int = 24) -> Pixels:
    """Smooth noise: like faces, it is not all edges."""
    raw = np.random.default_rng(seed).integers(0, 256, (count, 6, 6)).astype(np.uint8)
    large = [cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in raw]
    return np.stack(large)[..., None]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_the_evidence_adds_up_to_the_logit_but_for_the_bias(seed: int) -> None:
    """With a mean and one dense layer nothing is estimated: the maps' shares of the logits are known."""
    weights = small(seed, stride=1)
    said = Explainer(weights)(faces(2, seed))
    bias = constant(weights, "bias")
    wanted = centred_logits(said.probabilities) - (bias - bias.mean())
    np.testing.assert_allclose(said.evidence.mean(axis=(2, 3)), wanted, atol=2e-2, rtol=1e-2)


def test_each_class_has_the_map_of_its_own_weights() -> None:
    weights, crops = small(stride=1), faces(1)
    said = Explainer(weights)(crops)
    scaled = (crops[0, ..., 0].astype(np.float32) - SPEC.mean) / SPEC.scale
    kernels, dense = constant(weights, "kernel"), constant(weights, "dense")
    maps = [
        np.maximum(cv2.filter2D(scaled, cv2.CV_32F, kernel[0], borderType=cv2.BORDER_CONSTANT), 0) for kernel in kernels
    ]
    wanted = np.einsum("kc,chw->khw", dense - dense.mean(axis=0), np.stack(maps))
    np.testing.assert_allclose(said.evidence[0], wanted, atol=0.02 * np.abs(wanted).max())


def test_what_speaks_for_one_class_speaks_against_the_others() -> None:
    said = Explainer(small())(faces(3))
    assert np.abs(said.evidence.sum(axis=1)).max() < 1e-2 * np.abs(said.evidence).max()


def test_no_crops_have_no_evidence() -> None:
    said = Explainer(small())(np.empty((0, 24, 24, 1), np.uint8))
    assert said.probabilities.shape == (0, 7)
    assert said.evidence.shape == (0, 7, 24, 24)


def test_large_maps_are_asked_about_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Explainer(small())(faces(1)).evidence
    monkeypatch.setattr("manyfaces.evaluate.attribution.MOST_BYTES", 2 * 4 * 5 * 36 * 2)
    np.testing.assert_allclose(Explainer(small())(faces(1)).evidence, whole, atol=1e-4)


@pytest.mark.parametrize("mirror", [False, True])
def test_an_ensemble_of_one_network_twice_looks_where_the_network_looks(mirror: bool) -> None:
    from manyfaces.train.merge import Blend, merged, merged_card

    member, crops = small(), faces(2)
    content = merged([member, member], Blend((0.5, 0.5), mirror=mirror))
    both = Weights(merged_card([member], content, "a test"), Path("both.onnx"), content)
    symmetric = np.maximum(crops, crops[:, :, ::-1]) if mirror else crops
    said = Explainer(both)(symmetric)
    if not mirror:
        np.testing.assert_allclose(said.evidence, Explainer(member)(crops).evidence, atol=0.05, rtol=0.02)
    else:  # asked about the mirror image too, it looks at both sides alike
        np.testing.assert_allclose(said.evidence, said.evidence[..., ::-1], atol=0.02 * np.abs(said.evidence).max())
    assert Describer(both)(symmetric).shape == (2, 10)


def test_descriptions_are_unit_vectors_and_equal_for_equal_faces() -> None:
    vectors = Describer(small())(faces(3)[[0, 1, 0]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[2], rtol=1e-3, atol=1e-4)
    assert vectors[0] @ vectors[1] < 0.9999


# --- which maps ------------------------------------------------------------------------------------------------------


def shaped(nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> onnx.ModelProto:
    model = onnx.load_from_string(weights_of(nodes, constants).content)
    return onnx.shape_inference.infer_shapes(model)


def kernel(outputs: int, inputs: int, side: int = 3) -> Floats:
    return np.ones((outputs, inputs, side, side), np.float32)


def convolved(source: str, result: str, stride: int = 1) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, f"{result}_kernel"], [result], strides=[stride] * 2, pads=[1, 1, 1, 1])


ENDING = [
    helper.make_node("GlobalAveragePool", ["last"], ["pooled"]),
    helper.make_node("Flatten", ["pooled"], ["flat"]),
    helper.make_node("Softmax", ["flat"], ["probabilities"], axis=1),
]


def test_maps_of_the_classes_are_answers_already() -> None:
    nodes = [convolved("pixels", "features", 4), convolved("features", "last"), *ENDING]
    model = shaped(nodes, {"features_kernel": kernel(5, 1), "last_kernel": kernel(7, 5)})
    (found,) = last_maps(model, "probabilities", 7)
    assert (found.name, found.channels, found.height, found.width) == ("features", 5, 6, 6)


def test_where_there_is_nothing_else_maps_of_the_classes_serve() -> None:
    model = shaped([convolved("pixels", "last", 4), *ENDING], {"last_kernel": kernel(7, 1)})
    assert [one.name for one in last_maps(model, "probabilities", 7)] == ["last"]


def test_maps_of_four_cells_give_way_to_those_that_everything_passes_through() -> None:
    """A block with a way around it: what is within the block is passed by only one of two ways."""
    nodes = [
        convolved("pixels", "early", 4),
        convolved("early", "within", 2),
        helper.make_node("MaxPool", ["early"], ["around"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Add", ["within", "around"], ["three"]),
        convolved("three", "last", 2),
        helper.make_node("GlobalAveragePool", ["last"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {"early_kernel": kernel(4, 1), "within_kernel": kernel(4, 4), "last_kernel": kernel(8, 4)}
    model = shaped(nodes, {**constants, "dense": np.ones((8, 7), np.float32)})
    (found,) = last_maps(model, "probabilities", 7)
    assert (found.name, found.height) == ("three", 3)


def test_a_network_without_maps_is_refused() -> None:
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    with pytest.raises(WeightsError, match="no feature maps"):
        Explainer(weights_of(nodes, {"dense": np.ones((576, 7), np.float32)}))


def test_a_network_without_the_answer_is_refused() -> None:
    model = onnx.load_from_string(small().content)
    with pytest.raises(WeightsError, match="no output named 'said'"):
        last_maps(model, "said", 7)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    card = load("emotion").card
    broken = Weights(card, tmp_path / "broken.onnx", b"no network at all")
    with pytest.raises(WeightsError, match=r"broken\.onnx: this is no ONNX network"):
        Explainer(broken)


def test_only_emotion_networks_are_explained() -> None:
    assert emotion_weights("default").card.labels == EMOTIONS
    with pytest.raises(WeightsError, match="does identity, not emotion"):
        emotion_weights("sface")


# --- against torch ---------------------------------------------------------------------------------------------------


def _designs() -> dict[str, Any]:
    from manyfaces.train.designs import Genotype, MiniXception, Module, Residual

    module = Module(12, 3, 2, True, False, True, "elu", 0.0)
    return {
        "residual": Residual(stem=8, widths=(16, 16, 24), depths=(1, 1, 1), squeeze=True),
        "mini-xception": MiniXception(stem=4, widths=(8, 8, 16, 16, 24), hidden=(16, 12), side=64),
        "genotype": Genotype(8, (module, module, module), "max"),
    }


def _trained_a_little(design: Any) -> Any:
    torch = pytest.importorskip("torch", reason="this compares with torch's gradients")
    from manyfaces.train.nets import build

    torch.manual_seed(0)
    network = build(design)
    with torch.no_grad():  # some statistics, so that its normalisations do something
        network.train()(torch.randn(16, 1, design.side, design.side))
    return network.eval()


def _grad_cam(network: Any, crops: Pixels, side: int) -> Floats:
    """By torch: the centred logits' gradients, summed over each channel of the last maps of three by three or more."""
    import torch

    layers = list(network.features)
    pixels = (torch.from_numpy(crops[..., 0].astype(np.float32))[:, None] - 128) / 64
    maps = [pixels]
    for layer in layers:
        maps.append(layer(maps[-1]))
    chosen = max(number for number, one in enumerate(maps) if one.shape[2] >= 3)
    start = maps[chosen].detach().clone().requires_grad_()
    end = start.clone()
    for layer in layers[chosen:]:
        end = layer(end)
    logits = network.emotions(network.head(end))
    centred = logits - logits.mean(dim=1, keepdim=True)
    found = []
    for label in range(7):
        (gradient,) = torch.autograd.grad(centred[:, label].sum(), start, retain_graph=True)
        cells = (gradient.sum(dim=(2, 3), keepdim=True) * start).sum(dim=1).detach().numpy()
        found.append([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in cells])
    return np.asarray(found, np.float32).swapaxes(0, 1)


@pytest.mark.parametrize("name", ["residual", "mini-xception", "genotype"])
def test_it_is_what_torch_would_say(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")
    design = _designs()[name]
    network = _trained_a_little(design)
    from manyfaces.train.export import export_probabilities

    spec = InputSpec(design.side, design.side, "grey", 128, 64)
    digest = export_probabilities(network, 1.0, spec, tmp_path / "net.onnx")
    card = ModelCard("net", "emotion", spec, digest, "none", "nobody", EMOTIONS)
    weights = Weights(card, tmp_path / "net.onnx", (tmp_path / "net.onnx").read_bytes())
    crops = faces(2, side=design.side)
    ours, theirs = Explainer(weights)(crops).evidence, _grad_cam(network, crops, design.side)
    for one, other in zip(ours.reshape(14, -1), theirs.reshape(14, -1), strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.99
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.05)


# --- covering --------------------------------------------------------------------------------------------------------


def test_covering_what_the_answer_hangs_on_costs_most() -> None:
    """A face of one bright spot, read by a network that sees nothing else."""
    weights = small()
    crop = np.full((24, 24, 1), 128, np.uint8)
    crop[4:8, 16:20] = 255
    label = int(Explainer(weights)(crop[None]).probabilities[0].argmax())
    losses = Coverer(weights)(crop, label)
    row, column = np.unravel_index(np.abs(losses).argmax(), losses.shape)
    assert max(abs(row - 5.5), abs(column - 17.5)) < 4
    assert np.abs(losses[14:, :10]).max() < 0.05 * np.abs(losses).max()


# --- pictures --------------------------------------------------------------------------------------------------------


def test_where_nothing_speaks_the_face_stays() -> None:
    crop = faces(1)[0]
    heat = heat_over_face(crop, np.full((24, 24), -1, np.float32), 1.0, 96)
    assert (heat == heat_over_face(crop, np.zeros((24, 24), np.float32), 1.0, 96)).all()
    assert (heat[..., 0] == heat[..., 2]).all()
    assert strongest(np.zeros((2, 3))) > 0


def test_the_colours_rise_in_lightness_so_that_nobody_needs_hues() -> None:
    """Upon any grey that colour replaces for the most part, more evidence is lighter."""
    heat = np.linspace(0.35, 1, 200, dtype=np.float32)[None]
    for grey in (0, 60, 128):
        lightness = cv2.cvtColor(coloured(heat, np.full((1, 200, 3), grey, np.uint8)), cv2.COLOR_RGB2LAB)[0, :, 0]
        assert (np.diff(cv2.blur(lightness.astype(np.float32)[None], (15, 1))[0]) >= -0.2).all()
        assert int(lightness[-1]) - int(lightness[0]) > 60
    assert heat_scale(100, 8).shape == (8, 100, 3)


def shown(seed: int = 0) -> FaceShown:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(7)).astype(np.float32)
    maps = random.normal(size=(8, 24, 24)).astype(np.float32)
    return FaceShown(faces(1, seed)[0], probabilities, maps[:7], maps[7], (2.0, 3.0, 40.0, 60.0))


def told(count: int, title: str = "a.png") -> Explanation:
    image = np.zeros((80, 120, 3), np.uint8)
    return Explanation(title, "small", EMOTIONS, image, [shown(one) for one in range(count)][:MOST_FACES], count)


def test_a_panel_grows_with_its_faces_and_is_known_again() -> None:
    heights = [draw_panel(told(count)).shape[0] for count in (1, 2, 3)]
    assert heights[2] - heights[1] == 226
    assert heights[0] < heights[1]
    content = panel_png(draw_panel(told(1, "Nguyễn \U0001f600" * 20)))
    assert is_panel(content)
    assert not is_panel(b"\x89PNG another")


def test_the_other_class_is_the_runner_up_unless_one_is_asked_for() -> None:
    said = np.array([0.1, 0.5, 0.4], np.float32)
    assert [compared_classes(said, asked) for asked in (None, 0, 1)] == [(1, 2), (1, 0), (1, 2)]


def test_another_class_is_another_picture() -> None:
    assert (draw_panel(told(1)) != draw_panel(told(1), asked=int(np.argmin(shown().probabilities)))).any()


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    Image.fromarray(faces(1, side=48)[0, ..., 0]).save(tmp_path / "cut.png")
    return tmp_path / "cut.png"


def test_every_picture_has_its_panel(run: Run, photo: Path, other: Path, tmp_path: Path) -> None:
    ran = run("explain", "default", "collins.png", "hopper.png", "-o", "out")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.split() == ["out/collins.explained.png", "out/hopper.explained.png"]
    for name in ran.out.split():
        with Image.open(tmp_path / name) as picture:
            assert picture.width > picture.height > 300
    assert run("explain", "default", "collins.png", "-o", "out").status == 0  # its own panels it writes over


def test_a_picture_without_faces_is_named(run: Run, photo: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "dark.png")
    for pictures in (["dark.png", "collins.png"], ["dark.png"]):
        ran = run("explain", "default", *pictures)
        assert ran.status == 1
        assert "dark.png: no face was found" in ran.err
    assert (tmp_path / "explained" / "collins.explained.png").exists()
    assert not (tmp_path / "explained" / "dark.explained.png").exists()


def test_a_cut_face_is_taken_as_it_is(run: Run, cut: Path, tmp_path: Path) -> None:
    ran = run("explain", "default", "cut.png", "--cut", "--class", "fear", "-o", "panel.png")
    assert (ran.status, ran.out) == (0, "panel.png\n")
    Image.new("RGB", (200, 100)).save(tmp_path / "wide.png")
    ran = run("explain", "default", "wide.png", "--cut")
    assert ran.status == 1
    assert "wide.png: 200 x 100 pixels are no cut face for a network that takes 48 x 48" in ran.err


@pytest.mark.parametrize(("size", "status"), [((1, 1), 1), ((15, 16), 1), ((16, 16), 0)])
def test_too_small_a_cut_face_is_refused(run: Run, tmp_path: Path, size: tuple[int, int], status: int) -> None:
    Image.new("L", size, 90).save(tmp_path / "small.png")
    ran = run("explain", "default", "small.png", "--cut", "-o", "panel.png")
    assert ran.status == status
    wanted = f"small.png: {size[0]} x {size[1]} pixels show no expression; give a cut face of 16 pixels a side or more"
    assert (wanted in ran.err) == bool(status)


def test_more_pixels_than_are_ever_decoded_are_refused(run: Run, tmp_path: Path) -> None:
    """As `analyze` does: the header alone says how many there are."""
    Image.new("1", (16_000, 12_501)).save(tmp_path / "vast.png")
    ran = run("explain", "default", "vast.png")
    assert ran.status == 3
    assert "vast.png: the picture has 16000 x 12501 pixels, more than the limit of 200 megapixels" in ran.err


def test_pictures_of_one_name_have_panels_of_two(run: Run, cut: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "cut.png").write_bytes(cut.read_bytes())
    ran = run("explain", "default", "cut.png", "other/cut.png", "--cut")
    assert ran.out.split() == ["explained/cut.explained.png", "explained/cut-2.explained.png"]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["default", "cut.png", "--class", "joy"], 2, "--class 'joy': the network default knows angry"),
        (["yunet", "cut.png"], 3, "does detection, not emotion"),
        (["gone.onnx", "cut.png"], 3, "there is no such model file"),
        (["default", "gone.png"], 3, "gone.png"),
        (["default", "cut.png", "-o", "panel.jpg"], 2, "panels are PNG files"),
        (["default", "cut.png", "-o", "text.png"], 3, "holds something else than such a panel"),
        (["default", "cut.png", "-o", "text"], 3, "this is a file, and a folder is needed"),
        (["default", "cut.png", "-o", "cut.png"], 2, "also an input"),
        (["default", "cut.png", "text.png", "-o", "one.png"], 2, "one file cannot take the panels of 2 pictures"),
        (["default", "text.png"], 3, "text.png"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run, cut: Path, tmp_path: Path, arguments: list[str], status: int, sentence: str
) -> None:
    for name in ("text", "text.png"):
        (tmp_path / name).write_text("precious")
    before = cut.read_bytes()
    ran = run("explain", *arguments, "--cut")
    assert ran.status == status
    assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert (tmp_path / "text.png").read_text() == (tmp_path / "text").read_text() == "precious"
    assert cut.read_bytes() == before


def test_a_broken_network_with_a_right_card_is_said(run: Run, cut: Path, tmp_path: Path) -> None:
    save(weights_of([helper.make_node("Identity", ["pixels"], ["probabilities"])], {}), tmp_path / "odd.onnx")
    ran = run("explain", "odd.onnx", "cut.png", "--cut")
    assert ran.status == 3
    assert len(ran.err.strip().splitlines()) == 1


def save(weights: Weights, path: Path) -> None:
    path.write_bytes(weights.content)
    weights.card.write(path.with_suffix(".json"))


def test_a_network_of_ones_own_is_explained(run: Run, cut: Path, tmp_path: Path) -> None:
    save(small(), tmp_path / "own.onnx")
    assert run("explain", "own.onnx", "cut.png", "--cut", "-o", "own.png").status == 0
