"""The gallery's SQLite file: opened, made, and its failures put into words. What is in it is the business of `store`.

Every operation opens its own connection. That costs a fraction of a millisecond and buys much: threads share nothing, a
killed process leaves nothing half done, and the write-ahead log goes away with the last connection.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from manyfaces.errors import GalleryError

APPLICATION = 0x6D664761
"""Marks the file as ours (the letters mfGa); see PRAGMA application_id."""

VERSION = 1

SCHEMA = (
    """CREATE TABLE person (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        added TEXT NOT NULL,
        consent TEXT NOT NULL DEFAULT '',
        consent_by TEXT NOT NULL DEFAULT '',
        consent_given TEXT NOT NULL DEFAULT '',
        expires TEXT NOT NULL DEFAULT ''
    )""",
    """CREATE TABLE face (
        id INTEGER PRIMARY KEY,
        person INTEGER NOT NULL REFERENCES person(id) ON DELETE CASCADE,
        model TEXT NOT NULL,
        vector BLOB NOT NULL,
        source TEXT NOT NULL,
        digest TEXT NOT NULL,
        added TEXT NOT NULL,
        size REAL NOT NULL,
        sharpness REAL NOT NULL,
        yaw REAL NOT NULL,
        inside REAL NOT NULL
    )""",
    "CREATE INDEX face_of_person ON face(person)",
    "CREATE INDEX face_by_digest ON face(digest)",
    "CREATE TABLE calibration (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER, content TEXT NOT NULL)",
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, false_accept_rate REAL)",
    "INSERT INTO state VALUES (1, 0, NULL)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)

STAMPED = (
    "CREATE TABLE IF NOT EXISTS stamp (id INTEGER PRIMARY KEY CHECK (id = 1), stamp INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO stamp VALUES (1, random())",
    """CREATE TRIGGER IF NOT EXISTS stamped AFTER UPDATE OF revision ON state
        BEGIN UPDATE stamp SET stamp = random(); END""",
)
"""What a gallery gets that grows large: a random number that every change draws anew, also one made by a program that
knows nothing of it. `vectors` tells by it whether it fits."""


class Database:
    """One gallery file and how long to wait for another process that is writing it."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self._patience = patience

    def exists(self) -> bool:
        """Whether there is a gallery; an empty file counts as none yet, as it does for SQLite."""
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError as error:
            raise GalleryError(f"{self.path}: cannot look for the gallery ({error.strerror}); check the path") from None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A view of one moment. Where there is no file yet, of an empty gallery, and no file is made."""
        with self._explaining(), closing(self._open_to_read() if self.exists() else _empty()) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: a transaction that keeps other writers waiting; makes the file where there is none."""
        with self._explaining(), closing(self._open_to_write()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def erase_traces(self) -> None:
        """Drive what was deleted out of the files: out of free pages, out of gaps in pages, out of the log.

        `secure_delete` has overwritten most of it; rebuilding the file takes the copies that moving rows around left.
        """
        with closing(self._open_to_write()) as connection:
            try:
                connection.execute("VACUUM")
                blocked = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.OperationalError as error:
                raise GalleryError(self.traces_left(str(error))) from error
        if blocked:
            raise GalleryError(self.traces_left("another program is reading the gallery"))

    def _open_to_read(self) -> sqlite3.Connection:
        try:
            return self._checked(self._connect("rw"))
        except sqlite3.OperationalError as error:
            # On a read-only disk SQLite cannot make the files beside the gallery that it shares with other processes.
            # Without a log to read, the file alone is the whole gallery.
            log = self.path.with_name(self.path.name + "-wal")
            if not any(said in str(error) for said in ("unable to open", "readonly")) or log.exists():
                raise
        return self._checked(self._connect("ro&immutable=1"))

    def _open_to_write(self) -> sqlite3.Connection:
        fresh = not self.exists()
        if fresh:
            self._reserve()
        connection = self._connect("rwc")
        try:
            if fresh:
                self._create(connection)
            self._check(connection)
            self._turn_log_on(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(address, uri=True, timeout=self._patience, isolation_level=None)

    def _reserve(self) -> None:
        """Templates of faces are keys to people: the file is its owner's alone from its first byte on."""
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise sqlite3.OperationalError(f"unable to open ({error.strerror})") from None

    def _create(self, connection: sqlite3.Connection) -> None:
        """Make the tables in one transaction, unless another process was faster."""
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _make_tables(connection)
        connection.execute("COMMIT")

    def _turn_log_on(self, connection: sqlite3.Connection) -> None:
        """Does nothing where it is on. SQLite does not wait by itself if another process is in the way."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _checked(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION:
            raise GalleryError(
                f"{self.path}: this database belongs to another program; give the path of a gallery, or a new file name"
            )
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise GalleryError(
                f"{self.path}: this gallery has format {version}, this manyfaces reads format {VERSION}; "
                "update manyfaces"
            )
        self._check_length(connection)

    def _check_length(self, connection: sqlite3.Connection) -> None:
        """SQLite reads what is missing at the end of a file as zeros and notices only when it looks there.

        Inside a transaction, so that no other process can empty the log between the looks: with a log, the file itself
        may rightly be short.
        """
        connection.execute("BEGIN")
        size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        whole = connection.execute(size).fetchone()[0]
        log = self.path.with_name(self.path.name + "-wal")
        short = self.path.stat().st_size < whole and not (log.exists() and log.stat().st_size)
        connection.execute("COMMIT")
        if short:
            raise GalleryError(f"{self.path}: {DAMAGED}")

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise GalleryError(f"{self.path}: {self._reason(str(error))}") from error

    def traces_left(self, why: str) -> str:
        """The sentence for a change that is made and not wiped away."""
        return (
            f"{self.path}: the change is saved, but what was removed may still be found in the files ({why}); "
            "when that is mended, run  manyfaces people purge"
        )

    def _reason(self, said: str) -> str:
        folder = self.path.absolute().parent
        if not folder.is_dir():
            return f"cannot be made, there is no folder {folder}; make the folder first"
        if self.path.is_dir():
            return "this is a folder; give the path of a gallery file"
        return next((sentence for part, sentence in REASONS if part in said), f"the gallery failed ({said})")


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA:
        connection.execute(statement)


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _make_tables(connection)
    return connection


DAMAGED = "the gallery is damaged, a part of the file is missing or overwritten; restore it from a copy"

REASONS = (
    ("not a database", "this is no gallery, it is not even a database; give the path of a gallery, or a new file name"),
    ("malformed", DAMAGED),
    ("readonly", "the gallery may only be read here; make the file and its folder writable, or copy it elsewhere"),
    ("unable to open", "cannot be opened; check that it is a file and that you may write it and its folder"),
    ("locked", "another process has been writing to the gallery for too long; wait for it to end and try again"),
    ("full", "the disk is full; nothing of this change was saved, the gallery is as it was before"),
    ("disk I/O", "the disk failed or is full; nothing of this change was saved, the gallery is as it was before"),
)
"""What SQLite says, and what a user can do about it."""
