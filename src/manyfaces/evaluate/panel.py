"""One picture explained: a row for every face, with what the network was shown, what spoke for two classes where, and
how it divides its answer.

Words are written with the font that Pillow carries, so that a panel looks the same everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageDraw import ImageDraw as Pen
from PIL.PngImagePlugin import PngInfo

from manyfaces.draw import drawable, emotion_colour, plain_letters
from manyfaces.evaluate.heat import enlarged_face, heat_over_face, heat_scale, strongest
from manyfaces.types import Floats, Pixels

PAPER, INK, SOFT, LINE, BARE = "#ffffff", "#1b1f24", "#5b6570", "#c3c9cf", "#e8ebee"
MARGIN, GAP, SIDE, BARS = 24, 16, 184, 300
TITLE, TEXT, SMALL = 24, 16, 14
CAPTION = 26
PICTURES = 4
OVERVIEW = 420
"""The height of the whole picture, which is shown where several faces have to be told apart."""

MOST_FACES = 40
SOFTWARE = "manyfaces explain"
LEGEND = (
    "for ...: what the last features say for the class (Grad-CAM), both classes on one scale",
    "covered: what the class loses when this part of the face is hidden, on a scale of its own",
)

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class FaceShown:
    """One face: its crop (h, w, 1 or 3), what was said (labels,), what spoke for each class where (labels, h, w), what
    the class that was named loses where the face is covered (h, w), and where the face lies in the picture."""

    crop: Pixels
    probabilities: Floats
    evidence: Floats
    losses: Floats
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A picture, its name, and its faces: how many were found, and those that are explained, the largest first."""

    title: str
    model: str
    labels: tuple[str, ...]
    image: Pixels
    faces: Sequence[FaceShown]
    found: int


def compared_classes(probabilities: Floats, asked: int | None) -> tuple[int, int]:
    """The class that was named, and the one that was asked for, else the runner-up."""
    first, second = np.argsort(-probabilities, kind="stable")[:2].tolist()
    return first, second if asked is None or asked == first else asked


def draw_panel(told: Explanation, asked: int | None = None) -> Pixels:
    """The whole panel, RGB. `asked`: the class to show instead of the runner-up."""
    shown = told.faces[:MOST_FACES]
    overview = _overview(told.image, shown) if len(shown) > 1 else None
    width = 2 * MARGIN + PICTURES * (SIDE + GAP) + BARS
    top = 2 * MARGIN + TITLE + TEXT + (overview.height + GAP if overview else 0)
    row = CAPTION + SIDE + GAP
    sheet = Image.new("RGB", (width, top + len(shown) * row + 112), PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (MARGIN, MARGIN - 4), _cut(plain_letters(drawable(told.title)), TITLE, width - 2 * MARGIN), TITLE)
    _write(pen, (MARGIN, MARGIN + TITLE + 4), _subtitle(told), SMALL, SOFT)
    if overview:
        sheet.paste(overview, (MARGIN, top - overview.height - GAP))
    for number, face in enumerate(shown):
        name = f"face {number + 1}" if len(shown) > 1 else "what it was shown"
        _draw_row(sheet, pen, top + number * row, face, told.labels, asked, name)
    _draw_legend(sheet, pen, top + len(shown) * row)
    return np.asarray(sheet, np.uint8)


def panel_png(panel: Pixels) -> bytes:
    """A PNG file that says what made it."""
    about = PngInfo()
    about.add_text("Software", SOFTWARE)
    file = io.BytesIO()
    Image.fromarray(panel).save(file, "PNG", pnginfo=about)
    return file.getvalue()


def is_panel(content: bytes) -> bool:
    """Whether a file is a panel of an earlier run: only that is written over."""
    return content.startswith(b"\x89PNG") and SOFTWARE.encode() in content[:200]


def _subtitle(told: Explanation) -> str:
    faces = "1 face" if told.found == 1 else f"{told.found} faces"
    hidden = f", the {len(told.faces)} largest explained" if told.found > len(told.faces) else ""
    return f"{faces}{hidden}, read by {plain_letters(told.model)}"


def _overview(image: Pixels, faces: Sequence[FaceShown]) -> Image.Image:
    """The picture with the faces' numbers."""
    factor = min(OVERVIEW / image.shape[0], (PICTURES * (SIDE + GAP) + BARS) / image.shape[1])
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = Image.fromarray(np.asarray(cv2.resize(image, size, interpolation=way), np.uint8))
    pen = ImageDraw.Draw(small)
    for number, face in enumerate(faces):
        x1, y1, x2, y2 = (edge * factor for edge in face.box)
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=INK, width=4)
        pen.rectangle((x1, y1, x2, y2), outline=PAPER, width=2)
        _number(pen, (x1, y1), str(number + 1))
    return small


def _number(pen: Pen, corner: tuple[float, float], text: str) -> None:
    x, y = max(corner[0], 0), max(corner[1], 0)
    pen.rectangle((x, y, x + 8 + _font(SMALL).getlength(text), y + SMALL + 4), fill=INK)
    _write(pen, (x + 4, y), text, SMALL, PAPER)


def _draw_row(
    sheet: Image.Image, pen: Pen, top: int, face: FaceShown, labels: Sequence[str], asked: int | None, name: str
) -> None:
    classes = compared_classes(face.probabilities, asked)
    most = strongest(face.evidence[list(classes)])
    pictures = [enlarged_face(face.crop, SIDE)]
    pictures += [heat_over_face(face.crop, face.evidence[one], most, SIDE) for one in classes]
    pictures.append(heat_over_face(face.crop, face.losses, strongest(face.losses), SIDE))
    captions = [name, *(f"for {labels[one]}, {_percent(face.probabilities[one])}" for one in classes)]
    captions.append(f"{labels[classes[0]]}, covered")
    for column, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = MARGIN + column * (SIDE + GAP)
        _write(pen, (left, top), _cut(plain_letters(caption), TEXT, SIDE), TEXT)
        sheet.paste(Image.fromarray(picture).resize((SIDE, SIDE)), (left, top + CAPTION))
    _draw_bars(pen, (MARGIN + PICTURES * (SIDE + GAP), top + CAPTION), face.probabilities, labels, classes)


def _draw_bars(
    pen: Pen, corner: tuple[int, int], probabilities: Floats, labels: Sequence[str], classes: tuple[int, int]
) -> None:
    """How the answer is divided; the two classes whose maps are shown are marked by darker words."""
    left, top = corner
    high = SIDE / len(labels)
    start, full = left + 84, BARS - 84 - 56
    for number, (label, share) in enumerate(zip(labels, probabilities.tolist(), strict=True)):
        y, ink = top + number * high, INK if number in classes else SOFT
        middle = y + (high - TEXT) / 2 - 2
        _write(pen, (left, middle), _cut(plain_letters(label), TEXT, 80), TEXT, ink)
        pen.rectangle((start, y + 4, start + full, y + high - 4), fill=BARE)
        colour = emotion_colour(label)
        pen.rectangle((start, y + 4, start + max(1, round(full * share)), y + high - 4), fill=colour, outline=SOFT)
        _write(pen, (start + full + 8, middle), _percent(share), TEXT, ink)


def _draw_legend(sheet: Image.Image, pen: Pen, top: int) -> None:
    """What the pictures and their colours mean, once for all rows."""
    start, wide = MARGIN + SIDE + GAP, 3 * SIDE + 2 * GAP
    sheet.paste(Image.fromarray(heat_scale(wide, 16)), (start, top))
    for text, share in (("nothing", 0.0), ("half", 0.5), ("the most", 1.0)):
        _write(pen, (start + share * (wide - _font(SMALL).getlength(text)), top + 20), text, SMALL, SOFT)
    for number, text in enumerate(LEGEND):
        _write(pen, (start, top + 46 + 20 * number), text, SMALL, SOFT)


def _write(pen: Pen, place: tuple[float, float], text: str, size: int, ink: str = INK) -> None:
    pen.text(place, text, fill=ink, font=_font(size))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _cut(text: str, size: int, width: int) -> str:
    """The text, its end given up where there is no room for it."""
    if _font(size).getlength(text) <= width:
        return text
    kept = next(kept for kept in range(len(text), -1, -1) if _font(size).getlength(f"{text[:kept]}...") <= width)
    return f"{text[:kept].rstrip()}..."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %"
