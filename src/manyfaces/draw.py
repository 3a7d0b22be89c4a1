"""Draws what was found onto a copy of the picture: a box in the emotion's colour and a label that can be read.

Sizes follow the picture and the face, so a selfie of 12 megapixels and a thumbnail both stay legible. In a crowd a
label that would hide another face shrinks, moves, drops words, and at last gives way: then the box still speaks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from manyfaces.types import Face, Floats, FrameResult, Pixels

Colour: TypeAlias = tuple[int, int, int]
Rectangle: TypeAlias = tuple[int, int, int, int]

UNKNOWN: Colour = (110, 110, 110)
NAMED: Colour = (240, 240, 240)
"""A known person whose expression nobody has read: neither an emotion's colour nor the grey of the unknown."""

# Okabe and Ito's palette, made to be told apart by colour-blind people too: https://jfly.uni-koeln.de/color/
EMOTION_COLOURS: dict[str, Colour] = {
    "angry": (213, 94, 0),
    "disgust": (0, 158, 115),
    "fear": (204, 121, 167),
    "happy": (240, 228, 66),
    "sad": (0, 114, 178),
    "surprise": (230, 159, 0),
    "neutral": (86, 180, 233),
}
_MORE_COLOURS: tuple[Colour, ...] = ((140, 86, 75), (148, 103, 189), (188, 189, 34), (227, 119, 194))

_SMALLEST_TEXT = 11  # pixels; below this Vietnamese accents run together
_LONGEST_NAME = 32
_MAY_HIDE = 0.12  # the share of a neighbour's face that a label may cover
_FEW = 8  # up to so many faces, a label is worth more than a free view of the neighbour


@dataclass(frozen=True, slots=True)
class _Label:
    """A text that has found its place."""

    text: str
    place: Rectangle
    size: int
    colour: Colour


def emotion_colour(emotion: str | None) -> Colour:
    """An emotion's colour everywhere: boxes, labels, reports. Labels of other models get a steady one too."""
    if emotion is None:
        return UNKNOWN
    known = EMOTION_COLOURS.get(emotion)
    return known or _MORE_COLOURS[sum(emotion.encode("utf-8", "replace")) % len(_MORE_COLOURS)]


def annotate(image: Pixels, result: FrameResult) -> Pixels:
    """A copy of the picture with a box and a label for every face of the result."""
    canvas = np.array(image, np.uint8, order="C")
    faces = [face for face in result.faces if np.isfinite(face.box).all()]
    for face in faces:
        _draw_box(canvas, face)
    for label in _layout(faces, canvas.shape[1], canvas.shape[0]):
        _draw_label(canvas, label)
    return canvas


def label_texts(face: Face) -> list[str]:
    """What may stand beside a face, the fullest text first. A face that was compared with people and matched none is
    called unknown; where nobody looked for names, only the expression is said."""
    who = _name(face.identity) if face.identity else "unknown" if _was_compared(face) else ""
    percent = "" if face.emotion_confidence is None else f" {round(100 * face.emotion_confidence)} %"
    what = drawable(face.emotion) if face.emotion else ""
    named = who if face.identity else ""
    texts = [_joined(who, what + percent), _joined(named, what + percent), _joined(named, what), named or what]
    return [text for text in dict.fromkeys(texts) if text]


def _name(identity: str) -> str:
    shown = drawable(identity)
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 3].rstrip(" -") + "..."


def drawable(text: str) -> str:
    """The text without what no font here can draw: line breaks become spaces, emoji and invisible marks go."""
    spaced = "".join(" " if character.isspace() else character for character in unicodedata.normalize("NFC", text))
    kept = "".join(character for character in spaced if not _has_no_glyph(character))
    return " ".join(kept.split()) or "?"


def _has_no_glyph(character: str) -> bool:
    return unicodedata.category(character)[0] == "C" or ord(character) >= 0x1F000 or 0xFE00 <= ord(character) <= 0xFE0F


def _was_compared(face: Face) -> bool:
    return face.similarity is not None


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _box_colour(face: Face) -> Colour:
    return NAMED if face.emotion is None and face.identity is not None else emotion_colour(face.emotion)


def _plate_colour(face: Face) -> Colour:
    """Strangers get a grey plate; their box still has the colour of what they express."""
    return UNKNOWN if face.identity is None and _was_compared(face) else _box_colour(face)


def _draw_box(canvas: Pixels, face: Face) -> None:
    """The box lies just outside the face; larger ones get a dark rim so that they show on any background."""
    x1, y1, x2, y2 = _whole(face)
    side = max(1, min(x2 - x1, y2 - y1))
    thickness = max(2 if side >= 24 else 1, round(min(0.003 * min(canvas.shape[:2]), 0.05 * side)))
    corners = (x1 - thickness, y1 - thickness), (x2 + thickness, y2 + thickness)
    if thickness > 1:
        cv2.rectangle(canvas, *corners, (20, 20, 20), thickness + max(2, thickness // 2))
    cv2.rectangle(canvas, *corners, _box_colour(face), thickness)


def _whole(face: Face) -> Rectangle:
    """The box in whole pixels; far outside the picture it is cut, because OpenCV's coordinates overflow."""
    x1, y1, x2, y2 = (round(min(max(edge, -100_000.0), 100_000.0)) for edge in face.box)
    return x1, y1, x2, y2


def _layout(faces: Sequence[Face], width: int, height: int) -> list[_Label]:
    """A place for every label that has one; large faces, which people look at first, choose first."""
    taken = np.array([_whole(face) for face in faces], np.float32).reshape(-1, 4)
    labels: list[_Label] = []
    largest_first = sorted(range(len(faces)), key=lambda position: _area(taken[position]), reverse=True)
    for position in largest_first:
        others = np.delete(taken, position, axis=0)
        placed = np.array([label.place for label in labels], np.float32).reshape(-1, 4)
        label = _first_that_fits(faces[position], others, placed, width, height)
        if label is not None:
            labels.append(label)
    return labels


def _first_that_fits(face: Face, others: Floats, placed: Floats, width: int, height: int) -> _Label | None:
    """The fullest, largest label that hides nothing; where faces are few, else one that hides no other label."""
    anyway: _Label | None = None
    for label in _candidates(face, width, height):
        if _hides(label.place, placed, 0.0):
            continue
        if not _hides(label.place, others, _MAY_HIDE):
            return label
        anyway = anyway or label
    return anyway if len(others) < _FEW else None


def _candidates(face: Face, width: int, height: int) -> Iterator[_Label]:
    box = _whole(face)
    for text in label_texts(face):
        for size in _text_sizes(box, width, height):
            fitting = shortened(text, size, width)
            for place in _places(box, extent(fitting, size), width, height):
                yield _Label(fitting, place, size, _plate_colour(face))


def _text_sizes(box: Rectangle, width: int, height: int) -> tuple[int, ...]:
    """The size that suits the face, then the smallest that can be read at this resolution."""
    smallest = max(_SMALLEST_TEXT, round(0.011 * min(width, height)))
    largest = max(smallest, round(0.028 * min(width, height)))
    wanted = min(max(round(0.2 * (box[3] - box[1])), smallest), largest)
    return (wanted,) if wanted == smallest else (wanted, smallest)


def _places(box: Rectangle, extent: tuple[int, int], width: int, height: int) -> Iterator[Rectangle]:
    """Above the face, below it, and for a face that fills the picture inside its upper edge; always in the picture."""
    wide, high = extent
    gap = max(1, high // 6)
    left = min(max(box[0] - 1, 0), max(width - wide, 0))
    above, below, inside = box[1] - gap - high, box[3] + gap, max(box[1] + gap, 0)
    tops = [top for top in (above, below) if 0 <= top <= height - high]
    if high <= 0.25 * (box[3] - box[1]) or not tops:
        tops.append(min(inside, max(height - high, 0)))
    for top in tops:
        yield left, top, left + wide, top + high


def _hides(place: Rectangle, others: Floats, share: float) -> bool:
    """Whether the place covers more than `share` of any of the other rectangles."""
    if not len(others):
        return False
    wide = np.minimum(others[:, 2], place[2]) - np.maximum(others[:, 0], place[0])
    high = np.minimum(others[:, 3], place[3]) - np.maximum(others[:, 1], place[1])
    covered = np.clip(wide, 0, None) * np.clip(high, 0, None)
    return bool((covered > share * _area(others)).any())


def _area(boxes: Floats) -> Floats:
    sides = boxes[..., 2:] - boxes[..., :2]
    return np.asarray(sides.prod(axis=-1), np.float32)


def _draw_label(canvas: Pixels, label: _Label) -> None:
    """Text is drawn on the plate alone: OpenCV breaks lines at the edge of what it is given, and never past it."""
    x1, y1, x2, y2 = label.place
    plate = canvas[y1:y2, x1:x2]
    if plate.size == 0:
        return
    plate[:] = label.colour
    write(plate, label.text, label.size, contrast(label.colour))


def contrast(background: Colour) -> Colour:
    """Black or white, whichever stands out more: the luminance where both do equally, by WCAG 2's formula."""
    linear = [(value / 255) ** 2.2 for value in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def shortened(text: str, size: int, width: int) -> str:
    """The text, its name cut with an ellipsis where the picture is too narrow; if even that is too wide, its end."""
    if extent(text, size)[0] <= width:
        return text
    who, dot, what = text.rpartition(" · ")
    for head, tail in ((who, dot + what), (text, "")):
        for kept in range(len(head) - 1, 1, -1):
            shorter = head[:kept].rstrip(" -") + "..." + tail
            if extent(shorter, size)[0] <= width:
                return shorter
    return text[:1]


# The two ways of writing. OpenCV 5 brings fonts for most scripts; OpenCV 4 knows only unaccented Latin letters.


def _has_fonts() -> bool:
    return hasattr(cv2, "FontFace")


def _padding(size: int) -> int:
    return max(2, round(0.28 * size))


def extent(text: str, size: int) -> tuple[int, int]:
    """Width and height of the plate that holds the text."""
    high = round(1.42 * size)
    if _has_fonts():
        rectangle = cv2.getTextSize((1_000_000, 1000), text, (0, 0), cv2.FontFace("uni"), size, 500)
        return int(rectangle[2]) + 2 * _padding(size), high
    (wide, _), _ = cv2.getTextSize(plain_letters(text), cv2.FONT_HERSHEY_SIMPLEX, size / 30, _stroke(size))
    return int(wide) + 2 * _padding(size), high


def write(plate: Pixels, text: str, size: int, colour: Colour) -> None:
    start = (_padding(size), round(1.08 * size))
    if _has_fonts():
        cv2.putText(plate, text, start, colour, cv2.FontFace("uni"), size, 500)
    else:
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(plate, plain_letters(text), start, font, size / 30, colour, _stroke(size), cv2.LINE_AA)


def _stroke(size: int) -> int:
    return max(1, round(size / 14))


_NO_ACCENT = {"đ": "d", "Đ": "D", "·": "-", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}


def plain_letters(text: str) -> str:
    """The text in the letters that OpenCV 4 can draw: Nguyễn becomes Nguyen, another script question marks."""
    apart = unicodedata.normalize("NFKD", "".join(_NO_ACCENT.get(character, character) for character in text))
    bare = "".join(character for character in apart if not unicodedata.combining(character))
    return bare.encode("ascii", "replace").decode("ascii")
