"""What is spent where: on everything that is new, at a rate on what goes on, on nobody too late, whatever happens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfaces.attention import LEAST_EFFORT, Budget, EveryFace, Thrifty
from manyfaces.errors import UsageError
from manyfaces.stages import News
from manyfaces.types import (
    Detections,
    Embeddings,
    Emotions,
    Floats,
    Frame,
    Identities,
    Integers,
    Look,
    Pixels,
    Tracks,
    Turns,
)

BUDGET = Budget()
GREY = np.full((700, 1000, 3), 90, np.uint8)
POINTS = np.array([(6, 7), (14, 7), (10, 11), (7, 15), (13, 15)], np.float32)
RATES = st.sampled_from([5, 7, 8, 10, 12, 12.5, 15, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 90, 120])
EPSILON = 1e-5

LIKE = np.array([1, 0], np.float32)
UNLIKE = np.array([0, 1], np.float32)


def standing(ids: Sequence[int], width: float = 20) -> Tracks:
    """Faces apart from one another, each in a place of its own, which its id says."""
    numbers = np.array(ids, np.int64)
    corners = np.stack([numbers % 40 * 25, numbers // 40 % 28 * 25], axis=1).astype(np.float32)
    boxes = np.concatenate([corners, corners + np.float32(width)], axis=1)
    landmarks = corners[:, None] + POINTS * np.float32(width / 20)
    return Tracks(
        Detections(boxes, np.full(len(ids), 0.9, np.float32), landmarks), numbers, np.ones(len(ids), np.int64)
    )


@dataclass
class Reading:
    """What the heads say of a face."""

    expression: tuple[float, float] = (1.0, 0.0)
    vector: Floats = field(default_factory=lambda: LIKE)
    confidence: float = 1.0


Says = Callable[[float, int], Reading]


def calm(_seconds: float, _face: int) -> Reading:
    return Reading()


def news_of(index: int, seconds: float, ids: Integers, turns: Turns, says: Says, age: float | None) -> News:
    """What the heads would have said of the turns of a frame."""
    emotion_ids, identity_ids = ids[turns.emotion], ids[turns.identity]
    shares = [says(seconds, face).expression for face in emotion_ids.tolist()]
    who = [says(seconds, face) for face in identity_ids.tolist()]
    identities = Identities(
        ("Lan",) * len(who),
        np.array([one.confidence for one in who], np.float32),
        np.full(len(who), 0.5, np.float32),
    )
    vectors = np.array([one.vector for one in who], np.float32).reshape(-1, 2)
    emotions = Emotions(np.array(shares, np.float32).reshape(-1, 2), ("open", "closed"))
    return News(index, emotion_ids, emotions, identity_ids, Embeddings(vectors, "two"), identities, age)


@dataclass
class Played:
    """What became of a film: the searched moments and when which face was read."""

    looks: list[tuple[float, Look]] = field(default_factory=list)
    emotions: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    identities: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    per_frame: list[int] = field(default_factory=list)

    @property
    def searched(self) -> list[float]:
        return [seconds for seconds, look in self.looks if look.detects]

    def note(self, seconds: float, look: Look, ids: Integers, turns: Turns) -> None:
        self.looks.append((seconds, look))
        for readings, positions in ((self.emotions, turns.emotion), (self.identities, turns.identity)):
            for face in ids[positions].tolist():
                readings[face].append(seconds)
        self.per_frame.append(len(turns.emotion))


Scene = Callable[[float], Tracks]


def play(
    scene: Scene,
    rate: float,
    seconds: float,
    says: Says = calm,
    ages: Iterator[float] | None = None,
    attention: Thrifty | None = None,
) -> Played:
    """A film of so many frames a second, through an attention that hears of each frame at once."""
    attention, played = attention or Thrifty(), Played()
    for index in range(int(rate * seconds)):
        now = index / rate
        frame, tracks = Frame(GREY, index, now, "film"), scene(now)
        look = attention.look(frame)
        turns = attention.turns(frame, look, tracks)
        played.note(now, look, tracks.ids, turns)
        attention.learn(news_of(index, now, tracks.ids, turns, says, next(ages) if ages else None))
    return played


def crowd(count: int) -> Scene:
    tracks = standing(range(count))
    return lambda _: tracks


def longest_wait(moments: list[float], begin: float, end: float) -> float:
    return max(later - earlier for earlier, later in pairwise([begin, *moments, end]))


# --- searching -------------------------------------------------------------------------------------------------------


@given(rate=RATES, wanted=st.sampled_from([1.0, 5.0, 12.5, 30.0]))
def test_no_fewer_searches_than_wanted_as_far_as_the_frame_rate_allows_and_not_many_more(
    rate: float, wanted: float
) -> None:
    searched = play(crowd(0), rate, 8, attention=Thrifty(Budget(detections=wanted))).searched
    gaps = np.diff(searched)
    assert searched[0] == 0
    assert gaps.max() <= max(1 / wanted, 1 / rate) + EPSILON
    assert (gaps + 1 / rate > 1 / wanted - EPSILON).all(), "one frame later would have been too late"


def looks(attention: Thrifty, pictures: Sequence[Pixels]) -> list[tuple[Look, int]]:
    """How each picture of a film at 100 frames a second is met, and how many of its seven faces are read in full."""
    met = []
    for index, picture in enumerate(pictures):
        frame = Frame(picture, index, index / 100, "film")
        look = attention.look(frame)
        turns = attention.turns(frame, look, standing(range(7)))
        met.append((look, len(np.intersect1d(turns.emotion, turns.identity))))
    return met


def test_the_first_frame_and_another_scene_are_searched_and_read_in_full() -> None:
    bright = np.full_like(GREY, 220)
    assert looks(Thrifty(), [GREY, GREY, bright, bright, GREY]) == [
        (Look.AFRESH, 7),
        (Look.CARRY, 0),
        (Look.AFRESH, 7),
        (Look.CARRY, 0),
        (Look.AFRESH, 7),
    ]


@given(height=st.integers(1, 200), width=st.integers(1, 200), scale=st.sampled_from([1, 2, 3]))
def test_a_picture_of_another_size_is_another_scene(height: int, width: int, scale: int) -> None:
    one = np.full((60, 60, 3), 90, np.uint8)
    other = np.full((height * scale, width * scale, 3), 90, np.uint8)
    (_, (look, _), _) = looks(Thrifty(), [one, other, other])
    assert (look is Look.AFRESH) == (other.shape != one.shape)


def test_the_same_scene_at_twice_the_size_is_another_scene() -> None:
    """Its samples are equal; what is known of boxes is wrong all the same."""
    small = np.full((48, 48, 3), 90, np.uint8)
    assert looks(Thrifty(), [small, np.repeat(np.repeat(small, 2, 0), 2, 1)])[1] == (Look.AFRESH, 7)


def test_something_that_moves_is_no_other_scene() -> None:
    moved = GREY.copy()
    moved[100:300, 100:300] = 250
    assert [look for look, _ in looks(Thrifty(), [GREY, moved, GREY])] == [Look.AFRESH, Look.CARRY, Look.CARRY]


def test_time_that_runs_backwards_is_searched() -> None:
    attention = Thrifty()
    moments = [0.0, 0.01, 10.0, 3.0, 3.01]
    met = [attention.look(Frame(GREY, index, now, "film")) for index, now in enumerate(moments)]
    assert met[3].detects


def test_faces_carried_on_are_not_asked_who_they_are() -> None:
    played = play(crowd(9), 100, 2)
    assert set(played.identities[3]) <= set(played.searched)
    assert not set(played.emotions[3]) <= set(played.searched)


# --- readings --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(rate=RATES, faces=st.integers(1, 60), wanted=st.sampled_from([2.0, 8.0]))
def test_expressions_are_read_at_the_rate(rate: float, faces: int, wanted: float) -> None:
    played = play(crowd(faces), rate, 10, attention=Thrifty(Budget(emotions=wanted)))
    for moments in played.emotions.values():
        readings = sum(1 <= moment < 9 for moment in moments) / 8
        assert readings == pytest.approx(min(wanted, rate), abs=0.3)


@pytest.mark.parametrize("rate", [10, 25, 30, 60])
def test_faces_born_together_are_not_read_together(rate: float) -> None:
    played = play(crowd(100), rate, 6)
    expected = 100 * min(BUDGET.emotions / rate, 1)
    assert played.per_frame[0] == 100
    assert np.abs(np.array(played.per_frame[10:]) - expected).max() <= 8


def test_a_face_that_changes_is_read_twice_as_often() -> None:
    flips = cycle([(1.0, 0.0), (0.0, 1.0)])

    def restless(_seconds: float, face: int) -> Reading:
        return Reading() if face else Reading(next(flips))

    played = play(crowd(2), 50, 10, restless, attention=Thrifty(Budget(emotions=4)))
    often, seldom = (len(played.emotions[face]) for face in (0, 1))
    assert seldom == pytest.approx(40, abs=2)
    assert often > 1.6 * seldom


def test_who_somebody_is_is_asked_at_once_a_few_times_and_then_once_in_a_while() -> None:
    played = play(crowd(10), 25, 40)
    for moments in played.identities.values():
        assert moments[0] == 0
        assert moments[4] <= 4 / BUDGET.identities + 0.2
        quiet = np.diff(moments[5:])
        assert quiet.min() >= 0.75 * BUDGET.refresh - 0.1
        assert quiet.max() <= 1.25 * BUDGET.refresh + 0.1


EVENT = 6.0
"""When something happens to face 0, which has been quiet by then."""


def touched(now: float) -> Tracks:
    """Another face passes over it."""
    tracks = standing([0, 1])
    if EVENT <= now < EVENT + 0.1:
        tracks.detections.boxes[1] = tracks.detections.boxes[0] + 5
    return tracks


def lost(now: float) -> Tracks:
    return standing([1] if EVENT - 0.5 <= now < EVENT else [0, 1])


def nearer(now: float) -> Tracks:
    return standing([0, 5], width=20 if now < EVENT else 28)


@pytest.mark.parametrize("scene", [touched, lost, nearer])
@pytest.mark.parametrize("offset", [0.0, 0.7, 1.4, 2.1])
def test_a_quiet_face_is_read_again_soon_after(scene: Scene, offset: float) -> None:
    """Wherever between two of its readings the event falls."""
    played = play(lambda now: scene(now + offset), 25, 12)
    event = EVENT - offset
    before = [moment for moment in played.identities[0] if moment < event]
    after = [moment for moment in played.identities[0] if moment >= event]
    assert before
    assert after[0] - event <= 1 / BUDGET.identities + 1 / BUDGET.detections + EPSILON


@pytest.mark.parametrize("scene", [touched, lost])
def test_a_face_that_may_have_been_mistaken_is_read_for_a_while_as_if_it_were_new(scene: Scene) -> None:
    played = play(scene, 25, 12)
    assert len([moment for moment in played.identities[0] if EVENT <= moment < EVENT + 1.5]) >= 6


@pytest.mark.parametrize("changed", [Reading(confidence=0.5), Reading(vector=UNLIKE)], ids=["doubt", "unlike"])
def test_a_reading_that_raises_a_question_is_followed_by_another_soon(changed: Reading) -> None:
    played = play(crowd(1), 25, 16, lambda now, _: changed if now >= EVENT else Reading())
    first, second, *_ = (moment for moment in played.identities[0] if moment >= EVENT)
    assert second - first <= 1 / BUDGET.identities + 2 / BUDGET.detections


def test_doubt_that_stays_is_not_asked_about_for_ever() -> None:
    played = play(crowd(1), 25, 40, lambda *_: Reading(confidence=0.5))
    quiet = np.diff([moment for moment in played.identities[0] if moment > 10])
    assert quiet.min() >= 0.75 * BUDGET.refresh - 0.1


def test_a_face_that_was_away_for_long_is_new() -> None:
    played = play(lambda now: standing([] if 3 <= now < 9 else [0]), 25, 12)
    back = [moment for moment in played.identities[0] if moment >= 9]
    assert back[0] <= 9 + 1 / BUDGET.detections
    assert back[4] - back[0] <= 4 / BUDGET.identities + 0.2


def test_nobody() -> None:
    played = play(crowd(0), 25, 3)
    assert not played.emotions
    assert not played.identities
    assert len(played.searched) >= 3 * BUDGET.detections - 1


def test_a_thousand_faces_all_get_their_turns() -> None:
    played = play(crowd(1000), 25, 1)
    assert played.per_frame[0] == 1000
    assert len(played.identities) == 1000
    assert all(len(moments) == pytest.approx(8, abs=2) for moments in played.emotions.values())


def test_every_face_means_every_face() -> None:
    attention, frame = EveryFace(), Frame(GREY, 0, 0.0, "film")
    for _ in range(3):
        turns = attention.turns(frame, attention.look(frame), standing(range(5)))
        assert turns.emotion.tolist() == turns.identity.tolist() == [0, 1, 2, 3, 4]


# --- pressure --------------------------------------------------------------------------------------------------------


def efforts(ages: Sequence[float], indices: Sequence[int] | None = None) -> list[float]:
    attention, told = Thrifty(), []
    for number, age in zip(indices or range(len(ages)), ages, strict=True):
        nobody = Turns.of_all(0)
        attention.learn(news_of(number, 0.0, np.empty(0, np.int64), nobody, calm, age))
        told.append(attention.effort)
    return told


@given(st.lists(st.floats(0, 1), max_size=300))
def test_late_results_lower_the_effort_and_early_ones_raise_it(ages: list[float]) -> None:
    for age, (before, after) in zip(ages, pairwise([1.0, *efforts(ages)]), strict=True):
        if age > BUDGET.deadline:
            assert after == max(before * 0.93, LEAST_EFFORT)
        else:
            assert before < after <= 1 or before == after == 1


def test_frames_passed_over_lower_the_effort_however_young_the_results() -> None:
    assert efforts([0.0] * 50, range(0, 150, 3))[-1] < 0.6
    assert efforts([0.0] * 50)[-1] == 1


def test_the_effort_never_falls_to_nothing() -> None:
    assert efforts([9.0] * 500, range(0, 5000, 10))[-1] == LEAST_EFFORT


def test_a_recording_is_never_spared_because_of_gaps_in_its_index() -> None:
    """Somebody reads every fifth frame of a file: nobody waits, so nothing is hurried."""
    attention = Thrifty()
    for index in range(0, 100, 5):
        frame, ids = Frame(GREY, index, index / 25, "film"), standing(range(3))
        turns = attention.turns(frame, attention.look(frame), ids)
        attention.learn(news_of(index, frame.seconds, ids.ids, turns, calm, None))
    assert attention.effort == 1


@settings(deadline=None, max_examples=25)
@given(rate=st.sampled_from([5.0, 8.0, 15.0]), faces=st.integers(1, 20), late=st.floats(0, 1), seed=st.integers(0, 99))
def test_no_face_starves_whatever_the_ages(rate: float, faces: int, late: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    ages = iter(lambda: float(chance.random() < late), 2.0)
    played = play(crowd(faces), rate, 90, ages=ages)
    # The rarest search; then a turn that was put off by the longest interval, and everybody who waits longer first.
    search = max(1 / (BUDGET.detections * LEAST_EFFORT), 1 / rate)
    expression = 1 / (BUDGET.emotions * LEAST_EFFORT) + 0.5 / BUDGET.detections + search
    identity = 1.25 * BUDGET.refresh / LEAST_EFFORT + 0.5 / BUDGET.detections + (faces + 1) * search
    for face in range(faces):
        assert longest_wait(played.emotions[face], 0, 90) <= expression + EPSILON
        assert longest_wait(played.identities[face], 0, 90) <= identity + EPSILON


def test_newcomers_do_not_push_ahead_of_those_who_wait() -> None:
    """With the least effort one face a search is asked who it is, and with every frame a new face comes and goes."""
    attention = Thrifty()
    for number in range(100):
        attention.learn(news_of(number, 0.0, np.empty(0, np.int64), Turns.of_all(0), calm, 9.0))
    played = play(
        lambda now: standing([0, 1, 2, 100 + int(now * 10)]), 10, 60, ages=iter(lambda: 9.0, 0.0), attention=attention
    )
    assert attention.effort == LEAST_EFFORT
    search = 1 / (BUDGET.detections * LEAST_EFFORT)
    for face in range(3):
        assert played.identities[face][0] <= 6 * search
        assert longest_wait(played.identities[face], 0, 60) <= 1.25 * BUDGET.refresh / LEAST_EFFORT + 6 * search


# --- when news counts ------------------------------------------------------------------------------------------------


def restive(seed: int) -> Says:
    def says(seconds: float, face: int) -> Reading:
        chance = np.random.default_rng((seed, face, int(seconds * 1000)))
        share = float(chance.random())
        return Reading((share, 1 - share), LIKE if chance.random() < 0.7 else UNLIKE, float(chance.random()))

    return says


def decisions(lag: int, waits: Sequence[int], step: int, seed: int) -> list[tuple[Look, list[int], list[int]]]:
    """What is decided where news of the n-th frame comes `waits[n]` frames later, as far as the lag allows."""
    attention, decided = Thrifty(lag=lag), []
    under_way: list[tuple[int, News]] = []
    for number, wait in enumerate(waits):
        frame, tracks = Frame(GREY, number * step, number / 20, "film"), standing(range(12))
        look = attention.look(frame)
        while under_way and (len(under_way) >= max(lag, 1) or under_way[0][0] <= number):
            attention.learn(under_way.pop(0)[1])
        turns = attention.turns(frame, look, tracks)
        decided.append((look, turns.emotion.tolist(), turns.identity.tolist()))
        news = news_of(frame.index, frame.seconds, tracks.ids, turns, restive(seed), None)
        under_way.append((number + 1 + wait, news))
    return decided


@settings(deadline=None, max_examples=30)
@given(
    lag=st.integers(0, 9),
    waits=st.lists(st.integers(0, 9), min_size=40, max_size=60),
    step=st.integers(1, 7),
    seed=st.integers(0, 9),
)
def test_decisions_do_not_depend_on_how_early_news_comes(lag: int, waits: list[int], step: int, seed: int) -> None:
    at_once, at_the_last_moment = [0] * len(waits), [99] * len(waits)
    decided = decisions(lag, waits, step, seed)
    assert decided == decisions(lag, at_once, step, seed) == decisions(lag, at_the_last_moment, step, seed)


@pytest.mark.parametrize(
    "wrong", [{"detections": 0}, {"emotions": -1}, {"identities": float("inf")}, {"refresh": 5}, {"deadline": 0}]
)
def test_a_budget_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="must"):
        Budget(**wrong)
