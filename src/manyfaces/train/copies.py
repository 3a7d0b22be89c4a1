"""Pictures that lie in the data more than once, pixel for pixel: counted, and left out of what is learnt from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from manyfaces.train.data import USAGES, EmotionData
from manyfaces.types import Integers, Pixels


@dataclass(frozen=True, slots=True)
class Shared:
    """How many pictures of the part `later` are also in `earlier`, and how many of those have another label there."""

    earlier: str
    later: str
    pictures: int
    disagree: int


@dataclass(frozen=True, slots=True)
class Copies:
    """What lies in two parts, and how many pictures of Training lie there again, and again with another label."""

    shared: tuple[Shared, ...]
    repeated: int
    contradicting: int


def find_copies(data: EmotionData) -> Copies:
    """Every pair of parts that has pictures in common, and what repeats within Training."""
    faces = numbered(data.images)
    parts = [np.flatnonzero(data.usage == usage) for usage in range(len(USAGES))]
    pairs = [_shared(data, faces, parts, *pair) for pair in combinations(range(len(USAGES)), 2)]
    repeated, contradicting = _within(faces[parts[0]], data.labels[parts[0]])
    return Copies(tuple(pair for pair in pairs if pair.pictures), repeated, contradicting)


def without_copies(data: EmotionData) -> EmotionData:
    """Training without the pictures that a test part also holds: the test stays whole, and measures no memory."""
    faces = numbered(data.images)
    tested = np.isin(faces, faces[data.usage != 0])
    kept = data[(data.usage != 0) | ~tested]
    return replace(kept, duplicate=np.zeros(len(kept), bool))


def numbered(images: Pixels) -> Integers:
    """A number for each picture, equal where every pixel is."""
    known: dict[bytes, int] = {}
    digests = (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)
    return np.array([known.setdefault(digest, len(known)) for digest in digests], np.int64)


def _shared(data: EmotionData, faces: Integers, parts: list[npt.NDArray[np.intp]], earlier: int, later: int) -> Shared:
    labels = _labels_by_face(faces[parts[earlier]], data.labels[parts[earlier]])
    both = [row for row in parts[later].tolist() if int(faces[row]) in labels]
    disagree = sum(labels[int(faces[row])] != {int(data.labels[row])} for row in both)
    return Shared(USAGES[earlier], USAGES[later], len(both), disagree)


def _within(faces: Integers, labels: Integers) -> tuple[int, int]:
    by_face = _labels_by_face(faces, labels)
    contradicting = {face for face, several in by_face.items() if len(several) > 1}
    return len(faces) - len(by_face), sum(face in contradicting for face in faces.tolist())


def _labels_by_face(faces: Integers, labels: Integers) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for face, label in zip(faces.tolist(), labels.tolist(), strict=True):
        found.setdefault(face, set()).add(label)
    return found
