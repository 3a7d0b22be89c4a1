"""Verification figures against small cases done by hand, and pairs that survive writing and reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.errors import InputError
from manyfaces.evaluate.pairs import draw_pairs, read_pairs, write_pairs
from manyfaces.evaluate.verification import best_threshold, equal_error_rate, true_accepts, verification_score

similarities = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@given(similarities, st.integers(0, 2**20))
def test_no_threshold_makes_fewer_errors_than_the_best(values: list[float], seed: int) -> None:
    numbers = floats(*values)
    same = np.random.default_rng(seed).random(len(values)) < 0.5

    def errors(threshold: float) -> int:
        return int(np.sum((numbers >= threshold) != same))

    candidates = [*values, 2.0, -2.0]
    assert errors(best_threshold(numbers, same)) <= min(map(errors, candidates))


def test_equal_error_rate_and_true_accepts_by_hand() -> None:
    genuine, impostor = floats(0.9, 0.8, 0.7, 0.2), floats(0.1, 0.0, 0.3, 0.6)
    assert equal_error_rate(genuine, impostor) == pytest.approx(0.25)
    assert true_accepts(genuine, impostor, 0.25) == pytest.approx(0.75)  # one impostor may pass: above 0.3
    assert true_accepts(genuine, impostor, 0.01) == pytest.approx(0.75)  # none may pass: above 0.6
    assert equal_error_rate(floats(0.9), floats(0.1)) == 0


def test_an_undetected_face_is_wrong_whatever_the_threshold() -> None:
    values = floats(0.9, 0.9, 0.1, 0.1)
    same = np.array([True, True, False, False])
    folds = np.array([0, 1, 0, 1])
    whole = verification_score(values, same, folds, np.ones(4, bool))
    assert (whole.accuracy, whole.eer, whole.pairs) == (1.0, 0.0, 4)
    missing = verification_score(values, same, folds, np.array([True, True, True, False]))
    assert missing.accuracy == 0.75
    assert verification_score(values, same, folds, np.array([False, True, True, True])).tar_at_far["0.01"] == 0.5


def test_a_folds_threshold_comes_from_the_other_folds() -> None:
    """Fold 1 alone would choose a threshold that is right for itself; from fold 0 it is wrong for both of its pairs."""
    values, same = floats(0.9, 0.1, 0.45, 0.55), np.array([True, False, True, False])
    score = verification_score(values, same, np.array([0, 0, 1, 1]), np.ones(4, bool))
    assert score.accuracy < 1


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for person in ("Lan", "Minh_Anh", "Sơn Tùng"):
        (tmp_path / person).mkdir()
        for number in range(1, 8):
            (tmp_path / person / f"{person}_{number:04d}.jpg").write_bytes(b"")
    return tmp_path


def test_drawn_pairs_survive_the_file_and_are_what_they_say(people: Path, tmp_path: Path) -> None:
    pairs = draw_pairs(people, folds=5, per_kind=6, seed=1)
    write_pairs(pairs, tmp_path / "pairs.txt")
    assert read_pairs(tmp_path / "pairs.txt", people) == pairs
    assert len({(pair.first, pair.second) for pair in pairs}) == 60
    assert all((pair.first.parent == pair.second.parent) == pair.same for pair in pairs)
    assert [sum(pair.same for pair in pairs if pair.fold == fold) for fold in range(5)] == [6] * 5
    assert draw_pairs(people, 5, 6, seed=1) == pairs != draw_pairs(people, 5, 6, seed=2)


def test_more_pairs_than_there_are_is_said(people: Path) -> None:
    with pytest.raises(InputError, match="fewer than 640 different pairs"):
        draw_pairs(people, folds=10, per_kind=64, seed=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the first line must count the pairs"),
        ("ten 3\nLan\t1\t2", "the first line must count the pairs"),
        ("1 1\nLan\t1\n", "line 2: expected"),
        ("1 1\nLan\t1\t99\n", "the pairs name this photo, but it is not there"),
    ],
)
def test_a_file_that_holds_no_pairs(people: Path, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "pairs.txt").write_text(content)
    with pytest.raises(InputError, match=said):
        read_pairs(tmp_path / "pairs.txt", people)


def test_a_folder_without_people(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder per person"):
        draw_pairs(tmp_path, 1, 1, 0)
    with pytest.raises(InputError, match="cannot read the pairs"):
        read_pairs(tmp_path / "none.txt", tmp_path)
