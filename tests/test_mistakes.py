"""The page of mistakes: that it counts rightly, shows what it says it shows, and refuses what it should."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from conftest import Run
from manyfaces.evaluate.attribution import emotion_weights
from manyfaces.evaluate.mistakes import (
    Answers,
    Labelled,
    as_crops,
    confusion_counts,
    find_mistakes,
    most_confused,
    nearest,
    sides_of_mistakes,
    surest_mistakes,
    taggers_side,
)
from manyfaces.evaluate.mistakes_page import GENERATOR, Case, mistakes_page, place_in_words
from manyfaces.train.data import EMOTIONS, VOTES
from manyfaces.types import Pixels

MADE = {"model": "small <&> net", "data": "faces.npz", "part": "split public", "made by": "a test"}


def noise(count: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48)).astype(np.uint8)


def answered(labels: list[int], said: list[int], sure: list[float], majority: list[int] | None = None) -> Answers:
    """Faces of noise, what is said of them, how surely, and what most taggers said (-1: nothing)."""
    count = len(labels)
    probabilities = np.repeat((1 - np.array(sure, np.float32)).reshape(-1, 1) / 6, 7, axis=1)
    probabilities[np.arange(count), said] = sure
    chosen = np.full(count, -1) if majority is None else np.array(majority)
    votes = np.zeros((count, len(VOTES)), np.float32)
    for place, most in enumerate(chosen.tolist()):
        if most >= 0:
            votes[place, VOTES.index(EMOTIONS[most])] = 9
    return Answers(Labelled(noise(count), np.array(labels)), EMOTIONS, probabilities, votes, chosen)


def tell_nobody() -> None:
    """Nobody counts the batches."""


def test_the_surest_mistakes_come_first() -> None:
    answers = answered([0, 1, 2, 3, 4], [0, 2, 3, 4, 5], [0.99, 0.5, 0.9, 0.7, 0.9])
    assert surest_mistakes(answers).tolist() == [2, 4, 3, 1]
    assert surest_mistakes(answers, 2).tolist() == [2, 4]


def test_taggers_side_with_the_network_the_label_neither_or_nobody() -> None:
    answers = answered([0, 0, 0, 0, 0], [1, 1, 1, 1, 0], [0.9] * 5, [1, 0, 2, -1, 0])
    assert taggers_side(answers) == ["network", "label", "neither", "nobody", "label"]
    assert sides_of_mistakes(answers) == {"network": 1, "label": 1, "neither": 1, "nobody": 1}


def test_what_is_confused_most_leaves_out_what_is_right() -> None:
    answers = answered([0, 0, 0, 0, 1, 2], [1, 1, 0, 2, 0, 2], [0.9] * 6)
    assert confusion_counts(answers)[0].tolist() == [1, 2, 1, 0, 0, 0, 0]
    pairs = most_confused(confusion_counts(answers))
    assert [(one.label, one.said, one.count, one.share) for one in pairs] == [
        (0, 1, 2, 0.5),
        (0, 2, 1, 0.25),
        (1, 0, 1, 1.0),
    ]


@given(arrays.arrays(np.float32, (3, 9), elements=st.floats(-1, 1, width=32)), st.integers(1, 9))
def test_going_through_in_parts_finds_the_same_neighbours(likeness: np.ndarray, part: int) -> None:
    places, found = np.empty((3, 0), np.int64), np.empty((3, 0), np.float32)
    for start in range(0, 9, part):
        some = likeness[:, start : start + part]
        more = np.tile(np.arange(start, start + some.shape[1]), (3, 1))
        places, found = nearest(np.hstack([places, more]), np.hstack([found, some]))
    np.testing.assert_array_equal(found, -np.sort(-likeness, axis=1)[:, :3])
    np.testing.assert_array_equal(np.take_along_axis(likeness, places, axis=1), found)


def test_neighbours_are_those_that_look_alike_and_the_same_picture_is_said() -> None:
    answers = answered([3, 4], [4, 4], [0.9, 0.8])
    training = Labelled(np.concatenate([noise(3, seed=5), answers.faces.images[:1]]), np.array([0, 1, 2, 6]))
    (mistake,) = find_mistakes(answers, training, emotion_weights("default"), tell_nobody)
    assert (mistake.label, mistake.said, mistake.side) == (3, 4, "nobody")
    assert mistake.confidence == pytest.approx(0.9)
    first, *others = mistake.neighbours
    assert (first.label, first.is_same) == (6, True)
    assert first.likeness == pytest.approx(1, abs=1e-3)
    assert len(others) == 2
    assert not any(one.is_same for one in others)
    views = mistake.views
    assert views.for_said.shape == views.for_label.shape == views.losses.shape == (48, 48)
    assert (views.crop[..., 0] == answers.faces.images[0]).all()


def test_no_face_of_training_is_its_own_neighbour() -> None:
    answers = answered([3, 3, 3], [4, 4, 3], [0.9, 0.8, 0.7])
    for mistake in find_mistakes(answers, answers.faces, emotion_weights("default"), tell_nobody):
        assert len(mistake.neighbours) == 2
        assert not any(one.is_same for one in mistake.neighbours)


def test_every_batch_of_training_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manyfaces.evaluate.mistakes.BATCH", 2)
    answers, told = answered([3], [4], [0.9]), []
    find_mistakes(answers, Labelled(noise(5), np.zeros(5, int)), emotion_weights("default"), lambda: told.append(1))
    assert len(told) == 3


def test_crops_have_the_size_and_depth_of_the_network() -> None:
    spec = emotion_weights("default").card.input
    assert as_crops(noise(2), spec).shape == (2, 48, 48, 1)
    assert as_crops(noise(0), spec).shape == (0, 48, 48, 1)


# --- the page --------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would meet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data + " "


def page_of(answers: Answers, training: Labelled | None = None) -> str:
    mistakes = find_mistakes(answers, training, emotion_weights("default"), tell_nobody)
    return mistakes_page(Case(VOTES, answers, mistakes, training is not None, MADE))


@pytest.fixture(scope="module")
def text() -> str:
    answers = answered([0, 0, 1, 3], [1, 1, 1, 4], [0.95, 0.9, 0.8, 0.7], [1, 0, -1, 3])
    return page_of(answers, Labelled(noise(4, seed=9), np.array([0, 1, 2, 3])))


def test_the_page_loads_and_runs_nothing(text: str) -> None:
    tags = Page(text).tags
    assert not {name for name, _ in tags} & {"script", "link", "iframe", "object", "form", "base"}
    assert all((fields.get("src") or "data:").startswith("data:") for _, fields in tags)
    assert not any(name.startswith("on") or name == "href" for _, fields in tags for name in fields)
    assert "http" not in re.sub("http-equiv", "", text)


def test_every_picture_is_told_in_words_too(text: str) -> None:
    pictures = [fields for name, fields in Page(text).tags if name == "img"]
    assert len(pictures) == 1 + 3 * (4 + 3)
    assert all(len(fields["alt"] or "") > 10 for fields in pictures)


def test_the_page_says_what_was_counted(text: str) -> None:
    words = " ".join(Page(text).words.split())
    assert "small <&> net" in words
    assert "25.0\u202f% named as labelled" in text.replace("</b><span class=soft>", " ")
    assert "Labelled angry, taken for disgust" in words
    assert "Votes: 9 disgust" in words
    assert "with the network in 1, with the label in 2, with neither in 0" in words


def test_without_training_and_votes_the_page_says_so() -> None:
    words = Page(page_of(answered([0], [1], [0.9]))).words
    assert "The data holds no Training part" in words
    assert "There are no votes of taggers" in words
    assert "Most alike" not in words


def test_without_mistakes_there_is_a_page_too() -> None:
    words = Page(page_of(answered([1], [1], [0.9]), Labelled(noise(1), np.array([1])))).words
    assert "No face was taken for another class" in words
    assert "There are none." in words


def test_places_are_said_as_the_viewer_sees_them() -> None:
    evidence = np.zeros((48, 48), np.float32)
    assert place_in_words(evidence) == "nothing in the face"
    for (row, column), words in {
        (2, 40): "most in the upper right",
        (24, 24): "most in the middle",
        (45, 24): "most in the lower part",
        (24, 3): "most in the middle left",
    }.items():
        spot = evidence.copy()
        spot[row, column] = 1
        assert place_in_words(spot) == words


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def faces_file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "faces.npz", images=noise(12), labels=np.arange(12) % 7, usage=np.repeat([0, 1], [6, 6]))
    return tmp_path / "faces.npz"


def test_the_page_is_written_beside_the_table(run: Run, faces_file: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", "emotion", "default", "--data", "faces.npz", "--errors", "page.html")
    ran = run(*arguments)
    assert ran.status == 0
    assert "page.html: the" in ran.err
    text = (tmp_path / "page.html").read_text()
    assert GENERATOR in text
    assert "Most alike to the network in Training" in text
    assert run(*arguments).status == 0  # its own page it writes over


def test_without_a_training_part_there_are_no_neighbours(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "faces.npz", images=noise(6), labels=np.arange(6), usage=np.ones(6, int))
    assert run("evaluate", "emotion", "default", "--data", "faces.npz", "--errors", "page.html").status == 0
    assert "The data holds no Training part" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("page", "status", "sentence"),
    [
        ("page.txt", 2, "a name that ends in .html"),
        ("precious.html", 3, "holds something else than such a page"),
        ("gone/page.html", 3, "there is no folder gone"),
        ("folder.html", 3, "folder.html"),
        ("faces.html", 2, "also an input"),
    ],
)
def test_a_page_that_would_destroy_something_is_refused(
    run: Run, faces_file: Path, tmp_path: Path, page: str, status: int, sentence: str
) -> None:
    (tmp_path / "precious.html").write_text("<p>precious")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "faces.html").write_bytes(faces_file.read_bytes())
    data = "faces.html" if page == "faces.html" else "faces.npz"
    ran = run("evaluate", "emotion", "default", "--data", data, "--errors", page)
    assert ran.status == status
    assert sentence in ran.err
    assert (tmp_path / "precious.html").read_text() == "<p>precious"
