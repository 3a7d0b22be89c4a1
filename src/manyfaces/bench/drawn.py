"""Clips of drawn people, so that everybody can measure: each face moves in its place and changes its expression."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from manyfaces.cartoon import cast, draw_person, expression_at
from manyfaces.errors import UsageError
from manyfaces.types import Floats, Pixels

RATE, FRAMES = 25, 100
SMALL, LARGE = (1280, 720), (1920, 1080)
MOST_IN_SMALL = 16
LEAST_CELL = 32
"""Pixels of a head with its shoulders; in less nobody would find a face."""

MOST_FACES = (LARGE[0] // LEAST_CELL) * (LARGE[1] // LEAST_CELL)

Size = tuple[int, int]
Patch = tuple[Pixels, Floats]


def usual_size(faces: int) -> Size:
    return SMALL if faces <= MOST_IN_SMALL else LARGE


def draw_clip(path: Path, faces: int, size: Size, frames: int = FRAMES) -> None:
    """An H.264 file, so that decoding is part of what is measured."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height = size
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, RATE)
        for picture in pictures(faces, size, frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def pictures(faces: int, size: Size, frames: int) -> Iterator[Pixels]:
    columns, side = grid(faces, size)
    drawn: dict[tuple[int, str], Patch] = {}
    for index in range(frames):
        now = index / RATE
        canvas = np.full((size[1], size[0], 3), 190, np.uint8)
        for number in range(faces):
            key = number, expression_at(number, now)
            if key not in drawn:
                drawn[key] = draw_person(cast(number), key[1], side * 9 // 10)
            _lay(canvas, drawn[key], *_place(number, now, columns, side))
        yield canvas


def grid(faces: int, size: Size) -> tuple[int, int]:
    """Columns, and the side of the square that each person has: as large as they fit."""
    sides = {columns: min(size[0] // columns, size[1] // -(-faces // columns)) for columns in range(1, faces + 1)}
    columns = max(sides, key=lambda count: sides[count])
    if sides[columns] < LEAST_CELL:
        raise UsageError(
            f"{faces} faces in {size[0]}x{size[1]}: too small to be found; ask for fewer, or a larger size"
        )
    return columns, sides[columns]


def _place(number: int, now: float, columns: int, side: int) -> tuple[int, int]:
    """The left upper corner; a tenth of the square is room to move."""
    across = 0.05 * (1 + np.sin(0.9 * now + 2.1 * number))
    down = 0.05 * (1 + np.sin(1.3 * now + 1.3 * number))
    return int(side * (number % columns + across)), int(side * (number // columns + down))


def _lay(canvas: Pixels, patch: Patch, left: int, top: int) -> None:
    """Lay a person on the canvas, which is ours."""
    picture, cover = patch
    below = canvas[top : top + len(picture), left : left + len(picture)]
    below[:] = below + (picture - below.astype(np.float32)) * cover[..., None]
