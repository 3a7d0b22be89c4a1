"""Where a second's work is spent: on every face of every frame, or where it tells something new.

A face changes its expression a few times a second and its identity never. So under a `Budget` faces are looked for some
times a second and carried on in between; expressions are read at a rate; and who somebody is is asked when a face
comes, when a better view of it comes, while there is doubt, and after a moment in which two faces could have been
mistaken for each other. Where all of that is too much for a live source, everything becomes rarer by the same factor:
nobody starves. Times are seconds of the stream, so what is chosen for a file does not depend on the machine.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from manyfaces.errors import UsageError
from manyfaces.geometry import areas, inside, overlaps
from manyfaces.quality import yaw
from manyfaces.stages import News
from manyfaces.types import Floats, Frame, Integers, Look, Pixels, Tracks, Turns

OTHER_SCENE = 28.0
"""Mean difference of two frames' grey levels from which they show different scenes; people who walk make 3 to 10."""

SAMPLES = 24
"""Points along each side of a frame that are compared for that."""

TOUCH = 0.1
"""The share of the smaller of two boxes under the other from which they could be mistaken for each other."""

RISK = 1.5
"""Seconds after a touch, or after being lost from sight for `GAP`, during which a face is read as if it were new."""

GAP = 0.2

FIRST_LOOKS = 6
"""Readings that make a name trustworthy and a look firm, in a row while there is time; more only confirm them."""

BETTER = 1.3
"""How much more a view must be worth than the best that was read to be read out of turn."""

UNSURE = 0.9
"""The calibrated probability of a name below which it stays in doubt, for `PATIENCE` readings."""

PATIENCE = 15

UNLIKE = 0.35
"""Cosine of two readings of one track below which it may have become another person."""

CHANGING = 0.25
"""How far two readings of an expression must lie apart (total variation) for the next to come in half the time."""

FORGET = 5.0
"""Seconds after which a track that was not seen is forgotten."""

LEAST_EFFORT = 0.1

GOLDEN = 0.6180339887
"""Multiples of it fall evenly into 0..1: tracks born together get their turns one after the other."""


class EveryFace:
    """An `Attention` that spares nothing: every face of every frame through both heads."""

    def look(self, _frame: Frame, /) -> Look:
        return Look.FIND

    def turns(self, _frame: Frame, _look: Look, tracks: Tracks, /) -> Turns:
        return Turns.of_all(len(tracks))

    def learn(self, news: News, /) -> None:
        """Nothing could change its mind."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How often what is done while there is time for all of it.

    detections: searches for faces a second; no fewer, as far as the frame rate allows. emotions: readings a second of
    each face's expression. identities: readings a second of who a face is that is new or in doubt. refresh: seconds
    between readings of a face of whom nobody doubts. deadline: seconds that a live result may take.
    """

    detections: float = 8.0
    emotions: float = 8.0
    identities: float = 5.0
    refresh: float = 2.5
    deadline: float = 0.12

    def __post_init__(self) -> None:
        if not all(0 < value < inf for value in (self.detections, self.emotions, self.identities)):
            raise UsageError(f"{self}: every rate must be more than 0 a second")
        if not (0 < self.refresh < FORGET and self.deadline > 0):
            raise UsageError(f"{self}: refresh must lie between 0 and {FORGET:g} seconds, the deadline above 0")


@dataclass(slots=True)
class _Account:
    """What was spent on one track, and when its next turns are due."""

    seen: float
    emotion_due: float
    identity_due: float
    looks: int = 0
    best: float = 0.0
    asked: float = -inf
    risk: float = -inf
    in_doubt: bool = False
    changing: bool = False
    expression: Floats | None = None
    vector: Floats | None = None


class Thrifty:
    """An `Attention` that keeps to a budget."""

    def __init__(self, budget: Budget | None = None, lag: int = 0) -> None:
        """`lag`: how many frames later news counts. An engine has so many frames under way, and sooner the same news
        would come at another time in every run."""
        self._budget = budget or Budget()
        self._lag = lag
        self._accounts: dict[int, _Account] = {}
        self._news: deque[News] = deque()
        self._heard = self._met = 0
        self._newest: int | None = None
        self._effort = 1.0
        self._looked = -inf
        self._last: float | None = None
        self._followed: float | None = None
        self._view: tuple[tuple[int, ...], Pixels] | None = None

    @property
    def effort(self) -> float:
        """1 while there is time for everything; a live source that comes too fast lowers it."""
        return self._effort

    def look(self, frame: Frame, /) -> Look:
        """Whether to search: in another scene, and when the next frame would come too late for the rate."""
        view, known = (frame.image.shape, _sampled(frame.image)), self._view
        self._view = view
        step = 0.0 if self._last is None else frame.seconds - self._last
        self._last = frame.seconds
        interval = 1 / (self._budget.detections * self._effort)
        afresh = known is None or known[0] != view[0] or _differ(known[1], view[1])
        if not afresh and 0 <= frame.seconds + step - self._looked <= interval + 1e-6:
            return Look.CARRY
        self._looked = frame.seconds
        return Look.AFRESH if afresh else Look.FIND

    def turns(self, frame: Frame, look: Look, tracks: Tracks, /) -> Turns:
        """The faces that are due. Who somebody is is asked only where a face was found: where exactly one carried on is
        nobody knows, which does an expression no harm."""
        while self._news and self._heard <= self._met - self._lag:
            self._take_in(self._news.popleft())
            self._heard += 1
        self._met += 1
        soon = frame.seconds + (0.0 if self._followed is None else max(frame.seconds - self._followed, 0.0)) / 2
        self._followed = frame.seconds
        if not look.detects:
            return self._expressions(self._accounts_of(frame, tracks), frame.seconds, soon)
        accounts, worth = self._accounts_of(frame, tracks), _worth(tracks, frame)
        fresh = look is Look.AFRESH and self._effort >= 1
        turns = Turns.of_all(len(tracks)) if fresh else self._due(accounts, worth, frame.seconds, soon)
        self._book(turns, accounts, worth, frame.seconds)
        return turns

    def learn(self, news: News, /) -> None:
        self._news.append(news)
        if news.age is not None:
            self._follow_the_clock(news.index, news.age)

    def _follow_the_clock(self, index: int, age: float) -> None:
        """Frames that were passed over say that there is not enough time, however young the results are."""
        if self._newest is not None and index > self._newest + 1:
            self._effort = max(self._effort * 0.97, LEAST_EFFORT)
        self._newest = index
        late = age > self._budget.deadline
        self._effort = max(self._effort * 0.93, LEAST_EFFORT) if late else min(self._effort + 0.01, 1.0)

    # --- when whose turn is ---

    def _accounts_of(self, frame: Frame, tracks: Tracks) -> list[_Account]:
        """Each track's account, opened where it is new; those long gone are closed."""
        now = frame.seconds
        self._accounts = {key: one for key, one in self._accounts.items() if now - one.seen < FORGET}
        touched = _touched(tracks.detections.boxes).tolist()
        found = []
        for key, touches in zip(tracks.ids.tolist(), touched, strict=True):
            account = self._accounts.get(key)
            if account is None:
                account = self._accounts[key] = _Account(seen=now, emotion_due=-inf, identity_due=now)
            if touches or now - account.seen > GAP:
                account.risk = now
                self._hurry(account)
            account.seen = now
            found.append(account)
        return found

    def _expressions(self, accounts: list[_Account], now: float, soon: float) -> Turns:
        """Between two searches."""
        due = [position for position, one in enumerate(accounts) if one.emotion_due <= soon]
        for position in due:
            self._book_emotion(accounts[position], now, position)
        return Turns(np.array(due, np.int64), np.empty(0, np.int64))

    def _due(self, accounts: list[_Account], worth: Floats, now: float, soon: float) -> Turns:
        """Expressions that are due before half the way to the next frame, identities before that to the next search."""
        search = now + 0.5 / self._budget.detections
        emotion = [one.emotion_due <= soon for one in accounts]
        identity = [
            one.identity_due <= search or (value > BETTER * one.best and now - one.asked >= 1 / self._budget.identities)
            for one, value in zip(accounts, worth.tolist(), strict=True)
        ]
        return Turns(np.flatnonzero(emotion), self._bounded(np.flatnonzero(identity), accounts))

    def _bounded(self, due: Integers, accounts: list[_Account]) -> Integers:
        """Under pressure no more than a few faces a frame are asked who they are: those that have waited longest."""
        most = max(int(16 * self._effort), 1)
        if self._effort >= 1 or len(due) <= most:
            return due
        waited = sorted(due.tolist(), key=lambda position: accounts[position].identity_due)
        return np.sort(np.array(waited[:most], np.int64))

    def _book(self, turns: Turns, accounts: list[_Account], worth: Floats, now: float) -> None:
        """Note what is read now, and when it is each face's turn again."""
        for position in turns.emotion.tolist():
            self._book_emotion(accounts[position], now, position)
        for position in turns.identity.tolist():
            account = accounts[position]
            account.looks += 1
            account.asked = now
            account.best = max(account.best, float(worth[position]))
            account.identity_due = now + self._until_identity(account, now, position)

    def _book_emotion(self, account: _Account, now: float, position: int) -> None:
        rate = self._budget.emotions * self._effort * (2 if account.changing else 1)
        if account.emotion_due < now - 1 / rate:  # the first time, or after an absence: spread those that come together
            account.emotion_due = now - 1 / rate * (position * GOLDEN % 1.0)
        account.emotion_due += 1 / rate

    def _until_identity(self, account: _Account, now: float, position: int) -> float:
        doubted = account.in_doubt and account.looks < PATIENCE
        if account.looks < FIRST_LOOKS and self._effort >= 1:
            return 0.0
        if account.looks < FIRST_LOOKS or doubted or now - account.risk <= RISK:
            return 1 / (self._budget.identities * self._effort)
        spread = 0.75 + 0.5 * (position * GOLDEN % 1.0)
        return self._budget.refresh * spread / self._effort

    def _hurry(self, account: _Account) -> None:
        """A quiet face has become questionable: it is not to wait until it would be asked again anyhow."""
        if account.looks:
            soon = account.asked + 1 / (self._budget.identities * self._effort)
            account.identity_due = min(account.identity_due, soon)

    # --- what was read ---

    def _take_in(self, news: News) -> None:
        for key, shares in zip(news.emotion_ids.tolist(), news.emotions.probabilities, strict=True):
            account = self._accounts.get(key)
            if account is not None:
                account.changing = _changed(account.expression, shares)
                account.expression = shares
        for row, key in enumerate(news.identity_ids.tolist()):
            account = self._accounts.get(key)
            if account is not None:
                self._doubt(account, news, row)

    def _doubt(self, account: _Account, news: News, row: int) -> None:
        vector = news.embeddings.vectors[row]
        if account.vector is not None and float(account.vector @ vector) < UNLIKE:
            account.looks = min(account.looks, FIRST_LOOKS - 2)  # perhaps another person: as good as new
            self._hurry(account)
        account.vector = vector
        known = bool(np.isfinite(news.identities.similarities[row]))
        account.in_doubt = known and float(news.identities.confidences[row]) < UNSURE
        if account.in_doubt and account.looks < PATIENCE:
            self._hurry(account)


def _changed(before: Floats | None, now: Floats) -> bool:
    return before is not None and float(np.abs(now - before).sum()) / 2 > CHANGING


def _sampled(image: Pixels) -> Pixels:
    """A few hundred pixels from all over the picture; copied, so that the picture itself can go."""
    height, width = image.shape[:2]
    sample: Pixels = image[:: max(height // SAMPLES, 1), :: max(width // SAMPLES, 1)].copy()
    return sample


def _differ(before: Pixels, now: Pixels) -> bool:
    """Whether two samples of pictures of one size come from different scenes."""
    return float(np.abs(before.astype(np.int16) - now).mean()) > OTHER_SCENE


def _worth(tracks: Tracks, frame: Frame) -> Floats:
    """What each view is worth, as far as the box and the landmarks tell: large, frontal, whole."""
    found = tracks.detections
    size = np.sqrt(areas(found.boxes)) / 80
    worth: Floats = np.minimum(size, 1.5) * np.clip(1.25 - yaw(found.landmarks), 0.1, 1)
    return worth * inside(found.boxes, frame.width, frame.height)


def _touched(boxes: Floats) -> npt.NDArray[np.bool_]:
    """Which boxes lie so far over another that their faces could be mistaken for each other."""
    if len(boxes) < 2:
        return np.zeros(len(boxes), bool)
    shared = overlaps(boxes, boxes)
    np.fill_diagonal(shared, 0)
    area = areas(boxes)
    smaller = np.minimum(area[:, None], area[None, :])
    return np.asarray((shared > TOUCH * smaller).any(axis=1), bool)
