"""How photos stand for a person when faces are compared, and how the way is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfaces.gallery.roster import Roster
from manyfaces.gallery.rules import (
    DEFAULT,
    LEANING,
    MEAN,
    NEAREST,
    RULES,
    TRIMMED,
    Rule,
    asked_about,
    choose,
    trimmed_mean,
)
from manyfaces.gallery.search import Search
from manyfaces.types import Embeddings, Floats

MODEL = "drawn-0123456789ab"
SIZE = 32


def units(rows: Floats) -> Floats:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def roster(vectors: Floats, owners: list[int]) -> Roster:
    names = tuple(f"person {number}" for number in range(max(owners) + 1))
    return Roster(names, np.array(owners, np.int64), Embeddings(units(vectors), MODEL))


def people(count: int, each: int, noise: float, seed: int = 0) -> Roster:
    rng = np.random.default_rng(seed)
    centres = units(rng.normal(size=(count, SIZE)))
    rows = np.repeat(centres, each, axis=0) + noise * rng.normal(size=(count * each, SIZE))
    return roster(rows, np.repeat(np.arange(count), each).tolist())


def faces(each: st.SearchStrategy[int]) -> st.SearchStrategy[Floats]:
    def drawn(count: int, seed: int) -> Floats:
        return units(np.random.default_rng(seed).normal(size=(count, SIZE)) + 0.5)

    return st.builds(drawn, each, st.integers(0, 99))


@given(faces(st.integers(1, 12)), st.floats(0, 0.9))
def test_a_mean_is_a_unit_vector_and_the_order_of_the_photos_does_not_matter(vectors: Floats, trim: float) -> None:
    mean = trimmed_mean(vectors, trim)
    assert np.linalg.norm(mean) == pytest.approx(1, abs=1e-4)
    assert trimmed_mean(vectors[::-1], trim) == pytest.approx(mean, abs=1e-4)


@given(faces(st.integers(2, 12)), st.floats(0, 0.9))
def test_what_is_left_out_of_a_mean_brings_it_nearer_to_the_rest(vectors: Floats, trim: float) -> None:
    """The faces that stay are on average more like their mean than all faces are like the mean of all."""
    plain, trimmed = trimmed_mean(vectors, 0), trimmed_mean(vectors, trim)
    keep = max(int(np.ceil(len(vectors) * (1 - trim))), 2)
    assert np.sort(vectors @ trimmed)[-keep:].mean() >= (vectors @ plain).mean() - 1e-5


def test_a_photo_of_somebody_else_does_not_move_a_trimmed_mean() -> None:
    own = units(np.eye(SIZE)[:1] + 0.02 * np.random.default_rng(0).normal(size=(4, SIZE)))
    with_another = np.concatenate([own, units(np.eye(SIZE)[5:6])])
    assert float(trimmed_mean(with_another, 0.25) @ own[0]) > float(trimmed_mean(with_another, 0) @ own[0])
    assert trimmed_mean(with_another, 0.2) == pytest.approx(trimmed_mean(own, 0), abs=1e-6)


def test_faces_that_cancel_out_are_like_nobody() -> None:
    opposite = np.stack([np.eye(SIZE)[0], -np.eye(SIZE)[0]]).astype(np.float32)
    assert np.isfinite(trimmed_mean(opposite, 0)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 50))
def test_what_stands_for_people(count: int, each: int, seed: int) -> None:
    enrolled = people(count, each, 0.1, seed)
    sizes = {rule.name: len(rule(enrolled)) for rule in RULES.values()}
    assert sizes == {NEAREST.name: count * each, LEANING.name: count * each, MEAN.name: count, TRIMMED.name: count}
    for rule in RULES.values():
        standing = rule(enrolled)
        assert standing.names == enrolled.names
        assert set(standing.owners.tolist()) == set(range(count))
        assert (np.linalg.norm(standing.embeddings.vectors, axis=1) <= 1 + 1e-4).all()


@given(faces(st.integers(1, 9)), faces(st.integers(1, 3)), st.floats(0.01, 0.99), st.floats(0, 0.9))
def test_a_leaning_face_is_as_similar_as_the_nearest_and_the_mean_together(
    vectors: Floats, asked: Floats, lean: float, trim: float
) -> None:
    nearest, mean = (asked @ vectors.T).max(axis=1), asked @ trimmed_mean(vectors, trim)
    leaning = (asked @ Rule("some", lean, trim).of_person(vectors).T).max(axis=1)
    assert leaning == pytest.approx((1 - lean) * nearest + lean * mean, abs=1e-5)


@given(faces(st.integers(2, 9)), st.sampled_from(list(RULES.values())))
def test_a_photo_is_compared_with_the_others_of_its_person_only(vectors: Floats, rule: Rule) -> None:
    likeness = rule.without_itself(vectors, np.arange(len(vectors)))
    for row, like in enumerate(likeness.tolist()):
        rest = roster(np.delete(vectors, row, axis=0), [0] * (len(vectors) - 1))
        assert Search(rule(rest)).of_people(vectors[row : row + 1])[0, 0] == pytest.approx(like, abs=1e-5)


@given(st.integers(0, 50))
def test_with_one_photo_each_all_rules_are_one(seed: int) -> None:
    enrolled, asked = people(5, 1, 0, seed), people(4, 2, 0.5, seed + 1).embeddings
    found = [Search(rule(enrolled))(asked) for rule in RULES.values()]
    assert all(one.people.tolist() == found[0].people.tolist() for one in found)


def test_people_without_faces_stand_for_nothing() -> None:
    enrolled = Roster(("Lan", "An", "Vy"), np.array([0, 2, 2]), people(3, 1, 0).embeddings)
    for rule in RULES.values():
        assert set(rule(enrolled).owners.tolist()) == {0, 2}
    assert all(len(rule(Roster.empty())) == 0 for rule in RULES.values())


# --- chosen by the gallery's own photos ---


def test_few_photos_choose_nothing() -> None:
    for few in (people(8, 2, 0.1), people(1, 30, 0.1), Roster.empty()):
        chosen = choose(few)
        assert (chosen.rule, chosen.accuracies, chosen.asked) == (DEFAULT, {}, 0)


def test_where_all_are_right_the_default_stays() -> None:
    chosen = choose(people(6, 6, 0.01))
    assert chosen.rule is DEFAULT
    assert set(chosen.accuracies.values()) == {1.0}
    assert chosen.asked == 36


def test_noisy_photos_choose_the_mean() -> None:
    """The mean of many photos, each of which is hardly like the others, is like all of them."""
    chosen = choose(people(12, 15, 0.55), (NEAREST, MEAN), NEAREST)
    assert chosen.rule is MEAN
    assert chosen.accuracies["mean"] > chosen.accuracies["nearest"]


def test_two_faces_of_one_person_choose_the_nearest() -> None:
    """With a beard and without, somebody may look more like others than like the mean of both."""
    rng = np.random.default_rng(0)
    looks = units(rng.normal(size=(40, SIZE)))
    owners = np.repeat(np.arange(20), 10)
    rows = np.stack([looks[2 * owner + place % 2] for place, owner in enumerate(owners)])
    mixed = roster(rows + 0.17 * rng.normal(size=rows.shape), owners.tolist())
    assert asked_about(mixed, NEAREST).mean() > asked_about(mixed, MEAN).mean()
    assert choose(mixed, (NEAREST, MEAN), MEAN).rule is NEAREST


def test_each_photo_of_who_has_several_is_asked_about_once() -> None:
    mixed = roster(people(1, 8, 0.1).embeddings.vectors, [0, 0, 0, 0, 0, 1, 2, 2])
    assert len(asked_about(mixed, NEAREST)) == 7
