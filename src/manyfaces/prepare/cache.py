"""What was read of photos, kept in the user's cache, so that no photo is looked at twice.

One file per photo and way of reading, named by a hash of both: a changed photo, another network or other limits have a
file of their own, and where the photo lies does not matter. Files are written whole, each by itself, so whatever was
done stays done; what cannot be used is passed over and replaced. A cache that cannot be written is said once, and work
goes on without it.

What lies here are faces and their vectors: the folder is its owner's alone, and what nobody asked for in `KEPT_DAYS` is
forgotten.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from manyfaces.enrol import Choice, Enrolment, Limits
from manyfaces.errors import OutputError
from manyfaces.options import cache_folder
from manyfaces.prepare.album import SIDE, Found, Reading, Refused, Why
from manyfaces.types import Detections, Embeddings, Qualities

FORMAT = 2
ENDING = ".npz"
KEPT_DAYS = 90
DAY = 86_400
MOST_BYTES = 2**20
"""Of a file that is opened; ours have some forty thousand."""


@dataclass(frozen=True, slots=True)
class Making:
    """All that a reading hangs on besides the photo: which detector and head, set how, and what was asked of them."""

    detector: str
    head: str
    limits: Limits = Limits()
    choice: Choice = Choice(main=True)

    def key(self, digest: str) -> str:
        """Begins with what is the same for every reading of a photo, so that all of them can be forgotten."""
        made = hashlib.sha256(json.dumps([FORMAT, asdict(self)], sort_keys=True).encode())
        return _mark(digest) + made.hexdigest()[:32]


def _mark(digest: str) -> str:
    """Of a photo; the hash of its hash, so that nobody reads from names which photos were here."""
    return hashlib.sha256(digest.encode()).hexdigest()[:32]


class Cache:
    """Readings in a folder; by default in that of this user's cache. One that is not in `use` keeps and knows nothing.
    `warning`: why nothing is kept any more."""

    def __init__(self, folder: Path | None = None, use: bool = True) -> None:
        self.folder = folder or cache_folder() / "faces"
        self.warning = ""
        self._use = use

    def get(self, key: str) -> Reading | None:
        """What was kept, or None where there is nothing of use."""
        if not self._use:
            return None
        path = self._path(key)
        try:
            _refuse_foreign(self.folder)
            reading = _read(_content(path), key)
            _touch(path)
        except (OSError, ValueError, TypeError, KeyError, EOFError, RecursionError, zipfile.BadZipFile):
            return None
        return reading

    def put(self, key: str, reading: Reading) -> None:
        """Beside its place first and moved there whole: who else is at work here sees all of it or nothing."""
        if self.warning or not self._use:
            return
        path = self._path(key)
        beside = path.with_name(f"{key}.{os.getpid()}.partial")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_foreign(self.folder)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                _write(beside, _packed(reading, key))
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as error:
            self.warning = (
                f"{self.folder}: what is read cannot be kept ({error.strerror}), so it will be read again next time; "
                "make room, set XDG_CACHE_HOME elsewhere, or switch the cache off (--no-cache)"
            )

    def forget(self, older_than_days: float = 0) -> int:
        """Remove what nobody asked for in so many days, or everything; how many readings went."""
        limit = time.time() - older_than_days * DAY
        gone = 0
        kept: list[str] = []  # said at the end, when all others are gone
        for path in self._files():
            try:
                if path.stat().st_mtime <= limit:
                    path.unlink()
                    gone += path.suffix == ENDING
            except FileNotFoundError:
                continue  # somebody else was faster
            except OSError as error:
                kept.append(f"{path}: cannot be removed ({error.strerror}); remove it by hand")
        if kept:
            raise OutputError(kept[0] if len(kept) == 1 else f"{kept[0]}; so with {len(kept) - 1} more")
        return gone

    def forget_photos(self, digests: Iterable[str]) -> int:
        """Remove every reading of these photos, by the SHA-256 of their files; how many went. What cannot be removed
        stays and is forgotten with age: who is removed from a gallery must not stay there for it."""
        gone = 0
        for mark in map(_mark, digests):
            for path in self.folder.glob(f"{mark[:2]}/{mark}*"):
                with suppress(OSError):
                    path.unlink()
                    gone += path.suffix == ENDING
        return gone

    def forget_old(self) -> None:
        """A courtesy, which is no reason to fail."""
        with suppress(OutputError):
            if self._use:
                self.forget(KEPT_DAYS)

    def _path(self, key: str) -> Path:
        """Not all in one folder, which some file systems read slowly."""
        return self.folder / key[:2] / f"{key}{ENDING}"

    def _files(self) -> Iterator[Path]:
        """Ours, whole or left half by who was killed."""
        for ending in (ENDING, ".partial"):
            yield from self.folder.glob(f"[0-9a-f][0-9a-f]/{'[0-9a-f]' * 8}*{ending}")


def _content(path: Path) -> bytes:
    """What else lies in its place, such as a pipe or a device that never ends, is not opened."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
        raise OSError(errno.EINVAL, "this is no file of ours")
    return path.read_bytes()


def _refuse_foreign(folder: Path) -> None:
    """Without a home the cache lies where everybody may write, and another could have put faces there."""
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "the folder belongs to another user")


def _touch(path: Path) -> None:
    """That it was asked for is written down once a day; where that may not be written, it may be forgotten early."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > DAY:
            os.utime(path)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _packed(reading: Reading, key: str) -> bytes:
    said, columns = _said(reading)
    told = json.dumps({"format": FORMAT, "key": key, **said}).encode()
    packed = io.BytesIO()
    np.savez_compressed(packed, said=np.frombuffer(told, np.uint8), **columns)
    return packed.getvalue()


def _said(reading: Reading) -> tuple[dict[str, str], dict[str, Any]]:
    """A reading as words and arrays."""
    if isinstance(reading, Refused):
        return {"why": reading.why, "reason": reading.reason}, {"picture": reading.picture[None]}
    one = reading.enrolment
    columns = {
        "picture": one.crops,
        "vector": one.embeddings.vectors,
        "boxes": one.detections.boxes,
        "scores": one.detections.scores,
        "landmarks": one.detections.landmarks,
        **{name: getattr(one.qualities, name) for name in Qualities.__slots__},
    }
    return {"decoded": reading.decoded, "model": one.embeddings.model}, columns


def _read(content: bytes, key: str) -> Reading:
    """A reading from its file. Raises ValueError and its like for everything that is none of this format and key."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        columns = {name: np.asarray(file[name]) for name in file.files}
    said = json.loads(columns.pop("said").tobytes())
    if said["format"] != FORMAT or said["key"] != key:
        raise ValueError("it was written for something else")
    picture = columns.pop("picture")
    if picture.shape != (1, SIDE, SIDE, 3) or picture.dtype != np.uint8:
        raise ValueError(f"picture: expected (1, {SIDE}, {SIDE}, 3) of bytes, got {picture.shape} of {picture.dtype}")
    if "why" in said:
        if said["why"] not in get_args(Why):
            raise ValueError(f"unknown reason {said['why']!r}")
        return Refused(said["why"], str(said["reason"]), picture[0])
    if not all(
        column.dtype == np.float32 and len(column) == 1 and np.isfinite(column).all() for column in columns.values()
    ):
        raise ValueError("expected one row of finite numbers in every column")
    qualities = Qualities(*(columns[name] for name in Qualities.__slots__))
    detections = Detections(columns["boxes"], columns["scores"], columns["landmarks"])
    embeddings = Embeddings(columns["vector"], str(said["model"]))
    return Found(str(said["decoded"]), Enrolment(embeddings, qualities, detections, picture))
