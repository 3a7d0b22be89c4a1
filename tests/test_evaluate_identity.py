"""Identification figures on made vectors, whose right answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from manyfaces.errors import InputError
from manyfaces.evaluate.identity import identity_score, photos_by_folder, stratified_splits
from manyfaces.portraits import Portraits, main_face
from manyfaces.stages import Identifier
from manyfaces.types import Detections, Embeddings, Identities

PEOPLE = [name for name in ("Lan", "Minh", "Vy") for _ in range(10)]


def portraits(noise: float, lost: tuple[int, ...] = ()) -> Portraits:
    rng = np.random.default_rng(5)
    centres = {name: np.eye(16)[number] for number, name in enumerate(dict.fromkeys(PEOPLE))}
    vectors = np.stack([centres[name] for name in PEOPLE]) + rng.normal(0, noise, (len(PEOPLE), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = np.array([photo not in lost for photo in range(len(PEOPLE))])
    vectors[~found] = 0
    pictures = tuple(f"{name}/{number}.jpg" for number, name in enumerate(PEOPLE))
    return Portraits(pictures, Embeddings(vectors.astype(np.float32), "model"), found)


def by_threshold(enrolled: Embeddings, names: list[str]) -> Identifier:
    def identify(embeddings: Embeddings) -> Identities:
        similarity = embeddings.vectors @ enrolled.vectors.T
        best = similarity.argmax(axis=1)
        highest = similarity.max(axis=1)
        found = tuple(names[i] if s > 0.5 else None for i, s in zip(best, highest, strict=True))
        return Identities(found, highest, highest)

    return identify


def test_clear_faces_are_all_right_and_strangers_stay_strangers() -> None:
    score = identity_score(portraits(0.02), PEOPLE, splits=4, seed=0, make_identifier=by_threshold)
    assert (score.accuracy, score.accuracy_std, score.wrong, score.undetected) == (1.0, 0.0, [], [])
    assert score.open_set == {"fpir": 0.0, "fnir": 0.0}


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
    with pytest.raises(InputError, match="a folder per person"):
        photos_by_folder(tmp_path / "nowhere")


def test_the_main_face_is_the_large_one_near_the_middle() -> None:
    boxes = np.array([[0, 0, 60, 60], [90, 90, 150, 150], [110, 110, 120, 120]], np.float32)
    detections = Detections(boxes, np.full(3, 0.9, np.float32), np.zeros((3, 5, 2), np.float32))
    assert main_face(detections, 240, 240) == slice(1, 2)
    assert main_face(Detections.empty(), 240, 240) == slice(0, 0)
