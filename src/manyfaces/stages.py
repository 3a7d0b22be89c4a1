"""The protocols: the only places where another implementation can be put in.

A plain function is a valid `Detector`, `Head` or `Identifier`; a source is any iterable of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, TypeAlias, TypeVar

from manyfaces.card import InputSpec
from manyfaces.types import (
    Crops,
    Detections,
    Embeddings,
    Emotions,
    Frame,
    FrameResult,
    Identities,
    Integers,
    Look,
    Pixels,
    Tracks,
    Turns,
    Unreadable,
)

Source: TypeAlias = Iterable[Frame | Unreadable]
Result_co = TypeVar("Result_co", covariant=True)


class Detector(Protocol):
    """Finds the faces of every picture of a batch; the pictures may differ in size."""

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]: ...


class Tracker(Protocol):
    """Gives the faces of one stream stable ids, frame after frame. Returns one track per detection, in their order."""

    def update(self, detections: Detections, seconds: float, /) -> Tracks: ...

    def predict(self, seconds: float, /) -> Tracks:
        """Where the faces of the last update are believed to be at a later moment at which nobody looked."""
        ...


class Linker(Protocol):
    """Corrects ids by appearance: a face that comes back from hiding gets its old id, swapped ids are swapped back."""

    def update(self, tracks: Tracks, embeddings: Embeddings, seconds: float, /) -> Tracks: ...


class Head(Protocol[Result_co]):
    """Reads one thing from a batch of crops of many faces, all cut as `spec` says."""

    @property
    def spec(self) -> InputSpec: ...

    def __call__(self, crops: Crops, /) -> Result_co: ...


class Identifier(Protocol):
    """Names faces, or says that they are strangers."""

    def __call__(self, embeddings: Embeddings, /) -> Identities: ...


class Attention(Protocol):
    """Decides for one stream what is worth looking at. It is asked about every frame in order, `look` before `turns`;
    what became of a frame it hears in order too, but some frames later."""

    def look(self, frame: Frame, /) -> Look:
        """Whether faces are to be looked for in this frame."""
        ...

    def turns(self, frame: Frame, look: Look, tracks: Tracks, /) -> Turns:
        """Which of the faces found are to be read by which head."""
        ...

    def learn(self, news: News, /) -> None:
        """What was read in an earlier frame."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """What was read in a frame, for an `Attention`: the tracks that each head read, by their tracker's ids, what it
    said, and who these faces are believed to be. `age`: seconds that a live frame took; None where nobody waits."""

    index: int
    emotion_ids: Integers
    emotions: Emotions
    identity_ids: Integers
    embeddings: Embeddings
    identities: Identities
    age: float | None


class Sink(Protocol):
    """Takes results in order. A context manager: what was written is valid from then on, also after an error."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    def write(self, frame: Frame | Unreadable, result: FrameResult, /) -> None: ...
