"""Labelled faces through an emotion head, as they are served."""

from __future__ import annotations

import cv2
import numpy as np

from manyfaces.errors import UsageError
from manyfaces.stages import Head
from manyfaces.types import Crops, Emotions, Floats, Pixels

BATCH = 256


def read_expressions(images: Pixels, head: Head[Emotions]) -> Floats:
    """Probabilities (n, labels) of grey pictures (n, h, w) that are cut to the face already, as FER2013's are."""
    spec = head.spec
    if spec.channels != "grey":
        raise UsageError(f"this network reads {spec.channels} pictures, but the labelled faces are grey; use another")
    parts = [
        head(_as_crops(images[start : start + BATCH], spec.width, spec.height)).probabilities
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts)


def _as_crops(images: Pixels, width: int, height: int) -> Crops:
    resized = [
        image if image.shape == (height, width) else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        for image in images
    ]
    return Crops(np.stack(resized)[..., None].astype(np.uint8), np.arange(len(images), dtype=np.int64))
