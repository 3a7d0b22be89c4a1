"""What do votes gain? The name that each frame alone would give a face, beside the one that the last 1 to 2 seconds of
its track give it, from one and the same look at a clip whose truth says who is who.

Of enrolled people a name is right, wrong or missing; of strangers any name is wrong. Frame by frame a name may also
flicker: `changes` counts how often what is said of one true face is another than it was in the frame before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.errors import InputError
from manyfaces.evaluate.detection import VideoTruth, judge, read_object, share, zip_frames
from manyfaces.geometry import iou
from manyfaces.pipeline import Stages, Stream, cut, read
from manyfaces.types import Floats, Frame

Name = str | None


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """The faces of one frame, and what they are called by it alone and by the votes of their tracks."""

    boxes: Floats
    alone: tuple[Name, ...]
    voted: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class NamingScore:
    """Shares of the faces of enrolled people, and of those of strangers that were given a name."""

    right: float
    wrong: float
    unnamed: float
    stranger_named: float
    changes: int
    faces: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VotingScore:
    alone: NamingScore
    voted: NamingScore

    @property
    def gain(self) -> float:
        """By how many of a hundred faces of enrolled people more are named rightly."""
        return 100 * (self.voted.right - self.alone.right)

    def as_dict(self) -> dict[str, Any]:
        return {"alone": self.alone.as_dict(), "voted": self.voted.as_dict(), "gain_points": round(self.gain, 4)}


def read_cast(path: Path) -> dict[int, str]:
    """Who each track of a clip's truth is: `"tracks": {"3": {"person": "Lan"}, ...}`."""
    tracks: Any = read_object(path).get("tracks")
    try:
        return {int(track): str(who["person"]) for track, who in tracks.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(
            f'{path}: does not say who is who; it needs "tracks": {{"3": {{"person": "Lan"}}, ...}} besides its frames'
        ) from None


def named(frames: Iterable[Frame], stages: Stages) -> Iterator[Said]:
    """Every face of every frame, read once and named twice. Each face must be read in each frame."""
    if stages.identity is None:
        raise ValueError("names are given by identity, so the stages need an identity head")
    stream = Stream(stages, 0)
    for frame in frames:
        faces = stream.follow(stream.meet(frame), stages.detect([frame.image])[0])
        readings = read([cut(faces, stages)], stages)[0]
        assert readings.embeddings is not None
        alone = stages.identify(readings.embeddings).names
        row = stream.conclude(faces, readings)
        boxes = np.array([face.box for face in row.faces], np.float32).reshape(-1, 4)
        yield Said(boxes, alone, tuple(face.identity for face in row.faces))


def score_voting(
    truth: VideoTruth, cast: Mapping[int, str], enrolled: Collection[str], frames: Iterable[Said]
) -> VotingScore:
    alone, voted = _Tally(), _Tally()
    for faces, said in zip_frames(truth, frames):
        verdict = judge(faces, iou(faces.boxes, said.boxes))
        for true, found in zip(verdict.true.tolist(), verdict.found.tolist(), strict=True):
            track = int(faces.ids[true])
            person = cast.get(track)
            right = person if person in enrolled else None
            alone.count(track, right, said.alone[found])
            voted.count(track, right, said.voted[found])
    return VotingScore(alone.score(), voted.score())


@dataclass(slots=True)
class _Tally:
    """`right` is None for a stranger, whom nobody should name."""

    became: Counter[str] = field(default_factory=Counter)
    last: dict[int, Name] = field(default_factory=dict)
    changes: int = 0

    def count(self, track: int, right: Name, said: Name) -> None:
        self.became[_verdict(right, said)] += 1
        self.changes += self.last.get(track, said) != said
        self.last[track] = said

    def score(self) -> NamingScore:
        enrolled = sum(self.became[one] for one in ("right", "wrong", "unnamed"))
        strangers = self.became["named"] + self.became["left alone"]
        shares = {one: self.became[one] / max(enrolled, 1) for one in ("wrong", "unnamed")}
        return NamingScore(
            right=share(self.became["right"], enrolled),
            **shares,
            stranger_named=self.became["named"] / max(strangers, 1),
            changes=self.changes,
            faces=enrolled + strangers,
        )


def _verdict(right: Name, said: Name) -> str:
    if right is None:
        return "left alone" if said is None else "named"
    return "unnamed" if said is None else "right" if said == right else "wrong"
