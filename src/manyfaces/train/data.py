"""Labelled faces to learn expressions from, read from the three forms they come in.

FER2013 is spread as `fer2013.csv`, as an `.npz` of arrays, and as folders `split/class/*.png`. All become the same
columns here: 48x48 grey pictures, labels in FER2013's order, and the official split (Training to learn, PublicTest to
select, PrivateTest once). Nothing here needs torch, so figures can be taken without the training extra.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from manyfaces.errors import ManyfacesError
from manyfaces.types import Floats, Index, Integers, Pixels

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013's classes in its own order; a label is a place in this list."""

VOTES = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "no face")
"""What FER+'s ten taggers could say, in the order of its columns (https://github.com/microsoft/FERPlus)."""

SIDE = 48
USAGES = ("Training", "PublicTest", "PrivateTest")
SPLITS: Mapping[str, int] = {
    **dict.fromkeys(("training", "train"), 0),
    **dict.fromkeys(("publictest", "public", "validation", "valid", "val"), 1),
    **dict.fromkeys(("privatetest", "private", "test"), 2),
}
"""The names that people give the three parts, in folders and on the command line."""


class DataError(ManyfacesError):
    """Training data cannot be read or is not what it should be; the message says where."""


@dataclass(frozen=True, slots=True, eq=False)
class EmotionData:
    """Faces and what they express: images (n, 48, 48), labels (n,) 0..6, usage (n,) 0..2 for the official split.

    votes (n, 10) count FER+'s taggers and are zero where nobody voted. duplicate (n,) marks test pictures whose very
    pixels are also in Training: a figure over those measures memory.
    """

    images: Pixels
    labels: Integers
    usage: Integers
    votes: Floats
    duplicate: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Index) -> EmotionData:
        return EmotionData(
            self.images[which], self.labels[which], self.usage[which], self.votes[which], self.duplicate[which]
        )

    def split(self, name: str) -> EmotionData:
        """One part of the official split, by any of its usual names."""
        usage = SPLITS.get(name.lower())
        if usage is None:
            raise DataError(f"split {name!r}: there is no such part; use training, public or private")
        part = self[self.usage == usage]
        if not len(part):
            raise DataError(f"split {name!r}: the data holds no pictures of {USAGES[usage]}; give data that does")
        return part


def read_emotion_data(path: Path) -> EmotionData:
    """Read `fer2013.csv`, an `.npz` or a folder `split/class/*.png`."""
    if path.is_dir():
        return _from_folder(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; give fer2013.csv, an .npz or a folder")
    if path.suffix == ".npz":
        return _from_npz(path)
    if path.suffix == ".csv":
        return _from_csv(path)
    raise DataError(f"{path}: cannot read data of this kind; give fer2013.csv, an .npz or a folder")


# --- .npz ------------------------------------------------------------------------------------------------------------


def _from_npz(path: Path) -> EmotionData:
    try:
        # Opened here, because numpy leaves the file open when the archive is broken.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("images", "labels", "usage", "ferplus_votes") if name in archive}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as .npz ({error}); copy or make the file anew") from None
    for name in ("images", "labels", "usage"):
        if name not in arrays:
            raise DataError(f"{path}: the array {name!r} is missing; an .npz holds images, labels and usage")
    return _checked(str(path), **arrays)


# --- fer2013.csv -----------------------------------------------------------------------------------------------------


def _from_csv(path: Path) -> EmotionData:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(_csv_rows(path, csv.DictReader(file)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); give the file as it was published") from None
    return _collected(str(path), rows)


Row = tuple[Pixels, int, int]


def _csv_rows(path: Path, reader: csv.DictReader[str]) -> Iterator[Row]:
    for column in ("emotion", "pixels", "Usage"):
        if column not in (reader.fieldnames or ()):
            raise DataError(f"{path}: the column {column!r} is missing; fer2013.csv has emotion, pixels and Usage")
    for row in reader:
        yield _csv_row(f"{path}, line {reader.line_num}", row)


def _csv_row(where: str, row: Mapping[str, str | None]) -> Row:
    label, usage = row["emotion"] or "", row["Usage"] or ""
    if label not in map(str, range(len(EMOTIONS))):
        raise DataError(f"{where}: emotion is {label!r}; it must be 0 to {len(EMOTIONS) - 1}, correct or drop the row")
    if usage not in USAGES:
        raise DataError(f"{where}: Usage is {usage!r}; it must be one of {', '.join(USAGES)}")
    return _csv_pixels(where, row["pixels"] or ""), int(label), USAGES.index(usage)


def _csv_pixels(where: str, text: str) -> Pixels:
    try:
        values = np.array(text.split(), dtype=np.uint8)
    except (ValueError, OverflowError):
        raise DataError(f"{where}: a pixel is no number from 0 to 255; correct or drop the row") from None
    if len(values) != SIDE * SIDE:
        raise DataError(f"{where}: has {len(values)} pixels instead of {SIDE * SIDE}; the row may be cut short")
    return values.reshape(SIDE, SIDE)


# --- split/class/*.png -----------------------------------------------------------------------------------------------


def _from_folder(path: Path) -> EmotionData:
    splits = [folder for folder in sorted(path.iterdir()) if folder.name.lower() in SPLITS]
    if not splits:
        raise DataError(f"{path}: holds no folder train, public or private; pictures lie in split/class/*.png")
    return _collected(str(path), list(chain.from_iterable(_split_rows(folder) for folder in splits)))


def _split_rows(folder: Path) -> Iterator[Row]:
    usage = SPLITS[folder.name.lower()]
    for place in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        if place.name.lower() not in EMOTIONS:
            raise DataError(f"{place}: {place.name!r} is no class; use {', '.join(EMOTIONS)}")
        for picture in sorted(place.glob("*.png")):
            yield _picture(picture), EMOTIONS.index(place.name.lower()), usage


def _picture(path: Path) -> Pixels:
    try:
        with Image.open(path) as image:
            grey = image.convert("L")
            return np.asarray(grey if grey.size == (SIDE, SIDE) else grey.resize((SIDE, SIDE), Image.Resampling.BOX))
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error}); replace or remove it") from None


# --- all of them -----------------------------------------------------------------------------------------------------


def _collected(where: str, rows: Iterable[Row]) -> EmotionData:
    images, labels, usage = zip(*rows, strict=True) if (rows := list(rows)) else ((), (), ())
    if not images:
        raise DataError(f"{where}: holds no pictures")
    return _checked(where, np.stack(images), np.array(labels), np.array(usage))


def _checked(
    where: str,
    images: npt.NDArray[np.generic],
    labels: npt.NDArray[np.generic],
    usage: npt.NDArray[np.generic],
    ferplus_votes: npt.NDArray[np.generic] | None = None,
) -> EmotionData:
    """Refuse what no training could make sense of, with the first row that is wrong."""
    votes = np.zeros((len(images), len(VOTES))) if ferplus_votes is None else ferplus_votes
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{where}: images must be uint8 of (n, {SIDE}, {SIDE}), got {images.dtype} {images.shape}")
    for name, array, shape in (
        ("labels", labels, (len(images),)),
        ("usage", usage, (len(images),)),
        ("ferplus_votes", votes, (len(images), len(VOTES))),
    ):
        if array.shape != shape:
            raise DataError(f"{where}: {name} has shape {array.shape}, but the images need {shape}")
    _in_range(f"{where}: label", labels, len(EMOTIONS))
    _in_range(f"{where}: usage", usage, len(USAGES))
    pixels = np.ascontiguousarray(images, dtype=np.uint8)
    numbers = usage.astype(np.int64)
    return EmotionData(pixels, labels.astype(np.int64), numbers, votes.astype(np.float32), _seen(pixels, numbers))


def _in_range(what: str, values: npt.NDArray[np.generic], count: int) -> None:
    wrong = np.flatnonzero(~np.isin(values, np.arange(count)))
    if len(wrong):
        raise DataError(f"{what} {values[wrong[0]]} of picture {wrong[0]} must be 0 to {count - 1}")


def _seen(images: Pixels, usage: Integers) -> npt.NDArray[np.bool_]:
    """Which test pictures are, pixel for pixel, also in Training (280 of FER2013's PublicTest are)."""
    learnt = {image.tobytes() for image in images[usage == 0]}
    return np.array([part != 0 and image.tobytes() in learnt for image, part in zip(images, usage, strict=True)], bool)
