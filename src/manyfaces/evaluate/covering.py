"""What an answer loses when a part of the face is covered (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901).

Slower than Grad-CAM, and a measurement where that is an estimate: every cell of a network's last maps has seen most of
the face, so maps may point at the middle of a face although it is the mouth that decides. The two are shown beside each
other, so that nobody takes the one for the other.
"""

from __future__ import annotations

import cv2
import numpy as np

from manyfaces.evaluate.attribution import centred_logits
from manyfaces.heads.emotion import OUTPUT
from manyfaces.runtime import Runtime, load_network
from manyfaces.types import Floats, Pixels
from manyfaces.weights import Weights

COVER, STEP, BLUR = 1 / 4, 1 / 12, 1 / 6
"""The side of the cover, how far it moves, and how strongly it blurs, as shares of the crop's height."""

BATCH = 32


class Coverer:
    """Covers every part of a crop in turn. The cover is the face itself without any detail, for black or grey ones are
    edges, which a network has learnt to look for."""

    def __init__(self, weights: Weights) -> None:
        self._network = load_network(weights.content, weights.card.input, Runtime(precision="f32"))

    def __call__(self, crop: Pixels, label: int) -> Floats:
        """How much the class's logit falls on average when a pixel of the crop (h, w, depth) is covered: (h, w)."""
        places = _places(crop.shape[0], crop.shape[1])
        pictures = np.stack([crop, *_covered(crop, places)])
        logits = np.concatenate(
            [self._logits(pictures[at : at + BATCH], label) for at in range(0, len(pictures), BATCH)]
        )
        return _spread(logits[0] - logits[1:], places, crop.shape[0], crop.shape[1])

    def _logits(self, pictures: Pixels, label: int) -> Floats:
        return np.asarray(centred_logits(self._network(pictures)[OUTPUT])[:, label], np.float32)


Place = tuple[slice, slice]


def _places(height: int, width: int) -> list[Place]:
    """Covers in rows and columns; those at the edges end with the crop, so that every pixel is covered."""
    side, step = max(2, round(height * COVER)), max(1, round(height * STEP))

    def along(length: int) -> list[slice]:
        return [slice(max(start, 0), start + side) for start in range(step - side, length, step)]

    return [(down, across) for down in along(height) for across in along(width)]


def _covered(crop: Pixels, places: list[Place]) -> list[Pixels]:
    bare = cv2.GaussianBlur(crop, (0, 0), crop.shape[0] * BLUR).reshape(crop.shape)
    pictures = []
    for place in places:
        picture = crop.copy()
        picture[place] = bare[place]
        pictures.append(picture)
    return pictures


def _spread(losses: Floats, places: list[Place], height: int, width: int) -> Floats:
    """Every pixel has the mean of the losses under the covers that lay on it; steps that only the covers' edges make
    are smoothed away."""
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for place, loss in zip(places, losses.tolist(), strict=True):
        total[place] += loss
        count[place] += 1
    smooth = cv2.GaussianBlur(total / np.maximum(count, 1), (0, 0), max(1.0, height * STEP / 2))
    return np.asarray(smooth, np.float32)
