"""The emotion recipe: what is learnt, what is drawn at random, and that the shipped file says what torch says."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")

from manyfaces.card import InputSpec, ModelCard  # noqa: E402  (only where torch is)
from manyfaces.errors import UsageError  # noqa: E402
from manyfaces.runtime import Runtime, load_network  # noqa: E402
from manyfaces.train import emotion  # noqa: E402
from manyfaces.train.augment import Augmentation, augment  # noqa: E402
from manyfaces.train.data import EMOTIONS, SIDE, DataError, read_emotion_data  # noqa: E402
from manyfaces.train.emotion import EmotionLesson, Recipe, emotion_logits, train_emotion  # noqa: E402
from manyfaces.train.export import export_probabilities, fitted_temperature  # noqa: E402
from manyfaces.train.fit import Plan  # noqa: E402
from manyfaces.train.nets import CompactNet, Probabilities, Shape, parameter_count  # noqa: E402
from manyfaces.weights import load  # noqa: E402

TINY = Recipe(shape=Shape(stem=4, widths=(8, 8), depths=(1, 2)), plan=Plan(epochs=2, batch=7, rate=0.02))
NOTHING = Augmentation(
    0, 0, 0, mirror=False, coarse_chance=0, noise_chance=0, brightness=0, contrast=0, erase_chance=0, erase_side=0
)
# Other libraries warn about themselves while torch writes ONNX.
exporting = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def faces_file(tmp_path: Path) -> Path:
    """Noise whose brightness is its label, 21 pictures to learn and 7 to select on."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(7), 4)
    images = random.integers(0, 40, (28, SIDE, SIDE)) + labels[:, None, None] * 30
    votes = np.zeros((28, 10), np.uint8)
    votes[:14, 1] = 10
    usage = np.repeat([0, 1], [21, 7])
    path = tmp_path / "faces.npz"
    np.savez(path, images=images.astype(np.uint8), labels=labels, usage=usage, ferplus_votes=votes)
    return path


@pytest.fixture
def tiny_recipe(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(emotion, "RECIPES", {"tiny": TINY})
    return "tiny"


@pytest.fixture
def tiny_net() -> CompactNet:
    torch.manual_seed(0)
    net = CompactNet(TINY.shape)
    with torch.no_grad():  # some statistics, so that evaluation differs from the untrained identity
        net.train()(torch.randn(32, 1, SIDE, SIDE))
    return net.eval()


@exporting
def test_training_leaves_a_model_its_card_and_a_log(faces_file: Path, tiny_recipe: str, tmp_path: Path) -> None:
    card = train_emotion(faces_file, tmp_path / "out", tiny_recipe)
    assert ModelCard.read(tmp_path / "out" / "model.json") == card
    assert (card.task, card.labels, card.input.channels) == ("emotion", EMOTIONS, "grey")
    assert card.sha256 == hashlib.sha256((tmp_path / "out" / "model.onnx").read_bytes()).hexdigest()
    assert 0 <= card.metrics["public_test_accuracy"] <= 1
    assert (tmp_path / "out" / "log.csv").read_text().count("\n") == 1 + TINY.plan.epochs
    assert ElementTree.parse(tmp_path / "out" / "curves.svg").getroot().tag.endswith("svg")


@exporting
def test_the_model_runs_where_faces_are_read(faces_file: Path, tiny_recipe: str, tmp_path: Path) -> None:
    train_emotion(faces_file, tmp_path / "out", tiny_recipe)
    weights = load(tmp_path / "out" / "model.onnx")
    pixels = read_emotion_data(faces_file).images[..., None]
    found = load_network(weights.content, weights.card.input, Runtime(precision="f32"))(pixels)["probabilities"]
    assert found.shape == (28, 7)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-4)


@exporting
def test_resumed_for_more_epochs_it_goes_on(faces_file: Path, tiny_recipe: str, tmp_path: Path) -> None:
    train_emotion(faces_file, tmp_path / "out", tiny_recipe, epochs=1)
    train_emotion(faces_file, tmp_path / "out", tiny_recipe, epochs=3, resume=True)
    assert (tmp_path / "out" / "log.csv").read_text().count("\n") == 1 + 3


@exporting
@pytest.mark.parametrize("batch", [1, 8])
def test_the_exported_file_says_what_torch_says(tiny_net: CompactNet, tmp_path: Path, batch: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    digest = export_probabilities(tiny_net, 1.7, emotion.SPEC, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels = torch.randn(batch, 1, SIDE, SIDE)
    with torch.no_grad():
        wanted = Probabilities(tiny_net, 1.7)(pixels).numpy()
    (found,) = session.run(["probabilities"], {"pixels": pixels.numpy()})
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert digest == hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()


@exporting
def test_the_exported_file_tells_nothing_of_the_machine(tiny_net: CompactNet, tmp_path: Path) -> None:
    export_probabilities(tiny_net, 1.0, emotion.SPEC, tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path.home()).encode() not in content


def test_unknown_recipes_and_no_epochs_are_refused(faces_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="recipe 'huge': there is no such recipe; known are compact"):
        train_emotion(faces_file, tmp_path, "huge")
    with pytest.raises(UsageError, match="epochs 0: must be 1 or more"):
        train_emotion(faces_file, tmp_path, epochs=0)


def test_data_without_a_part_to_select_on_is_refused(faces_file: Path) -> None:
    data = read_emotion_data(faces_file)
    with pytest.raises(DataError, match="holds no pictures of PublicTest"):
        EmotionLesson(data[data.usage == 0], TINY)


def test_pictures_without_votes_teach_by_their_label_alone(faces_file: Path, tiny_net: CompactNet) -> None:
    data = read_emotion_data(faces_file)
    silent, heard = (
        EmotionLesson(data, replace(TINY, augmentation=NOTHING, votes_weight=weight)) for weight in (0.0, 1.0)
    )
    voted, unvoted = torch.arange(7), torch.arange(14, 21)
    with torch.no_grad():
        assert heard.loss(tiny_net, unvoted) == silent.loss(tiny_net, unvoted)
        assert heard.loss(tiny_net, voted) > silent.loss(tiny_net, voted)


def test_the_compact_recipe_stays_under_five_megabytes() -> None:
    assert parameter_count(CompactNet(emotion.find_recipe("compact").shape)) * 4 < 5_000_000


def test_the_template_is_symmetric_and_inside_the_crop() -> None:
    spec: InputSpec = emotion.SPEC
    right_eye, left_eye, nose, right_mouth, left_mouth = np.array(spec.template)
    assert nose[0] == pytest.approx((SIDE - 1) / 2)
    np.testing.assert_allclose(right_eye + left_eye, [SIDE - 1, 2 * right_eye[1]])
    np.testing.assert_allclose(right_mouth + left_mouth, [SIDE - 1, 2 * right_mouth[1]])


def test_logits_do_not_depend_on_the_company(tiny_net: CompactNet) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, SIDE, SIDE), dtype=np.uint8)
    together = emotion_logits(tiny_net, images)
    np.testing.assert_allclose(together[290:], emotion_logits(tiny_net, images[290:]), atol=1e-5)


def test_the_fitted_temperature_is_the_one_that_was_applied() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (20_000, 7)).astype(np.float32)
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((20_000, 1)) > weights.cumsum(axis=1)).sum(axis=1).clip(0, 6)
    assert fitted_temperature(logits * 2, labels) == pytest.approx(2, rel=0.05)


# --- augmentation ----------------------------------------------------------------------------------------------------


def test_augmentation_of_nothing_changes_nothing() -> None:
    batch = torch.randn(4, 1, SIDE, SIDE)
    same = augment(batch, NOTHING)
    torch.testing.assert_close(same, batch, atol=1e-4, rtol=0)


def test_augmentation_leaves_its_input_alone_and_follows_the_seed() -> None:
    batch = torch.randn(4, 1, SIDE, SIDE)
    before = batch.clone()
    torch.manual_seed(1)
    one = augment(batch, Augmentation())
    torch.manual_seed(1)
    assert torch.equal(one, augment(batch, Augmentation()))
    assert torch.equal(batch, before)
    assert not torch.equal(one, batch)


def test_mirroring_alone_gives_the_picture_or_its_mirror() -> None:
    batch = torch.randn(32, 1, SIDE, SIDE)
    mirrored = augment(batch, replace(NOTHING, mirror=True))
    as_is = ((mirrored - batch).abs().amax(dim=(1, 2, 3)) < 1e-3).tolist()
    flipped = ((mirrored - batch.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-3).tolist()
    assert all(one != other for one, other in zip(as_is, flipped, strict=True))
    assert any(as_is)
    assert any(flipped)


def test_shifts_reach_as_far_as_they_say_and_no_farther() -> None:
    batch = torch.full((200, 1, SIDE, SIDE), -1.0)
    batch[:, :, SIDE // 2, SIDE // 2] = 1000.0
    moved = augment(batch, replace(NOTHING, shift=0.1)) + 1
    places = torch.arange(SIDE).float()
    across = (moved.sum(dim=(1, 2)) @ places) / moved.sum(dim=(1, 2, 3)) - SIDE // 2
    reach = 0.1 * SIDE
    assert float(across.abs().max()) <= reach + 1e-2
    assert float(across.abs().max()) > 0.8 * reach


def test_erasing_hides_no_more_than_one_square() -> None:
    batch = torch.ones(200, 1, SIDE, SIDE)
    hidden = (augment(batch, replace(NOTHING, erase_chance=1.0, erase_side=0.25)) == 0).float().mean(dim=(1, 2, 3))
    assert 0 < float(hidden.max()) <= 0.27**2


def test_coarse_pictures_lose_detail_but_not_brightness() -> None:
    batch = torch.randn(16, 1, SIDE, SIDE)
    coarse = augment(batch, replace(NOTHING, coarse_chance=1.0, coarse_side=0.5))
    assert (coarse.std(dim=(1, 2, 3)) < batch.std(dim=(1, 2, 3))).all()
    torch.testing.assert_close(coarse.mean(dim=(1, 2, 3)), batch.mean(dim=(1, 2, 3)), atol=0.05, rtol=0)


def test_noise_is_as_strong_as_it_says_and_strikes_only_some() -> None:
    batch = torch.zeros(400, 1, SIDE, SIDE)
    strength = augment(batch, replace(NOTHING, noise_chance=0.5, noise=0.2)).std(dim=(1, 2, 3))
    assert 0.19 < float(strength.max()) < 0.21
    assert 0.4 < float((strength > 1e-3).float().mean()) < 0.6
