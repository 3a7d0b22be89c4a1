"""What flows through the house.

Inside, a frame's faces travel as columns: frozen dataclasses of arrays with one entry per face. At the door they become
rows: `FrameResult` and `Face`. A new type appears where knowledge grows: `Detections` know where faces are, `Tracks`
which face is which over time, `Emotions` and `Identities` what a face shows and whose it is.

Boxes are xyxy float32 pixels, probabilities lie in 0..1, times are seconds, and pictures are RGB: here and everywhere.
"Nothing found" is an empty array, never None.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]
Index: TypeAlias = npt.NDArray[np.bool_] | npt.NDArray[np.intp] | Integers | slice

LANDMARKS = 5
"""Right eye, left eye, nose tip, right and left corner of the mouth; right and left are the person's own."""


def _expect(name: str, array: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape; -1 in `shape` stands for any length."""
    fits = array.ndim == len(shape) and all(want in (-1, has) for want, has in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = ", ".join("n" if want == -1 else str(want) for want in shape)
        raise ValueError(f"{name}: expected ({wanted}), got {array.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a stream: RGB, uint8, height x width x 3."""

    image: Pixels
    index: int
    seconds: float
    stream: str

    def __post_init__(self) -> None:
        _expect("image", self.image, (-1, -1, 3))

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame, or a whole input, that could not be decoded, and why. It takes its place in the stream like a frame."""

    stream: str
    index: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Where the faces of one picture are: boxes (n, 4), scores (n,), landmarks (n, 5, 2)."""

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def __post_init__(self) -> None:
        _expect("boxes", self.boxes, (-1, 4))
        _expect("scores", self.scores, (len(self.boxes),))
        _expect("landmarks", self.landmarks, (len(self.boxes), LANDMARKS, 2))

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, LANDMARKS, 2), np.float32))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: Index) -> Detections:
        return Detections(self.boxes[which], self.scores[which], self.landmarks[which])


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Detections that know which face they continue: ids (n,) are stable within a stream, ages (n,) count sightings."""

    detections: Detections
    ids: Integers
    ages: Integers

    def __post_init__(self) -> None:
        _expect("ids", self.ids, (len(self.detections),))
        _expect("ages", self.ages, (len(self.detections),))

    @classmethod
    def empty(cls) -> Tracks:
        return cls(Detections.empty(), np.empty(0, np.int64), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.detections)

    def __getitem__(self, which: Index) -> Tracks:
        return Tracks(self.detections[which], self.ids[which], self.ages[which])


class Look(Enum):
    """How a frame is met: nobody looks and its faces are carried on from where they were going; faces are looked for;
    or they are looked for in what seems to be another scene, of which nothing is known yet."""

    CARRY = "carry"
    FIND = "find"
    AFRESH = "afresh"

    @property
    def detects(self) -> bool:
        return self is not Look.CARRY


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """Whose turn it is: the positions among a frame's tracks of the faces that each head is to read in it."""

    emotion: Integers
    identity: Integers

    @classmethod
    def of_all(cls, count: int) -> Turns:
        everyone = np.arange(count, dtype=np.int64)
        return cls(everyone, everyone)


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Aligned faces, cut as one model's card asks: pixels (n, height, width, channels), RGB or grey."""

    pixels: Pixels
    ids: Integers

    def __post_init__(self) -> None:
        _expect("pixels", self.pixels, (len(self.ids), -1, -1, -1))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Qualities:
    """What a face is worth as evidence; each (n,).

    size: the shorter side of the box in pixels. sharpness: variance of the Laplacian of the aligned crop. yaw: how far
    the head is turned, 0 frontal to 1 profile, from the landmarks. inside: the share of the box within the picture.
    """

    size: Floats
    sharpness: Floats
    yaw: Floats
    inside: Floats

    def __post_init__(self) -> None:
        for name in ("sharpness", "yaw", "inside"):
            _expect(name, getattr(self, name), (len(self.size),))

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, which: Index) -> Qualities:
        return Qualities(self.size[which], self.sharpness[which], self.yaw[which], self.inside[which])


@dataclass(frozen=True, slots=True, eq=False)
class Emotions:
    """What each face expresses: probabilities (n, len(labels)). Without an emotion head there are no labels."""

    probabilities: Floats
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        _expect("probabilities", self.probabilities, (-1, len(self.labels)))

    @classmethod
    def none(cls, count: int) -> Emotions:
        """What is known of `count` faces that no emotion head has looked at."""
        return cls(np.empty((count, 0), np.float32), ())

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, which: Index) -> Emotions:
        return Emotions(self.probabilities[which], self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Faces as unit vectors (n, d), and the name of the model that made them: only equal models compare."""

    vectors: Floats
    model: str

    def __post_init__(self) -> None:
        _expect("vectors", self.vectors, (-1, -1))

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, which: Index) -> Embeddings:
        return Embeddings(self.vectors[which], self.model)


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """Who each face is: a name or None for a stranger, the probability that this is right, and the similarity to the
    nearest enrolled person (NaN where there was nobody to compare with)."""

    names: tuple[str | None, ...]
    confidences: Floats
    similarities: Floats

    def __post_init__(self) -> None:
        _expect("confidences", self.confidences, (len(self.names),))
        _expect("similarities", self.similarities, (len(self.names),))

    @classmethod
    def strangers(cls, count: int) -> Identities:
        """What an empty gallery says of `count` faces."""
        return cls((None,) * count, np.zeros(count, np.float32), np.full(count, np.nan, np.float32))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, which: Integers) -> Identities:
        names = tuple(self.names[position] for position in which.tolist())
        return Identities(names, self.confidences[which], self.similarities[which])


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a frame, as a row for people, JSON and tables."""

    track: int
    box: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...]
    emotion: str | None
    emotions: dict[str, float]
    emotion_confidence: float | None
    identity: str | None
    identity_confidence: float | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Timing:
    """What was done for a frame, and so what was left out.

    detected: whether faces were looked for, or carried on from an earlier frame. emotions, identities: how many faces
    each head read in it; what is said of the others was read a moment before. Of a live source also dropped: how many
    frames just before this one were passed over to keep up, and age: seconds from the frame's arrival to its result.
    """

    detected: bool = True
    emotions: int = 0
    identities: int = 0
    dropped: int = 0
    age: float | None = None


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame's row. `error` says why a frame could not be read; it is empty where all went well."""

    stream: str
    index: int
    seconds: float
    width: int
    height: int
    faces: tuple[Face, ...]
    error: str = ""
    timing: Timing = Timing()
