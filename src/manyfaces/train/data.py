"""Labelled faces to learn expressions from, whatever form they came in.

FER2013 is spread as `fer2013.csv`, as an `.npz` of arrays, and as folders `split/class/*.png`. All become the same
columns here: 48x48 grey pictures, labels in FER2013's order, and the official split (Training to learn, PublicTest to
select, PrivateTest once). Nothing here needs torch, so figures can be taken without the training extra.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manyfaces.train.formats import Columns, read_csv, read_npz, read_split_folder
from manyfaces.train.labels import EMOTIONS, SIDE, SPLITS, USAGES, VOTES, DataError
from manyfaces.types import Floats, Index, Integers, Pixels

__all__ = ["EMOTIONS", "SIDE", "SPLITS", "USAGES", "VOTES", "DataError", "EmotionData", "checked", "read_emotion_data"]

MOST_VOTES = 1_000_000

PURPOSES = ("to learn from", "to select on", "to test on")
"""What each part is for."""


@dataclass(frozen=True, slots=True, eq=False)
class EmotionData:
    """Faces and what they express: images (n, 48, 48), labels (n,) 0..6, usage (n,) 0..2 for the official split.

    votes (n, 10) count FER+'s taggers and are zero where nobody voted. duplicate (n,) marks test pictures whose very
    pixels are also in Training: a figure over those measures memory. `where` is what sentences call all this, and
    `selection` what they call the part that is selected on.
    """

    images: Pixels
    labels: Integers
    usage: Integers
    votes: Floats
    duplicate: npt.NDArray[np.bool_]
    where: str = "the data"
    selection: str = USAGES[1]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Index) -> EmotionData:
        return replace(
            self,
            images=self.images[which],
            labels=self.labels[which],
            usage=self.usage[which],
            votes=self.votes[which],
            duplicate=self.duplicate[which],
        )

    def split(self, name: str) -> EmotionData:
        """One part of the official split, by any of its usual names."""
        usage = SPLITS.get(name.lower())
        if usage is None:
            raise DataError(f"split {name!r}: there is no such part; use training, public or private")
        part = self[self.usage == usage]
        if not len(part):
            raise DataError(
                f"{self.where}: holds no pictures of {USAGES[usage]}, {PURPOSES[usage]}; give data that does"
            )
        return part


def read_emotion_data(path: Path) -> EmotionData:
    """Read `fer2013.csv`, an `.npz` or a folder `split/class/*.png`."""
    try:
        return checked(str(path), **_columns(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check its name and permissions") from None


def _columns(path: Path) -> Columns:
    if path.is_dir():
        return read_split_folder(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; give fer2013.csv, an .npz or a folder")
    readers = {".npz": read_npz, ".csv": read_csv}
    read = readers.get(path.suffix.lower())
    if read is None or not path.is_file():
        raise DataError(f"{path}: cannot read data of this kind; give fer2013.csv, an .npz or a folder")
    return read(path)


def checked(
    where: str,
    images: npt.NDArray[np.generic],
    labels: npt.NDArray[np.generic],
    usage: npt.NDArray[np.generic],
    ferplus_votes: npt.NDArray[np.generic] | None = None,
) -> EmotionData:
    """Refuse what no training could make sense of, with the first row that is wrong."""
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE) or not len(images):
        shape = f"({', '.join(map(str, images.shape))})"
        hint = "multiply them by 255 and round" if images.dtype.kind == "f" else "convert them"
        hint = "make them grey" if images.shape[1:] == (SIDE, SIDE, 3) else hint
        hint = hint if images.size else "give some"
        raise DataError(f"{where}: images must be uint8 of (n, {SIDE}, {SIDE}), got {images.dtype} {shape}; {hint}")
    votes = np.zeros((len(images), len(VOTES))) if ferplus_votes is None else ferplus_votes
    for name, array, wanted in (
        ("labels", labels, (len(images),)),
        ("usage", usage, (len(images),)),
        ("ferplus_votes", votes, (len(images), len(VOTES))),
    ):
        _refuse_shape(f"{where}: {name}", array, wanted)
    _refuse_outside(f"{where}: label", labels, len(EMOTIONS))
    _refuse_outside(f"{where}: usage", usage, len(USAGES))
    _refuse_odd_votes(where, votes)
    pixels = np.ascontiguousarray(images, dtype=np.uint8)
    numbers = usage.astype(np.int64)
    seen = _seen(pixels, numbers)
    return EmotionData(pixels, labels.astype(np.int64), numbers, votes.astype(np.float32), seen, where)


def _refuse_shape(what: str, array: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape == (*shape, len(EMOTIONS)) and len(shape) == 1:
        raise DataError(f"{what} are given as a column per class; give the class of each picture, argmax(axis=1)")
    if array.shape != shape:
        raise DataError(f"{what} has shape {array.shape}, but the images need {shape}; give one row for each picture")
    if array.dtype.kind not in "iuf":
        raise DataError(f"{what} must be numbers, got {array.dtype}; convert them")


def _refuse_outside(what: str, values: npt.NDArray[np.generic], count: int) -> None:
    wrong = np.flatnonzero(~np.isin(values, np.arange(count)))
    if len(wrong):
        raise DataError(
            f"{what} {values[wrong[0]]} of picture {wrong[0]} must be 0 to {count - 1}; correct it or drop the picture"
        )


def _refuse_odd_votes(where: str, votes: npt.NDArray[Any]) -> None:
    wrong = np.flatnonzero(~((votes >= 0) & (votes <= MOST_VOTES)).all(axis=1))
    if len(wrong):
        raise DataError(
            f"{where}: the votes of picture {wrong[0]} must be counts of taggers, got {votes[wrong[0]]}; correct them "
            "or make them 0"
        )


def _seen(images: Pixels, usage: Integers) -> npt.NDArray[np.bool_]:
    """Which test pictures are, pixel for pixel, also in Training (280 of FER2013's PublicTest are)."""
    learnt = {image.tobytes() for image in images[usage == 0]}
    return np.array([part != 0 and image.tobytes() in learnt for image, part in zip(images, usage, strict=True)], bool)
