"""The three forms in which labelled faces are spread, as plain columns; every mistake is named with its place."""

from __future__ import annotations

import csv
import math
import warnings
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image

from manyfaces.train.labels import EMOTIONS, SIDE, SPLITS, USAGES, DataError
from manyfaces.types import Pixels

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")

MOST_BYTES = 8 * 2**30
"""Of an array that is taken into memory: a hundred times FER2013."""

Row = tuple[Pixels, int, int]
"""A picture, its label, its part."""

Columns = dict[str, npt.NDArray[Any]]
"""images, labels, usage and perhaps ferplus_votes, as an .npz names them; not checked yet."""


def _columns(path: Path, rows: list[Row]) -> Columns:
    if not rows:
        raise DataError(f"{path}: holds no pictures; check that it is whole, or give other data")
    images, labels, usage = zip(*rows, strict=True)
    return {"images": np.stack(images), "labels": np.array(labels), "usage": np.array(usage)}


# --- .npz ------------------------------------------------------------------------------------------------------------


def read_npz(path: Path) -> Columns:
    try:
        arrays = dict(_npz_arrays(path))
    except (OSError, MemoryError, KeyError, SyntaxError, TokenError, *BROKEN_ZIP) as error:
        raise DataError(f"{path}: cannot be read as .npz ({_why(error)}); copy or make the file anew") from None
    for name in ("images", "labels", "usage"):
        if name not in arrays:
            raise DataError(f"{path}: the array {name!r} is missing; an .npz holds images, labels and usage")
    return arrays


def _why(error: Exception) -> str:
    """numpy speaks of pickles where rows are not of one length, since it keeps such arrays as Python's objects."""
    is_of_objects = "allow_pickle" in str(error)
    return "an array holds Python's objects: its rows may not be of one length" if is_of_objects else str(error)


BROKEN_ZIP = (ValueError, EOFError, BadZipFile, RuntimeError, NotImplementedError, zlib.error)
"""What numpy and zipfile raise of archives that are cut short, damaged, encrypted or no archives at all."""


def _npz_arrays(path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    # Opened here, because numpy leaves the file open when the archive is broken.
    with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
        for name in ("images", "labels", "usage", "ferplus_votes"):
            if name in archive:
                _refuse_promises(archive.zip, f"{name}.npy")
                yield name, archive[name]


def _refuse_promises(archive: ZipFile, name: str) -> None:
    """numpy makes room for what an array's header promises before it reads on; a few bytes can promise any size."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
        held = archive.getinfo(name).file_size - file.tell()
    promised = math.prod(shape) * kind.itemsize
    if promised > held or promised > MOST_BYTES:
        raise ValueError(f"{name} is said to have {promised:,} bytes, the file has {held:,}, at most {MOST_BYTES:,}")


# --- fer2013.csv -----------------------------------------------------------------------------------------------------


def read_csv(path: Path) -> Columns:
    try:
        # Spreadsheets begin a file with a mark of its encoding, and Kaggle's has blanks behind its commas.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_csv_rows(path, csv.DictReader(file, skipinitialspace=True)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); give the file as it was published") from None
    return _columns(path, rows)


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
    # Numbers of other scripts, signs and underscores are numbers to Python, but not to who wrote this file.
    if not set(text) <= set("0123456789 \t\r\n"):
        raise DataError(f"{where}: a pixel is no number from 0 to 255; correct or drop the row")
    values = np.fromstring(text, np.float64, sep=" ") if text.strip() else np.empty(0)
    if values.max(initial=0) > 255:
        raise DataError(f"{where}: a pixel is no number from 0 to 255; correct or drop the row")
    if len(values) != SIDE * SIDE:
        raise DataError(f"{where}: has {len(values)} pixels instead of {SIDE * SIDE}; the row may be cut short")
    return values.astype(np.uint8).reshape(SIDE, SIDE)


# --- split/class/*.png -----------------------------------------------------------------------------------------------


def read_split_folder(path: Path) -> Columns:
    splits = [folder for folder in folders_in(path) if folder.name.lower() in SPLITS]
    if not splits:
        raise DataError(f"{path}: holds no folder train, public or private; put the pictures into split/class/*.png")
    return _columns(path, list(chain.from_iterable(_split_rows(folder) for folder in splits)))


def folders_in(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _split_rows(folder: Path) -> Iterator[Row]:
    usage = SPLITS[folder.name.lower()]
    for place in folders_in(folder):
        label, pictures = class_of(place), _pictures_in(place)
        if not pictures:
            raise DataError(f"{place}: holds no pictures of {EMOTIONS[label]}; put some there or remove the folder")
        for picture in pictures:
            yield _picture(picture), label, usage


def class_of(folder: Path) -> int:
    """The class that a folder is named after."""
    if folder.name.lower() not in EMOTIONS:
        raise DataError(f"{folder}: {folder.name!r} is no class; use {', '.join(EMOTIONS)}")
    return EMOTIONS.index(folder.name.lower())


def _pictures_in(place: Path) -> list[Path]:
    entries = (entry for entry in place.iterdir() if not entry.name.startswith("."))
    return sorted(entry for entry in entries if entry.suffix.lower() in PICTURE_SUFFIXES)


def _picture(path: Path) -> Pixels:
    if not path.is_file():
        raise DataError(f"{path}: is no file that can be read; replace or remove it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _grey(path)
    except Exception as error:  # Pillow lets out whatever its parsers stumble over
        raise DataError(f"{path}: cannot be read as a picture ({error}); replace or remove it") from None


def _grey(path: Path) -> Pixels:
    with Image.open(path) as image:
        if image.mode.startswith("I") or image.mode == "F":
            raise ValueError(f"{image.mode} pixels are of more than 8 bits")
        grey = image.convert("L")
        return np.asarray(grey if grey.size == (SIDE, SIDE) else grey.resize((SIDE, SIDE), Image.Resampling.BOX))
