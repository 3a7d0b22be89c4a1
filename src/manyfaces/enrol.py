"""From a photo to an enrolment: find the face, ask which where there are several, refuse what would do harm later.

Knows only protocols, so it works with any detector, any identity head and anything that keeps enrolments.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from manyfaces.align import align
from manyfaces.closer import Closer, as_seen
from manyfaces.errors import EnrolmentRefused, InputError, NoFace, SeveralFaces, UsageError
from manyfaces.quality import assess
from manyfaces.stages import Detector, Head
from manyfaces.types import Crops, Detections, Embeddings, Pixels, Qualities

MAIN = 2
"""A face of this many times the area of every other one is what a photo in a person's folder shows: true of all 101
such photos among 157 with several faces (docs/decisions/0004)."""

MOST_BYTES = 2**30
"""Of a photo's file."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a face must be worth to be enrolled.

    size: the shorter side of the box in pixels. sharpness: a face of 20 pixels that is in focus has 12 or more, one
    blurred until it looks like others has less than 10. yaw: 0.75 is about 67 degrees, where one eye begins to hide.
    inside: the share of the box in the picture. docs/decisions/0004 says what these refuse.
    """

    size: float = 20
    sharpness: float = 10
    yaw: float = 0.75
    inside: float = 0.9


@dataclass(frozen=True, slots=True)
class Choice:
    """Which face of a photo to take. `face` counts from 1, left to right; `largest` takes the biggest; `main` takes it
    only where it is clearly what the photo shows; `force` takes the face however bad it is."""

    face: int | None = None
    largest: bool = False
    main: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if self.face is not None and self.face < 1:
            raise UsageError(f"face {self.face}: faces are counted from 1, left to right")
        if self.face is not None and (self.largest or self.main):
            raise UsageError("give the number of the face or ask for the largest, not both")


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """The one face that a photo is about: where it was seen, its aligned crop, what it is worth, and in words what of
    that is too little."""

    detections: Detections
    crops: Pixels
    qualities: Qualities
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """One face, ready to be kept: its vector, what it is worth, where it was seen, its aligned crop."""

    embeddings: Embeddings
    qualities: Qualities
    detections: Detections
    crops: Pixels


class Enroller:
    """Makes enrolments with one detector and one identity head."""

    def __init__(
        self,
        detector: Detector,
        head: Head[Embeddings],
        limits: Limits | None = None,
        closer: Closer = as_seen,
    ) -> None:
        self._detector = detector
        self._head = head
        self._limits = limits or Limits()
        self._closer = closer

    def __call__(self, image: Pixels, where: str, choice: Choice | None = None) -> Enrolment:
        """Enrol one face of a picture; `where` names the picture in what is said about it."""
        choice = choice or Choice()
        seen = self.look(image, where, choice)
        if seen.faults and not choice.force:
            raise EnrolmentRefused(f"{where}: {poor(seen.faults)}")
        return self.enrol(seen)

    def look(self, image: Pixels, where: str, choice: Choice) -> Sighting:
        """Find the face that is meant, and say what is wrong with it."""
        found = self._detector([image])[0]
        chosen = self._closer(image, found[np.array([_pick(found, where, choice, self._limits)])])
        crops = align(image, chosen.landmarks, self._head.spec)
        qualities = assess(chosen, crops, image.shape[1], image.shape[0])
        return Sighting(chosen, crops, qualities, tuple(_faults(qualities, self._limits)))

    def enrol(self, seen: Sighting) -> Enrolment:
        """The face as it is, whatever is wrong with it."""
        embeddings = self._head(Crops(seen.crops, np.zeros(1, np.int64)))
        return Enrolment(embeddings, seen.qualities, seen.detections, seen.crops)


def left_to_right(detections: Detections) -> list[int]:
    """The order in which the faces of a photo are counted: by the middle of the box."""
    return [int(place) for place in np.argsort(detections.boxes[:, 0] + detections.boxes[:, 2], kind="stable")]


def _pick(found: Detections, where: str, choice: Choice, limits: Limits) -> int:
    if not len(found):
        raise NoFace(f"{where}: no face found; use a photo that shows the face bigger and from the front")
    ordered = left_to_right(found)
    if choice.face is not None:
        if choice.face > len(ordered):
            raise EnrolmentRefused(f"{where}: there is no face {choice.face}; {_counted(found, ordered)}")
        return ordered[choice.face - 1]
    areas = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)
    largest = int(areas.argmax())
    if choice.largest or (choice.main and (areas * MAIN < areas[largest]).sum() == len(areas) - 1):
        return largest
    # Faces too small to be enrolled anyway, often specks in the background, are no reason to ask.
    large = np.flatnonzero((found.boxes[:, 2:] - found.boxes[:, :2]).min(axis=1) >= limits.size)
    if len(large) == 1:
        return int(large[0])
    if len(ordered) > 1:
        raise SeveralFaces(f"{where}: which face? {_counted(found, ordered)}; {_say_which(choice)}")
    return ordered[0]


def _say_which(choice: Choice) -> str:
    """Where the main face is asked for, a whole folder is read, and no number holds for all of its photos."""
    if choice.main:
        return "enrol this photo by itself and say which with its number:  manyfaces people add NAME PHOTO --face N"
    return "say which with its number (--face N)"


def _counted(found: Detections, ordered: Sequence[int]) -> str:
    faces = [
        f"{number} at x {x1:.0f} to {x2:.0f}, y {y1:.0f} to {y2:.0f}"
        for number, (x1, y1, x2, y2) in enumerate(found.boxes[list(ordered)].tolist(), start=1)
    ]
    count = "1 face" if len(faces) == 1 else f"{len(faces)} faces, left to right"
    return f"the photo shows {count}: {', '.join(faces)}"


def poor(faults: Sequence[str]) -> str:
    """The sentence for a face that is not good enough."""
    return f"the face is {' and '.join(faults)}; use another photo, or force it (--force)"


def _faults(qualities: Qualities, limits: Limits) -> Iterator[str]:
    """Everything that is wrong, so that the next photo can be better in every respect."""
    size, sharpness, yaw, inside = (
        float(figure[0]) for figure in (qualities.size, qualities.sharpness, qualities.yaw, qualities.inside)
    )
    if size < limits.size:
        yield f"too small ({size:.0f} pixels, at least {limits.size:.0f} needed)"
    if sharpness < limits.sharpness:
        yield f"too blurred (sharpness {sharpness:.1f}, at least {limits.sharpness:.0f} needed)"
    if inside < limits.inside:
        yield f"cut by the edge ({inside:.0%} of it in the picture, at least {limits.inside:.0%} needed)"
    if yaw > limits.yaw:
        yield f"turned too far to the side ({yaw:.2f} of a quarter turn, at most {limits.yaw:.2f} allowed)"


# --- a folder per person ---------------------------------------------------------------------------------------------


class Register(Protocol):
    """Where enrolments go. The gallery's store is one."""

    def holders(self, digest: str, /) -> tuple[str, ...]:
        """The people who have a face from the file with this hash."""

    def add(
        self, name: str, embeddings: Embeddings, qualities: Qualities, source: str = "", digest: str = ""
    ) -> int: ...


Status = Literal["enrolled", "refused", "duplicate"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photo. `done` of `total` photos have been looked at; `reason` is empty where all went well."""

    name: str
    path: Path
    status: Status
    reason: str
    done: int
    total: int


def photos_by_person(folder: Path) -> list[tuple[str, Path]]:
    """Every photo with the name of its person, which is the name of the folder it lies in."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give one that holds a folder of photos per person")
    photos = [
        (unicodedata.normalize("NFC", person.name), photo)
        for person in _listed_folder(folder)
        if person.is_dir() or _leads_nowhere(person)
        for photo in _photos_in(person)
    ]
    if not photos:
        raise InputError(f"{folder}: no photos of people here; make a folder per person and put the photos into it")
    return photos


@dataclass(frozen=True, slots=True)
class PassedOver:
    """What `photos_by_person` leaves aside in silence: photos beside the folders, photos in folders below a person's,
    and people's folders without any photo."""

    beside: tuple[Path, ...]
    below: tuple[Path, ...]
    empty: tuple[Path, ...]


def passed_over(folder: Path) -> PassedOver:
    """Most likely somebody put these here to be read."""
    entries = _listed_folder(folder)
    people = [path for path in entries if path.is_dir()]
    below = {person: tuple(_photos_below(person)) for person in people}
    return PassedOver(
        tuple(path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()),
        tuple(photo for person in people for photo in below[person]),
        tuple(person for person in people if not below[person] and not _photos_in(person)),
    )


def _photos_below(person: Path) -> Iterator[Path]:
    """A folder that cannot be opened is named elsewhere, or holds nothing that anybody could read."""
    for place, folders, files in os.walk(person):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if Path(place) != person:
            names = sorted(name for name in files if not name.startswith("."))
            yield from (Path(place, name) for name in names if Path(name).suffix.lower() in SUFFIXES)


def _photos_in(person: Path) -> list[Path]:
    """A folder that cannot be opened stands for its photos, so that it is named as they would be."""
    try:
        return [path for path in _listed_folder(person) if path.suffix.lower() in SUFFIXES]
    except InputError:
        return [person]


def _listed_folder(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be opened ({error.strerror}); check its permissions") from None


def _leads_nowhere(path: Path) -> bool:
    """A link to what is not there, or round in a circle."""
    return path.is_symlink() and not path.exists()


def folded(name: str) -> str:
    """What is left of a name without case, width, blanks at its ends and marks that nobody sees: names that fold to
    one are one name to who reads them."""
    bare = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", " ".join(bare.split()).casefold())


class Spellings:
    """The names that are taken. Another that reads like one of them is refused, not warned of: two names of one person
    take each other's faces, so that neither is recognised, and a gallery never merges two people."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._folded = {folded(name): name for name in self._taken}

    def refuse_near(self, name: str, otherwise: str = ", or force it (--force)") -> None:
        """Takes the name, if it is known or unlike all known ones. `otherwise`: what else the user can do."""
        if name in self._taken:
            return
        near = self._folded.setdefault(folded(name), name)
        if near != name:
            raise EnrolmentRefused(
                f"the name {name!r} differs from {near!r} only in case, width, blanks or invisible marks; take that "
                f"one, or a name that can be told apart{otherwise}"
            )
        self._taken.add(name)


def import_folder(
    folder: Path,
    enroller: Enroller,
    read: Callable[[Path], Pixels],
    register: Register,
    choice: Choice | None = None,
    taken: Iterable[str] = (),
) -> Iterator[Outcome]:
    """Enrol a folder per person, one outcome per photo as it happens. A photo that fails does not stop the others.

    What was enrolled stays when the caller stops early; running it again finds those photos as duplicates and goes on.
    Photos with several faces are refused unless one is clearly the main one, or the `choice` says more. `taken`: who
    is enrolled already; a folder whose name is nearly one of these, or of another folder, is refused.
    """
    photos, spellings = photos_by_person(folder), Spellings(taken)
    choice = choice or Choice()
    if choice.face is None:
        choice = replace(choice, main=True)
    for done, (name, path) in enumerate(photos, start=1):
        status: Status = "refused"
        reason = ""
        try:
            if not choice.force:
                spellings.refuse_near(name)
            status, reason = _import_one(name, path, enroller, read, register, choice)
        except (EnrolmentRefused, InputError) as error:
            reason = _about(path, error)
        yield Outcome(name, path, status, reason, done, len(photos))


def _about(path: Path, error: Exception) -> str:
    """A sentence about a name does not say of which photo it was the name."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def _import_one(
    name: str,
    path: Path,
    enroller: Enroller,
    read: Callable[[Path], Pixels],
    register: Register,
    choice: Choice,
) -> tuple[Status, str]:
    digest = file_digest(path)
    holders = register.holders(digest)
    if holders and name not in holders:
        return (
            "refused",
            f"{path}: the same file is already enrolled as {holders[0]!r}; remove it from one of the two",
        )
    if holders:
        return "duplicate", f"{path}: the same file is already enrolled"
    enrolment = enroller(read(path), str(path), choice)
    added = register.add(name, enrolment.embeddings, enrolment.qualities, str(path), digest)
    return ("enrolled", "") if added else ("duplicate", f"{path}: the same file is already enrolled")


def file_digest(path: Path) -> str:
    """The SHA-256 of a file: equal files are the same photo, whatever they are called."""
    return hashlib.sha256(read_photo(path)).hexdigest()


def read_photo(path: Path) -> bytes:
    """The bytes of a photo's file. What is no plain file, such as a pipe or a device that never ends, is not opened."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            next(path.iterdir(), None)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: this is no plain file; put the photo itself here")
        if found.st_size > MOST_BYTES:
            raise InputError(f"{path}: {found.st_size / 2**20:,.0f} MB are too many for a photo; make it smaller")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
