"""Who is taken for whom, whom a gallery misses, which strangers it names; what those faces have in common, and which
photos would help.

The folder is split as for the accuracy: a gallery of most photos, calibrated as one on disk would be, is asked about
the others, and, with one person left out, about that stranger. A cause is a figure of the face by which it is worse
than nine in ten of those that were recognised. Of faces recognised that is a tenth by construction, so a cause means
something where it is found at many more of the mistakes, and the page says at how many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from manyfaces.evaluate.identity import stratified_splits
from manyfaces.evaluate.open_set import CalibratedAt
from manyfaces.prepare import Album
from manyfaces.prepare.doubts import Twins
from manyfaces.types import Floats, Integers, Pixels

RATE = 0.01
"""The stated share of strangers that the galleries let pass."""

STRANGER_SPLITS = 3
"""Splits in which everybody in turn is left out and asked about as a stranger: each takes a gallery per person."""

WORST = 0.1
"""The share of the recognised faces that are worse in a figure than what counts as a cause."""

FEW = 5
"""Photos of one person below which more photos of any kind are the best advice."""

Kind = Literal["another", "missed", "stranger"]
Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cause:
    """Something measured by which faces may be hard: its name as an attribute of the face, what photos of the kind to
    add are called, and whether more of it is worse."""

    name: str
    words: str
    advice: str
    unit: str
    more_is_worse: bool


CAUSES = (
    Cause("size", "small", "of small, distant faces", "{:.0f} pixels", False),
    Cause("sharpness", "blurred", "that are not quite sharp", "sharpness {:.0f}", False),
    Cause("yaw", "turned", "turned to the side", "{:.2f} of a quarter turn", True),
    Cause("inside", "cut off", "of which the edge cuts a part", "{:.0%} in the picture", False),
    Cause("darkness", "dark", "in dim light", "brightness {:.0f} of 255", False),
    Cause("glare", "bright", "in very bright light", "brightness {:.0f} of 255", True),
    Cause("contrast", "flat light", "in flat, hazy light", "contrast {:.0f}", False),
    Cause("one_sided", "lit from one side", "lit from one side", "sides differ by {:.0%}", True),
)
"""Glasses and hats are not among them: no simple measure told them from shadow and hair reliably enough to be said."""


@dataclass(frozen=True, slots=True)
class Found:
    """A cause at one face, and its figure in words."""

    cause: Cause
    figure: str


@dataclass(frozen=True, slots=True, eq=False)
class Mixup:
    """One face that went wrong, by its place in the album. `other`: the most similar enrolled face of somebody else,
    `right` of the person itself (-1 of a stranger, who has none); `times` of the `asked` splits it went so."""

    face: int
    kind: Kind
    other: int
    similarity: float
    right: int
    right_similarity: float
    times: int
    asked: int
    causes: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """What would help one person: how many of the questions about them went wrong, and which photos to add. `twins`:
    other names that look like the same person, whom no photos would tell apart."""

    person: str
    wrong: int
    asked: int
    photos: int
    add: tuple[str, ...]
    twins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Weight:
    """A cause's share among the mistakes; among the faces that were recognised it is about `WORST`."""

    cause: Cause
    mistakes: float
    recognised: float


@dataclass(frozen=True, slots=True, eq=False)
class Review:
    """All mistakes of a folder, the worst first, and what they have in common. `shares`: of questions about enrolled
    people those answered with another's name and those with none; of questions about strangers those named. `twins`:
    names that look like one person's."""

    album: Album
    splits: int
    mixups: tuple[Mixup, ...]
    shares: Mapping[Kind, float]
    weights: tuple[Weight, ...]
    advice: tuple[Advice, ...]
    twins: tuple[Twins, ...] = ()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one gallery said of one face."""

    face: int
    kind: Kind | None
    """None: named rightly, or a stranger left alone."""
    is_stranger: bool
    other: int
    right: int


def review(
    album: Album,
    splits: int,
    seed: int,
    make_identifier: CalibratedAt,
    strays: Collection[int] = (),
    twins: Sequence[Twins] = (),
) -> Review:
    """`strays`: faces, by their places, that seem to lie in the wrong folder; `twins`: names that look like one
    person's. No photos to add would help either."""
    answers = list(_answers(album, splits, seed, make_identifier))
    recognised = np.array(sorted({one.face for one in answers if one.kind is None and not one.is_stranger}), np.int64)
    figures = measured(album)
    limits = _limits(figures, recognised)
    mixups = tuple(_mixups(album, answers, figures, limits))
    faces = np.unique(np.array([one.face for one in mixups], np.int64))
    return Review(
        album=album,
        splits=splits,
        mixups=mixups,
        shares=_shares(answers),
        weights=_weights(figures, limits, faces, recognised),
        advice=_advice(album, [one for one in answers if one.face not in strays], mixups, twins),
        twins=tuple(twins),
    )


# --- asking ----------------------------------------------------------------------------------------------------------


def _answers(album: Album, splits: int, seed: int, make_identifier: CalibratedAt) -> Iterator[_Answer]:
    held = list(stratified_splits(album.people, splits, seed, groups=album.groups))
    names = np.array(album.people)
    for back in held:
        yield from _asked(album, names, ~back, np.flatnonzero(back), make_identifier)
    for back in islice(held, STRANGER_SPLITS):
        for person in np.unique(names):
            foreign = names == person
            if len(np.unique(names[~back & ~foreign])):
                yield from _asked(album, names, ~back & ~foreign, np.flatnonzero(foreign), make_identifier)


def _asked(
    album: Album, names: npt.NDArray[np.str_], enrolled: Flags, faces: npt.NDArray[np.intp], make: CalibratedAt
) -> Iterator[_Answer]:
    known = np.flatnonzero(enrolled)
    identify = make(album.embeddings[known], names[known].tolist(), RATE)
    vectors = album.embeddings.vectors
    likeness = vectors[faces] @ vectors[known].T
    for face, row, said in zip(faces.tolist(), likeness, identify(album.embeddings[faces]).names, strict=True):
        own = names[known] == names[face]
        right = int(known[np.where(own, row, -2).argmax()]) if own.any() else -1
        others = np.where(own, -2, row) if said in (None, names[face]) else np.where(names[known] == said, row, -2)
        other = int(known[others.argmax()]) if others.max() > -2 else -1
        yield _Answer(face, _kind(said, str(names[face]), bool(own.any())), not own.any(), other, right)


def _kind(said: str | None, person: str, is_enrolled: bool) -> Kind | None:
    if not is_enrolled:
        return None if said is None else "stranger"
    if said is None:
        return "missed"
    return None if said == person else "another"


def _mixups(
    album: Album, answers: Sequence[_Answer], figures: Mapping[str, Floats], limits: Mapping[str, float]
) -> Iterator[Mixup]:
    """One per face and kind, those that went wrong most surely first: the gap to the right face tells how surely."""
    asked = Counter((one.face, one.is_stranger) for one in answers)
    wrong: dict[tuple[int, Kind], list[_Answer]] = {}
    for one in answers:
        if one.kind is not None:
            wrong.setdefault((one.face, one.kind), []).append(one)
    mixups = (
        _mixup(album, several, asked[several[0].face, several[0].is_stranger], _causes(face, figures, limits))
        for (face, _), several in wrong.items()
    )
    order: dict[Kind, int] = {"another": 0, "stranger": 1, "missed": 2}
    yield from sorted(mixups, key=lambda one: (order[one.kind], one.right_similarity - one.similarity, one.face))


def _mixup(album: Album, several: Sequence[_Answer], asked: int, causes: tuple[Found, ...]) -> Mixup:
    """Shown as in the split in which the other face was most alike."""
    vectors = album.embeddings.vectors

    def alike(first: int, second: int) -> float:
        return float(vectors[first] @ vectors[second]) if second >= 0 else 0.0

    one = max(several, key=lambda answer: alike(answer.face, answer.other))
    assert one.kind is not None
    return Mixup(
        one.face, one.kind, one.other, alike(one.face, one.other), one.right, alike(one.face, one.right),
        len(several), asked, causes,
    )  # fmt: skip


def _shares(answers: Sequence[_Answer]) -> dict[Kind, float]:
    strangers = [one for one in answers if one.is_stranger]
    known = [one for one in answers if not one.is_stranger]
    kinds: tuple[Kind, ...] = ("another", "missed", "stranger")
    return {
        kind: sum(one.kind == kind for one in answers) / max(len(strangers if kind == "stranger" else known), 1)
        for kind in kinds
    }


# --- causes ----------------------------------------------------------------------------------------------------------


def measured(album: Album) -> dict[str, Floats]:
    """The figures of every face by which it may be hard, under the causes' names."""
    grey = np.stack([_grey(crop) for crop in album.crops]) if len(album) else np.empty((0, 1, 2), np.float32)
    brightness = grey.mean(axis=(1, 2))
    half = grey.shape[2] // 2
    left, right = grey[:, :, :half].mean(axis=(1, 2)), grey[:, :, -half:].mean(axis=(1, 2))
    qualities = album.qualities
    return {
        "size": qualities.size,
        "sharpness": qualities.sharpness,
        "yaw": qualities.yaw,
        "inside": qualities.inside,
        "darkness": brightness,
        "glare": brightness,
        "contrast": grey.std(axis=(1, 2)),
        "one_sided": np.abs(left - right) / np.maximum(brightness, 1),
    }


def _grey(crop: Pixels) -> Floats:
    """The face without what is around it: the middle of the aligned crop."""
    side = crop.shape[0]
    middle = crop[side // 8 : -side // 8, side // 6 : -side // 6]
    return cv2.cvtColor(np.ascontiguousarray(middle), cv2.COLOR_RGB2GRAY).astype(np.float32)


def _limits(figures: Mapping[str, Floats], recognised: Integers) -> dict[str, float]:
    """From which figure on a face is worse than nine in ten of those that were recognised."""
    if not len(recognised):
        return {}
    return {
        cause.name: float(
            np.quantile(figures[cause.name][recognised], 1 - WORST if cause.more_is_worse else WORST, method="nearest")
        )
        for cause in CAUSES
    }


def _is_worse(cause: Cause, figures: Floats, limit: float) -> Flags:
    return np.asarray(figures > limit if cause.more_is_worse else figures < limit, np.bool_)


def _causes(face: int, figures: Mapping[str, Floats], limits: Mapping[str, float]) -> tuple[Found, ...]:
    return tuple(
        Found(cause, cause.unit.format(float(figures[cause.name][face])))
        for cause in CAUSES
        if cause.name in limits and _is_worse(cause, figures[cause.name][face : face + 1], limits[cause.name])[0]
    )


def _weights(
    figures: Mapping[str, Floats], limits: Mapping[str, float], faces: Integers, recognised: Integers
) -> tuple[Weight, ...]:
    """Of faces that were sometimes recognised and sometimes not, only the mistakes count."""
    always = np.setdiff1d(recognised, faces)
    if not len(faces) or not len(always) or not limits:
        return ()
    weights = (
        Weight(
            cause,
            float(_is_worse(cause, figures[cause.name][faces], limits[cause.name]).mean()),
            float(_is_worse(cause, figures[cause.name][always], limits[cause.name]).mean()),
        )
        for cause in CAUSES
    )
    return tuple(sorted(weights, key=lambda one: one.recognised - one.mistakes))


# --- advice ----------------------------------------------------------------------------------------------------------


def _advice(
    album: Album, answers: Sequence[_Answer], mixups: Sequence[Mixup], twins: Sequence[Twins]
) -> tuple[Advice, ...]:
    """For everybody who was missed or mistaken, those most often first."""
    people = album.people
    asked = Counter(people[one.face] for one in answers if not one.is_stranger)
    wrong = Counter(people[one.face] for one in answers if not one.is_stranger and one.kind is not None)
    photos = Counter(people)
    advice = (
        Advice(
            person,
            count,
            asked[person],
            photos[person],
            _add(person, people, photos[person], mixups),
            tuple(_twins_of(person, twins)),
        )
        for person, count in wrong.items()
    )
    return tuple(sorted(advice, key=lambda one: (-one.wrong / one.asked, one.person)))


def _twins_of(person: str, twins: Sequence[Twins]) -> Iterator[str]:
    for pair in twins:
        if person in (pair.first, pair.second):
            yield pair.second if person == pair.first else pair.first


def _add(person: str, people: Sequence[str], photos: int, mixups: Sequence[Mixup]) -> tuple[str, ...]:
    """The kinds of photos by which this person's mistakes stand out, the most frequent two."""
    own = [one for one in mixups if people[one.face] == person and one.kind != "stranger"]
    causes = Counter(found.cause for one in own for found in one.causes)
    kinds = tuple(cause.advice for cause, _ in causes.most_common(2))
    few = (f"of any kind, since there are only {photos}",) if photos < FEW else ()
    return few + kinds or ("like those shown below",)
