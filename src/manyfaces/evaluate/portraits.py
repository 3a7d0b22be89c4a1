"""Photos of one person each, as vectors: what verification and identification are measured on, from the raw picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manyfaces.align import align
from manyfaces.pipeline import Stages
from manyfaces.sources import read_picture
from manyfaces.stages import Head
from manyfaces.types import Crops, Detections, Embeddings, Floats, Pixels

BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class Portraits:
    """Pictures and the vector of each one's main face; `found` is False where no face was detected, its vector zero."""

    paths: tuple[Path, ...]
    embeddings: Embeddings
    found: np.ndarray[tuple[int], np.dtype[np.bool_]]

    @property
    def undetected(self) -> list[str]:
        return [str(path) for path, found in zip(self.paths, self.found, strict=True) if not found]


def read_portraits(paths: Iterable[Path], stages: Stages, advance: Callable[[], None]) -> Portraits:
    """Detect, align and embed the main face of every picture; crops are embedded many at a time."""
    if stages.identity is None:
        raise ValueError("portraits are compared by identity, so the stages need an identity head")
    everything = tuple(paths)
    crops: list[Pixels] = []
    found: list[bool] = []
    for path in everything:
        crop = _main_crop(read_picture(path), stages, stages.identity)
        found.append(len(crop) == 1)
        crops += list(crop)
        advance()
    return _spread(everything, np.array(found, bool), _embedded(crops, stages.identity))


def _main_crop(image: Pixels, stages: Stages, head: Head[Embeddings]) -> Pixels:
    detections = stages.detect([image])[0]
    chosen = detections[main_face(detections, image.shape[1], image.shape[0])]
    return align(image, chosen.landmarks, head.spec)


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
    paths: tuple[Path, ...], found: np.ndarray[tuple[int], np.dtype[np.bool_]], parts: Iterator[Embeddings]
) -> Portraits:
    several = list(parts)
    dense: Floats = np.concatenate([part.vectors for part in several])
    vectors = np.zeros((len(paths), dense.shape[1]), np.float32)
    vectors[found] = dense
    return Portraits(paths, Embeddings(vectors, several[0].model), found)
