"""The emotion recipe: what is learnt, what is drawn at random, and that the shipped file says what torch says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")

from manyfaces.card import InputSpec, ModelCard  # noqa: E402  (only where torch is)
from manyfaces.errors import UsageError  # noqa: E402
from manyfaces.runtime import Runtime, load_network  # noqa: E402
from manyfaces.train import emotion  # noqa: E402
from manyfaces.train.augment import Augmentation, augment  # noqa: E402
from manyfaces.train.data import EMOTIONS, SIDE, DataError, read_emotion_data  # noqa: E402
from manyfaces.train.designs import (  # noqa: E402
    Design,
    Genotype,
    MiniXception,
    Module,
    Residual,
    design_as_dict,
    design_from_dict,
    design_hash,
)
from manyfaces.train.emotion import (  # noqa: E402
    EmotionLesson,
    Teacher,
    Training,
    begin_with,
    begin_with_model,
    emotion_logits,
    train_emotion,
    trained_network,
)
from manyfaces.train.export import export_probabilities, fitted_temperature  # noqa: E402
from manyfaces.train.nets import EmotionNet, Probabilities, build, shipped_parameters  # noqa: E402
from manyfaces.train.plan import Plan  # noqa: E402
from manyfaces.train.recipe import Recipe, Targets, read_recipe, write_recipe  # noqa: E402
from manyfaces.train.recipes import RECIPES, find_recipe  # noqa: E402
from manyfaces.weights import load  # noqa: E402

TINY = Recipe(design=Residual(stem=4, widths=(8, 8), depths=(1, 2)), plan=Plan(epochs=2, batch=7, rate=0.02))
NOTHING = Augmentation(
    0, 0, 0, mirror=False, coarse_chance=0, noise_chance=0, brightness=0, contrast=0, erase_chance=0, erase_side=0
)


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
def tiny_net() -> EmotionNet:
    torch.manual_seed(0)
    net = build(TINY.design)
    with torch.no_grad():  # some statistics, so that evaluation differs from the untrained identity
        net.train()(torch.randn(32, 1, SIDE, SIDE))
    return net.eval()


def test_training_leaves_a_model_its_card_and_a_log(faces_file: Path, tmp_path: Path) -> None:
    card = train_emotion(read_emotion_data(faces_file), tmp_path / "out", Training(TINY, "a test"))
    assert ModelCard.read(tmp_path / "out" / "model.json") == card
    assert (card.task, card.labels, card.input.channels) == ("emotion", EMOTIONS, "grey")
    assert card.sha256 == hashlib.sha256((tmp_path / "out" / "model.onnx").read_bytes()).hexdigest()
    assert 0 <= card.metrics["public_test_accuracy"] <= 1
    assert (tmp_path / "out" / "log.csv").read_text().count("\n") == 1 + TINY.plan.epochs
    with Image.open(tmp_path / "out" / "curves.png") as picture:
        assert picture.width > picture.height > 300
    assert read_recipe(tmp_path / "out" / "recipe.json") == TINY


def test_the_model_runs_where_faces_are_read(faces_file: Path, tmp_path: Path) -> None:
    train_emotion(read_emotion_data(faces_file), tmp_path / "out", Training(TINY, "a test"))
    weights = load(tmp_path / "out" / "model.onnx")
    pixels = read_emotion_data(faces_file).images[..., None]
    found = load_network(weights.content, weights.card.input, Runtime(precision="f32"))(pixels)["probabilities"]
    assert found.shape == (28, 7)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-4)


def test_resumed_for_more_epochs_it_goes_on(faces_file: Path, tmp_path: Path) -> None:
    faces = read_emotion_data(faces_file)
    train_emotion(faces, tmp_path / "out", Training(TINY.with_epochs(1), "a test"))
    train_emotion(faces, tmp_path / "out", Training(TINY.with_epochs(3), "a test"), resume=True)
    assert (tmp_path / "out" / "log.csv").read_text().count("\n") == 1 + 3


def test_a_training_may_begin_with_the_weights_of_another(faces_file: Path, tmp_path: Path) -> None:
    faces, still = read_emotion_data(faces_file), replace(TINY, plan=replace(TINY.plan, rate=0.0, average=0.0))
    train_emotion(faces, tmp_path / "first", Training(TINY, "a test"))
    train_emotion(
        faces, tmp_path / "second", Training(still, "a test", start=begin_with(tmp_path / "first", TINY.design))
    )
    first, second = (trained_network(tmp_path / name)[0].emotions.weight for name in ("first", "second"))
    assert torch.equal(first, second)
    with pytest.raises(DataError, match="first: holds another network than the recipe asks for"):
        begin_with(tmp_path / "first", Residual(stem=4, widths=(8, 12), depths=(1, 1)))


@pytest.mark.parametrize(
    "design", [TINY.design, Residual(stem=4, widths=(8,), depths=(2,), squeeze=True), MiniXception(widths=(8, 16))]
)
def test_an_exported_network_can_be_trained_again(faces_file: Path, design: Design, tmp_path: Path) -> None:
    """It says what the file says, also while it trains: then its norms see the statistics of the batch itself."""
    torch.manual_seed(0)
    faces = read_emotion_data(faces_file)
    network = build(design).eval()
    for module in network.modules():  # as after some training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    export_probabilities(network, 1.0, emotion.spec_of(design), tmp_path / "model.onnx")
    again = begin_with_model((tmp_path / "model.onnx").read_bytes(), design, faces)
    pictures = emotion.resized(emotion.scaled(torch.from_numpy(faces.split("training").images)), design.side)
    with torch.no_grad():
        wanted, found = network(pictures)[0], again(pictures)[0]
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
        for module in again.modules():
            module.train(isinstance(module, torch.nn.BatchNorm2d))
        torch.testing.assert_close(again(pictures)[0], wanted, atol=0.05, rtol=0.05)


def test_a_model_of_another_recipe_cannot_be_begun_with(faces_file: Path, tiny_net: EmotionNet, tmp_path: Path) -> None:
    export_probabilities(tiny_net, 1.0, emotion.SPEC, tmp_path / "model.onnx")
    with pytest.raises(DataError, match=r"the model holds no features\.0\.0\.weight as its recipe has it"):
        begin_with_model((tmp_path / "model.onnx").read_bytes(), Residual(), read_emotion_data(faces_file))


@pytest.mark.parametrize("batch", [1, 8])
def test_the_exported_file_says_what_torch_says(tiny_net: EmotionNet, tmp_path: Path, batch: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    digest = export_probabilities(tiny_net, 1.7, emotion.SPEC, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels = torch.randn(batch, 1, SIDE, SIDE)
    with torch.no_grad():
        wanted = Probabilities(tiny_net, 1.7)(pixels).numpy()
    (found,) = session.run(["probabilities"], {"pixels": pixels.numpy()})
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert digest == hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()


def test_the_exported_file_tells_nothing_of_the_machine(tiny_net: EmotionNet, tmp_path: Path) -> None:
    export_probabilities(tiny_net, 1.0, emotion.SPEC, tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path.home()).encode() not in content


def test_unknown_recipes_and_no_epochs_are_refused() -> None:
    with pytest.raises(UsageError, match="recipe 'huge': there is no such recipe; known are compact"):
        find_recipe("huge")
    with pytest.raises(UsageError, match="epochs 0: must be 1 or more"):
        TINY.with_epochs(0)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"design": {"kind": "cathedral"}}', '{"design": {"kind": 1}}'])
def test_a_file_that_is_no_recipe_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(DataError, match=r"recipe\.json: (is no recipe|cannot be read as a recipe|this is no design)"):
        find_recipe(str(tmp_path / "recipe.json"))


@pytest.mark.parametrize(
    "design",
    [
        {"widths": []},
        {"widths": [0]},
        {"widths": [8], "depths": [1, 1]},
        {"widths": "ab"},
        {"stem": 0},
        {"side": 7},
        {"dropout": 2},
        {"squeeze": "yes"},
        {"cellar": 3},
    ],
)
def test_a_design_that_makes_no_sense_names_its_field(tmp_path: Path, design: dict[str, object]) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"design": {"kind": "residual"} | design}))
    with pytest.raises(DataError, match=rf"recipe\.json: .*{next(iter(design))}"):
        find_recipe(str(tmp_path / "recipe.json"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_file(tmp_path: Path, name: str) -> None:
    write_recipe(RECIPES[name], tmp_path / "recipe.json")
    assert find_recipe(str(tmp_path / "recipe.json")) == RECIPES[name]


def test_data_without_a_part_to_select_on_is_refused(faces_file: Path) -> None:
    data = read_emotion_data(faces_file)
    with pytest.raises(DataError, match="holds no pictures of PublicTest"):
        EmotionLesson(data[data.usage == 0], TINY)


def test_pictures_without_votes_teach_by_their_label_alone(faces_file: Path, tiny_net: EmotionNet) -> None:
    data = read_emotion_data(faces_file)
    silent, heard = (
        EmotionLesson(data, replace(TINY, augmentation=NOTHING, targets=Targets(votes=weight))) for weight in (0.0, 1.0)
    )
    voted, unvoted = (heard.batch(which, 0.0) for which in (torch.arange(7), torch.arange(14, 21)))
    with torch.no_grad():
        assert heard.loss(tiny_net, unvoted) == silent.loss(tiny_net, unvoted)
        assert heard.loss(tiny_net, voted) > silent.loss(tiny_net, voted)


def test_a_teacher_sees_what_the_network_sees_and_counts_as_much_as_asked(faces_file: Path) -> None:
    data = read_emotion_data(faces_file)
    seen: list[np.ndarray] = []

    def teacher(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return np.full((len(images), 7), 1 / 7, np.float32)

    recipe = replace(TINY, targets=Targets(smoothing=0.0, teacher=0.75))
    asked = EmotionLesson(data, recipe, Teacher("even", teacher)).batch(torch.arange(7), 0.0)
    shown = (asked.pixels[:, 0] * emotion.SPEC.scale + emotion.SPEC.mean).round().clamp(0, 255).numpy()
    np.testing.assert_array_equal(seen[0], shown)
    wanted = np.eye(7)[data.labels[:7]] * 0.25 + 0.75 / 7
    np.testing.assert_allclose(asked.emotions.numpy(), wanted, atol=1e-6)


def test_mixed_batches_ask_for_both_pictures_by_their_areas(faces_file: Path) -> None:
    recipe = replace(TINY, augmentation=NOTHING, targets=Targets(smoothing=0.0, mixed=1.0))
    torch.manual_seed(1)
    lesson = EmotionLesson(read_emotion_data(faces_file), recipe)
    asked = lesson.batch(torch.arange(21), 0.0)
    torch.testing.assert_close(asked.emotions.sum(dim=1), torch.ones(21))
    untouched = emotion.scaled(torch.from_numpy(read_emotion_data(faces_file).images[:21]))
    copied = ((asked.pixels - untouched).abs() > 0.01).float().mean(dim=(1, 2, 3))
    given_away = 1 - asked.emotions[torch.arange(21), torch.arange(21) % 7]
    torch.testing.assert_close(copied[given_away > 0], given_away[given_away > 0], atol=0.02, rtol=0)


def test_early_epochs_see_small_pictures_and_late_ones_whole(faces_file: Path) -> None:
    lesson = EmotionLesson(read_emotion_data(faces_file), replace(TINY, small_until=0.5, small_side=24))
    sizes = [lesson.batch(torch.arange(2), done).pixels.shape[-1] for done in (0.0, 0.49, 0.5, 0.99)]
    assert sizes == [24, 24, 48, 48]


SEARCHED = Genotype(
    stem=8,
    modules=(Module(16, 3, 2, True, True, False, "elu", 0.1), Module(24, 5, 1, False, False, True, "softsign", 0.0)),
    pooling="max",
)


@pytest.mark.parametrize("design", [MiniXception(), MiniXception(clipped=True), Residual(squeeze=True), SEARCHED])
def test_every_design_answers_and_is_exported_as_it_answers(design: Design, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = build(design).eval()
    assert design_from_dict(json.loads(json.dumps(design_as_dict(design)))) == design
    spec = emotion.spec_of(design)
    export_probabilities(network, 1.0, spec, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels = torch.randn(3, 1, design.side, design.side)
    with torch.no_grad():
        emotions, votes = network(pixels)
    assert (emotions.shape, votes.shape) == ((3, 7), (3, 10))
    (found,) = session.run(["probabilities"], {"pixels": pixels.numpy()})
    np.testing.assert_allclose(found, emotions.softmax(dim=1).numpy(), atol=1e-5)


def test_a_clipped_network_never_says_less_than_nothing() -> None:
    with torch.no_grad():
        emotions, _ = build(MiniXception(clipped=True)).eval()(torch.randn(4, 1, 64, 64))
    assert (emotions >= 0).all()


def test_the_tutorials_network_has_the_size_of_its_layers() -> None:
    """Counted by hand: stem 8 x 9 + 16; a block of i to o filters holds 9 i + i o + 9 o + o o + i o + 3 x 2 o; then the
    dense layers."""
    widths = [8, 16, 32, 64, 128, 256]
    blocks = sum(9 * i + i * o + 9 * o + o * o + i * o + 6 * o for i, o in pairwise(widths))
    dense = sum(i * o + o for i, o in pairwise([256, 128, 64, 32, 7]))
    assert shipped_parameters(build(MiniXception())) == 8 * 9 + 16 + blocks + dense


def test_designs_of_equal_choices_have_equal_names() -> None:
    assert design_hash(SEARCHED) == design_hash(replace(SEARCHED))
    assert len({design_hash(design) for design in (SEARCHED, replace(SEARCHED, pooling="mean"), Residual())}) == 3


def test_the_compact_recipe_stays_under_five_megabytes() -> None:
    assert shipped_parameters(build(RECIPES["compact"].design)) * 4 < 5_000_000


def test_the_template_is_symmetric_and_inside_the_crop() -> None:
    spec: InputSpec = emotion.SPEC
    right_eye, left_eye, nose, right_mouth, left_mouth = np.array(spec.template)
    assert nose[0] == pytest.approx((SIDE - 1) / 2)
    np.testing.assert_allclose(right_eye + left_eye, [SIDE - 1, 2 * right_eye[1]])
    np.testing.assert_allclose(right_mouth + left_mouth, [SIDE - 1, 2 * right_mouth[1]])


def test_logits_do_not_depend_on_the_company(tiny_net: EmotionNet) -> None:
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
