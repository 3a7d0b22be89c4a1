"""Networks that answer together: the weights, the votes, and the one file that says what its members say."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import helper, numpy_helper

from manyfaces.card import InputSpec, ModelCard
from manyfaces.errors import UsageError, WeightsError
from manyfaces.runtime import Runtime, load_network
from manyfaces.train.data import EMOTIONS
from manyfaces.train.ensemble import (
    LEAST_WEIGHT,
    Members,
    blended,
    fitted_weights,
    is_right,
    join,
    members,
    voted,
)
from manyfaces.train.merge import Blend, merged, merged_card, parameters, refuse_strangers, shared_spec
from manyfaces.weights import Weights

CLASSES = len(EMOTIONS)


# --- the arithmetic --------------------------------------------------------------------------------------------------


@st.composite
def groups(draw: st.DrawFn) -> tuple[Members, np.ndarray]:
    """Up to five members' answers to up to thirty pictures, and the labels."""
    count, size = draw(st.integers(2, 5)), draw(st.integers(1, 30))
    shares = draw(arrays.arrays(np.float64, (count, size, CLASSES), elements=st.floats(0.0, 1.0)))
    shares = shares + 1e-6
    probabilities = (shares / shares.sum(axis=2, keepdims=True)).astype(np.float32)
    labels = draw(arrays.arrays(np.int64, size, elements=st.integers(0, CLASSES - 1)))
    return Members(tuple(map(str, range(count))), probabilities), labels


def sayings(labels: np.ndarray, skill: float, seed: int) -> np.ndarray:
    """Probabilities of somebody who knows the label as often as `skill` says and guesses otherwise."""
    random = np.random.default_rng(seed)
    guess = np.where(random.random(len(labels)) < skill, labels, random.integers(0, CLASSES, len(labels)))
    return (0.9 * np.eye(CLASSES)[guess] + 0.1 / CLASSES).astype(np.float32)


LABELS = np.random.default_rng(7).integers(0, CLASSES, 700)


@given(groups())
def test_weights_are_never_negative_and_sum_to_one(case: tuple[Members, np.ndarray]) -> None:
    group, labels = case
    for weights in (fitted_weights(group, labels), join(group, labels).weights):
        assert len(weights) == len(group)
        assert min(weights) >= 0
        assert sum(weights) == pytest.approx(1)
        assert all(weight == 0 or weight >= LEAST_WEIGHT for weight in weights)


@given(groups())
def test_a_blend_lies_between_its_members_and_is_a_distribution(case: tuple[Members, np.ndarray]) -> None:
    group, labels = case
    mean = blended(group, fitted_weights(group, labels))
    assert (mean <= group.probabilities.max(axis=0) + 1e-6).all()
    assert (mean >= group.probabilities.min(axis=0) - 1e-6).all()
    np.testing.assert_allclose(mean.sum(axis=1), 1, atol=1e-5)


@given(groups())
def test_fitted_weights_make_the_labels_no_less_likely_than_equal_ones(case: tuple[Members, np.ndarray]) -> None:
    group, labels = case

    def likelihood(weights: tuple[float, ...]) -> float:
        return float(np.log(np.maximum(blended(group, weights)[np.arange(len(labels)), labels], 1e-12)).mean())

    equal = (1 / len(group),) * len(group)
    # Leaving out who weighs next to nothing may cost a little.
    assert likelihood(fitted_weights(group, labels)) >= likelihood(equal) - 0.05


def test_one_who_knows_among_guessers_gets_nearly_all_weight() -> None:
    said = {"knows": sayings(LABELS, 1.0, 0)} | {f"guesses {seed}": sayings(LABELS, 0.0, seed) for seed in (1, 2, 3)}
    joined = join(members(said), LABELS)
    assert joined.weights[0] > 0.95
    assert joined.is_fitted
    assert joined.alone[0].all()
    assert joined.gain > joined.gain_error


def test_equal_members_tie_and_equal_weights_win() -> None:
    same = sayings(LABELS, 0.6, 0)
    joined = join(members({"one": same, "other": same, "third": same}), LABELS)
    assert not joined.is_fitted
    assert joined.weights == (1 / 3,) * 3
    assert (joined.gain, joined.gain_error) == (0, 0)


def test_members_of_equal_skill_are_not_told_apart() -> None:
    joined = join(members({str(seed): sayings(LABELS, 0.6, seed) for seed in range(3)}), LABELS)
    assert not joined.is_fitted
    assert joined.equal.mean() > joined.alone.mean(axis=1).max()


def test_weights_fitted_to_accidents_are_not_believed() -> None:
    """Guesses about guesses: what fits forty labels says nothing of others."""
    labels = LABELS[:40]
    joined = join(members({str(seed): sayings(labels, 0.0, seed) for seed in range(4)}), labels)
    fitted = is_right(blended(members({str(s): sayings(labels, 0.0, s) for s in range(4)}), joined.weights), labels)
    assert joined.cross_fitted.mean() <= fitted.mean() + joined.gain_error


def test_hard_voting_counted_by_hand() -> None:
    def certain(name: int, how: float = 0.9) -> np.ndarray:
        return np.where(np.arange(CLASSES) == name, how, (1 - how) / (CLASSES - 1))

    # Two against one, however certain the one; one against one against one, where the most certain decides.
    said = np.array([
        [certain(1, 0.4), certain(2, 0.5)],
        [certain(1, 0.4), certain(3, 0.8)],
        [certain(5, 1.0), certain(4, 0.6)],
    ])  # fmt: skip
    group = Members(("a", "b", "c"), said.astype(np.float32))
    assert voted(group).tolist() == [1, 3]
    assert blended(group, [1 / 3] * 3)[0].argmax() == 5


@given(groups())
def test_hard_voting_names_a_class_that_nobody_has_more_votes_than(case: tuple[Members, np.ndarray]) -> None:
    group, _ = case
    votes = np.eye(CLASSES)[group.probabilities.argmax(axis=2)].sum(axis=0)
    assert (votes[np.arange(len(votes)), voted(group)] == votes.max(axis=1)).all()


def test_one_network_is_no_ensemble() -> None:
    with pytest.raises(UsageError, match="needs two networks or more"):
        members({"alone": sayings(LABELS, 0.5, 0)})


def test_answers_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, n, classes\), got \(1, 3, 7\)"):
        Members(("a", "b"), np.zeros((1, 3, 7), np.float32))


# --- the one file ----------------------------------------------------------------------------------------------------

SPEC = InputSpec(48, 48, "grey", mean=128.0, scale=64.0, template=((15.0, 17.7), (32.0, 17.7)))
LARGER = replace(SPEC, width=64, height=64, mean=100.0, scale=255.0, template=((20.0, 23.6), (42.7, 23.6)))


def network(seed: int, classes: int = CLASSES, opset: int = 18, output: str = "probabilities") -> bytes:
    """Something that a convolution looks for, where it is strongest in each quarter of the face, and a softmax."""
    random = np.random.default_rng(seed)
    weights = {
        "kernel": random.normal(0, 0.5, (4, 1, 3, 3)).astype(np.float32),
        "dense": random.normal(0, 0.3, (classes, 4)).astype(np.float32),
        "bias": random.normal(0, 0.3, classes).astype(np.float32),
    }
    trace = "/home/someone/net.py"
    nodes = [
        helper.make_node("Conv", ["face", "kernel"], ["found"], pads=[2, 1, 0, 1], name=trace, doc_string=trace),
        helper.make_node("Relu", ["found"], ["lit"]),
        helper.make_node("GlobalMaxPool", ["lit"], ["most"]),
        helper.make_node("Flatten", ["most"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], [output], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        trace,
        [helper.make_tensor_value_info("face", onnx.TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
        doc_string=trace,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, doc_string=trace)
    return bytes(model.SerializeToString())


def part(seed: int, spec: InputSpec = SPEC, content: bytes = b"", **card: Any) -> Weights:
    """A member as it is read from its file, with another card where asked for."""
    content = content or network(seed)
    made = ModelCard("tiny", "emotion", spec, hashlib.sha256(content).hexdigest(), "free", "nobody", EMOTIONS)
    return Weights(replace(made, **card), Path(f"member{seed}.onnx"), content)


def alone(member: Weights, faces: np.ndarray) -> np.ndarray:
    """What a member says of faces (n, 48, 48), by ONNX's own reference; they are enlarged to its size."""
    spec = member.card.input
    values = (faces.astype(np.float32) - np.float32(spec.mean)) / np.float32(spec.scale)
    resized = [cv2.resize(one, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR) for one in values]
    reference = onnx.reference.ReferenceEvaluator(onnx.load_from_string(member.content))
    answer: np.ndarray = reference.run(None, {"face": np.stack(resized)[:, None]})[0]
    return answer


def mean_of(parts: list[Weights], weights: tuple[float, ...], faces: np.ndarray) -> np.ndarray:
    mean: np.ndarray = sum(weight * alone(one, faces) for weight, one in zip(weights, parts, strict=True))
    return mean


def together(parts: list[Weights], how: Blend, faces: np.ndarray, backend: str = "openvino") -> np.ndarray:
    """What the one file says, as it is served."""
    content = merged(parts, how)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    runtime = Runtime(backend=backend, precision="f32", threads=1)
    return np.asarray(load_network(content, shared_spec(parts), runtime)(faces[..., None])["probabilities"])


FACES = np.random.default_rng(3).integers(0, 256, (3, 48, 48), np.uint8)
UNLIKE = [part(1), part(2, LARGER), part(3, replace(SPEC, mean=0.0, scale=255.0))]


def test_the_networks_of_these_tests_tell_a_face_from_its_mirror_image_and_from_another() -> None:
    said = alone(UNLIKE[0], FACES)
    assert np.abs(said[0] - said[1]).max() > 0.01
    assert np.abs(said - alone(UNLIKE[0], FACES[:, :, ::-1])).max() > 0.01


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3))
def test_the_one_file_says_the_weighted_mean_of_its_members(shares: list[float]) -> None:
    weights = tuple(share / sum(shares) for share in shares)
    said = together(UNLIKE, Blend(weights), FACES)
    np.testing.assert_allclose(said, mean_of(UNLIKE, weights, FACES), atol=1e-5)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("batch", [1, 3])
def test_mirrored_it_says_the_mean_of_both_sides(backend: str, batch: int) -> None:
    pytest.importorskip(backend)
    weights, faces = (0.5, 0.3, 0.2), FACES[:batch]
    wanted = (mean_of(UNLIKE, weights, faces) + mean_of(UNLIKE, weights, faces[:, :, ::-1])) / 2
    said = together(UNLIKE, Blend(weights, mirror=True), faces, backend)
    np.testing.assert_allclose(said, wanted, atol=1e-5)


def test_the_mirror_needs_no_weight_twice() -> None:
    weights = (0.5, 0.3, 0.2)
    plain, mirrored = (merged(UNLIKE, Blend(weights, mirror=mirror)) for mirror in (False, True))
    assert 0 <= parameters(mirrored) - parameters(plain) < 10


@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_the_temperature_is_applied_to_the_mean(temperature: float) -> None:
    weights = (0.2, 0.3, 0.5)
    powers = mean_of(UNLIKE, weights, FACES) ** (1 / temperature)
    said = together(UNLIKE, Blend(weights, temperature), FACES)
    np.testing.assert_allclose(said, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("side", [40, 49, 50, 61])
def test_a_member_gets_pictures_of_exactly_its_size(side: int) -> None:
    parts = [part(1), part(2, replace(SPEC, width=side, height=side + 3, template=()))]
    parts[0] = replace(parts[0], card=replace(parts[0].card, input=replace(SPEC, template=())))
    given = shared_spec(parts)
    model = onnx.load_from_string(merged(parts, Blend((0.5, 0.5))))
    model.graph.output.append(helper.make_tensor_value_info("member1/face", onnx.TensorProto.FLOAT, None))
    model.graph.output.append(helper.make_tensor_value_info("member0/face", onnx.TensorProto.FLOAT, None))
    faces = np.zeros((1, 1, given.height, given.width), np.float32)
    _, one, other = onnx.reference.ReferenceEvaluator(model).run(None, {"pixels": faces})
    assert (one.shape[2:], other.shape[2:]) == ((side + 3, side), (48, 48))


def test_half_the_bytes_say_nearly_the_same() -> None:
    weights = (0.5, 0.3, 0.2)
    content = merged(UNLIKE, Blend(weights, half=True))
    kinds = {one.name: one.data_type for one in onnx.load_from_string(content).graph.initializer}
    assert kinds["member0/kernel/half"] == onnx.TensorProto.FLOAT16
    assert kinds["member0/bias"] == onnx.TensorProto.FLOAT
    said = together(UNLIKE, Blend(weights, half=True), FACES)
    np.testing.assert_allclose(said, mean_of(UNLIKE, weights, FACES), atol=1e-3)


def test_who_has_no_weight_is_not_in_the_file() -> None:
    content = merged(UNLIKE, Blend((0.0, 1.0, 0.0)))
    names = {name for node in onnx.load_from_string(content).graph.node for name in node.output}
    assert any(name.startswith("member1/") for name in names)
    assert not any(name.startswith(("member0/", "member2/")) for name in names)
    np.testing.assert_allclose(together(UNLIKE, Blend((0.0, 1.0, 0.0)), FACES), alone(UNLIKE[1], FACES), atol=1e-5)


def test_an_ensemble_can_be_a_member() -> None:
    inner = merged(UNLIKE[:2], Blend((0.5, 0.5), half=True))
    parts = [part(9, content=inner), UNLIKE[2]]
    refuse_strangers(parts)
    wanted = 0.75 * mean_of(UNLIKE[:2], (0.5, 0.5), FACES) + 0.25 * alone(UNLIKE[2], FACES)
    np.testing.assert_allclose(together(parts, Blend((0.75, 0.25), half=True), FACES), wanted, atol=1e-3)


def test_members_of_different_opsets_are_brought_to_one() -> None:
    parts = [part(1, content=network(1, opset=13)), part(2, content=network(2, opset=20))]
    weights = (0.5, 0.5)
    np.testing.assert_allclose(together(parts, Blend(weights), FACES), mean_of(parts, weights, FACES), atol=1e-5)


def test_the_file_tells_nothing_of_where_its_members_were_made() -> None:
    assert b"/home/someone" in UNLIKE[0].content
    for how in (Blend((0.4, 0.3, 0.3)), Blend((0.4, 0.3, 0.3), half=True)):
        assert b"/home/someone" not in merged(UNLIKE, how)


def test_equal_members_make_equal_files() -> None:
    assert merged(UNLIKE, Blend((0.4, 0.3, 0.3))) == merged(UNLIKE, Blend((0.4, 0.3, 0.3)))


def test_the_card_of_the_whole_names_what_goes_in_and_every_licence_once() -> None:
    parts = [part(2, LARGER, licence="CC0"), part(1), part(3, licence="CC0")]
    card = merged_card(parts, b"content", "by hand")
    assert card.input == SPEC
    assert (card.task, card.labels, card.licence) == ("emotion", EMOTIONS, "CC0; free")
    assert card.sha256 == hashlib.sha256(b"content").hexdigest()


# --- who may take part -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stranger", "sentence"),
    [
        (part(9, task="identity"), "does identity, not emotion"),
        (part(9, replace(SPEC, channels="rgb")), "reads rgb pictures"),
        (part(9, labels=()), "labels are none, not angry"),
        (part(9, labels=EMOTIONS[::-1]), "labels are neutral, surprise"),
        (part(9, content=network(9, classes=8)), "gives 8 numbers for a face, not 7"),
        (part(9, content=network(9, output="logits_")), "has no output named 'probabilities'"),
        (part(9, content=b"no graph at all"), "is no ONNX file"),
        (part(9, replace(SPEC, template=((10.0, 17.7), (37.0, 17.7)))), "are cut otherwise than those of member1"),
        (part(9, replace(SPEC, template=())), "faces are cut otherwise"),
    ],
)  # fmt: skip
def test_a_stranger_is_named(stranger: Weights, sentence: str) -> None:
    with pytest.raises(WeightsError, match=rf"^member9\.onnx: .*{sentence}.*; (leave|give|export)[^;]*$"):
        refuse_strangers([part(1), stranger])


def test_the_same_network_twice_is_refused_wherever_it_lies() -> None:
    copy = replace(part(1), path=Path("elsewhere.onnx"))
    with pytest.raises(UsageError, match=r"elsewhere\.onnx: holds the very weights of member1\.onnx; name it once"):
        refuse_strangers([part(1), part(2), copy])


def test_networks_of_other_sizes_and_scales_are_no_strangers() -> None:
    refuse_strangers(UNLIKE)


# --- as they come out of a training ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_trained_networks_are_merged_as_they_are_exported(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from manyfaces.train.designs import Residual
    from manyfaces.train.emotion import spec_of
    from manyfaces.train.export import export_probabilities
    from manyfaces.train.nets import Probabilities, build

    designs = [Residual(4, (8, 8), (1, 1), squeeze=True), Residual(4, (8, 8), (1, 1), side=64)]
    parts, wanted = [], np.zeros((len(FACES), CLASSES), np.float32)
    for number, design in enumerate(designs):
        torch.manual_seed(number)
        net, spec = build(design).eval(), spec_of(design)
        export_probabilities(net, 0.3, spec, tmp_path / "model.onnx")
        parts.append(part(number, spec, (tmp_path / "model.onnx").read_bytes()))
        pixels = (torch.from_numpy(FACES)[:, None].float() - spec.mean) / spec.scale
        larger = torch.nn.functional.interpolate(pixels, size=(design.side, design.side), mode="bilinear")
        with torch.no_grad():
            wanted += Probabilities(net, 0.3)(larger).numpy() / 2
    refuse_strangers(parts)
    np.testing.assert_allclose(together(parts, Blend((0.5, 0.5)), FACES), wanted, atol=1e-5)
