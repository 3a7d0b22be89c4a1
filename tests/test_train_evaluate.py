"""Figures of a classifier, held to values counted by hand and to what must always be true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from manyfaces.train.data import EMOTIONS, VOTES, EmotionData
from manyfaces.train.evaluate import (
    averages,
    confusion,
    expected_calibration_error,
    ferplus_majority,
    figures,
    intervals,
    per_class,
    reliability,
    report,
)

NAMES = ("cat", "dog", "owl")
# Two cats (one taken for a dog), three dogs (one taken for an owl), one owl.
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.2, 0.8, 0.0], [0.1, 0.3, 0.6], [0.0, 0.2, 0.8]]
)
LABELS = np.array([0, 0, 1, 1, 1, 2])


def test_confusion_counts_true_by_predicted() -> None:
    assert confusion(PROBABILITIES, LABELS).tolist() == [[1, 1, 0], [0, 2, 1], [0, 0, 1]]


def test_figures_are_those_counted_by_hand() -> None:
    found = figures(PROBABILITIES, LABELS, NAMES)
    assert found["count"] == 6
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 2 / 3) / 3)
    dog = found["per_class"]["dog"]
    assert (dog["precision"], dog["recall"], dog["count"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3)


def test_calibration_error_is_the_one_counted_by_hand() -> None:
    # At 0.8: four of four right, a gap of 0.2. At 0.6: none of two right, a gap of 0.6.
    assert expected_calibration_error(PROBABILITIES, LABELS) == pytest.approx((4 * 0.2 + 2 * 0.6) / 6)


def test_reliability_tells_every_bin() -> None:
    found = reliability(PROBABILITIES, LABELS, bins=5)  # 0.6 is the end of the third bin, 0.8 that of the fourth
    assert found.counts.tolist() == [0, 0, 2, 4, 0]
    assert found.confidence.tolist() == pytest.approx([0, 0, 0.6, 0.8, 0])
    assert found.accuracy.tolist() == [0, 0, 0, 1, 0]


def test_certain_and_right_is_perfectly_calibrated() -> None:
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_a_class_that_does_not_occur_neither_helps_nor_hurts() -> None:
    found = figures(np.eye(3)[[0, 1]], np.array([0, 1]), NAMES)
    assert found["balanced_accuracy"] == found["macro_f1"] == 1
    assert found["per_class"]["owl"] == {"precision": 0, "recall": 0, "f1": 0, "count": 0}


def test_no_pictures_have_figures_of_zero() -> None:
    found = figures(np.empty((0, 3)), np.empty(0, np.int64), NAMES)
    assert (found["count"], found["accuracy"], found["balanced_accuracy"], found["ece"]) == (0, 0, 0, 0)


@given(
    arrays.arrays(np.float64, (20, 4), elements=st.floats(0.01, 1)),
    arrays.arrays(np.int64, 20, elements=st.integers(0, 3)),
)
def test_figures_lie_where_they_must(raw: np.ndarray, labels: np.ndarray) -> None:
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    found = figures(probabilities, labels, ("a", "b", "c", "d"))
    assert found["accuracy"] == pytest.approx((probabilities.argmax(axis=1) == labels).mean())
    assert all(0 <= found[name] <= 1 for name in ("balanced_accuracy", "macro_f1", "ece"))
    assert np.array(found["confusion"]).sum() == 20
    precision, recall, f1 = per_class(np.array(found["confusion"]))
    both = precision + recall > 0
    np.testing.assert_allclose(f1[both], (2 * precision * recall)[both] / (precision + recall)[both], rtol=1e-5)


COUNTS = np.array([[30, 10, 0], [5, 40, 5], [1, 1, 8]])


def test_averages_of_several_confusions_are_those_of_each() -> None:
    several = np.stack([COUNTS, COUNTS.T, np.diag([3, 0, 1]), np.zeros((3, 3), int)])
    together = averages(several)
    for number, counts in enumerate(several):
        for name, value in averages(counts).items():
            assert together[name][number] == pytest.approx(float(value))
    assert together["balanced_accuracy"][2:].tolist() == [1, 0]


def test_intervals_are_those_of_pictures_drawn_with_replacement() -> None:
    """The short way over the confusion against the long way over the pictures."""
    labels, said = (np.repeat(index.ravel(), COUNTS.ravel()) for index in np.indices(COUNTS.shape))
    random = np.random.default_rng(1)
    several = []
    for _ in range(2000):
        drawn = random.integers(0, len(labels), len(labels))
        several.append(averages(confusion(np.eye(3)[said[drawn]], labels[drawn])))
    found = intervals(COUNTS)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        wanted = np.percentile([one[name] for one in several], (2.5, 97.5))
        assert found[f"{name}_interval"] == pytest.approx(wanted.tolist(), abs=0.012)
        low, high = found[f"{name}_interval"]
        assert low < averages(COUNTS)[name] < high


def test_intervals_are_the_same_every_time_and_narrow_with_more_pictures() -> None:
    assert intervals(COUNTS) == intervals(COUNTS)
    low, high = intervals(COUNTS)["accuracy_interval"]
    lower, higher = intervals(COUNTS * 100)["accuracy_interval"]
    assert higher - lower == pytest.approx((high - low) / 10, rel=0.1)
    assert intervals(np.zeros((3, 3), np.int64))["accuracy_interval"] == [0, 0]


def votes(**counts: int) -> list[float]:
    return [float(counts.get(name.replace(" ", "_"), 0)) for name in VOTES]


def test_a_majority_needs_one_emotion_of_ours_before_all_others() -> None:
    several = np.array(
        [
            votes(happy=6, neutral=4),
            votes(happy=5, neutral=5),
            votes(contempt=7, angry=3),
            votes(no_face=10),
            votes(),
            votes(fear=4, sad=3, surprise=3),
        ],
        np.float32,
    )
    voted, majority = ferplus_majority(several)
    assert voted.tolist() == [True, False, False, False, False, True]
    assert [EMOTIONS[label] for label in majority[voted]] == ["happy", "fear"]


def faces(labels: list[int], counts: list[list[float]], duplicate: list[bool]) -> EmotionData:
    count = len(labels)
    return EmotionData(
        np.zeros((count, 48, 48), np.uint8),
        np.array(labels),
        np.ones(count, np.int64),
        np.array(counts, np.float32),
        np.array(duplicate),
    )


def test_the_report_tells_memory_from_skill_and_labels_from_taggers() -> None:
    happy, sad = EMOTIONS.index("happy"), EMOTIONS.index("sad")
    said_happy = np.eye(7)[[happy, happy]]
    data = faces([happy, sad], [votes(happy=10), votes(happy=8, sad=2)], [True, False])
    found = report(said_happy, data)
    assert found["accuracy"] == 0.5
    assert (found["clean"]["count"], found["clean"]["accuracy"]) == (1, 0)
    assert (found["ferplus"]["count"], found["ferplus"]["accuracy"]) == (2, 1)
    assert found["accuracy_interval"] == [0, 1]
    assert (found["clean"]["accuracy_interval"], found["ferplus"]["accuracy_interval"]) == ([0, 0], [1, 1])


def test_without_votes_there_is_no_figure_about_taggers() -> None:
    assert "ferplus" not in report(np.eye(7)[[0]], faces([0], [votes()], [False]))
