"""What turns a similarity into a decision and a probability, for one gallery."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from manyfaces.errors import GalleryError
from manyfaces.types import Floats

Basis = Literal["shipped", "gallery", "both"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """When to give a name, and how probable it is that the name is right.

    A name is given at similarity `threshold` or more, if the second person is at least `margin` less alike. The
    threshold lets a share `false_accept_rate` of strangers be taken for anybody at all. exp(slope * similarity +
    offset) are the odds of "this person" against "a stranger", where `prior` of the faces one meets belong to
    enrolled people. `people` and `faces` are what it was computed for; `basis` says on what figures; `suspects` counts
    pairs of people who look so alike that they may be one person twice, or a photo in the wrong place. `rule` names how
    photos stand for people; figures of another rule do not fit, nor do those of galleries from before there were rules.
    """

    threshold: float
    margin: float
    slope: float
    offset: float
    false_accept_rate: float
    prior: float
    people: int
    faces: int
    basis: Basis
    model: str
    suspects: int = 0
    rule: str = ""

    def accepts(self, similarities: Floats, runners_up: Floats) -> npt.NDArray[np.bool_]:
        """Which faces get the name of the nearest person."""
        return (similarities >= self.threshold) & (similarities - runners_up >= self.margin)

    def probabilities(self, similarities: Floats, runners_up: Floats) -> tuple[Floats, Floats]:
        """The probabilities of being the nearest person, and of being a stranger; the rest belongs to the second."""
        nearest = self.slope * similarities.astype(np.float64) + self.offset
        second = self.slope * runners_up.astype(np.float64) + self.offset
        largest = np.maximum(nearest, 0)
        total = np.exp(nearest - largest) + np.exp(-largest) + np.exp(second - largest)
        return (
            (np.exp(nearest - largest) / total).astype(np.float32),
            (np.exp(-largest) / total).astype(np.float32),
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            raise GalleryError("the stored calibration cannot be read; run  manyfaces people calibrate") from None
