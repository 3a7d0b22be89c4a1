"""What a user may choose, once: the command line's flags and the server's settings are made from this dataclass."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manyfaces.errors import UsageError


def choice(default: Any, explanation: str, flag: str = "") -> Any:
    """A field of `Options`: its default, what it means, and how its flag is spelled where the name does not say."""
    return field(default=default, metadata={"explanation": explanation, "flag": flag})


NO_HOME = Path("/nonexistent")
"""What Debian calls the home of a user who has none, such as a number without a name in a container. Nothing is ever
found there, and nothing is made there."""

EMOTION_RATE = 8.0


def default_gallery() -> Path:
    """Where people are kept unless told otherwise: MANYFACES_GALLERY, else a folder of the user's own."""
    if named := os.environ.get("MANYFACES_GALLERY"):
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or _home() / ".local" / "share") / "manyfaces" / "people.db"


def cache_folder() -> Path:
    """Where lies what can be made again. A user without a home, as in some containers, keeps it for as long as
    temporary files last."""
    home = _home()
    kept = home / ".cache" if home != NO_HOME else Path(tempfile.gettempdir()) / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or kept) / "manyfaces"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return NO_HOME


@dataclass(frozen=True, slots=True)
class Options:
    """How faces are found and read. Every field has a default that suits pictures, videos and crowds."""

    detector: str = choice("yunet", "yunet, or haar for comparison with old tutorials")
    threshold: float = choice(0.6, "report faces with at least this detection score, 0 to 1")
    min_face: float = choice(8.0, "smallest face to report, in pixels of the shorter side of its box")
    max_face: float = choice(float("inf"), "largest face to report, in pixels")
    emotion: bool = choice(True, "read the expression of each face", flag="--emotion/--no-emotion")
    identity: bool = choice(True, "compare each face with the people of the gallery", flag="--identity/--no-identity")
    every_face: bool = choice(
        False, "every face through both heads in every frame; nothing is spared", flag="--every-face"
    )
    emotion_rate: float = choice(EMOTION_RATE, "readings a second of each face's expression, unless every face is read")
    emotion_model: str = choice("default", "an emotion network of your own: its .onnx file, the card beside it")
    identity_model: str = choice("default", "a face network of your own: its .onnx file, the card beside it")
    gallery: Path | None = choice(None, "the file with your people; without it the default gallery, if there is one")
    runtime: str = choice("auto", "auto: as tuned, else openvino; openvino; onnxruntime where it is installed")
    precision: str = choice(
        "auto",
        "auto: as tuned, else what the processor does fastest; f32: the same figures on every machine; int8: quantised "
        "networks, where they lie beside the others",
    )
    threads: int = choice(0, "threads of the networks; 0: as tuned, else the runtime chooses")

    def __post_init__(self) -> None:
        if self.detector not in ("yunet", "haar"):
            raise UsageError(f"detector {self.detector!r}: known are yunet and haar")
        if not self.emotion and not self.identity and self.emotion_model != "default":
            raise UsageError("an emotion model was named, but the emotion head is switched off; drop one of the two")
        if not self.identity and self.identity_model != "default":
            raise UsageError("an identity model was named, but nobody is to be identified; drop one of the two")
        if not 0 < self.emotion_rate < float("inf"):
            raise UsageError(
                f"emotion rate {self.emotion_rate}: expected a number of readings a second, more than 0; to read every "
                "face in every frame there is --every-face"
            )
        if self.every_face and self.emotion_rate != EMOTION_RATE:
            raise UsageError(
                f"an emotion rate of {self.emotion_rate:g} a second was asked for, and also every face in every frame; "
                "drop one of the two"
            )

    @property
    def emotion_network(self) -> str:
        """What `weights.load` is to read expressions with."""
        return "emotion" if self.emotion_model == "default" else self.emotion_model

    @property
    def identity_network(self) -> str:
        """What `weights.load` is to tell people apart with."""
        return "sface" if self.identity_model == "default" else self.identity_model

    @property
    def gallery_path(self) -> Path:
        return self.gallery or default_gallery()
