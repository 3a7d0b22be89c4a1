"""Identification figures on made vectors, whose right answers are known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import Run
from manyfaces.errors import InputError
from manyfaces.evaluate.identity import copies, identity_score, photos_by_folder, stratified_splits
from manyfaces.evaluate.identity_plot import plot_identity
from manyfaces.evaluate.open_set import RATES, open_curve
from manyfaces.evaluate.shares import by_person, paired_gain, wilson
from manyfaces.gallery.rules import RULES
from manyfaces.portraits import Portraits, main_face
from manyfaces.stages import Identifier
from manyfaces.types import Detections, Embeddings, Identities, Pixels

PEOPLE = [name for name in ("Lan", "Minh", "Vy") for _ in range(10)]


def portraits(noise: float, lost: tuple[int, ...] = ()) -> Portraits:
    rng = np.random.default_rng(5)
    centres = {name: np.eye(16)[number] for number, name in enumerate(dict.fromkeys(PEOPLE))}
    vectors = np.stack([centres[name] for name in PEOPLE]) + rng.normal(0, noise, (len(PEOPLE), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = np.array([photo not in lost for photo in range(len(PEOPLE))])
    vectors[~found] = 0
    pictures = tuple(f"{name}/{number}.jpg" for number, name in enumerate(PEOPLE))
    crops = rng.integers(0, 256, (len(PEOPLE), 32, 32, 3)).astype(np.uint8)
    return Portraits(pictures, Embeddings(vectors.astype(np.float32), "model"), found, crops)


def by_threshold(enrolled: Embeddings, names: list[str], rate: float) -> Identifier:
    """Accepts from 0.5 on where 1 % is stated, and the more the more is stated."""
    bar = 0.5 - np.log10(rate / 0.01) / 10

    def identify(embeddings: Embeddings) -> Identities:
        similarity = embeddings.vectors @ enrolled.vectors.T
        best = similarity.argmax(axis=1)
        highest = similarity.max(axis=1)
        found = tuple(names[i] if s > bar else None for i, s in zip(best, highest, strict=True))
        return Identities(found, highest, highest)

    return identify


def test_clear_faces_are_all_right_and_strangers_stay_strangers() -> None:
    score = identity_score(portraits(0.02), PEOPLE, splits=4, seed=0, make_identifier=by_threshold)
    assert (score.accuracy, score.accuracy_std, score.wrong, score.undetected) == (1.0, 0.0, [], [])
    assert (score.open_set["fpir"], score.open_set["fnir"]) == (0.0, 0.0)
    assert score.accuracy_interval[0] < 1 == score.accuracy_interval[1]  # a few photos prove no perfection
    assert score.verification["tar_at_far"] == {"0.01": 1.0, "0.001": 1.0}
    assert (score.verification["genuine"], score.verification["impostor"]) == (3 * 45, 3 * 100)


def test_an_undetected_photo_is_wrong_in_every_split_that_asks_for_it() -> None:
    score = identity_score(portraits(0.02, lost=(3,)), PEOPLE, splits=20, seed=0, make_identifier=by_threshold)
    assert score.undetected == ["Lan/3.jpg"]
    (mistake,) = score.wrong
    assert (mistake.person, mistake.taken_for, mistake.similarity) == ("Lan", None, None)
    assert score.accuracy == pytest.approx(1 - mistake.splits / (20 * 6))
    assert score.open_set["fnir"] > 0


def test_mistakes_name_who_was_taken_for_whom() -> None:
    score = identity_score(portraits(0.7), PEOPLE, splits=3, seed=0, make_identifier=by_threshold)
    assert score.accuracy < 1
    assert score.wrong
    assert all(mistake.taken_for not in (None, mistake.person) for mistake in score.wrong)


def test_every_rule_is_judged_on_the_same_splits() -> None:
    score = identity_score(portraits(0.3), PEOPLE, splits=5, seed=0, make_identifier=by_threshold)
    assert set(score.rules) == set(RULES)
    assert score.accuracy == score.rules[score.rule]["accuracy"]
    assert score.rules["mean"]["accuracy"] > 0.9
    for figures in score.rules.values():
        low, high = figures["interval"]
        assert 0 <= low <= figures["accuracy"] <= high <= 1


def test_the_open_curve_has_a_point_per_size_and_rate() -> None:
    read = portraits(0.3)
    held = list(stratified_splits(PEOPLE, 6, seed=2))
    points = open_curve(read, PEOPLE, held, by_threshold, seed=0)
    assert [(point.enrolled, point.strangers, point.stated) for point in points] == [(2, 1, rate) for rate in RATES]
    assert [point.fpir for point in points] == sorted(point.fpir for point in points)
    assert [point.fnir for point in points] == sorted((point.fnir for point in points), reverse=True)
    assert points[0].fpir < points[-1].fpir
    assert all(low <= point.fpir <= high for point in points for low, high in [point.fpir_interval])


def test_two_people_are_too_few_to_draw_strangers_from() -> None:
    some = np.array([name != "Vy" for name in PEOPLE])
    read = portraits(0.1)
    two = Portraits(
        tuple(name for name, yes in zip(read.names, some, strict=True) if yes),
        read.embeddings[some],
        read.found[some],
        read.crops[some],
    )
    held = list(stratified_splits(PEOPLE[:20], 2, seed=0))
    assert open_curve(two, PEOPLE[:20], held, by_threshold, seed=0) == []


def test_copies_share_a_side_of_every_split_and_are_no_pair() -> None:
    read = portraits(0.3)
    vectors, crops = read.embeddings.vectors.copy(), read.crops.copy()
    vectors[5], crops[5] = vectors[2], np.clip(crops[2].astype(int) + 2, 0, 255)
    copied = Portraits(read.names, Embeddings(vectors, "model"), read.found, crops)
    groups = copies(copied)
    assert groups[2] == groups[5]
    assert len(np.unique(groups)) == len(PEOPLE) - 1
    assert all(held[2] == held[5] for held in stratified_splits(PEOPLE, 30, seed=1, groups=groups))
    score = identity_score(copied, PEOPLE, splits=2, seed=0, make_identifier=by_threshold)
    assert score.copies == ["Lan/5.jpg"]
    assert score.verification["genuine"] == 3 * 45 - 1


@given(st.integers(2, 9), st.integers(1, 5), st.integers(0, 20))
def test_a_split_never_tears_a_group_nor_takes_the_last(photos: int, many: int, seed: int) -> None:
    groups = np.random.default_rng(seed).integers(0, many, photos)
    (held,) = stratified_splits(["Lan"] * photos, 1, seed, groups=groups)
    assert all(len(set(held[groups == group].tolist())) == 1 for group in groups.tolist())
    assert not held.all()
    assert held.any() == (len(set(groups.tolist())) > 1)


@given(st.integers(1, 400), st.floats(0, 1))
def test_wilsons_interval_holds_the_share_and_shrinks(count: int, share: float) -> None:
    low, high = wilson(share, count)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
    wider = wilson(share, count / 2)
    assert wider[1] - wider[0] >= high - low


def test_what_never_happened_may_still_happen() -> None:
    never = by_person(np.zeros(5), np.full(5, 20.0), 100)
    assert never == wilson(0, 100)
    assert 0.03 < never[1] < 0.05


def test_people_and_not_photos_make_an_interval_narrow() -> None:
    """One person of whom everything fails says less than the same failures spread over all."""
    asked = np.full(10, 20.0)
    alone, spread = np.zeros(10), np.full(10, 2.0)
    alone[0] = 20
    first, second = by_person(alone, asked, 200), by_person(spread, asked, 200)
    assert first[1] - first[0] > second[1] - second[0]


def test_a_gain_is_told_from_none() -> None:
    rng = np.random.default_rng(0)
    asked, before = np.full(40, 10.0), rng.integers(3, 8, 40).astype(float)
    gain, (low, high) = paired_gain(before, before + 1, asked)
    assert gain == pytest.approx(0.1)
    assert low == pytest.approx(high)
    shuffled = paired_gain(before, rng.permutation(before), asked)[1]
    assert shuffled[0] < 0 < shuffled[1]


@pytest.mark.parametrize("people", ["three", "two"])
def test_the_curves_are_drawn(tmp_path: Path, people: str) -> None:
    pytest.importorskip("matplotlib")
    count = 30 if people == "three" else 20
    read = portraits(0.3)
    some = Portraits(read.names[:count], read.embeddings[:count], read.found[:count], read.crops[:count])
    score = identity_score(some, PEOPLE[:count], splits=2, seed=0, make_identifier=by_threshold)
    plot_identity(score, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as drawn:
        assert drawn.size[0] > drawn.size[1] > 400
        assert len(drawn.convert("RGB").getcolors(2**20) or []) > 50


def test_splits_are_stratified_and_differ() -> None:
    masks = list(stratified_splits(PEOPLE, 5, seed=3))
    assert [mask.sum() for mask in masks] == [6] * 5
    assert all(mask[start : start + 10].sum() == 2 for mask in masks for start in (0, 10, 20))
    assert len({mask.tobytes() for mask in masks}) > 1


def test_exact_duplicates_are_left_out_and_loners_too(tmp_path: Path) -> None:
    for name, contents in {"Lan": [b"a", b"b", b"a"], "Minh": [b"c", b"d"], "Alone": [b"e"]}.items():
        (tmp_path / name).mkdir()
        for number, content in enumerate(contents):
            (tmp_path / name / f"{number}.jpg").write_bytes(content)
    (tmp_path / "Lan" / "notes.txt").write_text("no photo")
    found = photos_by_folder(tmp_path)
    assert {name: [path.name for path in photos] for name, photos in found.items()} == {
        "Lan": ["0.jpg", "1.jpg"],
        "Minh": ["0.jpg", "1.jpg"],
    }


def test_a_folder_that_is_not_one_per_person(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder of photos per person"):
        photos_by_folder(tmp_path / "nowhere")
    (tmp_path / "Lan").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "Lan" / name).write_bytes(name.encode())
    with pytest.raises(InputError, match="two people at least"):
        photos_by_folder(tmp_path)


def test_what_cannot_be_read_stops_nothing_and_a_name_is_one_in_every_unicode_form(tmp_path: Path) -> None:
    for person in ("Lan", "Kh\u00e1nh", "Kha\u0301nh"):
        (tmp_path / person).mkdir()
        (tmp_path / person / "1.jpg").write_bytes(person.encode())
    (tmp_path / "Lan" / "folder.jpg").mkdir()
    (tmp_path / "Lan" / "nowhere.jpg").symlink_to("gone.jpg")
    os.mkfifo(tmp_path / "Lan" / "pipe.jpg")
    found = photos_by_folder(tmp_path)
    assert {name: len(photos) for name, photos in found.items()} == {"Lan": 4, "Kh\u00e1nh": 2}


def test_the_main_face_is_the_large_one_near_the_middle() -> None:
    boxes = np.array([[0, 0, 60, 60], [90, 90, 150, 150], [110, 110, 120, 120]], np.float32)
    detections = Detections(boxes, np.full(3, 0.9, np.float32), np.zeros((3, 5, 2), np.float32))
    assert main_face(detections, 240, 240) == slice(1, 2)
    assert main_face(Detections.empty(), 240, 240) == slice(0, 0)


def test_the_command_prints_every_table_and_writes_the_same_figures(
    tmp_path: Path, run: Run, astronaut: Pixels, hopper: Pixels
) -> None:
    """Whoever reads these files relies on their names."""
    pytest.importorskip("matplotlib")
    for name, picture in {"Collins": astronaut, "Hopper": hopper}.items():
        (tmp_path / "people" / name).mkdir(parents=True)
        for number, changed in enumerate((picture, picture[:, ::-1], picture // 2)):
            Image.fromarray(changed).save(tmp_path / "people" / name / f"{number}.png")
    files = ("--json", tmp_path / "figures.json", "--plot", tmp_path / "curves.png")
    said = run("evaluate", "identity", "--data", tmp_path / "people", "--splits", "2", *files)
    assert said.status == 0, said.err
    assert all(words in said.out for words in ("leaning *", "trimmed mean", "pairs of photos", "strangers named"))
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert {"accuracy", "accuracy_std", "splits", "undetected", "wrong", "open_set"} <= figures.keys()
    assert {"accuracy_interval", "rule", "rules", "verification", "open_curve", "copies"} <= figures.keys()
    assert {"fpir", "fnir"} <= figures["open_set"].keys()
    assert (figures["accuracy"], figures["people"], figures["pictures"]) == (1.0, 2, 6)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_what_cannot_be_written_is_said_before_photos_are_read(tmp_path: Path, run: Run) -> None:
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    said = run("evaluate", "identity", "--data", tmp_path, "--json", tmp_path / "notes.json")
    assert said.status == 3
    assert "something else than figures" in said.err
    said = run("evaluate", "identity", "--data", tmp_path, "--plot", tmp_path / "nowhere" / "curves.png")
    assert said.status == 3
    assert "there is no folder" in said.err


def test_the_curves_are_never_drawn_over_a_photo(tmp_path: Path, run: Run) -> None:
    pytest.importorskip("matplotlib")
    photo = tmp_path / "people" / "Lan" / "1.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("mine")
    for plot, sentence in ((photo, "among the photos"), (tmp_path / "notes.txt", "ends in .png")):
        said = run("evaluate", "identity", "--data", tmp_path / "people", "--plot", plot)
        assert said.status == 2
        assert sentence in said.err
        assert plot.read_text() == "mine"
