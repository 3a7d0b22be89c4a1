"""Who is enrolled, kept in one SQLite file: people, the vectors of their faces, what they agreed to.

Safe when the process is killed and when several write. Vectors of two models never mix: their similarity means nothing.
"""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.errors import GalleryError, UsageError
from manyfaces.gallery import names
from manyfaces.gallery.calibration import Calibration
from manyfaces.gallery.database import STAMPED, Database
from manyfaces.gallery.roster import GONE, Columns, MappedRoster, Roster
from manyfaces.gallery.vectors import MAPPED_FROM, Change, Faces, Layout, Mapped, State, VectorFile
from manyfaces.types import Embeddings, Integers, Qualities


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

    From `mapped_from` faces on there is a second file beside it, with their vectors (`vectors`): it is made when they
    are first asked for and may be written, and follows every change from then on.

    With `must_exist` a missing file is an error at once: for those who only read, a wrong path is more likely than an
    empty gallery.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        must_exist: bool = False,
        patience: float = 10.0,
        mapped_from: int = MAPPED_FROM,
    ) -> None:
        self.path = Path(path)
        self._database = Database(self.path, patience)
        self._brief = Database(self.path, min(patience, PATIENCE))
        self._vectors = VectorFile(self.path)
        self._mapped_from = mapped_from
        if must_exist and not self._database.exists():
            raise GalleryError(f"{self.path}: there is no gallery here; make one with  manyfaces people add NAME PHOTO")

    # --- reading ---

    def people(self) -> list[Person]:
        """Everybody, by name."""
        with self._database.reading() as connection:
            model = _model(connection)
            return [_person(row, model) for row in connection.execute(f"{_PEOPLE} ORDER BY name")]

    def person(self, name: str) -> Person:
        with self._database.reading() as connection:
            return _known(connection, name)

    def digests(self) -> frozenset[str]:
        """The hashes of the files that faces were enrolled from."""
        with self._database.reading() as connection:
            return frozenset(digest for (digest,) in connection.execute("SELECT DISTINCT digest FROM face"))

    def faces(self, name: str) -> list[EnrolledFace]:
        """The enrolled faces of a person, oldest first."""
        with self._database.reading() as connection:
            return _faces(connection, name)

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
        """All vectors and whose they are, for searching. Where there are many they are mapped, not read."""
        with self._database.reading() as connection:
            found = self._mapped(connection)
            if found is None and not _has_faces(connection, self._mapped_from):
                found = _roster(connection)
        # An empty roster is false, and is one all the same.
        found = self._map_anew() if found is None else found
        return self._read() if found is None else found

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
        everybody = [] if only else self.people()
        with self._database.reading() as connection:
            people = [_known(connection, name) for name in only] or everybody
            exported = [_exported(connection, person, vectors) for person in people]
            return {"model": _model(connection), "people": exported}

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
        with self._recording() as (connection, record):
            _refuse_other_model(self.path, connection, embeddings.model)
            owner = _find_or_add(connection, name)
            if consent is not None:
                _set_consent(connection, owner, consent)
            if digest and _has_digest(connection, owner, digest):
                return 0
            rows = _face_rows(owner, embeddings, qualities, source, digest)
            ids = [connection.execute(_ADD_FACE, row).lastrowid for row in rows]
            record.added = Faces(np.array(ids, np.int64), np.full(len(ids), owner, np.int64), embeddings.vectors)
            record.model = embeddings.model
            _touch(connection)
        return len(embeddings)

    def consent(self, name: str, consent: Consent) -> None:
        """Write down what a person agreed to, in place of what was written before."""
        with self._changing(name) as (connection, _):
            _set_consent(connection, _find(connection, name), consent)
        self._database.erase_traces()

    def rename(self, old: str, new: str) -> None:
        new = names.checked(new)
        with self._changing(old) as (connection, _):
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
        with self._changing(name) as (connection, record):
            known = _find(connection, name)
            record.removed = _ids(connection, "WHERE person = ?", known)
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
        with self._recording() as (connection, record):
            had = _ids(connection)
            purged = _purge(connection, now, before, everything)
            record.removed = np.setdiff1d(had, _ids(connection), assume_unique=True)
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

    def _changing(self, name: str) -> AbstractContextManager[tuple[sqlite3.Connection, _Record]]:
        """To change a person there must be one: asking for somebody in no gallery must not make a file."""
        if not self._database.exists():
            raise GalleryError(names.unknown(name, []))
        return self._recording()

    @contextmanager
    def _recording(self) -> Iterator[tuple[sqlite3.Connection, _Record]]:
        """A transaction that the mapped vectors follow: they are prepared before it is committed and wiped of what went
        afterwards."""
        with ExitStack() as stack:
            with self._database.writing() as connection:
                before, record = _state(connection), _Record()
                yield connection, record
                change = Change(before, _state(connection), record.model, record.added, record.removed)
                few = not _has_faces(connection, self._mapped_from // 2)
                finish = stack.enter_context(self._vectors.following(change))
            try:
                finish()
                if few:
                    self._vectors.drop()
            except OSError as error:
                if len(record.removed):
                    why = f"{self._vectors.path.name} cannot be written: {error.strerror}"
                    raise GalleryError(self._database.traces_left(why)) from error

    # --- the mapped vectors ---

    def _mapped(self, connection: sqlite3.Connection) -> Roster | None:
        """The roster from the file beside the gallery, if that fits what the gallery holds now."""
        state = _state(connection)
        mapped = self._vectors.read(state) if state.stamp else None
        return _mapped_roster(connection, mapped, state) if mapped else None

    def _map_anew(self) -> Roster | None:
        """Make the file; None where it cannot be made, and the gallery itself must be read."""
        try:
            with self._brief.writing() as connection:
                found = self._mapped(connection)
                if found is None and _has_faces(connection, self._mapped_from):
                    self._write_vectors(connection)
                    found = self._mapped(connection)
                return found
        except (GalleryError, OSError):
            return None

    def _read(self) -> Roster:
        with self._database.reading() as connection:
            return _roster(connection)

    def _write_vectors(self, connection: sqlite3.Connection) -> None:
        for statement in STAMPED:
            connection.execute(statement)
        count, length = connection.execute("SELECT count(*), max(length(vector)) FROM face").fetchone()
        layout = Layout.of(length // 4, count, _model(connection))
        try:
            self._vectors.write(_state(connection), layout, _all_faces(connection))
        except OSError:
            self._vectors.drop()
            raise


@dataclass(slots=True)
class _Record:
    """What a transaction does to the enrolled faces, told while it goes on."""

    model: str = ""
    added: Faces = field(default_factory=Faces.none)
    removed: Integers = field(default_factory=lambda: np.empty(0, np.int64))


PATIENCE = 1.0
"""Seconds that somebody who only reads waits to make the file of vectors, before reading the gallery itself."""

AT_ONCE = 10_000
"""Faces read from the gallery at a time."""

_PEOPLE = """SELECT name, (SELECT count(*) FROM face WHERE face.person = person.id), added,
    consent, consent_by, consent_given, expires FROM person"""

_FACES = "SELECT id, source, digest, added, size, sharpness, yaw, inside FROM face"

_ADD_FACE = """INSERT INTO face (person, model, vector, source, digest, added, size, sharpness, yaw, inside)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def _person(row: tuple[Any, ...], model: str) -> Person:
    name, faces, added, *consent = row
    return Person(name, faces, added, model if faces else "", Consent(*consent))


def _known(connection: sqlite3.Connection, name: str) -> Person:
    row = connection.execute(f"{_PEOPLE} WHERE id = ?", (_find(connection, name),)).fetchone()
    return _person(row, _model(connection))


def _faces(connection: sqlite3.Connection, name: str) -> list[EnrolledFace]:
    rows = connection.execute(f"{_FACES} WHERE person = ? ORDER BY id", (_find(connection, name),))
    return [EnrolledFace(*row) for row in rows]


def _exported(connection: sqlite3.Connection, person: Person, vectors: bool) -> dict[str, Any]:
    faces = [asdict(face) for face in _faces(connection, person.name)]
    if vectors:
        query = "SELECT id, vector FROM face WHERE person = ?"
        found = dict(connection.execute(query, (_find(connection, person.name),)).fetchall())
        for face in faces:
            face["vector"] = base64.b64encode(found[face["id"]]).decode("ascii")
    return {**asdict(person), "faces": faces}


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


def _mapped_roster(connection: sqlite3.Connection, mapped: Mapped, state: State) -> Roster | None:
    """None where the file speaks of people whom the gallery does not know."""
    rows = connection.execute("SELECT id, name FROM person ORDER BY id").fetchall()
    known = np.array([identifier for identifier, _ in rows], np.int64)
    places = np.searchsorted(known, mapped.people)
    here = mapped.people > 0
    if not len(known) or not np.array_equal(known[np.minimum(places, len(known) - 1)][here], mapped.people[here]):
        return None
    columns = Columns(np.where(here, places, GONE), mapped.vectors, mapped.sketches)
    return MappedRoster(tuple(name for _, name in rows), columns, mapped.model, state.revision)


def _all_faces(connection: sqlite3.Connection) -> Iterator[Faces]:
    cursor = connection.execute("SELECT id, person, vector FROM face ORDER BY person, id")
    while rows := cursor.fetchmany(AT_ONCE):
        ids, people, content = zip(*rows, strict=True)
        if len({len(vector) for vector in content}) > 1:
            raise sqlite3.DatabaseError("malformed: vectors of different lengths")
        vectors = np.frombuffer(b"".join(content), "<f4").reshape(len(rows), -1)
        yield Faces(np.array(ids, np.int64), np.array(people, np.int64), vectors)


def _ids(connection: sqlite3.Connection, which: str = "", *values: int) -> Integers:
    return np.array([row[0] for row in connection.execute(f"SELECT id FROM face {which}", values)], np.int64)


def _has_faces(connection: sqlite3.Connection, count: int) -> bool:
    """Whether there are so many, without counting all."""
    last = connection.execute("SELECT 1 FROM face INDEXED BY face_of_person LIMIT 1 OFFSET ?", (max(count - 1, 0),))
    return last.fetchone() is not None


def _state(connection: sqlite3.Connection) -> State:
    """Without a stamp, which only large galleries have, no file of vectors can fit."""
    stamped = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'stamp'").fetchone()
    stamp = connection.execute("SELECT stamp FROM stamp").fetchone() if stamped else None
    return State(_revision(connection), int(stamp[0]) if stamp else 0)


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
