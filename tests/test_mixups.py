"""Who is taken for whom: counted rightly, with causes that are measured, on a page that breaks nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from manyfaces.build import calibrated_identifier
from manyfaces.cli.commands import app
from manyfaces.enrol import Enrolment
from manyfaces.errors import OutputError, UsageError
from manyfaces.evaluate.mixups import CAUSES, Review, measured, review
from manyfaces.evaluate.mixups_page import GENERATOR, Case, mixups_page
from manyfaces.prepare import Album, Found, Photo
from manyfaces.prepare.doubts import Stray, Twins
from manyfaces.types import Detections, Embeddings, Floats, Identities, Pixels, Qualities

MADE = {"data": "family"}


def album(faces: list[tuple[str, Floats, float, Pixels | None]]) -> Album:
    """Of (person, vector, turned, crop)."""
    return Album.of(_found(place, *face) for place, face in enumerate(faces))


def _found(place: int, person: str, vector: Floats, yaw: float, crop: Pixels | None) -> tuple[Photo, Found]:
    one = np.ones(1, np.float32)
    vectors = (vector / np.linalg.norm(vector)).astype(np.float32)[None]
    rng = np.random.default_rng(place)
    pixels = rng.integers(0, 255, (1, 112, 112, 3), np.uint8) if crop is None else crop[None]
    detections = Detections(np.array([[0, 0, 50, 60]], np.float32), one, np.zeros((1, 5, 2), np.float32))
    qualities = Qualities(50 * one, 300 * one, yaw * one, one)
    enrolment = Enrolment(Embeddings(vectors, "by-hand"), qualities, detections, pixels)
    return Photo(person, Path(person) / f"{place}.jpg", f"digest {place}"), Found(f"decoded {place}", enrolment)


def axis(number: int, tilt: float = 0.0) -> Floats:
    vector = np.full(8, tilt, np.float32)
    vector[number] = 1
    return vector


def nearest(embeddings: Embeddings, names: list[str], _rate: float) -> Callable[[Embeddings], Identities]:
    """An identifier that names the nearest face from a similarity of a half on."""

    def identify(asked: Embeddings) -> Identities:
        likeness = asked.vectors @ embeddings.vectors.T
        best = likeness.argmax(axis=1)
        said = [names[at] if row[at] >= 0.5 else None for at, row in zip(best, likeness, strict=True)]
        return Identities(tuple(said), np.ones(len(said), np.float32), likeness.max(axis=1))

    return identify


@pytest.fixture(scope="module")
def family() -> Album:
    """Lan and Huy with six photos each, all alike but one of Lan's, which looks like Huy, and one like nobody."""
    lan = [("Lan", axis(0, 0.01 * number), 0.1, None) for number in range(4)]
    odd = [("Lan", axis(1, 0.02), 0.7, None), ("Lan", axis(2), 0.6, None)]
    huy = [("Huy", axis(1, 0.01 * number), 0.1, None) for number in range(6)]
    return album(lan + odd + huy)


@pytest.fixture(scope="module")
def found(family: Album) -> Review:
    return review(family, 20, 0, nearest)


def test_each_face_that_goes_wrong_is_shown_once_of_a_kind_with_its_counterparts(found: Review) -> None:
    kinds = {(one.face, one.kind) for one in found.mixups}
    assert (4, "another") in kinds
    assert (5, "missed") in kinds
    assert len(found.mixups) == len(kinds)
    taken = next(one for one in found.mixups if (one.face, one.kind) == (4, "another"))
    assert found.album.people[taken.other] == "Huy"
    assert found.album.people[taken.right] == "Lan"
    assert taken.similarity > 0.9 > taken.right_similarity
    assert 0 < taken.times == taken.asked


def test_a_stranger_that_is_named_has_nobody_of_its_own(found: Review) -> None:
    strangers = [one for one in found.mixups if one.kind == "stranger"]
    assert strangers
    assert all(one.right == -1 for one in strangers)
    assert found.shares["stranger"] > 0


def test_shares_are_of_the_questions_asked(found: Review) -> None:
    questions = 20 * 2  # a photo of each in every split
    for kind in ("another", "missed"):
        times = sum(one.times for one in found.mixups if one.kind == kind)
        assert found.shares[kind] == times / questions > 0


def test_causes_are_what_sets_mistakes_apart(found: Review) -> None:
    taken = next(one for one in found.mixups if one.kind == "another")
    assert "0.70 of a quarter turn" in [cause.figure for cause in taken.causes]
    turned = next(weight for weight in found.weights if weight.cause.name == "yaw")
    assert turned.mistakes > turned.recognised


def test_advice_names_the_person_and_the_kind_of_photos(found: Review) -> None:
    lan = next(one for one in found.advice if one.person == "Lan")
    assert lan.photos == 6
    assert "turned to the side" in lan.add


def test_with_few_photos_more_of_any_kind_are_advised() -> None:
    two = album([("Lan", axis(0), 0.1, None), ("Lan", axis(1), 0.1, None), ("Huy", axis(1), 0.1, None),
                 ("Huy", axis(1, 0.1), 0.1, None)])  # fmt: skip
    advice = review(two, 8, 0, nearest).advice
    assert "of any kind, since there are only 2" in next(one.add for one in advice if one.person == "Lan")


def test_a_photo_in_the_wrong_folder_is_no_reason_to_add_photos(family: Album) -> None:
    assert all(one.wrong == 0 or one.person != "Lan" for one in review(family, 20, 0, nearest, {4, 5}).advice)


def test_one_person_under_two_names_needs_no_photos() -> None:
    same = album([(name, axis(0, 0.01 * n), 0.1, None) for name in ("Lan", "lan 2") for n in range(4)])
    found = review(same, 8, 0, nearest, (), [Twins("Lan", "lan 2", 0.99)])
    assert {one.person: one.twins for one in found.advice} == {"Lan": ("lan 2",), "lan 2": ("Lan",)}
    page = mixups_page(Case(found, {}, MADE))
    assert "<b>Lan</b> and <b>lan 2</b> look like one person: put their photos together" in page
    assert "Are Lan and lan 2 one person?" in page
    assert "<td>photos " not in page
    plain = mixups_page(Case(review(same, 8, 0, nearest), {}, MADE))
    assert "<td>photos " in plain
    assert "one person" not in plain


def test_a_folder_without_mistakes_says_so() -> None:
    good = album([(name, axis(at, 0.01 * n), 0.1, None) for at, name in enumerate(["Lan", "Huy"]) for n in range(5)])
    fine = review(good, 5, 0, nearest)
    assert fine.mixups == ()
    assert fine.shares == {"another": 0.0, "missed": 0.0, "stranger": 0.0}
    page = mixups_page(Case(fine, {}, MADE))
    assert "everybody was recognised every time" in page


@pytest.mark.parametrize(("name", "crop"), [
    ("darkness", np.full((112, 112, 3), 10, np.uint8)),
    ("contrast", np.full((112, 112, 3), 128, np.uint8)),
    ("one_sided", np.tile(np.where(np.arange(112) < 56, 240, 20).astype(np.uint8)[None, :, None], (112, 1, 3))),
])  # fmt: skip
def test_light_is_measured_on_the_face(name: str, crop: Pixels) -> None:
    plain = np.random.default_rng(0).integers(60, 190, (112, 112, 3), np.uint8)
    figures = measured(album([("Lan", axis(0), 0.1, crop), ("Lan", axis(0), 0.1, plain)]))[name]
    cause = next(one for one in CAUSES if one.name == name)
    assert (figures[0] > figures[1]) == cause.more_is_worse


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_shows_the_face_whom_it_was_taken_for_and_the_nearest_right_one(found: Review) -> None:
    page = mixups_page(Case(found, {4: Stray(4, 0.1, "Huy", 0.9)}, MADE))
    assert GENERATOR in page
    assert page.count("<article>") == len(found.mixups)
    assert "taken for <b>Huy</b>" in page
    assert "the nearest own" in page
    assert "Is 4.jpg in the right folder?" in page
    assert "<script" not in page


def test_names_cannot_break_out_of_the_page() -> None:
    bad = "<img src=x onerror=alert(1)>\u202e"
    faces = [
        (bad, axis(0), 0.1, None),
        (bad, axis(1), 0.2, None),
        ("Huy", axis(1), 0.1, None),
        ("Huy", axis(1), 0.1, None),
    ]
    page = mixups_page(Case(review(album(faces), 4, 0, nearest), {}, MADE))
    assert "<img src=x" not in page
    assert "\u202e" not in page


def test_what_is_no_such_page_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    mine = tmp_path / "mine.html"
    mine.write_text("my own page")
    for name, kind in ((mine, OutputError), (tmp_path / "page.txt", UsageError)):
        done = CliRunner().invoke(
            app, ["evaluate", "identity", "--data", str(tmp_path / "people"), "--errors", str(name)]
        )
        assert isinstance(done.exception, kind)
    assert mine.read_text() == "my own page"


def test_a_calibrated_gallery_may_ask(family: Album) -> None:
    assert review(family, 2, 0, calibrated_identifier).splits == 2
