"""Who is named and how surely: thresholds that follow the gallery's size, probabilities that come true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Run
from manyfaces.errors import GalleryError, UsageError
from manyfaces.gallery.background import Background
from manyfaces.gallery.calibrate import PROBES, calibrate, distributions, measure, up_to_date
from manyfaces.gallery.calibration import Calibration
from manyfaces.gallery.falls import falls
from manyfaces.gallery.matcher import Matcher
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.rules import DEFAULT, MOST_FACES, NEAREST, RULES, Rule
from manyfaces.gallery.search import Search
from manyfaces.gallery.store import GalleryStore
from manyfaces.types import Embeddings, Floats, Qualities

OTHER = "drawn-0123456789ab"
SHIPPED = Background.shipped(DEFAULT.name)
SIZE = 128


def units(rows: Floats) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def people(count: int, generator: np.random.Generator) -> Floats:
    """Directions of people who are, like SFace's, a little alike."""
    return units(generator.normal(size=(count, SIZE)) + 0.4)


def photos(who: Floats, each: int, generator: np.random.Generator, noise: float = 0.068) -> Floats:
    """Several photos of everybody; two of one person are about 0.65 alike."""
    return units(np.repeat(who, each, axis=0) + noise * generator.normal(size=(len(who) * each, SIZE)))


def gallery(count: int, each: int, seed: int = 0, model: str = SHIPPED.model) -> Roster:
    generator = np.random.default_rng(seed)
    rows = photos(people(count, generator), each, generator)
    names = tuple(f"person {place}" for place in range(count))
    return Roster(names, np.repeat(np.arange(count), each), Embeddings(rows, model))


# --- thresholds ---


@pytest.mark.parametrize(
    ("count", "each", "model"), [(5, 1, SHIPPED.model), (10, 3, OTHER), (20, 3, OTHER), (60, 8, OTHER)]
)
def test_about_the_chosen_share_of_strangers_is_given_a_name(count: int, each: int, model: str) -> None:
    accepted, unpaired = [], []
    for seed in range(8):
        roster = gallery(count, each, seed, model)
        generator = np.random.default_rng(1000 + seed)
        strangers = Embeddings(photos(people(500, generator), 1, generator), model)
        calibration = calibrate(roster, 0.05)
        accepted.append(np.mean([name is not None for name in Matcher(roster, calibration)(strangers).names]))
        without_margin = Matcher(roster, replace(calibration, margin=0))(strangers)
        unpaired.append(np.mean([name is not None for name in without_margin.names]))
    assert 0.02 < np.mean(unpaired) < 0.08
    assert np.mean(accepted) <= np.mean(unpaired)


def test_the_enrolled_are_recognised() -> None:
    generator = np.random.default_rng(3)
    who = people(30, generator)
    enrolled, asked = photos(who, 4, generator), photos(who, 2, generator)
    roster = Roster(tuple(map(str, range(30))), np.repeat(np.arange(30), 4), Embeddings(enrolled, SHIPPED.model))
    found = Matcher(roster, calibrate(roster))(Embeddings(asked, SHIPPED.model))
    right = [name == str(place // 2) for place, name in enumerate(found.names)]
    assert np.mean(right) > 0.97
    assert np.median(found.confidences) > 0.95


def test_more_people_ask_for_more_similarity() -> None:
    thresholds = [np.mean([calibrate(gallery(count, 2, seed)).threshold for seed in range(6)]) for count in (1, 8, 64)]
    assert thresholds == sorted(thresholds)
    assert thresholds[-1] - thresholds[0] > 0.05


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-4, 0.3), st.floats(1e-4, 0.3))
def test_a_lower_rate_asks_for_more_similarity(first: float, second: float) -> None:
    roster = gallery(4, 2)
    low, high = sorted((first, second))
    assert calibrate(roster, low).threshold >= calibrate(roster, high).threshold
    assert calibrate(roster, low).margin >= calibrate(roster, high).margin


@pytest.mark.parametrize("rate", [0, 1, -0.1, 2, float("nan")])
def test_rates_that_are_none(rate: float) -> None:
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        calibrate(gallery(2, 2), rate)


def test_a_photo_in_the_wrong_folder_is_reported_and_does_not_lift_the_threshold() -> None:
    clean = gallery(10, 4)
    rows = clean.embeddings.vectors.copy()
    rows[4] = units(rows[1:2] + 0.01)[0]  # the second person's first photo shows the first person
    mixed = calibrate(replace(clean, embeddings=Embeddings(rows, SHIPPED.model)))
    assert mixed.suspects == 1
    assert mixed.threshold == pytest.approx(calibrate(clean).threshold, abs=0.02)


def test_the_same_gallery_gives_the_same_calibration() -> None:
    assert calibrate(gallery(8, 3)) == calibrate(gallery(8, 3))


def test_a_big_gallery_is_sampled() -> None:
    big = gallery(PROBES // 4, 6, model=OTHER)
    assert len(measure(big).genuine) <= PROBES < len(big)
    assert calibrate(big).faces == len(big)


# --- what it rests on ---


def test_the_basis_is_said() -> None:
    assert calibrate(Roster.empty()).basis == "shipped"
    assert calibrate(gallery(1, 1)).basis == "shipped"
    assert calibrate(gallery(5, 3)).basis == "both"
    assert calibrate(gallery(60, 3)).basis == "gallery"
    assert calibrate(gallery(60, 1)).basis == "both"  # single photos say nothing of how alike one person stays


def test_shipped_figures_do_not_speak_for_another_model() -> None:
    roster = gallery(4, 3, model=OTHER)
    alike = photos(people(1, np.random.default_rng(0)), len(roster), np.random.default_rng(1), 0.01)
    crowded = replace(roster, embeddings=Embeddings(alike, OTHER))
    assert calibrate(crowded).basis == "gallery"
    assert calibrate(crowded).threshold > 0.9  # its strangers are all alike, whatever ours are


def test_the_shipped_figures_are_sane_and_hold_no_vectors() -> None:
    strangers, same = [SHIPPED.strangers(faces) for faces in (1, 4, 50)], [SHIPPED.same(faces) for faces in (1, 4, 50)]
    for spreads in (strangers, same):
        assert [spread.mean for spread in spreads] == sorted(spread.mean for spread in spreads)
        assert all((np.diff(spread.quantiles) >= 0).all() for spread in spreads)
    assert all(one.mean + 3 * one.deviation < other.mean for one, other in zip(strangers, same, strict=True))
    assert SHIPPED.model.startswith("sface")


# --- probabilities ---


@given(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32), st.floats(-1, 1, width=32))
def test_probabilities_rise_with_similarity_and_never_exceed_one(first: float, second: float, other: float) -> None:
    calibration = calibrate(gallery(3, 2))
    low, high = sorted((first, second))
    runner_up = np.full(2, min(other, low), np.float32)
    right, stranger = calibration.probabilities(np.array([low, high], np.float32), runner_up)
    assert right[0] <= right[1]
    assert stranger[0] >= stranger[1]
    assert ((right + stranger) <= 1 + 1e-6).all()
    assert ((right >= 0) & (stranger >= 0)).all()


def test_probabilities_come_true() -> None:
    """Half of the faces are strangers, as the prior says: of the answers given with 0.9, about 0.9 are right."""
    claimed, true = [], []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        who = people(20, generator)
        enrolled = photos(who, 3, generator, 0.11)
        roster = Roster(tuple(map(str, range(20))), np.repeat(np.arange(20), 3), Embeddings(enrolled, OTHER))
        matcher = Matcher(roster, calibrate(roster, 0.05))
        asked = np.concatenate([photos(who, 5, generator, 0.11), photos(people(100, generator), 1, generator, 0.11)])
        found = matcher(Embeddings(asked, OTHER))
        answers = [str(place // 5) if place < 100 else None for place in range(200)]
        claimed += found.confidences.tolist()
        true += [name == answer for name, answer in zip(found.names, answers, strict=True)]
    for low, high in ((0, 0.4), (0.4, 0.8), (0.8, 0.95), (0.95, 1.01)):
        there = (np.array(claimed) >= low) & (np.array(claimed) < high)
        assert there.sum() > 50
        assert np.mean(np.array(true)[there]) == pytest.approx(np.mean(np.array(claimed)[there]), abs=0.12)


# --- as the rule has it ---


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_the_stated_share_holds_by_every_rule(rule: Rule) -> None:
    accepted = []
    for seed in range(6):
        roster = gallery(20, 4, seed, OTHER)
        generator = np.random.default_rng(2000 + seed)
        strangers = Embeddings(photos(people(500, generator), 1, generator), OTHER)
        calibration = replace(calibrate(roster, 0.05, rule=rule), margin=0)
        accepted.append(np.mean([name is not None for name in Matcher(roster, calibration)(strangers).names]))
    assert 0.02 < np.mean(accepted) < 0.08


def test_a_large_gallery_is_compared_by_the_nearest_face() -> None:
    """Its vectors are mapped into memory; leaning ones would be a copy of all of them."""
    large = gallery(MOST_FACES // 4, 4, model=OTHER)
    assert calibrate(large).rule == NEAREST.name
    assert calibrate(gallery(5, 4)).rule == DEFAULT.name


def test_a_calibration_from_before_there_were_rules_is_made_anew(tmp_path: Path) -> None:
    store = GalleryStore(tmp_path / "people.db")
    for seed, name in enumerate(["Lan", "An", "Minh"]):
        enrol(store, name, seed)
    roster = store.roster()
    store.save_calibration(replace(calibrate(roster, 0.05), rule="", threshold=0.777), roster.revision)
    fresh = up_to_date(store, roster)
    assert (fresh.rule, fresh.false_accept_rate) == (DEFAULT.name, 0.05)
    assert fresh.threshold != 0.777


def test_the_rule_that_was_chosen_stays_when_the_gallery_grows(tmp_path: Path) -> None:
    store = GalleryStore(tmp_path / "people.db")
    enrol(store, "Lan", 0)
    roster = store.roster()
    store.save_calibration(calibrate(roster, rule=NEAREST), roster.revision)
    enrol(store, "An", 1)
    assert up_to_date(store, store.roster()).rule == NEAREST.name


# --- where strangers fall ---


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 5), st.floats(0.002, 0.3))
def test_a_stricter_threshold_keeps_more_strangers_out_and_loses_more_photos(
    count: int, each: int, rate: float
) -> None:
    roster = gallery(count, each)
    rows = falls(distributions(roster), rate)
    for name, sign in (("similarity", 1), ("strangers_under", 1), ("own_above", -1)):
        figures = [sign * getattr(row, name) for row in rows]
        assert figures == sorted(figures)
    chosen = calibrate(roster, rate).threshold
    (here,) = [row for row in rows if row.similarity == pytest.approx(chosen, abs=1e-9)]
    assert here.strangers_under == pytest.approx(1 - rate)


def test_what_a_threshold_loses_is_what_it_would_lose() -> None:
    """Photos that were not enrolled reach the threshold about as often as the report says."""
    generator = np.random.default_rng(1)
    who = people(40, generator)
    enrolled, asked = photos(who, 6, generator, 0.11), photos(who, 20, generator, 0.11)
    roster = Roster(tuple(map(str, range(40))), np.repeat(np.arange(40), 6), Embeddings(enrolled, OTHER))
    standing = Search(DEFAULT(roster)).of_people(asked)
    own = standing[np.arange(len(asked)), np.arange(len(asked)) // 20]
    for row in falls(distributions(roster), 0.01):
        assert row.own_above == pytest.approx(np.mean(own >= row.similarity), abs=0.06)


def test_the_command_shows_where_strangers_fall_and_on_what_that_rests(tmp_path: Path, run: Run) -> None:
    store = GalleryStore(tmp_path / "people.db")
    for seed, name in enumerate(["Lan", "An", "Minh"]):
        enrol(store, name, seed)
    said = run("people", "calibrate", "--gallery", store.path, "--false-accepts", "0.03")
    assert said.status == 0
    assert "3.0% false accepts" in said.out
    assert "where these tell too little, shipped figures" in said.out
    assert f"by the rule: {DEFAULT.name}" in said.out
    threshold = calibrate(store.roster(), 0.03).threshold
    (line,) = [line for line in said.out.splitlines() if f"{threshold:.3f} *" in line]
    assert "97.0%" in line
    assert line.count("#") == 1  # of 3 %: a mark stands for 5 %, begun ones too


# --- the identifier ---


def test_two_people_who_look_alike_are_not_told_apart() -> None:
    generator = np.random.default_rng(0)
    one = people(1, generator)
    twins = np.concatenate([one, units(one + 0.02 * generator.normal(size=one.shape)), people(3, generator)])
    roster = Roster(("Lan", "An", "a", "b", "c"), np.arange(5), Embeddings(twins, SHIPPED.model))
    found = Matcher(roster, calibrate(roster))(Embeddings(one, SHIPPED.model))
    assert found.names == (None,)
    assert found.similarities[0] > 0.95
    assert found.confidences[0] < 0.5  # surely no stranger


def test_an_empty_gallery_knows_nobody_and_no_faces_are_no_trouble(tmp_path: Path) -> None:
    empty = Matcher.of(GalleryStore(tmp_path / "people.db"))
    found = empty(Embeddings(people(2, np.random.default_rng(0)), "whatever"))
    assert found.names == (None, None)
    assert np.isnan(found.similarities).all()
    roster = gallery(2, 2)
    assert len(Matcher(roster, calibrate(roster))(Embeddings(np.empty((0, SIZE), np.float32), SHIPPED.model))) == 0


def test_a_stranger_is_unknown_and_surely_so() -> None:
    roster = gallery(10, 3)
    opposite = -roster.embeddings.vectors.mean(axis=0, keepdims=True)
    found = Matcher(roster, calibrate(roster))(Embeddings(units(opposite), SHIPPED.model))
    assert found.names == (None,)
    assert found.confidences[0] > 0.99


def test_faces_of_another_model_are_refused() -> None:
    roster = gallery(2, 2)
    with pytest.raises(GalleryError, match=OTHER):
        Matcher(roster, calibrate(roster))(Embeddings(people(1, np.random.default_rng(0)), OTHER))


# --- kept in the gallery ---


def enrol(store: GalleryStore, name: str, seed: int) -> None:
    fine = Qualities(*(np.ones(2, np.float32) for _ in range(4)))
    store.add(name, gallery(1, 2, seed).embeddings, fine)


def test_a_calibration_is_kept_with_the_gallery_and_made_anew_when_that_has_changed(tmp_path: Path) -> None:
    store = GalleryStore(tmp_path / "people.db")
    for seed, name in enumerate(["Lan", "An", "Minh"]):
        enrol(store, name, seed)
    roster = store.roster()
    stored = replace(calibrate(roster, 0.05), threshold=0.777)
    store.save_calibration(stored, roster.revision)
    assert up_to_date(store, store.roster()) == stored
    assert up_to_date(store, store.roster(), 0.01) != stored
    enrol(store, "Bo", 9)
    grown = up_to_date(store, store.roster())
    assert (grown.people, grown.faces, grown.false_accept_rate) == (4, 8, 0.05)
    assert Matcher.of(store).calibration == grown


def test_removing_a_person_forgets_the_figures_and_keeps_the_chosen_rate(tmp_path: Path) -> None:
    store = GalleryStore(tmp_path / "people.db")
    enrol(store, "Lan", 0)
    enrol(store, "An", 1)
    store.save_calibration(calibrate(store.roster(), 0.002), store.revision())
    store.remove("An")
    assert store.calibration() is None
    assert up_to_date(store, store.roster()).false_accept_rate == 0.002


def test_a_calibration_goes_through_json_and_nonsense_is_refused() -> None:
    calibration = calibrate(gallery(3, 2))
    assert Calibration.from_json(calibration.to_json()) == calibration
    for text in ("", "[]", '{"threshold": 1}'):
        with pytest.raises(GalleryError, match="people calibrate"):
            Calibration.from_json(text)
