"""Evidence as colour over a face: pictures for people, some of whom tell few colours apart.

The colours are matplotlib's "inferno", made so that equal steps look equal and lightness rises all the way
(https://bids.github.io/colormap/): read as light and dark alone it still says the same. Where nothing speaks for the
class the face stays as it is; a line runs where half of the most is reached.
"""

from __future__ import annotations

import cv2
import numpy as np

from manyfaces.types import Floats, Pixels

SHARE_OF_COLOUR = 0.78
"""Of what is seen where the evidence is strongest; the rest is the face, which has to stay a face."""

COLDEST = 70
"""Where on the scale of 256 colours it begins: those before are as dark as a shadow in the face."""

LINE = 0.5


def strongest(evidence: Floats) -> float:
    """The evidence that gets the last colour. Of all classes shown of one face, so that they can be compared."""
    return max(float(evidence.max(initial=0.0)), 1e-6)


def enlarged_face(crop: Pixels, side: int) -> Pixels:
    """The crop (h, w, 1 or 3) as RGB, `side` pixels high."""
    coloured = np.repeat(crop, 3, axis=2) if crop.shape[2] == 1 else crop
    return np.asarray(cv2.resize(coloured, _size(crop, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def heat_over_face(crop: Pixels, evidence: Floats, most: float, side: int) -> Pixels:
    """The face, `side` pixels high, with the evidence (h, w) for one class in colour; `most` gets the last colour."""
    heat = np.clip(cv2.resize(evidence, _size(crop, side), interpolation=cv2.INTER_CUBIC) / most, 0, 1)
    over = coloured(heat, enlarged_face(crop, side))
    return _with_line(over, np.asarray(heat, np.float32), max(1, side // 110))


def coloured(heat: Floats, under: Pixels) -> Pixels:
    """Colours of heat (h, w) in 0..1 over a picture; none where there is no heat."""
    places = np.asarray(COLDEST + heat * (255 - COLDEST), np.uint8)
    colours = cv2.applyColorMap(places, cv2.COLORMAP_INFERNO)[..., ::-1]
    share = (SHARE_OF_COLOUR * np.sqrt(heat))[..., None]
    return np.asarray(np.rint(share * colours + (1 - share) * under), np.uint8)


def _with_line(picture: Pixels, heat: Floats, thickness: int) -> Pixels:
    """A light line with a dark rim: it shows on light and dark skin, and on every colour of the scale."""
    drawn = np.ascontiguousarray(picture)
    outlines, _ = cv2.findContours((heat >= LINE).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, (20, 20, 20), thickness + 2, cv2.LINE_AA)
    cv2.drawContours(drawn, outlines, -1, (255, 255, 255), thickness, cv2.LINE_AA)
    return drawn


def heat_scale(width: int, height: int) -> Pixels:
    """All colours from nothing to the most, over the grey of a face, with the line at its place."""
    heat = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    scale = coloured(heat, np.full((height, width, 3), 128, np.uint8))
    middle = round(width * LINE)
    scale[:, middle - 2 : middle + 2] = 20
    scale[:, middle - 1 : middle + 1] = 255
    return scale


def _size(crop: Pixels, side: int) -> tuple[int, int]:
    return max(1, round(side * crop.shape[1] / crop.shape[0])), side
