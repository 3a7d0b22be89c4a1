"""Voting over time: evidence per track, fading, steady names, and none kept after a swap."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.smooth import FORGET_AFTER, EmotionEvidence, IdentityVotes, evidence_weights
from manyfaces.types import Embeddings, Emotions, Identities, Qualities

LABELS = ("angry", "happy", "sad")
LAN, MINH = np.eye(8, dtype=np.float32)[:2]


def shares(*rows: tuple[float, float, float]) -> Emotions:
    return Emotions(np.array(rows, np.float32).reshape(-1, 3), LABELS)


def ids(*tracks: int) -> np.ndarray:
    return np.array(tracks, np.int64)


def weights(count: int, value: float = 1.0) -> np.ndarray:
    return np.full(count, value, np.float32)


def nearest(embeddings: Embeddings) -> Identities:
    """Knows Lan and Minh, each as one direction; a face is named when it points that way at 0.6 at least."""
    similarity = np.stack([embeddings.vectors @ LAN, embeddings.vectors @ MINH], 1)
    best = similarity.argmax(1)
    names = tuple(("Lan", "Minh")[b] if s[b] >= 0.6 else None for b, s in zip(best, similarity, strict=True))
    return Identities(names, similarity.max(1).astype(np.float32), similarity.max(1).astype(np.float32))


def faces(*vectors: np.ndarray) -> Embeddings:
    stacked = np.stack(vectors).astype(np.float32)
    return Embeddings(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), "model")


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 1)), min_size=1, max_size=30))
def test_averages_of_probabilities_are_probabilities(rows: list[tuple[float, float, float]]) -> None:
    evidence = EmotionEvidence()
    for step, row in enumerate(rows):
        normalised = tuple(share / sum(row) for share in row)
        evidence.observe(ids(7), shares(normalised), weights(1), step * 0.04)  # type: ignore[arg-type]
        reported = evidence.report(ids(7)).probabilities
        assert abs(reported.sum() - 1) < 1e-4
        assert (reported >= 0).all()


def test_each_track_has_evidence_of_its_own() -> None:
    evidence = EmotionEvidence()
    for step in range(10):
        evidence.observe(ids(1, 2), shares((1, 0, 0), (0, 1, 0)), weights(2), step * 0.04)
    assert evidence.report(ids(2, 1)).probabilities.argmax(1).tolist() == [1, 0]


def test_one_odd_frame_changes_nothing_and_a_second_of_news_changes_all() -> None:
    evidence = EmotionEvidence()
    for step in range(25):
        evidence.observe(ids(1), shares((0, 1, 0)), weights(1), step * 0.04)
    evidence.observe(ids(1), shares((1, 0, 0)), weights(1), 1.0)
    assert evidence.report(ids(1)).probabilities[0].argmax() == 1
    for step in range(25):
        evidence.observe(ids(1), shares((1, 0, 0)), weights(1), 1.04 + step * 0.04)
    assert evidence.report(ids(1)).probabilities[0].argmax() == 0


def test_the_same_seconds_at_another_frame_rate_give_the_same_evidence() -> None:
    reports = []
    for rate in (10, 40):
        evidence = EmotionEvidence()
        for step in range(2 * rate):
            row = (0.0, 1.0, 0.0) if step < rate else (1.0, 0.0, 0.0)
            evidence.observe(ids(1), shares(row), weights(1), step / rate)
        reports.append(evidence.report(ids(1)).probabilities[0])
    assert np.abs(reports[0] - reports[1]).max() < 0.05


def test_a_track_nobody_looked_at_is_not_known() -> None:
    evidence = EmotionEvidence()
    evidence.observe(ids(1), shares((0, 1, 0)), weights(1), 0)
    assert np.isnan(evidence.report(ids(5)).probabilities).all()
    assert evidence.report(ids()).probabilities.shape == (0, 3)


def test_a_track_long_gone_is_forgotten() -> None:
    evidence = EmotionEvidence()
    evidence.observe(ids(1), shares((0, 1, 0)), weights(1), 0)
    evidence.observe(ids(2), shares((0, 1, 0)), weights(1), FORGET_AFTER + 1)
    assert np.isnan(evidence.report(ids(1)).probabilities).all()


def test_the_first_look_names_a_face_at_once() -> None:
    votes = IdentityVotes(nearest)
    votes.observe(ids(1, 2), faces(LAN, LAN + 5 * np.eye(8)[5]), weights(2), 0)
    assert votes.report(ids(1, 2)).names == ("Lan", None)


def test_a_doubtful_frame_does_not_make_the_label_flicker() -> None:
    votes = IdentityVotes(nearest)
    rng = np.random.default_rng(1)
    shown = []
    for step in range(100):
        noise = rng.normal(0, 0.25, 8) if (step + 1) % 5 else np.eye(8)[6] * 1.6
        votes.observe(ids(1), faces(LAN + noise), weights(1), step * 0.04)
        shown.append(votes.report(ids(1)).names[0])
    assert set(shown) == {"Lan"}


def test_a_track_that_becomes_another_person_loses_the_old_name_within_three_looks() -> None:
    votes = IdentityVotes(nearest)
    for step in range(50):
        votes.observe(ids(1), faces(LAN), weights(1), step * 0.04)
    for step in range(3):
        votes.observe(ids(1), faces(MINH), weights(1), 2 + step * 0.04)
    assert votes.report(ids(1)).names == ("Minh",)


def test_a_slow_change_of_evidence_waits_for_patience() -> None:
    between = LAN + 0.9 * MINH
    votes = IdentityVotes(nearest, memory=0.05, patience=0.4)
    votes.observe(ids(1), faces(LAN), weights(1), 0)
    names = []
    for step in range(1, 21):
        votes.observe(ids(1), faces(MINH + 0.5 * between), weights(1), step * 0.04)
        names.append(votes.report(ids(1)).names[0])
    assert names[0] == "Lan"
    assert names[-1] == "Minh"
    assert 8 <= names.index("Minh") <= 14


def test_who_was_unknown_is_named_with_the_first_evidence_and_keeps_the_name() -> None:
    votes = IdentityVotes(nearest, memory=0.05, patience=0.4)
    stranger = np.eye(8)[5]
    votes.observe(ids(1), faces(stranger), weights(1), 0)
    assert votes.report(ids(1)).names == (None,)
    votes.observe(ids(1), faces(LAN + 0.3 * stranger), weights(1), 0.2)
    assert votes.report(ids(1)).names == ("Lan",)
    votes.observe(ids(1), faces(stranger + 0.3 * LAN), weights(1), 0.4)
    assert votes.report(ids(1)).names == ("Lan",)


def test_no_faces_at_all() -> None:
    votes = IdentityVotes(nearest)
    votes.observe(ids(), Embeddings(np.empty((0, 8), np.float32), "model"), weights(0), 0)
    assert len(votes.report(ids())) == 0


def test_a_good_view_outweighs_a_bad_one() -> None:
    qualities = Qualities(
        size=np.array([120, 20, 120, 120], np.float32),
        sharpness=np.array([300, 300, 5, 300], np.float32),
        yaw=np.array([0, 0, 0, 0.9], np.float32),
        inside=np.ones(4, np.float32),
    )
    counted = evidence_weights(qualities)
    assert counted[0] == 1
    assert (counted[1:] < 0.5).all()
    assert (counted >= 0.05).all()


def test_a_face_in_sight_is_not_forgotten_however_seldom_it_is_read() -> None:
    evidence, votes = EmotionEvidence(), IdentityVotes(nearest)
    evidence.observe(ids(1), shares((0, 1, 0)), weights(1), 0)
    votes.observe(ids(1), faces(LAN), weights(1), 0)
    for second in range(1, 60):
        for memory in (evidence, votes):
            memory.see(ids(1), second)
        evidence.observe(ids(2), shares((1, 0, 0)), weights(1), second)
        votes.observe(ids(2), faces(MINH), weights(1), second)
    assert evidence.report(ids(1)).probabilities[0].argmax() == 1
    assert votes.report(ids(1)).names == ("Lan",)
    votes.observe(ids(2), faces(MINH), weights(1), 60 + FORGET_AFTER)
    assert votes.report(ids(1)).names == (None,)
