"""Telling people apart: what is drawn, what is asked, what is kept, and that the shipped file says what torch says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")
pytest.importorskip("pytorch_metric_learning", reason="telling people apart needs the extra manyfaces[train]")

from manyfaces.card import InputSpec, ModelCard  # noqa: E402  (only where torch is)
from manyfaces.errors import UsageError  # noqa: E402
from manyfaces.heads.identity import IdentityHead  # noqa: E402
from manyfaces.runtime import Runtime, load_network  # noqa: E402
from manyfaces.train.data import DataError  # noqa: E402
from manyfaces.train.fit import fit, read_checkpoint  # noqa: E402
from manyfaces.train.identity.adapt import Base, Candidate, Seen, compare, decide, learn_head, seen_by  # noqa: E402
from manyfaces.train.identity.designs import Bend, Design, Faces, Vgg, design_as_dict, design_from_dict  # noqa: E402
from manyfaces.train.identity.goals import Goal, Objective, drift, objective  # noqa: E402
from manyfaces.train.identity.held_people import Comparison, Judgement, folds, judge  # noqa: E402
from manyfaces.train.identity.lesson import FaceLesson, nearest, vectors_of, views_of  # noqa: E402
from manyfaces.train.identity.merged import with_head  # noqa: E402
from manyfaces.train.identity.nets import Bent, build  # noqa: E402
from manyfaces.train.identity.own import IdentityTraining, learner, learnt, train_own  # noqa: E402
from manyfaces.train.identity.people import SIDE, PeopleData, people_data  # noqa: E402
from manyfaces.train.identity.recipe import IdentityRecipe, read_recipe, write_recipe  # noqa: E402
from manyfaces.train.identity.recipes import RECIPES, find_recipe  # noqa: E402
from manyfaces.train.identity.sampling import Sampler  # noqa: E402
from manyfaces.train.identity.views import AS_IT_IS, Views, varied  # noqa: E402
from manyfaces.train.plan import Figures, Plan  # noqa: E402
from manyfaces.train.recipe import read_recipe as read_emotion_recipe  # noqa: E402
from manyfaces.types import Crops, Floats, Integers, Pixels  # noqa: E402

PLAN = Plan(epochs=2, batch=8, method="adam", rate=1e-3, warmup=0, average=0.5)
FEW = Views(each=2)
TINY = IdentityRecipe(
    Faces(stem=4, widths=(8, 8), depths=(1, 1), length=16, side=28, dropout=0), PLAN, FEW, Goal(photos=4)
)
HEAD = IdentityRecipe(Bend(), replace(PLAN, epochs=40, rate=5e-3), Views(AS_IT_IS, each=1), Goal(margin=0.5, photos=4))
SPEC = InputSpec(SIDE, SIDE, "rgb", template=tuple((float(x), 50.0) for x in range(5)))
CARD = ModelCard("base", "identity", SPEC, "", "Apache-2.0", "somebody")


OWNERS = torch.arange(4).repeat(4)


def photos(people: int, each: int, seed: int = 0) -> tuple[Pixels, list[str]]:
    """Squares of noise, of a colour for every person."""
    random = np.random.default_rng(seed)
    colours = np.random.default_rng(1).integers(40, 216, (people, 3))
    noise = random.integers(-40, 40, (people, each, SIDE, SIDE, 3))
    pixels = (colours[:, None, None, None] + noise).astype(np.uint8).reshape(-1, SIDE, SIDE, 3)
    return pixels, [f"person {number:02}" for number in range(people) for _ in range(each)]


@pytest.fixture
def people() -> PeopleData:
    return people_data(*photos(3, 6))


def training(recipe: IdentityRecipe) -> IdentityTraining:
    return IdentityTraining(recipe, SPEC.template, "manyfaces train identity")


# --- the data --------------------------------------------------------------------------------------------------------


def test_a_fifth_of_everybody_is_held_out_and_the_same_wherever_it_lies() -> None:
    pixels, names = photos(3, 10)
    data = people_data(pixels, names)
    assert np.bincount(data.owners[data.held]).tolist() == [2, 2, 2]
    order = np.random.default_rng(3).permutation(30)
    shuffled = people_data(pixels[order], [names[place] for place in order])
    assert np.array_equal(shuffled.held, data.held[order])


def test_copies_stay_on_one_side_also_those_that_nobody_named() -> None:
    pixels, names = photos(2, 8)
    pixels[1], pixels[5] = pixels[0], pixels[4]
    near = np.arange(16)
    near[4] = near[1]
    data = people_data(pixels, names, near)
    copies = data.held[[0, 1, 4, 5]]
    assert copies.all() or not copies.any()
    assert len(np.unique(data.groups[[0, 1, 4, 5]])) == 1


def test_who_has_one_photo_is_learnt_from_and_not_judged_by() -> None:
    pixels, names = photos(3, 4)
    data = people_data(pixels[:9], names[:9])
    assert not data.held[8]
    assert data.held[:8].sum() == 2


def test_one_picture_under_two_names_is_refused() -> None:
    pixels, names = photos(2, 3)
    pixels[4] = pixels[0]
    with pytest.raises(DataError, match="the same picture lies under 'person 00' and 'person 01'; keep it in one"):
        people_data(pixels, names)


@pytest.mark.parametrize(
    ("people", "each", "sentence"),
    [
        (1, 5, "shows 'person 00' alone, and telling people apart takes two"),
        (4, 1, "nobody has three different photos"),
        (4, 2, "nobody has three different photos"),
        (0, 0, "shows nobody"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused(tmp_path: Path, people: int, each: int, sentence: str) -> None:
    data = people_data(*photos(people, each))
    with pytest.raises(DataError, match=sentence):
        train_own(data, tmp_path, training(TINY))
    assert list(tmp_path.iterdir()) == []


def test_columns_that_do_not_fit_are_refused(people: PeopleData) -> None:
    with pytest.raises(ValueError, match=r"pixels: expected uint8 of \(18, 112, 112, 3\), got float64"):
        replace(people, pixels=people.pixels.astype(float))
    with pytest.raises(ValueError, match="owners must be 0 to 1"):
        replace(people, names=people.names[:2])


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(1, 12), min_size=2, max_size=7), size=st.integers(2, 40), photos=st.integers(1, 9),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_batch_has_as_many_of_each_of_its_people(counts: list[int], size: int, photos: int, seed: int) -> None:
    owners = torch.from_numpy(np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)))
    torch.manual_seed(seed)
    rows = Sampler(owners).draw(size, photos)
    drawn = torch.bincount(owners[rows], minlength=len(counts))
    present = drawn[drawn > 0]
    assert len(present) >= 2
    assert present.unique().numel() == 1
    assert len(rows) <= max(size, 2)
    for person in range(len(counts)):
        mine = rows[owners[rows] == person]
        again = torch.bincount(mine)[mine.unique()] if len(mine) else mine
        assert len(mine) == 0 or int(again.max() - again.min()) <= 1  # each once before any of them twice


# --- views and goals -------------------------------------------------------------------------------------------------


def test_views_differ_and_those_of_one_seed_do_not() -> None:
    pixels, _ = photos(2, 3)
    recipe = replace(TINY, views=Views(each=3, tint=0.3, grey_chance=0.5, blur_chance=1.0))
    first, again = views_of(pixels, recipe), views_of(pixels, recipe)
    assert first.shape == (4, 6, SIDE, SIDE, 3)
    assert np.array_equal(first, again)
    assert np.array_equal(first[0], pixels)
    assert not np.array_equal(first[1], first[2])


def test_a_view_that_changes_nothing_changes_nothing() -> None:
    pixels = torch.randn(3, 3, 28, 28)
    assert torch.allclose(varied(pixels, Views(AS_IT_IS)), pixels, atol=1e-5)


def test_blur_softens_and_grey_takes_the_colour() -> None:
    torch.manual_seed(0)
    pixels = torch.randn(4, 3, 28, 28)
    soft = varied(pixels, Views(AS_IT_IS, blur_chance=1.0, blur=0.2))
    assert soft.std() < pixels.std() / 1.3
    grey = varied(pixels, Views(AS_IT_IS, grey_chance=1.0))
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-5)


def moved_by(goal: Goal) -> tuple[Floats, Objective]:
    """Four vectors of each of four people, moved down the loss alone."""
    torch.manual_seed(0)
    vectors, asked = torch.randn(16, 8, requires_grad=True), objective(goal, 4, 8)
    optimiser = torch.optim.Adam([vectors, *asked.parameters()], lr=0.05)
    for _ in range(80):
        optimiser.zero_grad()
        asked(torch.nn.functional.normalize(vectors, dim=1), OWNERS).backward()
        optimiser.step()
    return torch.nn.functional.normalize(vectors.detach(), dim=1).numpy(), asked


@pytest.mark.parametrize("goal", [Goal("triplet", 0.5), Goal("arcface", 20), Goal("subcentre", 20, centres=1)])
def test_goals_draw_a_person_together(goal: Goal) -> None:
    vectors, _ = moved_by(goal)
    assert judge(vectors, OWNERS.numpy(), np.arange(16), 0).one_photo > 0.95


def test_with_several_centres_each_is_near_one_of_its_person() -> None:
    vectors, asked = moved_by(Goal("subcentre", 20, centres=2))
    centres = torch.nn.functional.normalize(dict(asked.named_parameters())["loss.W"].detach(), dim=0)
    nearest_centre = (torch.from_numpy(vectors) @ centres).argmax(dim=1) // 2
    assert torch.equal(nearest_centre, OWNERS)


def test_drift_is_nothing_where_nothing_turned_against_another() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(5, 6), dim=1)
    turn = torch.linalg.qr(torch.randn(6, 6)).Q
    assert drift(vectors @ turn, vectors).item() == pytest.approx(0, abs=1e-10)
    assert drift(-vectors[[1, 0, 2, 3, 4]], vectors).item() > 1e-3


# --- recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_named_recipes_are_found_and_survive_a_file(name: str, tmp_path: Path) -> None:
    write_recipe(RECIPES[name], tmp_path / "recipe.json")
    assert find_recipe(str(tmp_path / "recipe.json")) == find_recipe(name)


def test_the_tutorials_recipe_is_theirs() -> None:
    recipe = RECIPES["tutorial"]
    assert isinstance(recipe.design, Vgg)
    assert (recipe.design.widths, recipe.design.depths) == ((64, 128, 256, 512, 512), (2, 2, 3, 3, 3))
    assert (recipe.design.length, recipe.design.levelled) == (128, True)
    assert (recipe.plan.method, recipe.plan.rate, recipe.plan.batch) == ("adam", 0.001, 32)
    change = recipe.views.change
    assert (change.rotation, change.shift, change.mirror, recipe.views.each) == (20, 0.2, True, 5)
    assert recipe.goal.kind == "triplet"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"design": {"kind": "residual"}}, "'residual' is no network that tells people apart; known are vgg, faces"),
        ({"design": {"kind": "faces", "side": 64}}, "side is 64, but must be one of 28, 56, 112"),
        ({"design": {"kind": "vgg", "widths": [4]}}, "there are 1 widths but 5 depths"),
        ({"design": {"kind": "vgg", "side": 28, "widths": [4] * 5}}, "a side of 28 cannot be halved 5 times"),
        ({"design": {"kind": "bend"}, "goal": {"margin": float("nan")}}, "margin is nan, but must be a number"),
        ({"design": {"kind": "bend"}, "targets": {}}, "a recipe has no 'targets' there"),
        ({"goal": {}}, "is no recipe, since it holds no design"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(fields: dict[str, object], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(DataError, match=sentence):
        read_recipe(path)


def test_a_recipe_of_people_is_none_of_expressions(tmp_path: Path) -> None:
    write_recipe(TINY, tmp_path / "recipe.json")
    with pytest.raises(DataError, match="no design of a network"):
        read_emotion_recipe(tmp_path / "recipe.json")
    with pytest.raises(UsageError, match="known are compact, tutorial, tutorial-plain, adapt"):
        find_recipe("huge")


# --- a network of one's own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "design", [TINY.design, Vgg(widths=(4, 8), depths=(1, 2), length=8, side=28), Bend(width=5), Bend()]
)
def test_designs_survive_json_and_give_vectors(design: Design) -> None:
    assert design_from_dict(json.loads(json.dumps(design_as_dict(design)))) == design
    if isinstance(design, Bend):
        vectors = torch.nn.functional.normalize(torch.randn(4, 16), dim=1)
        assert torch.equal(build(design, 16)(vectors), vectors)  # begins as the pretrained one
    else:
        assert build(design).eval()(torch.randn(2, 3, design.side, design.side)).shape == (2, design.length)


def test_training_leaves_a_network_that_says_what_torch_says(people: PeopleData, tmp_path: Path) -> None:
    card = train_own(people, tmp_path, training(TINY))
    files = {path.name for path in tmp_path.iterdir()}
    assert {"model.onnx", "model.json", "recipe.json", "log.csv", "curves.png", "last.pt"} <= files
    assert card == ModelCard.read(tmp_path / "model.json")
    content = (tmp_path / "model.onnx").read_bytes()
    assert card.sha256 == hashlib.sha256(content).hexdigest()
    assert (card.task, card.input.width, card.input.template) == ("identity", SIDE, SPEC.template)
    assert card.metrics["held_out_photos"] == 3
    head = IdentityHead(load_network(content, card.input, Runtime(precision="f32")), card.input, card.identifier)
    served = head(Crops(people.pixels[:5], np.arange(5))).vectors
    network = learnt(tmp_path, learner(TINY, 3))
    assert served.shape == (5, 16)
    # torch computes in bfloat16 where the processor has it
    assert np.allclose(served, vectors_of(network, people.pixels[:5], 28), atol=0.05)


def course(people: PeopleData, out: Path, recipe: IdentityRecipe, resume: bool = False) -> list[Figures]:
    """The log of a training that ships nothing."""
    return fit(learner(recipe, len(people.names)), FaceLesson(people, recipe), recipe.plan, out, resume)


def weights(out: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = read_checkpoint(out / "last.pt")["average"]
    return found


def same(one: Path, other: Path) -> bool:
    return all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_colours_are_learnt(people: PeopleData, tmp_path: Path) -> None:
    """Three people of a colour each are told apart within a few epochs, on photos that were not learnt from."""
    design = replace(TINY.design, levelled=False)
    recipe = IdentityRecipe(design, replace(PLAN, epochs=6), Views(AS_IT_IS, each=4), Goal(margin=0.5, photos=4))
    assert course(people, tmp_path, recipe)[-1]["accuracy"] == 1.0


@pytest.mark.parametrize("views", [FEW, replace(FEW, once=True)])
def test_equal_seeds_give_equal_networks_and_a_stopped_run_goes_on_as_if_it_had_not(
    people: PeopleData, tmp_path: Path, views: Views
) -> None:
    recipe = replace(TINY, plan=replace(TINY.plan, cooling=0.0), views=views)
    course(people, tmp_path / "whole", recipe)
    course(people, tmp_path / "parts", recipe.with_plan(1))
    course(people, tmp_path / "parts", recipe, resume=True)
    course(people, tmp_path / "other", recipe.with_plan(seed=5))
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert not same(tmp_path / "whole", tmp_path / "other")


def test_a_run_is_not_gone_on_with_by_another(people: PeopleData, tmp_path: Path) -> None:
    recipe = TINY.with_plan(1)
    course(people, tmp_path, recipe)
    with pytest.raises(DataError, match="holds a training already"):
        train_own(people, tmp_path, training(recipe))
    changed = people_data(*photos(3, 6, seed=9))
    with pytest.raises(DataError, match="the data changed since this checkpoint was made"):
        train_own(changed, tmp_path, training(recipe), resume=True)
    other = replace(recipe, goal=replace(TINY.goal, margin=0.1))
    with pytest.raises(DataError, match="the recipe changed since this checkpoint was made"):
        train_own(people, tmp_path, training(other), resume=True)


def test_the_nearest_is_found_in_parts_too() -> None:
    vectors = np.eye(5, dtype=np.float32)
    assert nearest(vectors[[3, 1]], vectors).tolist() == [3, 1]


# --- a head on a pretrained one --------------------------------------------------------------------------------------


def base_of(length: int = 8) -> Base:
    """A network whose vectors are a fixed mixture of the mean colours, as an ONNX file and as a function."""
    mixture = np.random.default_rng(4).normal(size=(3, length)).astype(np.float32)
    helper = onnx.helper
    picture = helper.make_tensor_value_info("pixels", 1, ["batch", 3, SIDE, SIDE])
    said = helper.make_tensor_value_info("said", 1, ["batch", length])
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixels"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["colour"]),
        helper.make_node("MatMul", ["colour", "mixture"], ["said"]),
    ]
    graph = helper.make_graph(nodes, "base", [picture], [said], [onnx.numpy_helper.from_array(mixture, "mixture")])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()

    def ask(crops: Pixels) -> Floats:
        vectors = crops.mean(axis=(1, 2)).astype(np.float32) @ mixture
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    return Base(content, replace(CARD, sha256=hashlib.sha256(content).hexdigest()), ask)


@pytest.mark.parametrize("width", [0, 6])
def test_base_and_head_in_one_file_say_what_both_say_in_turn(width: int) -> None:
    torch.manual_seed(1)
    base, head = base_of(), Bent(8, width)
    torch.nn.init.normal_(head.wide.weight, std=0.3)
    pixels, _ = photos(3, 2)
    with torch.no_grad():
        wanted = torch.nn.functional.normalize(head(torch.from_numpy(base.ask(pixels))), dim=1).numpy()
    network = load_network(with_head(base.content, *head.weights()), SPEC, Runtime(precision="f32"))
    assert np.allclose(network(pixels)["embedding"], wanted, atol=1e-4)


def test_what_is_no_network_of_one_vector_takes_no_head() -> None:
    with pytest.raises(DataError, match="cannot be read as ONNX"):
        with_head(b"nothing of the kind", None, np.zeros((8, 8), np.float32))
    model = onnx.load_from_string(base_of().content)
    model.graph.output.append(onnx.helper.make_tensor_value_info("mean", 1, None))
    with pytest.raises(DataError, match="has 2 outputs, and a head takes one"):
        with_head(model.SerializeToString(), None, np.zeros((8, 8), np.float32))


def seen_with_noise(people: int, each: int, useful: int = 4, length: int = 24) -> Seen:
    """Vectors of which a few places tell people apart and the others are loud noise: what a head can mend."""
    random = np.random.default_rng(0)
    own = np.repeat(random.normal(size=(people, useful)), each, axis=0)
    noise = random.normal(0, 2.0, (people * each, length - useful))
    vectors = np.concatenate([own + random.normal(0, 0.1, own.shape), noise], axis=1).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owners = np.repeat(np.arange(people), each)
    return Seen(np.stack([vectors, vectors]), owners, np.arange(len(owners)))


def test_a_head_that_helps_people_it_has_not_seen_is_found_better() -> None:
    recipe = replace(HEAD, plan=replace(HEAD.plan, epochs=15, batch=40))
    comparison = compare(seen_with_noise(25, 4), recipe, lambda: None)
    assert comparison.by == "people"
    assert comparison.is_better
    assert comparison.gain > 0.05


def test_where_there_is_nothing_to_gain_the_pretrained_network_is_shipped_as_it_is(tmp_path: Path) -> None:
    base, people = base_of(), people_data(*photos(3, 6))
    recipe = HEAD.with_plan(2)
    candidate = learn_head(people, base, tmp_path, training(recipe))
    steps: list[int] = []
    card, comparison = decide(candidate, base, tmp_path, training(recipe), lambda: steps.append(1))
    assert not comparison.is_better
    assert comparison.by == "photos"
    assert len(steps) == len(comparison.pretrained) + 3
    assert (tmp_path / "model.onnx").read_bytes() == base.content
    assert card.identifier == base.card.identifier
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["kept"] is False
    assert written["pretrained"]["one_photo"] == pytest.approx(1.0)


def test_a_better_head_is_shipped_with_its_base_and_its_terms(tmp_path: Path) -> None:
    pixels, names = photos(4, 10)
    base, people = base_of(), people_data(pixels, names)
    recipe = replace(HEAD, goal=replace(HEAD.goal, margin=1.0), plan=replace(HEAD.plan, epochs=10, rate=0.02))
    candidate = learn_head(people, base, tmp_path, training(recipe))
    better = Comparison("photos", (Judgement(0.5, 0.3),) * 2, (Judgement(0.9, 0.1), Judgement(0.8, 0.1)), (0.3, 0.1))
    card = decide_as(better, candidate, base, tmp_path, recipe)
    assert card.name == "base-adapted"
    assert card.identifier != base.card.identifier
    assert card.licence == "Apache-2.0"
    assert any("under its own terms (Apache-2.0)" in note for note in card.notes)
    network = load_network((tmp_path / "model.onnx").read_bytes(), SPEC, Runtime(precision="f32"))
    before, after = base.ask(people.pixels), network(people.pixels)["embedding"]
    assert lead(after, people.owners) > lead(before, people.owners)


def lead(vectors: Floats, owners: Integers) -> float:
    """By how much a person's own faces are more alike than two people's."""
    similarities, same = vectors @ vectors.T, owners[:, None] == owners[None]
    return float(similarities[same].mean() - similarities[~same].mean())


def decide_as(said: Comparison, candidate: Candidate, base: Base, out: Path, recipe: IdentityRecipe) -> ModelCard:
    """As `decide`, with the comparison given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("manyfaces.train.identity.adapt.compare", lambda *_: said)
        return decide(candidate, base, out, training(recipe), lambda: None)[0]


def test_vectors_that_are_no_numbers_are_refused() -> None:
    vectors = np.zeros((1, 2, 4), np.float32)
    vectors[0, 1, 2] = np.nan
    with pytest.raises(DataError, match="vectors that are no numbers"):
        Seen(vectors, np.array([0, 1]), np.arange(2))
    with pytest.raises(ValueError, match=r"vectors: expected \(views, 3, length\)"):
        Seen(vectors, np.array([0, 1, 1]), np.arange(3))


def test_too_few_photos_to_decide_are_refused_before_anything_is_learnt(tmp_path: Path) -> None:
    people = people_data(*photos(2, 3))
    with pytest.raises(DataError, match="too few photos to tell whether an adapted network is better"):
        learn_head(people, base_of(), tmp_path, training(HEAD))
    assert not (tmp_path / "last.pt").exists()


@settings(max_examples=20, deadline=None)
@given(people=st.integers(2, 30), each=st.integers(1, 7), seed=st.integers(0, 99))
def test_folds_hold_out_whole_pictures_and_whole_people(people: int, each: int, seed: int) -> None:
    owners = np.repeat(np.arange(people), each)
    groups = np.arange(len(owners)) // 2 * 2 if each % 2 == 0 else np.arange(len(owners))
    by, parts = folds(owners, groups, seed)
    assert sum(int(part.sum()) for part in parts) <= len(owners)
    for part in parts:
        assert not np.isin(groups[part], groups[~part]).any()
        if by == "people":
            assert not np.isin(owners[part], owners[~part]).any()


def test_judgement_of_clear_and_of_equal_vectors() -> None:
    owners = np.repeat(np.arange(3), 4)
    clear = np.eye(3, dtype=np.float32)[owners]
    assert judge(clear, owners, np.arange(12), 0) == Judgement(1.0, 0.0)
    copies = judge(np.repeat(clear, 2, axis=0), np.repeat(owners, 2), np.repeat(np.arange(12), 2), 0)
    assert copies == Judgement(1.0, 0.0)
    random = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    assert judge(random, owners, np.arange(12), 0).equal_error > 0.2


def test_a_gain_within_its_error_or_bought_with_strangers_is_none() -> None:
    before = (Judgement(0.9, 0.05),) * 3
    shaky = tuple(Judgement(value, 0.05) for value in (0.95, 0.86, 0.92))
    assert not Comparison("photos", before, shaky, (0.05, 0.05)).is_better
    clear = tuple(Judgement(value, 0.05) for value in (0.95, 0.94, 0.96))
    assert Comparison("photos", before, clear, (0.05, 0.05)).is_better
    assert not Comparison("photos", before, clear, (0.05, 0.06)).is_better


def test_the_base_is_asked_about_every_view() -> None:
    people = people_data(*photos(2, 4))
    seen = seen_by(base_of(), people, replace(HEAD, views=Views(each=3)))
    assert seen.vectors.shape == (4, 8, 8)
    assert np.allclose(seen.vectors[0], base_of().ask(people.pixels), atol=1e-6)
