"""Where columns become rows, and rows become JSON and come back. Nowhere else does this happen.

Rounding is part of the row's contract: a tenth of a pixel and four digits of a probability are more than the networks
know, and keep a crowd's file readable. What is not known is null in JSON and None here, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from manyfaces.errors import InputError
from manyfaces.types import Emotions, Face, Floats, Frame, FrameResult, Identities, Timing, Tracks, Unreadable

PIXEL_DIGITS = 1
SHARE_DIGITS = 4
SECOND_DIGITS = 4

ALL_DONE, NOTHING_DONE = Timing(), Timing(detected=False)


def frame_result(
    frame: Frame, tracks: Tracks, emotions: Emotions, identities: Identities, timing: Timing = ALL_DONE
) -> FrameResult:
    """The row of a frame whose faces the columns describe, in the columns' order."""
    _expect_equal_lengths(tracks, emotions, identities)
    faces = tuple(_face(tracks, emotions, identities, position) for position in range(len(tracks)))
    size = frame.width, frame.height
    return FrameResult(frame.stream, frame.index, frame.seconds, *size, faces, timing=timing)


def failed(unreadable: Unreadable) -> FrameResult:
    """The row of a frame that could not be decoded: it keeps its place in the stream and says why."""
    reason = unreadable.reason or "could not be read"
    return FrameResult(unreadable.stream, unreadable.index, unreadable.seconds, 0, 0, (), reason, NOTHING_DONE)


def as_json(result: FrameResult) -> dict[str, Any]:
    """The row as JSON takes it; the key `error` is there only where something went wrong."""
    row: dict[str, Any] = {
        "stream": result.stream,
        "index": result.index,
        "seconds": _rounded(result.seconds, SECOND_DIGITS),
        "width": result.width,
        "height": result.height,
        "faces": [_face_as_json(face) for face in result.faces],
        "timing": _timing_as_json(result.timing),
    }
    return {**row, "error": result.error} if result.error else row


def from_json(row: Mapping[str, Any]) -> FrameResult:
    """The result that a row speaks of; a row that lacks something or holds another type is refused."""
    try:
        faces = tuple(_face_from_json(face) for face in row["faces"])
        size = int(row["width"]), int(row["height"])
        return FrameResult(
            str(row["stream"]),
            int(row["index"]),
            float(row["seconds"]),
            *size,
            faces,
            str(row.get("error", "")),
            _timing_from_json(row.get("timing", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"this is not a row of manyfaces ({error!r}); write the file anew with -o FILE.jsonl"
        ) from None


def _expect_equal_lengths(tracks: Tracks, emotions: Emotions, identities: Identities) -> None:
    if not len(tracks) == len(emotions) == len(identities):
        raise ValueError(
            f"{len(tracks)} tracks, {len(emotions)} emotions and {len(identities)} identities do not match"
        )


def _face(tracks: Tracks, emotions: Emotions, identities: Identities, position: int) -> Face:
    found = tracks.detections
    x1, y1, x2, y2 = (float(value) for value in found.boxes[position])
    emotion, shares, confidence = _expression(emotions, position)
    similarity = _known(identities.similarities[position])
    return Face(
        track=int(tracks.ids[position]),
        box=(x1, y1, x2, y2),
        score=float(found.scores[position]),
        landmarks=tuple((float(x), float(y)) for x, y in found.landmarks[position]),
        emotion=emotion,
        emotions=shares,
        emotion_confidence=confidence,
        identity=identities.names[position],
        # Where there was nobody to compare with, there is no probability of being right either.
        identity_confidence=None if similarity is None else _known(identities.confidences[position]),
        similarity=similarity,
    )


def _expression(emotions: Emotions, position: int) -> tuple[str | None, dict[str, float], float | None]:
    """The likeliest label, all shares and the likeliest's share; nothing where no network has looked, which a head
    says by having no labels and a voter that still waits for evidence says by NaN."""
    shares: Floats = emotions.probabilities[position]
    if not emotions.labels or not np.isfinite(shares).all():
        return None, {}, None
    best = int(shares.argmax())
    named = {label: float(share) for label, share in zip(emotions.labels, shares, strict=True)}
    return emotions.labels[best], named, float(shares[best])


def _known(value: float | np.floating[Any]) -> float | None:
    return float(value) if math.isfinite(value) else None


def _timing_as_json(timing: Timing) -> dict[str, Any]:
    """What was done for the frame; its age, which is another in every run, only where somebody waited for it."""
    done = {
        "detected": timing.detected,
        "emotions": timing.emotions,
        "identities": timing.identities,
        "dropped": timing.dropped,
    }
    return done if timing.age is None else {**done, "age": _rounded(timing.age, SECOND_DIGITS)}


def _timing_from_json(timing: Mapping[str, Any]) -> Timing:
    emotions, identities, dropped = (int(timing.get(name, 0)) for name in ("emotions", "identities", "dropped"))
    return Timing(bool(timing.get("detected", True)), emotions, identities, dropped, _number(timing.get("age")))


def _face_as_json(face: Face) -> dict[str, Any]:
    return {
        "track": face.track,
        "box": [_rounded(edge, PIXEL_DIGITS) for edge in face.box],
        "score": _rounded(face.score, SHARE_DIGITS),
        "landmarks": [[_rounded(x, PIXEL_DIGITS), _rounded(y, PIXEL_DIGITS)] for x, y in face.landmarks],
        "emotion": face.emotion,
        "emotions": {label: _rounded(share, SHARE_DIGITS) for label, share in face.emotions.items()},
        "emotion_confidence": _rounded(face.emotion_confidence, SHARE_DIGITS),
        "identity": face.identity,
        "identity_confidence": _rounded(face.identity_confidence, SHARE_DIGITS),
        "similarity": _rounded(face.similarity, SHARE_DIGITS),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    """Null for what is not known or no number; adding zero turns -0.0, which would look like a fault, into 0.0."""
    return round(value, digits) + 0.0 if value is not None and math.isfinite(value) else None


def _face_from_json(face: Mapping[str, Any]) -> Face:
    x1, y1, x2, y2 = (float(edge) for edge in face["box"])
    return Face(
        track=int(face["track"]),
        box=(x1, y1, x2, y2),
        score=float(face["score"]),
        landmarks=tuple((float(x), float(y)) for x, y in face["landmarks"]),
        emotion=face["emotion"],
        emotions={str(label): float(share) for label, share in face["emotions"].items()},
        emotion_confidence=_number(face["emotion_confidence"]),
        identity=face["identity"],
        identity_confidence=_number(face["identity_confidence"]),
        similarity=_number(face["similarity"]),
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
