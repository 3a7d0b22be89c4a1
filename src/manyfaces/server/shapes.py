"""The shapes of answers, for the OpenAPI document. Rows are made by `rows.as_json` and not through these, which costs a
tenth; a test holds the two to each other."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FACE = {
    "track": 0, "box": [412.3, 118.0, 497.8, 230.4], "score": 0.9312,
    "landmarks": [[437.1, 160.2], [473.9, 161.0], [455.0, 184.7], [440.2, 205.3], [470.6, 205.9]],
    "emotion": "happy",
    "emotions": {
        "angry": 0.01, "disgust": 0.0, "fear": 0.01, "happy": 0.91, "sad": 0.01, "surprise": 0.02, "neutral": 0.04,
    },
    "emotion_confidence": 0.91, "identity": "Lan", "identity_confidence": 0.97, "similarity": 0.61,
}  # fmt: skip
TIMING = {"detected": True, "emotions": 1, "identities": 1, "dropped": 0}
ROW = {
    "stream": "party.jpg", "index": 0, "seconds": 0.0, "width": 1920, "height": 1080, "faces": [FACE], "timing": TIMING
}  # fmt: skip
CONSENT = {"text": "for the door", "by": "HTTP API", "given": "2026-11-21T10:00:00+00:00", "expires": "2027-12-31"}
PERSON = {
    "name": "Lan", "photos": 2, "added": "2026-11-21T10:00:00+00:00", "model": "sface-2021dec", "consent": CONSENT
}  # fmt: skip
GALLERY = {
    "people": 1, "faces": 2, "calibrated": True, "threshold": 0.42, "margin": 0.03, "false_accept_rate": 0.01,
    "suspects": 0, "error": None,
}  # fmt: skip


class Shape(BaseModel):
    """Nothing is left out and nothing is added, so that a test of an answer means something."""

    model_config = ConfigDict(extra="forbid")


def example(value: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [value]})


class FaceRow(Shape):
    """One face: where it is, what it shows and who it is. What is not known is null."""

    track: int = Field(description="the same for one face all through a stream")
    box: list[float] = Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels")
    score: float | None
    landmarks: list[list[float]] = Field(description="right eye, left eye, nose, right and left corner of the mouth")
    emotion: str | None
    emotions: dict[str, float]
    emotion_confidence: float | None
    identity: str | None = Field(description="null for a stranger")
    identity_confidence: float | None
    similarity: float | None


class TimingRow(Shape):
    """What was done for this frame."""

    detected: bool
    emotions: int
    identities: int
    dropped: int
    age: float | None = None


class Row(Shape):
    """One frame. `error` is there only where it could not be read."""

    model_config = example(ROW)

    stream: str
    index: int
    seconds: float | None
    width: int
    height: int
    faces: list[FaceRow]
    timing: TimingRow
    error: str = ""
    annotated: str | None = Field(default=None, description="a data URL, only where it was asked for")


class Results(Shape):
    """A row for each picture, in their order."""

    model_config = example({"results": [ROW]})

    results: list[Row]


class Verified(Shape):
    model_config = example({"same": True, "similarity": 0.61, "threshold": 0.38, "probability": 0.98})

    same: bool
    similarity: float
    threshold: float
    probability: float = Field(description="where one person and two were equally likely before")


class ConsentRow(Shape):
    text: str
    by: str
    given: str
    expires: str


class PersonRow(Shape):
    model_config = example(PERSON)

    name: str
    photos: int
    added: str
    model: str
    consent: ConsentRow


class EnrolledRow(Shape):
    id: int
    source: str
    added: str
    size: float
    sharpness: float
    yaw: float
    inside: float


class PersonInFull(PersonRow):
    model_config = ConfigDict(extra="forbid", json_schema_extra={})

    faces: list[EnrolledRow]


class GalleryRow(Shape):
    """`error` says why the gallery cannot be read now; faces are named by what was read last."""

    model_config = example(GALLERY)

    people: int
    faces: int
    calibrated: bool
    threshold: float | None
    margin: float | None
    false_accept_rate: float | None
    suspects: int = Field(description="pairs of people who look so alike that they may be one")
    error: str | None


class Everybody(Shape):
    model_config = example({"people": [PERSON], "gallery": GALLERY})

    people: list[PersonRow]
    gallery: GalleryRow


class Refused(Shape):
    photo: str
    reason: str


class Enrolled(Shape):
    model_config = example(
        {"added": 1, "refused": [{"photo": "far.jpg", "reason": "far.jpg: no face found; use a photo that shows one"}]}
    )

    added: int
    refused: list[Refused]


class Rename(Shape):
    model_config = example({"to": "Lan Nguyễn"})

    to: str = Field(min_length=1, max_length=200)


class Removed(Shape):
    model_config = example({"removed": 2})

    removed: int


class Rate(Shape):
    model_config = example({"false_accept_rate": 0.01})

    false_accept_rate: float | None = Field(default=None, gt=0, lt=1)


class Quality(Shape):
    """How good the main face of a picture is to enrol from."""

    model_config = example(
        {
            "faces": 1, "box": [412.3, 118.0, 497.8, 230.4], "good": False,
            "advice": ["The face is turned too far to the side; look at the camera."], "codes": ["turned_away"],
            "quality": {"size": 85.5, "sharpness": 140.2, "yaw": 0.81, "inside": 1.0},
        }
    )  # fmt: skip

    faces: int
    box: list[float] | None
    good: bool
    advice: list[str]
    codes: list[str]
    quality: dict[str, float] | None


class Fed(Shape):
    model_config = example({"fed": 2})

    fed: int


class Ended(Shape):
    model_config = example({"ended": "door"})

    ended: str


class Health(Shape):
    model_config = example({"live": True, "ready": True, "gallery": "read"})

    live: bool
    ready: bool
    gallery: Literal["read", "unreadable", "another network"] = Field(
        description="anything but read is for somebody to look after; faces are named by what was read last"
    )


class Model(Shape):
    task: str
    name: str
    licence: str
    sha256: str


class System(Shape):
    version: str
    uptime: float
    role: str
    tokens: bool
    labels: list[str]
    models: list[Model]
    plan: dict[str, Any]
    options: dict[str, Any]
    queues: dict[str, int]
    limits: dict[str, float]
    gallery: GalleryRow


PROBLEM = "#/components/schemas/ProblemDocument"


class ProblemDocument(BaseModel):
    """RFC 9457: what went wrong, in one sentence."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is nobody"}]
        }
    )

    type: str
    title: str
    status: int
    detail: str
