"""The vectors of a large gallery once more, in a file beside it that is mapped into memory instead of read.

The gallery is the truth and this file follows it; without it everything works, only more slowly. A change goes so:
what is new is appended here and what goes is marked; then the gallery's own transaction is committed; then what was
marked is wiped. Two slots in the header each describe one state of the gallery by its revision and a random stamp,
and the one that describes the gallery as it is counts. So whenever a process is killed, the file fits the gallery as it
was before the change or as it is after, and nobody who reads needs a lock.

Rows are never moved nor cut off, since another process may be looking at them. A file with too many wiped rows, or no
room for more, is written anew and takes the old one's place.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from manyfaces.gallery.index import WORDS, Sketcher
from manyfaces.gallery.roster import Words
from manyfaces.types import Floats, Integers

MAPPED_FROM = 5_000
"""Faces from which a gallery has this file. Reading so many from the gallery takes 20 ms, a quarter of what a network
takes to load; nobody waits for less, and most galleries stay one file."""

SUFFIX = ".vectors"
MAGIC = b"mfVector"
VERSION = 1

HEADER = 4096
ABOUT = struct.Struct("<8sIIQ256s")
SLOT = struct.Struct("<QqqQQ?")
SLOTS = (1024, 2048)
"""Each in a sector of its own: a write that is cut short spoils one and not the other."""

ROOM = 1.5
"""A new file has room for so many times the faces. Only 80 bytes of a row are reserved, and as a hole in the file."""

LEAST_ROOM = 8_192

WORTHWHILE = 0.2
"""The share of wiped rows above which the file is written anew."""

PART = 65_536


def _nothing() -> Integers:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class State:
    """One state of one gallery. The stamp is drawn anew with every change, so that two galleries that went apart, such
    as one and its copy from yesterday, are never taken for each other."""

    revision: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces for rows: their numbers in the gallery, their people's numbers, their vectors."""

    ids: Integers
    people: Integers
    vectors: Floats

    @classmethod
    def none(cls) -> Faces:
        return cls(_nothing(), _nothing(), np.empty((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Change:
    """What a transaction does to the enrolled faces."""

    before: State
    after: State
    model: str = ""
    added: Faces = field(default_factory=Faces.none)
    removed: Integers = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class _Slot:
    """How the file looks in one state: rows in use, rows among them that are wiped, and whether rows are marked that
    went with the change to this state. The later slot has the higher sequence."""

    sequence: int
    state: State
    rows: int
    gone: int
    marked: bool

    def packed(self) -> bytes:
        content = SLOT.pack(self.sequence, self.state.revision, self.state.stamp, self.rows, self.gone, self.marked)
        return content + struct.pack("<I", zlib.crc32(content))

    @classmethod
    def unpacked(cls, content: bytes) -> _Slot | None:
        (checksum,) = struct.unpack_from("<I", content, SLOT.size)
        if checksum != zlib.crc32(content[: SLOT.size]):
            return None
        sequence, revision, stamp, rows, gone, marked = SLOT.unpack_from(content)
        return cls(sequence, State(revision, stamp), rows, gone, marked)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the columns lie: numbers of faces, numbers of people, sketches word by word, and the vectors last, so that
    the file is only as long as they are."""

    size: int
    room: int
    model: str

    @property
    def ids(self) -> int:
        return HEADER

    @property
    def people(self) -> int:
        return self.ids + 8 * self.room

    @property
    def sketches(self) -> int:
        return self.people + 8 * self.room

    @property
    def vectors(self) -> int:
        return self.sketches + 8 * WORDS * self.room

    @classmethod
    def of(cls, size: int, count: int, model: str) -> Layout:
        """With room to grow by half."""
        return cls(size, max(int(count * ROOM), LEAST_ROOM), model)

    def length(self, rows: int) -> int:
        return self.vectors + 4 * self.size * rows

    def packed(self) -> bytes:
        content = ABOUT.pack(MAGIC, VERSION, self.size, self.room, self.model.encode())
        return content + struct.pack("<I", zlib.crc32(content))

    @classmethod
    def unpacked(cls, content: bytes) -> Layout | None:
        (checksum,) = struct.unpack_from("<I", content, ABOUT.size)
        magic, version, size, room, model = ABOUT.unpack_from(content)
        if checksum != zlib.crc32(content[: ABOUT.size]) or magic != MAGIC or version != VERSION:
            return None
        return cls(size, room, model.rstrip(b"\0").decode())


@dataclass(frozen=True, slots=True)
class _Header:
    layout: Layout
    slots: tuple[_Slot | None, _Slot | None]

    def of(self, state: State) -> _Slot | None:
        return next((slot for slot in self.slots if slot and slot.state == state), None)

    def other(self, slot: _Slot) -> _Slot | None:
        return self.slots[1] if self.slots[0] == slot else self.slots[0]

    def later(self, slot: _Slot) -> _Slot | None:
        """A change after this state that was begun, and perhaps never committed."""
        other = self.other(slot)
        return other if other and other.sequence > slot.sequence else None


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """The file in one state: whose face each row is (0 where it is wiped), by the numbers of people in the gallery."""

    people: Integers
    vectors: Floats
    sketches: Words
    model: str


class VectorFile:
    """The file beside one gallery. Who changes it holds the gallery's write lock."""

    def __init__(self, gallery: Path) -> None:
        self._gallery = gallery
        self.path = gallery.with_name(gallery.name + SUFFIX)
        self._fresh = gallery.with_name(gallery.name + SUFFIX + ".new")

    # --- reading ---

    def read(self, state: State) -> Mapped | None:
        """The file mapped as it is in this state of the gallery; None where it is missing, damaged or of another."""
        try:
            with self.path.open("rb") as file:
                header = _header(file)
                slot = header.of(state) if header else None
                return _mapped(file, header, slot) if header and slot else None
        except (OSError, ValueError):
            return None

    # --- writing ---

    def write(self, state: State, layout: Layout, parts: Iterable[Faces]) -> None:
        """Write the file anew, in one state of the gallery, and put it into the old one's place."""
        with open(self._fresh, "w+b", buffering=0, opener=_private) as file:
            self._share(file.fileno())
            rows = 0
            for part in parts:
                _put(file, layout, rows, part)
                rows += len(part)
            file.truncate(layout.length(rows))
            _write(file, layout.packed(), 0)
            _write(file, _Slot(1, state, rows, 0, False).packed(), SLOTS[0])
            os.fsync(file.fileno())
        self._fresh.replace(self.path)

    def _share(self, descriptor: int) -> None:
        """Who may read the gallery may read this, and nobody else."""
        with suppress(OSError, AttributeError):  # Windows has neither; there the folder's rights hold
            about = self._gallery.stat()
            os.fchmod(descriptor, about.st_mode & 0o777)
            os.fchown(descriptor, about.st_uid, about.st_gid)

    def drop(self) -> None:
        """Do without the file; others who are looking at it keep what they see until they look anew."""
        for path in (self.path, self._fresh):
            path.unlink(missing_ok=True)

    @contextmanager
    def following(self, change: Change) -> Iterator[Callable[[], None]]:
        """Prepares the file for the state after a change, before that is committed: what is new is appended, what goes
        is marked. Gives what is to be done once it is committed: wiping what went, or dropping a file that could not
        follow."""
        with ExitStack() as stack:
            try:
                self._fresh.unlink(missing_ok=True)
                file, header, slot = self._ready(stack, change)
                leaving = _begin(file, header, slot, change) if change.after != change.before else _nothing()
            except FileNotFoundError:
                finish: Callable[[], None] = _nothing_to_do
            except (OSError, ValueError):
                finish = self.drop
            else:
                finish = partial(_wipe, file, header.layout, leaving)
            yield finish

    def _ready(self, stack: ExitStack, change: Change) -> tuple[FileIO, _Header, _Slot]:
        """The file as it is before a change, with nothing left over from one that was cut short, and with room."""
        file, header, slot = self._current(stack, change)
        _tidy(file, header, slot)
        full = slot.rows + len(change.added) > header.layout.room
        if not full and slot.gone <= slot.rows * WORTHWHILE:
            return file, header, slot
        live = slot.rows - slot.gone
        layout = Layout.of(header.layout.size, live + len(change.added), header.layout.model)
        self.write(change.before, layout, _live(file, header.layout, slot.rows))
        return self._current(stack, change)

    def _current(self, stack: ExitStack, change: Change) -> tuple[FileIO, _Header, _Slot]:
        file = stack.enter_context(FileIO(self.path, "r+b"))
        header = _header(file)
        slot = header.of(change.before) if header else None
        if header is None or slot is None:
            raise ValueError("of another state")
        layout = header.layout
        if len(change.added) and (change.model, change.added.vectors.shape[1]) != (layout.model, layout.size):
            raise ValueError("of another model")
        return file, header, slot


def _nothing_to_do() -> None:
    pass


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _mapped(file: IO[bytes], header: _Header, slot: _Slot) -> Mapped:
    layout = header.layout
    people = _read(file, layout.people, slot.rows)
    later = header.later(slot)
    # Rows are marked with a minus: gone, unless it is a later change that marked them and is not committed.
    people = np.abs(people) if later and later.marked else np.maximum(people, 0)
    vectors = np.memmap(file, "<f4", "r", layout.vectors, (slot.rows, layout.size))
    sketches = np.memmap(file, "<u8", "r", layout.sketches, (WORDS, layout.room))[:, : slot.rows]
    return Mapped(people, vectors, sketches, layout.model)


def _begin(file: FileIO, header: _Header, slot: _Slot, change: Change) -> Integers:
    """Append, mark, and describe the state after in the slot that does not count; which rows were marked."""
    layout, leaving = header.layout, _nothing()
    _put(file, layout, slot.rows, change.added)
    if len(change.removed):
        leaving = np.flatnonzero(np.isin(_read(file, layout.ids, slot.rows), change.removed))
        people = _read(file, layout.people, slot.rows)
        people[leaving] *= -1
        _write(file, people, layout.people)
    rows, gone = slot.rows + len(change.added), slot.gone + len(leaving)
    after = _Slot(slot.sequence + 1, change.after, rows, gone, bool(len(leaving)))
    _write(file, after.packed(), SLOTS[1 if header.slots[0] == slot else 0])
    os.fsync(file.fileno())
    return leaving


def _tidy(file: FileIO, header: _Header, slot: _Slot) -> None:
    """Finish what a killed process left: marks of a change that never was are taken back, of one that was are wiped."""
    later = header.later(slot)
    if not slot.marked and not (later and later.marked):
        return
    people = _read(file, header.layout.people, slot.rows)
    if later and later.marked:
        _write(file, np.abs(people), header.layout.people)
    else:
        _wipe(file, header.layout, np.flatnonzero(people < 0))


def _wipe(file: FileIO, layout: Layout, rows: Integers) -> None:
    """Zeros over everything that was known of these faces."""
    for first, count in _runs(rows):
        _write(file, bytes(4 * layout.size * count), layout.vectors + 4 * layout.size * first)
        for word in range(WORDS):
            _write(file, bytes(8 * count), layout.sketches + 8 * (word * layout.room + first))
        _write(file, bytes(8 * count), layout.ids + 8 * first)
        _write(file, bytes(8 * count), layout.people + 8 * first)
    if len(rows):
        os.fsync(file.fileno())


def _runs(rows: Integers) -> Iterator[tuple[int, int]]:
    """Neighbouring rows together: where each run begins, and how many it has."""
    if len(rows):
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            yield int(run[0]), len(run)


def _put(file: FileIO, layout: Layout, first: int, faces: Faces) -> None:
    """Write faces into the rows from `first` on."""
    if not len(faces):
        return
    vectors = np.ascontiguousarray(faces.vectors, "<f4")
    _write(file, vectors, layout.vectors + 4 * layout.size * first)
    for word, sketches in enumerate(Sketcher(layout.size)(vectors)):
        _write(file, sketches, layout.sketches + 8 * (word * layout.room + first))
    _write(file, faces.ids.astype("<i8"), layout.ids + 8 * first)
    _write(file, faces.people.astype("<i8"), layout.people + 8 * first)


def _write(file: FileIO, content: bytes | npt.NDArray[np.generic], at: int) -> None:
    """All of it: a nearly full disk takes a part without complaint and complains of the rest."""
    file.seek(at)
    left = memoryview(content if isinstance(content, bytes) else content.tobytes())
    while left:
        left = left[file.write(left) :]


def _read(file: IO[bytes] | FileIO, at: int, rows: int) -> Integers:
    file.seek(at)
    return np.frombuffer(file.read(8 * rows), "<i8").astype(np.int64)


def _live(file: FileIO, layout: Layout, rows: int) -> Iterator[Faces]:
    """The faces that are not wiped, a part at a time, people together."""
    ids, people = _read(file, layout.ids, rows), _read(file, layout.people, rows)
    vectors = np.memmap(file, "<f4", "r", layout.vectors, (rows, layout.size))
    ordered = np.lexsort((ids, people))[int((people <= 0).sum()) :]
    for start in range(0, len(ordered), PART):
        chosen = ordered[start : start + PART]
        yield Faces(ids[chosen], people[chosen], vectors[chosen])


def _header(file: IO[bytes] | FileIO) -> _Header | None:
    """None where this is no such file, one of another version, or one that is cut short."""
    file.seek(0)
    content = (file.read(HEADER) or b"").ljust(HEADER, b"\0")
    layout = Layout.unpacked(content)
    if layout is None:
        return None
    length = os.fstat(file.fileno()).st_size
    slots = (_Slot.unpacked(content[at : at + 64]) for at in SLOTS)
    first, second = (slot if slot and layout.length(slot.rows) <= length else None for slot in slots)
    return _Header(layout, (first, second))
