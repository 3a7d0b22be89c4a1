"""Every face of a picture, a video or a live camera: found, followed, its expression and its name.

    import manyfaces as mf

    for result in mf.analyze("party.mp4"):
        for face in result.faces:
            print(face.track, face.emotion, face.identity)

Importing the package loads the standard library only; the rest is loaded when a door is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from manyfaces.errors import (
    Busy,
    EnrolmentRefused,
    GalleryError,
    InputError,
    ManyfacesError,
    MissingExtra,
    NotYet,
    OutputError,
    Stopped,
    UsageError,
    WeightsError,
)

if TYPE_CHECKING:
    from manyfaces.api import Gallery, Recognizer, analyze, identify, verify
    from manyfaces.options import Options
    from manyfaces.types import Face, FrameResult

_DOORS = {
    **dict.fromkeys(("Gallery", "Recognizer", "analyze", "identify", "verify"), "manyfaces.api"),
    "Options": "manyfaces.options",
    **dict.fromkeys(("Face", "FrameResult"), "manyfaces.types"),
}

__all__ = [
    "Busy",
    "EnrolmentRefused",
    "Face",
    "FrameResult",
    "Gallery",
    "GalleryError",
    "InputError",
    "ManyfacesError",
    "MissingExtra",
    "NotYet",
    "Options",
    "OutputError",
    "Recognizer",
    "Stopped",
    "UsageError",
    "WeightsError",
    "analyze",
    "identify",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        return getattr(import_module(_DOORS[name]), name)
    raise AttributeError(f"module 'manyfaces' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_DOORS])
