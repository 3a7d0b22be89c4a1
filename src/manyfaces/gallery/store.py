"""Who is enrolled, kept in one SQLite file: people, the vectors of their faces, what they agreed to.

Safe when the process is killed and when several write. Vectors of two models never mix: their similarity means nothing.
"""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.errors import GalleryError, UsageError
from manyfaces.gallery import names
from manyfaces.gallery.calibration import Calibration
from manyfaces.gallery.database import Database
from manyfaces.gallery.roster import Roster
from manyfaces.types import Embeddings, Qualities


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agreed to, who wrote it down, when, and until when it holds. Dates are ISO, empty where unknown."""

    text: str
    by: str = ""
    given: str = ""
    expires: str = ""

    def __post_init__(self) -> None:
        """The day of expiry is compared with today's as text, by the database, so it must be written in one way."""
        if self.expires and not (re.fullmatch(r"\d{4}-\d{2}-\d{2}", self.expires) and _is_date(self.expires)):
            raise UsageError(f"{self.expires!r} is no date; write it like 2027-12-31")
        if self.given and not _is_date(self.given):
            raise UsageError(f"{self.given!r} is no date; write it like 2027-12-31")


@dataclass(frozen=True, slots=True)
class Person:
    """One enrolled person, as a row for people and tables."""

    name: str
    faces: int
    added: str
    model: str
    consent: Consent


@dataclass(frozen=True, slots=True)
class EnrolledFace:
    """One enrolled face: where it came from and what it was worth."""

    id: int
    source: str
    digest: str
    added: str
    size: float
    sharpness: float
    yaw: float
    inside: float


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge took away: faces, and the people of whom nothing was left."""

    faces: int
    people: tuple[str, ...]


class GalleryStore:
    """A gallery file. Nothing is opened or made before it is needed; a file that does not exist is an empty gallery.

    With `must_exist` a missing file is an error at once: for those who only read, a wrong path is more likely than an
    empty gallery.
    """

    def __init__(self, path: str | PathLike[str], *, must_exist: bool = False, patience: float = 10.0) -> None:
        self.path = Path(path)
        self._database = Database(self.path, patience)
        if must_exist and not self._database.exists():
            raise GalleryError(f"{self.path}: there is no gallery here; make one with  manyfaces people add NAME PHOTO")

    # --- reading ---

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with self._database.reading() as connection:
            return [_person(row) for row in connection.execute(f"{_PEOPLE} GROUP BY person.id ORDER BY name")]

    def person(self, name: str) -> Person:
        with self._database.reading() as connection:
            known = _find(connection, name)
            return _person(connection.execute(f"{_PEOPLE} WHERE person.id = ?", (known,)).fetchone())

    def faces(self, name: str) -> list[EnrolledFace]:
        """The enrolled faces of a person, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(f"{_FACES} WHERE person = ? ORDER BY id", (_find(connection, name),))
            return [EnrolledFace(*row) for row in rows]

    def model(self) -> str:
        """The model that made this gallery's vectors; empty while there are none."""
        with self._database.reading() as connection:
            return _model(connection)

    def holders(self, digest: str) -> tuple[str, ...]:
        """The people who have a face from the file with this hash."""
        query = "SELECT DISTINCT name FROM face JOIN person ON person.id = face.person WHERE digest = ? ORDER BY name"
        with self._database.reading() as connection:
            return tuple(name for (name,) in connection.execute(query, (digest,)))

    def roster(self) -> Roster:
        """All vectors and whose they are, for searching."""
        with self._database.reading() as connection:
            return _roster(connection)

    def revision(self) -> int:
        """Grows with every change of who is enrolled; cheap to ask, to see whether a roster is still true."""
        with self._database.reading() as connection:
            return _revision(connection)

    def calibration(self) -> tuple[Calibration, int] | None:
        """The stored calibration and the revision of the gallery that it was computed from."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT content, revision FROM calibration").fetchone()
        return (Calibration.from_json(row[0]), int(row[1])) if row else None

    def false_accept_rate(self) -> float | None:
        """The rate that was last chosen for this gallery; None if nobody ever chose."""
        with self._database.reading() as connection:
            rate = connection.execute("SELECT false_accept_rate FROM state").fetchone()[0]
        return None if rate is None else float(rate)

    def export(self, only: Sequence[str] = (), *, vectors: bool = False) -> dict[str, Any]:
        """What is known of these people, or of all, as plain values for JSON; vectors as base64 of float32."""
        people = [self.person(name) for name in only] if only else self.people()
        return {"model": self.model(), "people": [self._exported(person, vectors) for person in people]}

    # --- writing ---

    def add(
        self,
        name: str,
        embeddings: Embeddings,
        qualities: Qualities,
        source: str = "",
        digest: str = "",
        consent: Consent | None = None,
    ) -> int:
        """Enrol the faces of one photo under a name, new or known; how many were added.

        A photo that this person already has, told by the hash of its file, adds nothing.
        """
        name = names.checked(name)
        _check_faces(embeddings, qualities)
        with self._database.writing() as connection:
            _refuse_other_model(self.path, connection, embeddings.model)
            owner = _find_or_add(connection, name)
            if consent is not None:
                _set_consent(connection, owner, consent)
            if digest and _has_digest(connection, owner, digest):
                return 0
            connection.executemany(_ADD_FACE, _face_rows(owner, embeddings, qualities, source, digest))
            _touch(connection)
        return len(embeddings)

    def consent(self, name: str, consent: Consent) -> None:
        """Write down what a person agreed to, in place of what was written before."""
        with self._changing(name) as connection:
            _set_consent(connection, _find(connection, name), consent)
        self._database.erase_traces()

    def rename(self, old: str, new: str) -> None:
        new = names.checked(new)
        with self._changing(old) as connection:
            known = _find(connection, old)
            if connection.execute("SELECT 1 FROM person WHERE name = ? AND id <> ?", (new, known)).fetchone():
                raise GalleryError(
                    f"{self.path}: there already is a person {new!r}, and two people are never merged; remove one, or "
                    "enrol the photos again under the other name"
                )
            connection.execute("UPDATE person SET name = ? WHERE id = ?", (new, known))
            _touch(connection)
        self._database.erase_traces()

    def remove(self, name: str) -> int:
        """Forget a person with every trace in the file; how many faces went."""
        with self._changing(name) as connection:
            known = _find(connection, name)
            faces = connection.execute("DELETE FROM face WHERE person = ?", (known,)).rowcount
            connection.execute("DELETE FROM person WHERE id = ?", (known,))
            _forget_calibration(connection)
        self._database.erase_traces()
        return faces

    def purge(
        self, *, older_than: timedelta | None = None, everything: bool = False, now: datetime | None = None
    ) -> Purged:
        """Forget whose consent has run out, what is older than asked, or everything; and drive out every trace."""
        if not self._database.exists():
            return Purged(0, ())
        now = now or datetime.now(timezone.utc)
        before = now - older_than if older_than is not None else None
        with self._database.writing() as connection:
            purged = _purge(connection, now, before, everything)
            if purged.faces or purged.people:
                _forget_calibration(connection)
        self._database.erase_traces()
        return purged

    def save_calibration(self, calibration: Calibration, revision: int) -> None:
        with self._database.writing() as connection:
            content = (revision, calibration.to_json())
            connection.execute("INSERT OR REPLACE INTO calibration VALUES (1, ?, ?)", content)
            connection.execute("UPDATE state SET false_accept_rate = ?", (calibration.false_accept_rate,))

    # --- inside ---

    def _changing(self, name: str) -> AbstractContextManager[sqlite3.Connection]:
        """To change a person there must be one: asking for somebody in no gallery must not make a file."""
        if not self._database.exists():
            raise GalleryError(names.unknown(name, []))
        return self._database.writing()

    def _exported(self, person: Person, vectors: bool) -> dict[str, Any]:
        faces = [asdict(face) for face in self.faces(person.name)]
        if vectors:
            with self._database.reading() as connection:
                found = dict(connection.execute("SELECT id, vector FROM face").fetchall())
            for face in faces:
                face["vector"] = base64.b64encode(found[face["id"]]).decode("ascii")
        return {**asdict(person), "faces": faces}


_PEOPLE = """SELECT name, count(face.id), person.added, coalesce(max(model), ''),
    consent, consent_by, consent_given, expires FROM person LEFT JOIN face ON face.person = person.id"""

_FACES = "SELECT id, source, digest, added, size, sharpness, yaw, inside FROM face"

_ADD_FACE = """INSERT INTO face (person, model, vector, source, digest, added, size, sharpness, yaw, inside)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def _person(row: tuple[Any, ...]) -> Person:
    name, faces, added, model, *consent = row
    return Person(name, faces, added, model, Consent(*consent))


def _find(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT id FROM person WHERE name = ?", (names.checked(name),)).fetchone()
    if row is None:
        known = [other for (other,) in connection.execute("SELECT name FROM person ORDER BY name")]
        raise GalleryError(names.unknown(name, known))
    return int(row[0])


def _find_or_add(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("INSERT OR IGNORE INTO person (name, added) VALUES (?, ?)", (name, _now()))
    return _find(connection, name)


def _has_digest(connection: sqlite3.Connection, owner: int, digest: str) -> bool:
    query = "SELECT 1 FROM face WHERE person = ? AND digest = ?"
    return connection.execute(query, (owner, digest)).fetchone() is not None


def _set_consent(connection: sqlite3.Connection, owner: int, consent: Consent) -> None:
    connection.execute(
        "UPDATE person SET consent = ?, consent_by = ?, consent_given = ?, expires = ? WHERE id = ?",
        (consent.text, consent.by, consent.given or _now(), consent.expires, owner),
    )


def _model(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT model FROM face LIMIT 1").fetchone()
    return str(row[0]) if row else ""


def _refuse_other_model(path: Path, connection: sqlite3.Connection, model: str) -> None:
    held = _model(connection)
    if held and held != model:
        raise GalleryError(
            f"{path}: this gallery was made with the model {held}, these faces with {model}, and the two do not "
            "compare; use the same model, or enrol everybody again in a new gallery"
        )


def _check_faces(embeddings: Embeddings, qualities: Qualities) -> None:
    if not len(embeddings) or len(embeddings) != len(qualities):
        raise GalleryError(f"nothing enrolled: {len(embeddings)} vectors and {len(qualities)} qualities were given")
    if not embeddings.model:
        raise GalleryError("nothing enrolled: the vectors do not say which model made them")
    lengths = np.linalg.norm(embeddings.vectors, axis=1)
    if not bool(np.all(np.abs(lengths - 1) < 1e-2)):
        raise GalleryError("nothing enrolled: a vector is not of unit length; the model's output is broken")


def _face_rows(
    owner: int, embeddings: Embeddings, qualities: Qualities, source: str, digest: str
) -> list[tuple[Any, ...]]:
    vectors = np.ascontiguousarray(embeddings.vectors, "<f4")
    figures = np.stack([qualities.size, qualities.sharpness, qualities.yaw, qualities.inside], axis=1).tolist()
    now = _now()
    return [
        (owner, embeddings.model, vector.tobytes(), source, digest, now, *row)
        for vector, row in zip(vectors, figures, strict=True)
    ]


def _roster(connection: sqlite3.Connection) -> Roster:
    people = connection.execute("SELECT id, name FROM person ORDER BY id").fetchall()
    places = {identifier: place for place, (identifier, _) in enumerate(people)}
    rows = connection.execute("SELECT person, vector FROM face ORDER BY person, id").fetchall()
    owners = np.array([places[owner] for owner, _ in rows], np.int64)
    if len({len(vector) for _, vector in rows}) > 1:
        raise sqlite3.DatabaseError("malformed: vectors of different lengths")
    flat = np.frombuffer(b"".join(vector for _, vector in rows), "<f4").astype(np.float32)
    vectors = flat.reshape(len(rows), -1) if rows else np.empty((0, 0), np.float32)
    return Roster(
        tuple(name for _, name in people), owners, Embeddings(vectors, _model(connection)), _revision(connection)
    )


def _revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT revision FROM state").fetchone()[0])


def _touch(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE state SET revision = revision + 1")


def _forget_calibration(connection: sqlite3.Connection) -> None:
    """Even averages over a small gallery say something about who was in it. The chosen rate stays."""
    connection.execute("DELETE FROM calibration")
    _touch(connection)


def _purge(connection: sqlite3.Connection, now: datetime, before: datetime | None, everything: bool) -> Purged:
    had = [name for (name,) in connection.execute("SELECT name FROM person ORDER BY name")]
    faces = connection.execute("SELECT count(*) FROM face").fetchone()[0]
    today = now.date().isoformat()
    connection.execute("DELETE FROM person WHERE ? OR (expires <> '' AND date(expires) < ?)", (everything, today))
    if before is not None:
        connection.execute("DELETE FROM face WHERE added < ?", (_stamp(before),))
        connection.execute("DELETE FROM person WHERE id NOT IN (SELECT person FROM face)")
    left = {name for (name,) in connection.execute("SELECT name FROM person")}
    remaining = connection.execute("SELECT count(*) FROM face").fetchone()[0]
    return Purged(faces - remaining, tuple(name for name in had if name not in left))


def _now() -> str:
    return _stamp(datetime.now(timezone.utc))


def _stamp(moment: datetime) -> str:
    """One form, in UTC, so that comparing texts compares times."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
