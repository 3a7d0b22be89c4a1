"""Ids over time: the contract of trackers and linkers, and scenes drawn as boxes whose right answer is known."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from manyfaces.errors import UsageError
from manyfaces.track import assign as assigning
from manyfaces.track.assign import assign, best_pairs
from manyfaces.track.linker import AppearanceLinker, Likeness
from manyfaces.track.motion import Noises, born, boxes_of, corrected, moved, nearby, observed
from manyfaces.track.tracker import MotionTracker
from manyfaces.types import Detections, Embeddings, Floats, Tracks

Scene = Iterable[tuple[float, list[tuple[float, float, float]]]]


def faces(places: Iterable[tuple[float, float, float]]) -> Detections:
    """Detections of square faces given as (centre x, centre y, side)."""
    rows = np.array(list(places), np.float32).reshape(-1, 3)
    centre, half = rows[:, :2], rows[:, 2:] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    pattern = np.array([[-0.4, -0.4], [0.4, -0.4], [0, 0], [-0.3, 0.4], [0.3, 0.4]], np.float32)
    landmarks = centre[:, None] + half[:, None] * pattern
    return Detections(boxes, np.full(len(rows), 0.9, np.float32), landmarks)


def follow(scene: Scene, tracker: MotionTracker | None = None) -> list[list[int]]:
    tracker = tracker or MotionTracker()
    return [tracker.update(faces(places), seconds).ids.tolist() for seconds, places in scene]


# --- the contract ---------------------------------------------------------------------------------------------------


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[float, Detections]]:
    """A few frames of boxes anywhere, some of them on each other, some frames without any, at uneven times."""
    frames, seconds = [], 0.0
    for _ in range(draw(st.integers(1, 8))):
        seconds += draw(st.sampled_from([0.0, 0.01, 0.04, 0.5, 4.0]))
        places = draw(
            st.lists(st.tuples(*[st.integers(0, 300).map(float)] * 2, st.integers(1, 80).map(float)), max_size=7)
        )
        frames.append((seconds, faces(places)))
    return frames


@given(streams())
@settings(max_examples=60, deadline=None)
def test_every_detection_gets_one_track_in_its_place(stream: list[tuple[float, Detections]]) -> None:
    tracker = MotionTracker()
    known: set[int] = set()
    for seconds, detections in stream:
        before = [column.copy() for column in (detections.boxes, detections.scores, detections.landmarks)]
        tracks = tracker.update(detections, seconds)
        after = (detections.boxes, detections.scores, detections.landmarks)
        assert all(np.array_equal(was, now) for was, now in zip(before, after, strict=True))
        assert np.array_equal(tracks.detections.boxes, detections.boxes)
        assert len(set(tracks.ids.tolist())) == len(tracks) == len(detections)
        fresh = set(tracks.ids.tolist()) - known
        assert sorted(fresh) == list(range(len(known) + 1, len(known) + len(fresh) + 1))
        assert (tracks.ages[[id_ in fresh for id_ in tracks.ids.tolist()]] == 1).all()
        known |= fresh


@given(streams(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_linked_ids_are_unique_and_positive_whatever_the_looks(
    stream: list[tuple[float, Detections]], seed: int
) -> None:
    tracker, linker = MotionTracker(), AppearanceLinker()
    people = np.concatenate([np.eye(4), np.zeros((1, 4))]).astype(np.float32)
    rng = np.random.default_rng(seed)
    for seconds, detections in stream:
        tracks = tracker.update(detections, seconds)
        linked = linker.update(tracks, Embeddings(people[rng.integers(0, 5, len(tracks))], "test"), seconds)
        assert np.array_equal(linked.detections.boxes, tracks.detections.boxes)
        assert len(set(linked.ids.tolist())) == len(tracks)
        assert (linked.ids >= 1).all()
        assert (linked.ages >= 1).all()


def test_an_empty_stream_and_empty_frames() -> None:
    tracker = MotionTracker()
    assert len(tracker.predict(1.0)) == 0
    assert len(tracker.update(Detections.empty(), 0.0)) == 0
    assert tracker.update(faces([(50, 50, 40)]), 0.04).ids.tolist() == [1]
    assert len(tracker.update(Detections.empty(), 0.08)) == 0
    assert tracker.update(faces([(50, 50, 40)]), 0.12).ids.tolist() == [1]


def test_time_that_runs_backwards_is_taken_to_stand_still() -> None:
    assert follow([(10.0, [(50, 50, 40)]), (3.0, [(52, 50, 40)]), (10.04, [(54, 50, 40)])]) == [[1], [1], [1]]


@pytest.mark.parametrize("patience", [0, -1, float("nan")])
def test_a_tracker_without_patience_is_refused(patience: float) -> None:
    with pytest.raises(UsageError, match="patience"):
        MotionTracker(patience=patience)


@pytest.mark.parametrize("memory", [0, -1, float("nan")])
def test_a_linker_without_memory_is_refused(memory: float) -> None:
    with pytest.raises(UsageError, match="memory"):
        AppearanceLinker(memory=memory)


def test_linked_ids_never_clash_in_a_crowd_of_changing_looks() -> None:
    """Four looks over eight threads that come, go and change for two thousand frames: many ties, none doubled."""
    rng = np.random.default_rng(1)
    linker, people = AppearanceLinker(memory=1.0), np.eye(5, 4, dtype=np.float32)
    shown = rng.integers(0, 5, 8)
    for frame in range(2000):
        if frame % 15 == 0:
            shown = rng.integers(0, 5, 8)
        here = np.flatnonzero(rng.random(8) < 0.8)
        places = faces([(100 + 30 * k + 20 * np.sin(frame / 9 + k), 100, 50) for k in here])
        tracks = Tracks(places, here + 1 + 8 * (frame // 60), np.ones(len(here), np.int64))
        ids = linker.update(tracks, Embeddings(people[shown[here]], "test"), frame / 25).ids
        assert len(set(ids.tolist())) == len(here)


def test_a_likeness_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(UsageError, match="likeness"):
        Likeness(same=0.2, other=0.5)


# --- scenes for the tracker -----------------------------------------------------------------------------------------


def test_two_people_who_cross_keep_their_ids() -> None:
    """The farther one is not found while the nearer one covers it."""
    ids = []
    tracker = MotionTracker()
    for frame in range(75):
        near, far = (100 + 6 * frame, 200, 90), (520 - 5 * frame, 205, 60)
        hidden = abs(near[0] - far[0]) < 50
        ids.append(tracker.update(faces([near] if hidden else [near, far]), frame / 25).ids.tolist())
    assert {len(row) for row in ids} == {1, 2}
    assert all(row == [1, 2][: len(row)] for row in ids)


def test_a_face_that_blinks_out_for_half_a_second_keeps_its_id() -> None:
    scene = [(k / 25, [] if 20 <= k < 33 else [(100 + 3 * k, 100 + k, 50)]) for k in range(60)]
    assert {id_ for row in follow(scene) for id_ in row} == {1}


def test_who_walks_abreast_behind_somebody_is_waited_for_longer_than_who_is_gone() -> None:
    def walk(covered: bool) -> list[int]:
        tracker, row = MotionTracker(patience=1.0, hiding=3.0), []
        for k in range(90):
            other = (100 + 2 * k, 100, 80) if covered else (900, 500, 80)
            missing = 20 <= k < 70
            row = tracker.update(faces([other] if missing else [other, (105 + 2 * k, 100, 50)]), k / 25).ids.tolist()
        return row

    assert walk(covered=True) == [1, 2]
    assert walk(covered=False) == [1, 3]


def test_who_leaves_for_long_comes_back_as_somebody_new() -> None:
    scene = [(0.0, [(50, 50, 40)]), (0.04, [(50, 50, 40)]), (0.08, []), (9.0, [(50, 50, 40)])]
    assert follow(scene) == [[1], [1], [], [2]]


def test_a_false_alarm_does_not_linger() -> None:
    """Seen once only, it may not catch a face that appears there most of a second later."""
    scene = [(k / 25, [(50, 50, 40)] if k in (0, 20) else []) for k in range(21)]
    assert follow(scene)[-1] == [2]


def test_true_seconds_count_not_frames() -> None:
    """The same walk, sampled unevenly: steps of one frame and of eight."""
    moments = np.cumsum([0.04, 0.04, 0.04, 0.04, 0.32, 0.04, 0.32, 0.32, 0.08, 0.32, 0.04, 0.32, 0.32])
    scene = [(t, [(100 + 150 * t, 100, 50), (600 - 150 * t, 130, 50)]) for t in moments.tolist()]
    assert all(row == [1, 2] for row in follow(scene))


def grid(count: int, frame: int, trembling: npt.NDArray[np.float64]) -> list[tuple[float, float, float]]:
    across = int(np.ceil(np.sqrt(count)))
    return [
        (60 * (k % across) + 15 * np.sin(frame / 6 + k) + trembling[k, 0], 70 * (k // across) + trembling[k, 1], 40)
        for k in range(count)
    ]


@pytest.mark.parametrize("count", [100, 1000])
def test_a_crowd_in_any_order_keeps_its_ids(count: int) -> None:
    rng = np.random.default_rng(0)
    tracker, of_face = MotionTracker(), np.zeros(count, np.int64)
    for frame in range(8):
        order = rng.permutation(count) if frame else np.arange(count)
        places = grid(count, frame, rng.normal(scale=1, size=(count, 2)))
        ids = tracker.update(faces([places[k] for k in order]), frame / 25).ids
        of_face[order] = ids
        assert np.array_equal(of_face, np.arange(count) + 1)


def test_prediction_follows_the_walk_and_changes_nothing() -> None:
    tracker = MotionTracker()
    for k in range(26):
        tracker.update(faces([(100 + 4 * k, 100, 50), (500, 300 - 2 * k, 60)]), k / 25)
    later = tracker.predict(1.12)
    truth = faces([(212, 100, 50), (500, 244, 60)])
    assert later.ids.tolist() == [1, 2]
    assert later.detections.boxes == pytest.approx(truth.boxes, abs=3)
    assert later.detections.landmarks == pytest.approx(truth.landmarks, abs=3)
    assert np.array_equal(tracker.predict(1.12).detections.boxes, later.detections.boxes)
    assert tracker.update(faces([(212, 100, 50), (500, 244, 60)]), 1.12).ids.tolist() == [1, 2]


def test_prediction_at_the_moment_of_looking_is_what_was_seen() -> None:
    tracker = MotionTracker()
    seen = tracker.update(faces([(100, 100, 50)]), 2.0)
    assert tracker.predict(2.0).detections.boxes == pytest.approx(seen.detections.boxes, abs=1e-3)


def test_prediction_tells_the_unseen_only_when_asked() -> None:
    tracker = MotionTracker()
    for k in range(6):
        tracker.update(faces([(100, 100, 50), (300, 100, 50)]), k / 25)
    tracker.update(faces([(100, 100, 50)]), 6 / 25)
    assert tracker.predict(7 / 25).ids.tolist() == [1]
    assert sorted(tracker.predict(7 / 25, unseen=True).ids.tolist()) == [1, 2]


# --- motion ---------------------------------------------------------------------------------------------------------


def test_a_filter_learns_the_speed_and_grows_sure() -> None:
    noises = Noises()
    motion = born(observed(faces([(100, 100, 50)]).boxes), noises)
    for k in range(1, 40):
        motion = moved(motion, np.array([0.04]), noises)
        motion = corrected(motion, observed(faces([(100 + 2 * k, 100, 50)]).boxes), noises)
    assert motion.speeds[0, 0] == pytest.approx(50, abs=2)
    assert abs(motion.speeds[0, 1]) < 1e-6
    assert motion.spreads[0, 0, 0] < noises.measured[0] ** 2
    assert boxes_of(motion.values) == pytest.approx(faces([(178, 100, 50)]).boxes, abs=1)


def test_looking_away_makes_less_sure() -> None:
    motion = born(observed(faces([(100, 100, 50)]).boxes), Noises())
    soon, late = (moved(motion, np.array([t]), Noises()).spreads[0, 0, 0] for t in (0.1, 1.0))
    assert motion.spreads[0, 0, 0] < soon < late


@given(
    arrays.arrays(np.float64, st.integers(0, 8), elements=st.integers(0, 50).map(float)),
    arrays.arrays(np.float64, st.integers(0, 8), elements=st.integers(0, 50).map(float)),
    st.integers(1, 20),
)
def test_neighbours_found_by_sorting_are_the_neighbours(
    some: npt.NDArray[np.float64], others: npt.NDArray[np.float64], reach: int
) -> None:
    motion = born(observed(faces([(x, 0, 10) for x in some]).boxes), Noises())
    seen = observed(faces([(x, 0, 10) for x in others]).boxes)
    found = nearby(motion, seen, np.full(len(some), float(reach)))
    assert set(zip(*(column.tolist() for column in found), strict=True)) == {
        (i, j) for i, x in enumerate(some) for j, y in enumerate(others) if abs(x - y) <= reach
    }


# --- assignment -----------------------------------------------------------------------------------------------------

costs = arrays.arrays(
    np.float64, st.tuples(st.integers(0, 6), st.integers(0, 6)), elements=st.integers(-9, 9).map(float)
)


def cheapest(matrix: npt.NDArray[np.float64]) -> float:
    """The least sum over all ways to seat everybody on the shorter side, tried one by one."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    rows, columns = wide.shape
    return min(sum(wide[range(rows), list(order)]) for order in permutations(range(columns), rows))


@pytest.mark.parametrize("small", [0, 64])
@given(costs)
def test_assignment_is_as_cheap_as_any(small: int, matrix: npt.NDArray[np.float64]) -> None:
    """Both ways of solving it: `small` decides from where on NumPy takes the loops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assigning, "SMALL", small)
        partner = assign(matrix)
    seated = np.flatnonzero(partner >= 0)
    assert len(seated) == min(matrix.shape) == len(set(partner[seated].tolist()))
    assert matrix[seated, partner[seated]].sum() == pytest.approx(cheapest(matrix))


@given(costs)
def test_best_pairs_gain_as_much_as_any_choice(gains: npt.NDArray[np.float64]) -> None:
    """Against brute force on the whole matrix, where staying alone gains nothing."""
    rows, columns = np.nonzero(gains)
    chosen = best_pairs(rows, columns, gains[rows, columns])
    assert len(set(rows[chosen].tolist())) == len(chosen) == len(set(columns[chosen].tolist()))
    assert (gains[rows[chosen], columns[chosen]] > 0).all()
    assert gains[rows[chosen], columns[chosen]].sum() == pytest.approx(-cheapest(-np.maximum(gains, 0)))


# --- the linker -----------------------------------------------------------------------------------------------------


class Theatre:
    """People with looks and a linker that watches them; the tracker's ids are whatever the test says."""

    def __init__(self) -> None:
        self.linker = AppearanceLinker()
        self.rng = np.random.default_rng(3)
        self.looks = np.linalg.qr(self.rng.normal(size=(128, 8)))[0].T.astype(np.float32)
        self.seconds = 0.0

    def show(self, *cast: tuple[int, int, float], pause: float = 0.04) -> list[int]:
        """One frame of (tracker's id, person, place in x); a person below 0 was not read."""
        self.seconds += pause
        tracks = Tracks(
            faces([(x, 100, 50) for _, _, x in cast]),
            np.array([key for key, _, _ in cast], np.int64),
            np.ones(len(cast), np.int64),
        )
        vectors = np.array([self._look(person) for _, person, _ in cast], np.float32).reshape(-1, 128)
        return self.linker.update(tracks, Embeddings(vectors, "test"), self.seconds).ids.tolist()

    def _look(self, person: int) -> Floats:
        if person < 0:
            return np.zeros(128, np.float32)
        vector = self.looks[person] + self.rng.normal(scale=0.03, size=128).astype(np.float32)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


def test_without_a_reason_ids_stay_what_the_tracker_says() -> None:
    theatre = Theatre()
    for k in range(30):
        assert theatre.show((1, 0, 100 + 2 * k), (2, 1, 400)) == [1, 2]


def test_who_comes_out_of_hiding_gets_the_old_id_back_at_once() -> None:
    theatre = Theatre()
    for _ in range(10):
        theatre.show((1, 0, 100), (2, 1, 300))
    for _ in range(30):
        theatre.show((2, 1, 300))
    assert theatre.show((2, 1, 300), (3, 0, 110)) == [2, 1]
    assert theatre.show((2, 1, 300), (3, 0, 112)) == [2, 1]


def test_a_stranger_in_the_same_place_is_somebody_new() -> None:
    theatre = Theatre()
    for _ in range(10):
        theatre.show((1, 0, 100))
    assert theatre.show((2, 5, 100), pause=0.5) == [2]


def test_who_comes_back_far_away_or_late_is_a_new_appearance() -> None:
    for x, pause in ((900.0, 0.5), (100.0, 6.0)):
        theatre = Theatre()
        for _ in range(10):
            theatre.show((1, 0, 100))
        assert theatre.show((2, 0, x), pause=pause) == [2]


def test_an_id_in_sight_is_never_given_twice() -> None:
    """A double, or a second box on the same face, looks the same; both stay."""
    theatre = Theatre()
    for _ in range(10):
        theatre.show((1, 0, 100))
    for _ in range(20):
        assert theatre.show((1, 0, 100), (2, 0, 130)) == [1, 2]


def test_swapped_ids_are_swapped_back() -> None:
    theatre = Theatre()
    for k in range(20):
        theatre.show((1, 0, 100 + 4 * k), (2, 1, 260 - 4 * k))
    after = [theatre.show((2, 0, 180 + 4 * k), (1, 1, 180 - 4 * k)) for k in range(20)]
    assert after[8:] == [[1, 2]] * 12


def test_a_track_taken_over_by_another_person_gets_a_fresh_id() -> None:
    theatre = Theatre()
    for _ in range(20):
        theatre.show((1, 0, 100))
    after = [theatre.show((1, 4, 100), pause=0.5 if k == 0 else 0.04) for k in range(20)]
    assert after[-1] == [2]
    assert [row[0] for row in after] == sorted(row[0] for row in after), "one change, not a flicker"


def test_the_owner_of_a_stolen_id_gets_it_back() -> None:
    """The tracker gives the hidden person's id to a newcomer, and a new one to the person who comes out."""
    theatre = Theatre()
    for _ in range(20):
        theatre.show((1, 0, 100))
    after = [theatre.show((1, 4, 130), (2, 0, 100), pause=0.5 if k == 0 else 0.04) for k in range(10)]
    assert after[-1][1] == 1
    assert after[-1][0] != 1


def test_a_slow_change_of_looks_is_still_the_person() -> None:
    """A head that turns: from one look to another over three seconds, without a gap or a neighbour."""
    theatre = Theatre()
    start, end = theatre.looks[0].copy(), theatre.looks[1].copy()
    for k in range(100):
        angle = min(k, 75) / 75 * np.pi / 3
        theatre.looks[2] = np.cos(angle) * start + np.sin(angle) * end
        assert theatre.show((1, 2, 100)) == [1]


def test_faces_that_are_not_read_keep_their_ids() -> None:
    theatre = Theatre()
    for k in range(20):
        assert theatre.show((1, 0 if k % 5 == 0 else -1, 100), (2, -1, 300)) == [1, 2]


def test_ages_count_the_sightings_of_the_person() -> None:
    theatre = Theatre()
    for _ in range(10):
        theatre.show((1, 0, 100))
    tracks = Tracks(faces([(100, 100, 50)]), np.array([2], np.int64), np.ones(1, np.int64))
    linked = theatre.linker.update(tracks, Embeddings(theatre.looks[:1], "test"), 1.0)
    assert (linked.ids.tolist(), linked.ages.tolist()) == ([1], [11])
    assert tracks.ids.tolist() == [2]


def test_one_embedding_per_track() -> None:
    with pytest.raises(ValueError, match="expected one per track"):
        AppearanceLinker().update(Tracks.empty(), Embeddings(np.ones((1, 128), np.float32), "test"), 0.0)
