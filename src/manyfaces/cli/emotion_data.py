"""What every command that learns expressions does first: read the faces, and say what there is to know of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from manyfaces.cli.outcome import complain
from manyfaces.cli.progress import Steps
from manyfaces.errors import InputError
from manyfaces.options import Options

if TYPE_CHECKING:
    from manyfaces.card import InputSpec
    from manyfaces.train.copies import Copies
    from manyfaces.train.data import EmotionData
    from manyfaces.train.photos import LeftOut, PhotoFaces
    from manyfaces.types import Detections, Pixels

LEAST_FACE = 20.0
"""Pixels: smaller faces would be enlarged more than twice, and show no expression that anybody could have labelled."""

MAIN = 2.0
"""A photo's face is the one of this many times the area of every other, as where people are enrolled from folders."""

KEPT = "faces.npz"
"""Where the faces of photos are kept, in the folder of what learns from them."""

MOST_NAMED = 20
"""Photos that are named one by one when they are left out; all are counted."""


def read_for_training(data: Path, out: Path, clean: bool = False, quiet: bool = False) -> EmotionData:
    """Faces to learn from, of any form, also a folder of photos, whose faces are kept in `out`. Tells on standard error
    how the classes are spread and which pictures lie in several parts; with `clean` those are not learnt from."""
    from manyfaces.train.balance import refuse_one_class
    from manyfaces.train.copies import find_copies, without_copies

    faces = read_faces(data, out, quiet)
    refuse_one_class(faces, data)
    for sentence in () if quiet else _of_copies(find_copies(faces), clean):
        typer.echo(sentence, err=True)
    faces = without_copies(faces) if clean else faces
    refuse_one_class(faces, data)
    if not quiet:
        _show_balance(faces)
    return faces


def read_faces(data: Path, out: Path, quiet: bool = False) -> EmotionData:
    """Faces of any form, whatever they are for; those of photos are cut, and kept in `out`."""
    from manyfaces.train.data import read_emotion_data
    from manyfaces.train.photos import is_photo_folder

    return _faces_of_photos(data, out, quiet) if is_photo_folder(data) else read_emotion_data(data)


def cut_already(data: Path, out: Path) -> Path:
    """What to name as data from now on: of photos, the file in which their faces are kept."""
    from manyfaces.train.photos import is_photo_folder

    return out / KEPT if is_photo_folder(data) else data


# --- photos ----------------------------------------------------------------------------------------------------------


def _faces_of_photos(folder: Path, out: Path, quiet: bool) -> EmotionData:
    from manyfaces.train.emotion import SPEC
    from manyfaces.train.photos import photos_in, read_photos

    photos = photos_in(folder)
    with Steps("photos", len(photos), quiet) as steps:
        read = read_photos(photos, face_cutter(SPEC), way_of(SPEC), out / KEPT, steps.advance)
    _tell_left_out(read.left_out)
    if not quiet:
        typer.echo(_told(read, len(photos), out / KEPT), err=True)
    return read.data


def way_of(spec: InputSpec) -> str:
    """Names how faces are found and cut, so that nothing is taken for cut that was cut otherwise."""
    return json.dumps({"detector": "yunet", "least": LEAST_FACE, "main": MAIN, "crop": asdict(spec)}, sort_keys=True)


def face_cutter(spec: InputSpec) -> Callable[[Path], Pixels]:
    """Finds and cuts the face of a photo as serving would for a network with this input."""
    from manyfaces.align import align
    from manyfaces.build import build_detector
    from manyfaces.sources import read_picture

    detect = build_detector(Options())

    def cut(path: Path) -> Pixels:
        image = read_picture(path)
        found = detect([image])[0]
        place = _main_face(found, path)
        return align(image, found.landmarks[place : place + 1], spec)[0, ..., 0]

    return cut


def _main_face(found: Detections, path: Path) -> int:
    """Small faces are looked for too, as in serving, since a detector that does not sees the others a little elsewhere;
    but they do not count."""
    import numpy as np

    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    areas = np.prod(sides, axis=1) * (sides.min(axis=1) >= LEAST_FACE)
    if not areas.any():
        raise InputError(f"{path}: no face of {LEAST_FACE:.0f} pixels or more was found; use a photo that shows one")
    largest = int(areas.argmax())
    if (areas * MAIN > areas[largest]).sum() > 1:
        raise InputError(f"{path}: shows several faces, and none is clearly the largest; cut out the one you mean")
    return largest


def _tell_left_out(left_out: tuple[LeftOut, ...]) -> None:
    for one in left_out[:MOST_NAMED]:
        complain(one.reason)
    if len(left_out) > MOST_NAMED:
        more = len(left_out) - MOST_NAMED
        complain(f"{more} more {'photo was' if more == 1 else 'photos were'} left out for such reasons")


def _told(read: PhotoFaces, photos: int, kept: Path) -> str:
    held = int((read.data.usage == 1).sum())
    return (
        f"{_many(photos, 'photo')}, {_many(len(read.data), 'face')} ({_many(read.cut, 'photo')} searched now, the rest "
        f"known from {kept}), {len(read.left_out)} left out; without an official split {held} of the faces, about a "
        f"fifth of every class, {_are(held)} held out to select on (PublicTest)"
    )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


# --- what there is to know -------------------------------------------------------------------------------------------


def _of_copies(copies: Copies, clean: bool) -> list[str]:
    said = [
        f"{_many(pair.pictures, 'picture')} of {pair.later} {_are(pair.pictures)} also in {pair.earlier}, "
        f"{pair.disagree:,} of them with another label"
        for pair in copies.shared
    ]
    if copies.repeated:
        said.append(
            f"{_many(copies.repeated, 'picture')} of Training {_are(copies.repeated)} there again; "
            f"{copies.contradicting:,} {'has' if copies.contradicting == 1 else 'have'} a copy with another label"
        )
    learnt = any(pair.earlier == "Training" for pair in copies.shared)
    if learnt and clean:
        said.append("Training goes without those that are also in a test part (--clean)")
    elif learnt:
        said.append("a test that was learnt from measures memory; --clean leaves such pictures out of Training")
    return said


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _show_balance(faces: EmotionData) -> None:
    from rich.console import Console
    from rich.table import Table

    from manyfaces.train.balance import balance, never_learnt

    table = Table("class", "training", "public", "private", "share of training")
    for row in balance(faces):
        table.add_row(row.name, f"{row.training:,}", f"{row.public:,}", f"{row.private:,}", f"{row.share:.1%}")
    Console(stderr=True).print(table)
    if never := never_learnt(faces):
        complain(f"there are no pictures of {', '.join(never)} to learn from; the network will hardly ever say so")
