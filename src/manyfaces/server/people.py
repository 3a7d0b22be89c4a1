"""The gallery as the server sees it: it may be changed by other programs at any time, and is only ever opened briefly.

Faces are named by the last state that could be read. A gallery that is locked, damaged or gone for a while changes
nothing but what `problem` and `standing` say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from manyfaces.align import align
from manyfaces.api import Gallery, NamedPicture, Verification, compare
from manyfaces.enrol import Enroller, Limits, left_to_right
from manyfaces.errors import GalleryError
from manyfaces.gallery.calibrate import FALSE_ACCEPT_RATE
from manyfaces.gallery.matcher import Matcher
from manyfaces.gallery.names import checked, unknown
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.store import Consent, GalleryStore, Person
from manyfaces.pipeline import Stages
from manyfaces.quality import assess
from manyfaces.server.problems import Problem
from manyfaces.server.uploads import Upload
from manyfaces.sources import HeldPicture
from manyfaces.types import Detections, Embeddings, Identities, Pixels

EVERY = 1.0
"""Seconds between two looks at whether the gallery has changed. One costs a fraction of a millisecond."""

PATIENCE = 5.0
"""Seconds to wait for another program that is writing, before the client is told to try again."""

State = tuple[int, int, int, float | None]

Standing = Literal["read", "unreadable", "another network"]
"""What is there of the gallery, in words that tell nothing of anybody."""


class Naming:
    """An `Identifier` whose gallery can be exchanged while it works; who asks sees the old one or the new one."""

    def __init__(self) -> None:
        self.matcher: Matcher | None = None

    def __call__(self, embeddings: Embeddings, /) -> Identities:
        matcher = self.matcher
        return Identities.strangers(len(embeddings)) if matcher is None else matcher(embeddings)


@dataclass(frozen=True, slots=True)
class Photo:
    """An uploaded photo, small enough to be decoded."""

    upload: Upload
    most_pixels: int

    def decode(self) -> Pixels:
        return HeldPicture(self.upload.content, self.upload.name, self.most_pixels).decode()

    def named(self) -> NamedPicture:
        return NamedPicture(self.upload.name, hashlib.sha256(self.upload.content).hexdigest(), self.decode)


class People:
    """Reads and changes one gallery file. Its methods block and are called in threads."""

    def __init__(self, path: Path, model: str, naming: Naming, every: float = EVERY) -> None:
        """`model` is the identity network's, which a gallery must have been made with; `every` so many seconds
        somebody is to call `refresh`."""
        self.every = every
        self.problem = ""
        self.standing: Standing = "read"
        self._path = path
        self._model = model
        self._naming = naming
        self._store = GalleryStore(path, patience=PATIENCE)
        self._state: State | None = None
        self._people = self._faces = 0

    # --- following what others change ---

    def refresh(self) -> bool:
        """Take the gallery's present state over where it has changed; whether it had."""
        try:
            state = self._now()
            if state == self._state:
                self.problem, self.standing = "", "read"
                return False
            self._refuse_other_network()
            self._take_over(self._store.roster())
        except Problem as error:
            self.problem, self.standing = error.detail, "another network"
            return False
        except GalleryError as error:
            self.problem, self.standing = str(error), "unreadable"
            return False
        self._state, self.problem, self.standing = state, "", "read"
        return True

    def _now(self) -> State:
        """Another file in its place is another state, whatever it says of itself."""
        try:
            file = self._path.stat()
        except FileNotFoundError:
            return 0, 0, 0, None
        except OSError as error:
            raise GalleryError(
                f"{self._path}: cannot look for the gallery ({error.strerror}); check the path"
            ) from None
        return file.st_dev, file.st_ino, self._store.revision(), self._store.false_accept_rate()

    def _refuse_other_network(self) -> None:
        """Asked before its faces are read, for it is asked again every second; and no trying again helps a client."""
        model = self._store.model()
        if model and model != self._model:
            raise Problem(
                409, f"{self._path}: was made with the model {model}, not {self._model}; enrol everybody anew"
            )

    def _take_over(self, roster: Roster) -> None:
        self._naming.matcher = Matcher.of(self._store) if len(roster) else None
        self._people, self._faces = len(roster.names), len(roster)

    # --- reading ---

    def about(self) -> dict[str, Any]:
        """The gallery as a whole."""
        matcher = self._naming.matcher
        calibration = matcher.calibration if matcher else None
        return {
            "people": self._people,
            "faces": self._faces,
            "calibrated": calibration is not None,
            "threshold": _figure(calibration.threshold if calibration else None),
            "margin": _figure(calibration.margin if calibration else None),
            "false_accept_rate": calibration.false_accept_rate if calibration else None,
            "suspects": calibration.suspects if calibration else 0,
            "error": self.problem or None,
        }

    def everybody(self) -> list[dict[str, Any]]:
        self._refuse_other_network()
        return [_person(person) for person in self._store.people()]

    def one(self, name: str) -> dict[str, Any]:
        self._expect(name)
        return {**_person(self._store.person(name)), "faces": [_face(face) for face in self._store.faces(name)]}

    def _expect(self, name: str) -> None:
        """Somebody who is not there is another answer than a gallery that fails."""
        name = checked(name)
        names = [person.name for person in self._store.people()]
        if name not in names:
            raise Problem(404, unknown(name, names).replace("; see  manyfaces people list", ""))

    # --- changing ---

    def add(
        self, name: str, photos: Sequence[Photo], stages: Stages, consent: Consent, face: int | None, force: bool
    ) -> dict[str, Any]:
        name = checked(name)
        gallery = Gallery(self._path, enroller=_enroller(stages))
        added, refused = 0, []
        several = (photo.named() for photo in photos)
        for photo, became in gallery.add_pictures(name, several, face=face, force=force, consent=consent):
            if isinstance(became, int):
                added += became
            elif type(became) is GalleryError:
                raise became  # the gallery has failed, which is no fault of the photo
            else:
                refused.append({"photo": photo, "reason": became})
        self.refresh()
        return {"added": added, "refused": refused}

    def rename(self, name: str, to: str) -> None:
        self._expect(name)
        if checked(to) != checked(name) and any(person.name == checked(to) for person in self._store.people()):
            raise Problem(409, "there already is a person of that name, and two people are never merged")
        self._store.rename(name, to)
        self.refresh()

    def remove(self, name: str) -> int:
        self._expect(name)
        faces = Gallery(self._path).remove(name)
        self.refresh()
        return faces

    def calibrate(self, rate: float | None) -> None:
        if not len(self._store.roster()):
            raise Problem(409, "nobody is enrolled yet, so there is nothing to calibrate; add people first")
        kept = rate if rate is not None else self._store.false_accept_rate()
        Gallery(self._path).calibrate(FALSE_ACCEPT_RATE if kept is None else kept)
        self.refresh()


def _enroller(stages: Stages) -> Enroller:
    """Makes enrolments with the networks that are loaded already."""
    if stages.identity is None:
        raise Problem(409, "this server runs without identity; start it without --no-identity")
    return Enroller(stages.detect, stages.identity, closer=stages.closer)


def verified(first: Photo, second: Photo, stages: Stages) -> Verification:
    if stages.identity is None:
        raise Problem(409, "this server runs without identity; start it without --no-identity")
    return compare([(photo.upload.name, photo.decode()) for photo in (first, second)], stages)


# --- advice while enrolling ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Advice:
    """What could be better: a word for programs and a sentence for people."""

    code: str
    sentence: str


NO_FACE = Advice("no_face", "No face is in the picture; come closer and look at the camera.")
SEVERAL = Advice("several_faces", "Several faces are in the picture; only one person at a time, please.")
TOO_SMALL = Advice("too_small", "The face is too small; come closer.")
TOO_BLURRED = Advice("too_blurred", "The face is blurred; hold still, and let there be more light.")
CUT_OFF = Advice("cut_off", "The face is cut off by the edge; move into the middle.")
TURNED_AWAY = Advice("turned_away", "The face is turned too far to the side; look at the camera.")


def quality(photo: Photo, stages: Stages) -> dict[str, Any]:
    """How good the main face of a picture is to enrol from, by the limits that enrolling has."""
    image = photo.decode()
    found = stages.detect([image])[0]
    large = _large(found)
    if not len(large):
        return _advised([NO_FACE], len(found), None, None)
    main = large[np.array([left_to_right(large)[0] if len(large) == 1 else _biggest(large)])]
    figures = _figures(image, main, stages)
    faults = ([SEVERAL] if len(large) > 1 else []) + _faults(figures, Limits())
    return _advised(faults, len(found), [round(float(edge), 1) for edge in main.boxes[0]], figures)


def _large(found: Detections) -> Detections:
    """Specks in the background are nobody whom one could mean."""
    return found[(found.boxes[:, 2:] - found.boxes[:, :2]).min(axis=1) >= Limits().size / 2] if len(found) else found


def _biggest(found: Detections) -> int:
    return int(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1).argmax())


def _figures(image: Pixels, main: Detections, stages: Stages) -> dict[str, float]:
    head = stages.identity or stages.emotion
    if head is None:
        raise Problem(409, "this server runs without networks that read faces; start it with one")
    assessed = assess(main, align(image, main.landmarks, head.spec), image.shape[1], image.shape[0])
    return {name: round(float(getattr(assessed, name)[0]), 3) for name in ("size", "sharpness", "yaw", "inside")}


def _faults(figures: dict[str, float], limits: Limits) -> list[Advice]:
    checks = (
        (figures["size"] < limits.size, TOO_SMALL),
        (figures["sharpness"] < limits.sharpness, TOO_BLURRED),
        (figures["inside"] < limits.inside, CUT_OFF),
        (figures["yaw"] > limits.yaw, TURNED_AWAY),
    )
    return [advice for is_so, advice in checks if is_so]


def _advised(
    faults: list[Advice], faces: int, box: list[float] | None, figures: dict[str, float] | None
) -> dict[str, Any]:
    return {
        "faces": faces,
        "box": box,
        "good": not faults,
        "advice": [fault.sentence for fault in faults],
        "codes": [fault.code for fault in faults],
        "quality": figures,
    }


# --- rows ------------------------------------------------------------------------------------------------------------


def _person(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "photos": person.faces,
        "added": person.added,
        "model": person.model,
        "consent": asdict(person.consent),
    }


def _face(face: Any) -> dict[str, Any]:
    kept = asdict(face)
    del kept["digest"]
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in kept.items()}


def _figure(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
