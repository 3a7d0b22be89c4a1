"""A folder of the user's own photos, a class per folder, as labelled faces.

Which face of a photo to take and how to cut it is told by whoever calls, so that training sees what serving will see.
Cutting takes long, so what was cut is kept in a file and found again by the photo's content: a second run cuts nothing
twice, and a photo that changed is cut anew. The file holds the arrays of an `.npz` of faces too and can be read as one.

There is no official split. About a fifth of every class is held out to select on, chosen by the faces' own pixels: the
same in every run, wherever the photos lie, and equal pictures always on one side. Two photos of one moment are not
equal pictures; whoever has series of those should keep one of each.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from manyfaces.errors import InputError, OutputError
from manyfaces.train.data import EMOTIONS, SIDE, SPLITS, DataError, EmotionData, checked
from manyfaces.train.formats import BROKEN_ZIP, class_of, folders_in
from manyfaces.types import Pixels

FaceCutter: TypeAlias = Callable[[Path], Pixels]
"""The one face of a photo, grey (48, 48). Raises `InputError` with the reason where there is none to take."""

HELD_OUT = 5
"""One face of so many is held out."""

NO_FACE: Pixels = np.zeros((SIDE, SIDE), np.uint8)


@dataclass(frozen=True, slots=True)
class Photo:
    path: Path
    label: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A photo that is not learnt from, and why, in a sentence that names it."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFaces:
    """The faces of photos, how many of them were cut by this very run, and what was left out."""

    data: EmotionData
    cut: int
    left_out: tuple[LeftOut, ...]


def is_photo_folder(path: Path) -> bool:
    """Whether a folder holds classes, and not parts of a split. Names that are neither are refused, for a class that
    is spelled otherwise must not be left out in silence."""
    if not path.is_dir():
        return False
    folders = folders_in(path)
    if not folders or any(folder.name.lower() in SPLITS for folder in folders):
        return False
    others = [folder.name for folder in folders if folder.name.lower() not in EMOTIONS]
    if others:
        raise DataError(
            f"{path}: {', '.join(map(repr, others))} {'is no class' if len(others) == 1 else 'are no classes'}; name "
            f"the folders of your photos {', '.join(EMOTIONS)}"
        )
    return True


def photos_in(folder: Path) -> list[Photo]:
    """Every file of the class folders, in order; whether it is a photo is seen when it is opened."""
    return [photo for place in folders_in(folder) for photo in _photos_of(place)]


def _photos_of(place: Path) -> list[Photo]:
    entries = sorted(entry for entry in place.iterdir() if not entry.name.startswith("."))
    if not entries:
        raise DataError(f"{place}: holds no photos of {EMOTIONS[class_of(place)]}; put some there or remove the folder")
    return [Photo(entry, class_of(place)) for entry in entries]


def nothing() -> None:
    """Nobody counts the photos."""


def read_photos(
    photos: Iterable[Photo], cutter: FaceCutter, way: str, kept: Path, step: Callable[[], None] = nothing
) -> PhotoFaces:
    """The faces of these photos. `way` names the way of cutting: what `kept` holds of another way is cut anew."""
    with _beside(kept):
        cuts = _Cuts(cutter, _known(kept, way))  # what cannot be kept is said before anything is cut
    try:
        read = [_read(photo, cuts, step) for photo in photos]
    except BaseException:
        _keep(kept, way, cuts.known | cuts.used)  # what was cut before Ctrl-C need not be cut again
        raise
    taken, odd = _without_contradictions([one for one in read if isinstance(one, _Taken)])
    left_out = sorted([one for one in read if isinstance(one, LeftOut)] + odd, key=lambda one: one.path)
    data = _as_data(kept, taken, left_out)
    _keep(kept, way, cuts.used, data)
    return PhotoFaces(data, cuts.fresh, tuple(left_out))


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    photo: Photo
    face: Pixels

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.face.tobytes()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """What became of a photo: its face, or black and the reason why there is none."""

    face: Pixels
    reason: str = ""


class _Cuts:
    """Cuts a photo once, whatever it is called."""

    def __init__(self, cutter: FaceCutter, known: dict[str, _Cut]) -> None:
        self._cutter = cutter
        self.known = known
        self.used: dict[str, _Cut] = {}
        self.fresh = 0

    def of(self, path: Path) -> _Cut:
        digest = _file_digest(path)
        if digest not in self.used:
            self.used[digest] = self.known.get(digest) or self._cut(path)
        return self.used[digest]

    def _cut(self, path: Path) -> _Cut:
        self.fresh += 1
        try:
            return _Cut(self._cutter(path))
        except InputError as error:
            # Kept without the name: the same photo may have another one next time.
            return _Cut(NO_FACE, str(error).removeprefix(f"{path}: "))


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _read(photo: Photo, cuts: _Cuts, step: Callable[[], None]) -> _Taken | LeftOut:
    step()
    if not photo.path.is_file():
        return LeftOut(photo.path, f"{photo.path}: is no file; photos lie in the folder of their class itself")
    try:
        cut = cuts.of(photo.path)
    except OSError as error:
        return LeftOut(photo.path, f"{photo.path}: cannot be read ({error.strerror}); check its permissions")
    if cut.reason:
        return LeftOut(photo.path, f"{photo.path}: {cut.reason}")
    return _Taken(photo, cut.face)


def _without_contradictions(taken: list[_Taken]) -> tuple[list[_Taken], list[LeftOut]]:
    """The very same face in two classes teaches nothing, and would have to lie on both sides of the split."""
    classes: dict[str, set[int]] = defaultdict(set)
    for one in taken:
        classes[one.digest].add(one.photo.label)
    clear = [one for one in taken if len(classes[one.digest]) == 1]
    odd = [_odd(one, classes[one.digest]) for one in taken if len(classes[one.digest]) > 1]
    return clear, odd


def _odd(one: _Taken, labels: set[int]) -> LeftOut:
    names = " and ".join(EMOTIONS[label] for label in sorted(labels))
    return LeftOut(one.photo.path, f"{one.photo.path}: the same face lies in {names}; keep it in one of them")


def _as_data(where: Path, taken: list[_Taken], left_out: list[LeftOut]) -> EmotionData:
    if not taken:
        why = f"; the first: {left_out[0].reason}" if left_out else ""
        raise DataError(f"none of {len(left_out)} photos shows a face that can be learnt from{why}")
    held = _held_out(taken)
    data = checked(
        str(where),
        np.stack([one.face for one in taken]),
        np.array([one.photo.label for one in taken]),
        np.array([int(one.digest in held) for one in taken]),
    )
    return replace(data, selection="the held-out photos")


def _held_out(taken: list[_Taken]) -> set[str]:
    """The faces of every class whose digests come first; one at least where there are two."""
    by_class: dict[int, set[str]] = defaultdict(set)
    for one in taken:
        by_class[one.photo.label].add(one.digest)
    counts = {label: max(round(len(faces) / HELD_OUT), int(len(faces) > 1)) for label, faces in by_class.items()}
    return {face for label, faces in by_class.items() for face in sorted(faces)[: counts[label]]}


# --- what was cut before ---------------------------------------------------------------------------------------------


def _known(kept: Path, way: str) -> dict[str, _Cut]:
    """A file of another way of cutting, or a broken one, knows nothing: everything is cut anew."""
    try:
        with kept.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            if str(archive["way"]) != way:
                return {}
            columns = archive["photos"], archive["faces"], archive["reasons"]
    except (OSError, KeyError, *BROKEN_ZIP):
        return {}
    if columns[1].shape[1:] != (SIDE, SIDE) or columns[1].dtype != np.uint8:
        return {}
    rows = zip(columns[0].tolist(), columns[1], columns[2].tolist(), strict=False)
    return {str(digest): _Cut(face, str(reason)) for digest, face, reason in rows}


def _keep(kept: Path, way: str, cuts: Mapping[str, _Cut], data: EmotionData | None = None) -> None:
    columns: dict[str, Any] = {
        "way": np.array(way),
        "photos": np.array(list(cuts), dtype=np.str_),
        "faces": np.stack([NO_FACE, *(cut.face for cut in cuts.values())])[1:],
        "reasons": np.array([cut.reason for cut in cuts.values()], dtype=np.str_),
    }
    if data is not None:
        columns |= {"images": data.images, "labels": data.labels, "usage": data.usage}
    with _beside(kept) as beside:
        with beside.open("wb") as file:
            np.savez_compressed(file, **columns)
        beside.replace(kept)


@contextmanager
def _beside(kept: Path) -> Iterator[Path]:
    """Where to write first, so that what was kept stays whole when a write fails; nothing is left there afterwards."""
    beside = kept.with_suffix(".new")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside.touch()
        yield beside
    except OSError as error:
        raise OutputError(f"{kept}: cannot be written ({error.strerror}); make room or choose another --out") from None
    finally:
        with suppress(OSError):
            beside.unlink()
