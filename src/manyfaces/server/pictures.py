"""Pictures on their way out: a JPEG as a data URL."""

from __future__ import annotations

import base64

import cv2

from manyfaces.types import Pixels

QUALITY = 90
LONGEST_SIDE = 65_500
"""What a JPEG can hold."""


def data_url(picture: Pixels) -> str | None:
    if max(picture.shape[:2]) > LONGEST_SIDE:
        return None
    fine, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii") if fine else None
