"""The contact sheet: one picture with a row of faces per person, what is wrong marked with a frame and a word.

A picture that nobody can take in is of no use, so it has its limits: of many people those come first of whom there is
something to say, of many photos those that are marked. What is left away is counted on the sheet.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonprefix
from typing import TypeAlias

import cv2
import numpy as np

from manyfaces.draw import Colour, contrast, drawable, extent, shortened, write
from manyfaces.prepare.album import Album, LeftOut
from manyfaces.prepare.doubts import Doubts, Stray
from manyfaces.types import Pixels

MOST_PEOPLE = 100
MOST_PHOTOS = 60
"""Of one person."""

COLUMNS = 20
"""Faces side by side; more of one person go on in the next line."""

FACE = 88
"""The side of a face."""

CELL = FACE + 10
NAME = 220
MOST_DOUBTS = 3
MARGIN = 14
PAPER: Colour = (250, 250, 250)

# From Okabe and Ito's palette, as in draw.
LEFT_OUT: Colour = (213, 94, 0)
DOUBTED: Colour = (204, 121, 167)
COPIED: Colour = (0, 114, 178)
LEGEND = ((LEFT_OUT, "left out"), (DOUBTED, "perhaps somebody else"), (COPIED, "a copy"))

Mark: TypeAlias = tuple[Colour, str]


@dataclass(frozen=True, slots=True)
class Style:
    """How a text is written: the height of its letters, their colour, and what is below them."""

    size: int
    ink: Colour
    plate: Colour = PAPER


TITLE, PLAIN = Style(20, (25, 25, 25)), Style(15, (25, 25, 25))
SOFT, SMALL = Style(15, (115, 115, 115)), Style(12, (115, 115, 115))


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One photo: its face, its file's name, and what is to be said of it; nothing of most."""

    picture: Pixels
    caption: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One person: the name, a line below it, and what is to be said of the person, each in a line of its own."""

    name: str
    told: str
    cells: tuple[Cell, ...]
    doubts: tuple[str, ...] = ()

    @property
    def is_marked(self) -> bool:
        return bool(self.doubts) or any(cell.marks for cell in self.cells)


def contact_sheet(album: Album, found: Doubts, title: str) -> Pixels:
    """Everybody, or the hundred with most to say, by name."""
    rows = list(_rows(album, found))
    shown = [_fewer_cells(row) for row in _first_marked(rows, MOST_PEOPLE)]
    missing = len(rows) - len(shown)
    people = "1 person" if len(rows) == 1 else f"{len(rows)} people"
    told = f"{people}, {len(album)} faces, {len(album.left_out)} photos left out"
    if missing:
        told += f"; {missing} people more are not shown"
    return _drawn(shown, title, told)


# --- what is said ----------------------------------------------------------------------------------------------------


def _rows(album: Album, found: Doubts) -> Iterator[Row]:
    cells: dict[str, list[Cell]] = defaultdict(list)
    out: Counter[str] = Counter()
    marks = _marks(album, found)
    for place, photo in enumerate(album.photos):
        cells[photo.person].append(Cell(album.crops[place], photo.path.stem, tuple(marks[place])))
    for left in album.left_out:
        out[left.photo.person] += 1
        cells[left.photo.person].append(Cell(left.refused.picture, left.photo.path.stem, (_mark_left_out(left),)))
    about = _doubts_of_people(found)
    for name in sorted(cells):
        several = _told_apart(sorted(cells[name], key=lambda cell: cell.caption))
        told = f"{len(several)} photo{'s' * (len(several) != 1)}"
        yield Row(name, f"{told}, {out[name]} left out" if out[name] else told, several, tuple(about[name]))


def _told_apart(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Captions without what all of a person's begin with, which is mostly the person's name, and takes all the room."""
    captions = [cell.caption for cell in cells]
    same = commonprefix(captions) if len(cells) > 1 else ""  # noqa: RUF071  # letters are meant, and no folders
    start = len(same.rstrip("0123456789"))
    return tuple(replace(cell, caption=cell.caption[start:]) for cell in cells)


def _marks(album: Album, found: Doubts) -> dict[int, list[Mark]]:
    """The weightier ones first: the first gives the frame."""
    marks: dict[int, list[Mark]] = defaultdict(list)
    for stray in found.strays:
        marks[stray.place].append((DOUBTED, _said_of_stray(stray)))
    for copy in found.copies:
        first, second = album.photos[copy.first], album.photos[copy.second]
        whose = "" if first.person == second.person else f"{first.person} "
        marks[copy.second].append((COPIED, f"= {whose}{_ending(first.path.stem)}"))
    return marks


def _ending(stem: str) -> str:
    """Files of one folder differ at the end of their names."""
    return stem if len(stem) <= 10 else f"...{stem[-7:]}"


def _said_of_stray(stray: Stray) -> str:
    return f"like {stray.other}" if stray.other else "like nobody"


def _mark_left_out(left: LeftOut) -> Mark:
    """A poor face is told by the first of its faults."""
    refused = left.refused
    if refused.why != "poor face":
        return LEFT_OUT, refused.why
    fault = refused.reason.removeprefix("the face is ").partition(" (")[0]
    return LEFT_OUT, fault.removesuffix(" to the side")


def _doubts_of_people(found: Doubts) -> dict[str, list[str]]:
    said: dict[str, list[str]] = defaultdict(list)
    pairs = [(twins.first, twins.second, "looks like") for twins in found.twins]
    for first, second, verb in [*pairs, *((*names, "is nearly named") for names in found.names)]:
        said[first].append(f"{verb} {second}")
        said[second].append(f"{verb} {first}")
    return said


def _first_marked(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many, in their order; those with something to say before others."""
    urgent = sorted(range(len(rows)), key=lambda place: not rows[place].is_marked)[:most]
    return [rows[place] for place in sorted(urgent)]


def _fewer_cells(row: Row) -> Row:
    urgent = sorted(range(len(row.cells)), key=lambda place: not row.cells[place].marks)[:MOST_PHOTOS]
    if len(urgent) == len(row.cells):
        return row
    told = f"{row.told}, {len(row.cells) - len(urgent)} not shown"
    return Row(row.name, told, tuple(row.cells[place] for place in sorted(urgent)), row.doubts)


# --- how it is drawn -------------------------------------------------------------------------------------------------


def _drawn(rows: Sequence[Row], title: str, told: str) -> Pixels:
    columns = _columns(rows)
    width = 2 * MARGIN + NAME + columns * CELL
    bands = [_head(title, told, width), *(_band(row, columns, width) for row in rows)]
    return np.concatenate([*bands, _paper(MARGIN, width)])


def _columns(rows: Sequence[Row]) -> int:
    """As many as the fullest row takes, evenly broken; enough that the legend has its place."""
    most = max((len(row.cells) for row in rows), default=1)
    return max(-(-most // -(-most // COLUMNS)), 6)


def _paper(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), PAPER, np.uint8)


def _head(title: str, told: str, width: int) -> Pixels:
    head = _paper(84, width)
    _say(head, (MARGIN, MARGIN), title, width - 2 * MARGIN, TITLE)
    _say(head, (MARGIN, MARGIN + 26), told, width - 2 * MARGIN, SOFT)
    left = MARGIN
    for colour, meaning in LEGEND:
        cv2.rectangle(head, (left + 5, 65), (left + 15, 75), colour, -1)
        _say(head, (left + 18, 61), meaning, 160, SMALL)
        left += 40 + extent(meaning, SMALL.size)[0]
    return head


def _band(row: Row, columns: int, width: int) -> Pixels:
    """One person's rows, below a thin line."""
    has_marks = any(cell.marks for cell in row.cells)
    deepest = max((len(cell.marks) for cell in row.cells), default=0) if has_marks else 0
    high = FACE + 18 + 17 * deepest + 8
    lines = max(-(-len(row.cells) // columns), 1)
    band = _paper(10 + lines * high, width)
    cv2.line(band, (MARGIN, 2), (width - MARGIN - 1, 2), (225, 225, 225), 1)
    _say(band, (MARGIN, 10), row.name, NAME - 8)
    _say(band, (MARGIN, 32), row.told, NAME - 8, SMALL)
    for number, doubt in enumerate(row.doubts[:MOST_DOUBTS]):
        _say(band, (MARGIN + 2, 51 + 18 * number), doubt, NAME - 10, _on(DOUBTED))
    for number, cell in enumerate(row.cells):
        line, column = divmod(number, columns)
        _draw_cell(band, (MARGIN + NAME + column * CELL, 10 + line * high), cell)
    return band


def _draw_cell(band: Pixels, corner: tuple[int, int], cell: Cell) -> None:
    left, top = corner
    small = cv2.resize(cell.picture, (FACE, FACE), interpolation=cv2.INTER_AREA)
    band[top : top + FACE, left : left + FACE] = small
    if cell.marks:
        cv2.rectangle(band, (left + 1, top + 1), (left + FACE - 3, top + FACE - 3), cell.marks[0][0], 3)
    _say(band, (left, top + FACE), cell.caption, FACE, SMALL)
    for number, (colour, text) in enumerate(cell.marks):
        _say(band, (left, top + FACE + 18 + 17 * number), text, FACE, _on(colour))


def _say(canvas: Pixels, corner: tuple[int, int], text: str, room: int, style: Style = PLAIN) -> None:
    """A text in at most so much room, shortened where it must be."""
    said = shortened(drawable(text), style.size, room)
    wide, high = extent(said, style.size)
    left, top = corner
    place = canvas[top : top + high, left : left + min(wide, room)]
    place[:] = style.plate
    write(place, said, style.size, style.ink)


def _on(plate: Colour) -> Style:
    return Style(SMALL.size, contrast(plate), plate)
