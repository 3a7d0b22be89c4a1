"""Labelled faces through an emotion head, as they are served, and what that costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

import cv2
import numpy as np

from manyfaces.errors import UsageError, WeightsError
from manyfaces.stages import Head
from manyfaces.types import Crops, Emotions, Floats, Pixels

BATCH = 256

TIMED_BATCH, TIMED_SECONDS, LEAST_CALLS, MOST_CALLS = 8, 0.5, 3, 400
"""What a face costs is measured on as many faces at once as a picture with some people shows; for half a second, which
is hundreds of calls of a small network, or for three calls where these take longer than that."""


def nothing() -> None:
    """Nobody counts the batches."""


def read_expressions(images: Pixels, head: Head[Emotions], step: Callable[[], None] = nothing) -> Floats:
    """Probabilities (n, labels) of grey pictures (n, h, w) that are cut to the face already, as FER2013's are.

    `step` is called before each of `batch_count(n)` batches.
    """
    spec = head.spec
    if spec.channels != "grey":
        raise UsageError(f"this network reads {spec.channels} pictures, but the labelled faces are grey; use another")
    parts = []
    for start in range(0, len(images), BATCH):
        step()
        parts.append(_read(_as_crops(images[start : start + BATCH], spec.width, spec.height), head))
    return np.concatenate(parts)


def batch_count(images: int) -> int:
    return -(-images // BATCH)


def _read(crops: Crops, head: Head[Emotions]) -> Floats:
    try:
        said = head(crops).probabilities
    except (KeyError, ValueError) as error:
        raise WeightsError(f"this network's output is not what its card says ({error}); export it again") from None
    if not np.isfinite(said).all():
        raise WeightsError("this network answers with no numbers; its weights are broken, train or export it again")
    return said


def mirrored(images: Pixels) -> Pixels:
    """The faces as a mirror shows them."""
    return np.ascontiguousarray(images[:, :, ::-1])


def columns_of(head: Head[Emotions], wanted: Sequence[str]) -> list[int]:
    """Where the head has the wanted classes, which may be in another order; asked before anything is read."""
    spec = head.spec
    nobody = Crops(np.empty((0, spec.height, spec.width, spec.depth), np.uint8), np.empty(0, np.int64))
    labels = head(nobody).labels
    if sorted(labels) != sorted(wanted):
        raise UsageError(
            f"this network tells {len(labels)} classes apart ({', '.join(labels)}), but the faces are labelled with "
            f"{len(wanted)} ({', '.join(wanted)}); evaluate a network of these"
        )
    return [labels.index(name) for name in wanted]


def milliseconds_a_face(images: Pixels, head: Head[Emotions], mirror: bool = False) -> float:
    """The median over many calls with a batch of faces, which a busy moment of the machine does not move. `mirror`:
    each face is also mirrored and read once more."""
    spec = head.spec
    crops = _as_crops(np.resize(images, (TIMED_BATCH, *images.shape[1:])), spec.width, spec.height)
    taken: list[float] = []
    while len(taken) < 1 + LEAST_CALLS or (sum(taken) < TIMED_SECONDS and len(taken) < MOST_CALLS):
        start = time.perf_counter()
        head(crops)
        if mirror:
            head(Crops(mirrored(crops.pixels), crops.ids))
        taken.append(time.perf_counter() - start)
    return 1000 * median(taken[1:]) / TIMED_BATCH  # the first call still makes room for its results


def _as_crops(images: Pixels, width: int, height: int) -> Crops:
    """Enlarged as training enlarges them; made smaller by area, so that nothing flickers."""
    way = cv2.INTER_LINEAR if images.shape[2] < width else cv2.INTER_AREA
    resized = [
        image if image.shape == (height, width) else cv2.resize(image, (width, height), interpolation=way)
        for image in images
    ]
    return Crops(np.stack(resized)[..., None].astype(np.uint8), np.arange(len(images), dtype=np.int64))
