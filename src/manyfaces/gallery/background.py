"""How alike strangers and photos of one person are, measured elsewhere: for galleries too small to tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from manyfaces.types import Floats

FILE = "impostors.json"


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """A distribution of similarities by its moments and its quantiles at the probabilities `at`."""

    mean: float
    deviation: float
    at: Floats
    quantiles: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Measured spreads, by the number of enrolled faces per person.

    impostor: a face against another person's nearest face. genuine: a face against the nearest other one of its person.
    """

    model: str
    faces: Floats
    impostor: tuple[Spread, ...]
    genuine: tuple[Spread, ...]

    def strangers(self, faces: float) -> Spread:
        return _between(self.faces, self.impostor, faces)

    def same(self, faces: float) -> Spread:
        return _between(self.faces, self.genuine, faces)

    @classmethod
    def shipped(cls, rule: str) -> Background:
        """Measured on 60 people of LFW with SFace, by scripts/measure_impostors.py."""
        text = resources.files("manyfaces.gallery").joinpath(FILE).read_text(encoding="utf-8")
        return cls.parse(json.loads(text), rule)

    @classmethod
    def parse(cls, content: Mapping[str, Any], rule: str) -> Background:
        rows = content["by_rule"][rule]
        return cls(
            content["model"],
            np.array([row["faces"] for row in rows], np.float32),
            tuple(_spread(row["impostor"]) for row in rows),
            tuple(_spread(row["genuine"]) for row in rows),
        )


def _spread(fields: Mapping[str, Any]) -> Spread:
    quantiles = fields["quantiles"]
    at = np.array([float(probability) for probability in quantiles], np.float32)
    return Spread(float(fields["mean"]), float(fields["std"]), at, np.array(list(quantiles.values()), np.float32))


def _between(faces: Floats, spreads: Sequence[Spread], wanted: float) -> Spread:
    """Interpolated in the logarithm of the number of faces: each doubling brings the nearest a little nearer."""
    place = float(np.interp(np.log(max(wanted, 1)), np.log(faces), np.arange(len(faces))))
    low = min(int(place), len(spreads) - 1)
    high = min(low + 1, len(spreads) - 1)
    share = place - low
    first, second = spreads[low], spreads[high]
    return Spread(
        (1 - share) * first.mean + share * second.mean,
        (1 - share) * first.deviation + share * second.deviation,
        first.at,
        ((1 - share) * first.quantiles + share * second.quantiles).astype(np.float32),
    )
