"""Pictures of one person each, as vectors: what verification and identification start from, raw pictures in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manyfaces.align import align
from manyfaces.pipeline import Stages
from manyfaces.stages import Head
from manyfaces.types import Crops, Detections, Embeddings, Floats, Pixels

BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class Portraits:
    """Pictures by name, the vector of each one's main face and its aligned crop; `found` is False where no face was
    detected, its vector zero and its crop black."""

    names: tuple[str, ...]
    embeddings: Embeddings
    found: npt.NDArray[np.bool_]
    crops: Pixels

    @property
    def undetected(self) -> list[str]:
        return [name for name, found in zip(self.names, self.found, strict=True) if not found]


def read_portraits(pictures: Iterable[tuple[str, Pixels]], stages: Stages) -> Portraits:
    """Detect, align and embed the main face of every named picture; crops are embedded many at a time."""
    if stages.identity is None:
        raise ValueError("portraits are compared by identity, so the stages need an identity head")
    names: list[str] = []
    crops: list[Pixels] = []
    found: list[bool] = []
    for name, image in pictures:
        crop = _main_crop(image, stages, stages.identity)
        names.append(name)
        found.append(len(crop) == 1)
        crops += list(crop)
    return _spread(tuple(names), np.array(found, bool), crops, stages.identity)


def _main_crop(image: Pixels, stages: Stages, head: Head[Embeddings]) -> Pixels:
    detections = stages.detect([image])[0]
    chosen = detections[main_face(detections, image.shape[1], image.shape[0])]
    return align(image, stages.closer(image, chosen).landmarks, head.spec)


def main_face(detections: Detections, width: int, height: int) -> slice:
    """Whom a portrait shows: the large face near the middle. An empty slice where there is no face."""
    if not len(detections):
        return slice(0, 0)
    sizes = detections.boxes[:, 2:] - detections.boxes[:, :2]
    centres = (detections.boxes[:, 2:] + detections.boxes[:, :2]) / 2
    middle = np.array([width, height], np.float32) / 2
    away = np.linalg.norm((centres - middle) / middle, axis=1)
    best = int(np.argmax(sizes.min(axis=1) * detections.scores * np.exp(-1.5 * away)))
    return slice(best, best + 1)


def _embedded(crops: list[Pixels], head: Head[Embeddings]) -> Iterator[Embeddings]:
    """At least one part, so that the model's name and the vector's length are known."""
    empty = np.empty((0, head.spec.height, head.spec.width, head.spec.depth), np.uint8)
    for start in range(0, max(len(crops), 1), BATCH):
        pixels = np.stack(crops[start : start + BATCH]) if crops else empty
        yield head(Crops(pixels, np.arange(len(pixels), dtype=np.int64)))


def _spread(
    names: tuple[str, ...], found: npt.NDArray[np.bool_], crops: list[Pixels], head: Head[Embeddings]
) -> Portraits:
    several = list(_embedded(crops, head))
    dense: Floats = np.concatenate([part.vectors for part in several])
    vectors = np.zeros((len(names), dense.shape[1]), np.float32)
    vectors[found] = dense
    pixels = np.zeros((len(names), head.spec.height, head.spec.width, head.spec.depth), np.uint8)
    pixels[found] = np.stack(crops) if crops else pixels[:0]
    return Portraits(names, Embeddings(vectors, several[0].model), found, pixels)
