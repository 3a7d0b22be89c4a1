"""Voting over time: what a face shows and who it is, from all that was seen of it lately.

Evidence is kept per track, never shared between faces, and fades. A sharp, large, frontal view counts more than a
smeared one. Ages are in seconds of the stream, so that frame rate and gaps make no difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from manyfaces.stages import Identifier
from manyfaces.types import Embeddings, Emotions, Floats, Identities, Integers, Qualities

FORGET_AFTER = 5.0
"""Seconds after which a track that was not seen is forgotten; trackers give up earlier."""


def evidence_weights(qualities: Qualities) -> Floats:
    """What each view counts, 0.05 to 1: full weight from 80 pixels, frontal and sharp; a bad view counts a little."""
    size = np.clip(qualities.size / 80, 0, 1)
    frontal = np.clip(1.25 - qualities.yaw, 0, 1)
    sharp = np.clip(qualities.sharpness / 100, 0.2, 1)
    weights: Floats = np.clip(size * frontal * sharp * qualities.inside, 0.05, 1).astype(np.float32)
    return weights


@dataclass(frozen=True, slots=True)
class _Mean:
    """A fading weighted sum: after one `memory` without news its weight is down to 1/e."""

    total: Floats
    weight: float
    seconds: float

    @classmethod
    def of(cls, value: Floats, weight: float, seconds: float) -> _Mean:
        return cls(value * np.float32(weight), weight, seconds)

    @property
    def value(self) -> Floats:
        mean: Floats = self.total / np.float32(max(self.weight, 1e-9))
        return mean

    def with_news(self, value: Floats, weight: float, seconds: float, memory: float) -> _Mean:
        fade = float(np.exp(-max(seconds - self.seconds, 0.0) / memory))
        return _Mean(self.total * np.float32(fade) + value * np.float32(weight), self.weight * fade + weight, seconds)


class _Presence:
    """When each track was last in sight. A face that is seen but seldom read is not forgotten."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}

    def see(self, ids: Integers, seconds: float) -> None:
        self._seen.update(dict.fromkeys(ids.tolist(), seconds))
        self._seen = {track: seen for track, seen in self._seen.items() if seconds - seen < FORGET_AFTER}

    def __contains__(self, track: int) -> bool:
        return track in self._seen


class EmotionEvidence:
    """Emotions of one stream, each track's averaged over about the last second."""

    def __init__(self, memory: float = 0.6) -> None:
        self._memory = memory
        self._present = _Presence()
        self._means: dict[int, _Mean] = {}
        self._labels: tuple[str, ...] = ()

    def see(self, ids: Integers, seconds: float) -> None:
        """These tracks are in sight, whether they are read or not."""
        self._present.see(ids, seconds)

    def observe(self, ids: Integers, emotions: Emotions, weights: Floats, seconds: float) -> None:
        """Take what the head said of these tracks' faces."""
        self.see(ids, seconds)
        self._labels = emotions.labels
        for track, news, weight in zip(ids.tolist(), emotions.probabilities, weights.tolist(), strict=True):
            known = self._means.get(track)
            mean = known.with_news(news, weight, seconds, self._memory) if known else _Mean.of(news, weight, seconds)
            self._means[track] = mean
        self._means = {track: mean for track, mean in self._means.items() if track in self._present}

    def report(self, ids: Integers) -> Emotions:
        """What these tracks show; NaN for one that no head has looked at yet."""
        unknown = np.full(len(self._labels), np.nan, np.float32)
        rows = [self._means[track].value if track in self._means else unknown for track in ids.tolist()]
        return Emotions(np.array(rows, np.float32).reshape(len(ids), len(self._labels)), self._labels)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is believed of one track: its mean face, a rival face while the track looks like somebody else, the name
    shown, and since when the evidence has named another."""

    face: _Mean
    rival: _Mean | None
    rival_looks: int
    shown: tuple[str | None, float, float] | None
    otherwise_since: float | None


class IdentityVotes:
    """Names of one stream's tracks, decided from the mean face of the last 1 to 2 seconds.

    A shown name gives way only when the evidence has named another for `patience` seconds, so labels do not flicker.
    Who was unknown is named at once: the mean face is evidence enough, and waiting left 1.7 in a hundred faces of known
    people without their name. But a track that has clearly become another person (`looks` views in a row unlike the
    mean face) starts afresh at once.
    """

    UNLIKE = 0.2
    """Cosine below which two views are of different people: pairs of one person in one clip hardly ever fall so low."""

    def __init__(self, identify: Identifier, memory: float = 1.5, patience: float = 0.4, looks: int = 3) -> None:
        self._identify = identify
        self._memory = memory
        self._patience = patience
        self._looks = looks
        self._present = _Presence()
        self._known: dict[int, _Known] = {}

    def see(self, ids: Integers, seconds: float) -> None:
        """These tracks are in sight, whether they are read or not."""
        self._present.see(ids, seconds)

    def observe(self, ids: Integers, embeddings: Embeddings, weights: Floats, seconds: float) -> None:
        """Take these looks at the tracks' faces and think again about their names."""
        self.see(ids, seconds)
        tracks = ids.tolist()
        for track, vector, weight in zip(tracks, embeddings.vectors, weights.tolist(), strict=True):
            self._known[track] = self._looked_at(self._known.get(track), vector, weight, seconds)
        candidates = self._identify(Embeddings(self._mean_faces(tracks, embeddings), embeddings.model))
        for row, track in enumerate(tracks):
            self._known[track] = self._named(self._known[track], _row(candidates, row), seconds)
        self._known = {track: known for track, known in self._known.items() if track in self._present}

    def report(self, ids: Integers) -> Identities:
        """Who these tracks are believed to be; a track that was never looked at is a stranger."""
        known = [self._known.get(track) for track in ids.tolist()]
        rows = [(one.shown if one else None) or (None, 0.0, np.nan) for one in known]
        return Identities(
            names=tuple(name for name, _, _ in rows),
            confidences=np.array([confidence for _, confidence, _ in rows], np.float32),
            similarities=np.array([similarity for _, _, similarity in rows], np.float32),
        )

    def _looked_at(self, known: _Known | None, vector: Floats, weight: float, seconds: float) -> _Known:
        if known is None:
            return _Known(_Mean.of(vector, weight, seconds), None, 0, None, None)
        if _cosine(known.face.value, vector) >= self.UNLIKE:
            face = known.face.with_news(vector, weight, seconds, self._memory)
            return replace(known, face=face, rival=None, rival_looks=0)
        rival = known.rival.with_news(vector, weight, seconds, self._memory) if known.rival else None
        rival = rival or _Mean.of(vector, weight, seconds)
        if known.rival_looks + 1 >= self._looks:
            return _Known(rival, None, 0, None, None)
        face = replace(known.face, seconds=seconds)
        return replace(known, face=face, rival=rival, rival_looks=known.rival_looks + 1)

    def _mean_faces(self, tracks: list[int], embeddings: Embeddings) -> Floats:
        if not tracks:
            return embeddings.vectors
        means = np.stack([self._known[track].face.value for track in tracks])
        unit: Floats = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        return unit

    def _named(self, known: _Known, candidate: tuple[str | None, float, float], seconds: float) -> _Known:
        if known.shown is None or known.shown[0] in (None, candidate[0]):
            return replace(known, shown=candidate, otherwise_since=None)
        since = seconds if known.otherwise_since is None else known.otherwise_since
        if seconds - since >= self._patience:
            return replace(known, shown=candidate, otherwise_since=None)
        return replace(known, otherwise_since=since)


def _row(identities: Identities, row: int) -> tuple[str | None, float, float]:
    return identities.names[row], float(identities.confidences[row]), float(identities.similarities[row])


def _cosine(a: Floats, b: Floats) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))
