"""Files that a training leaves: written whole or not at all, and its folder held by one training at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from manyfaces.train.data import DataError

LOCK = ".lock"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Replace in one step, so that an interrupted write, or a full disk, leaves the file before as it was."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write(fresh)
        fresh.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError of its own
        reason = error.strerror if isinstance(error, OSError) else "the disk may be full"
        raise DataError(f"{path}: cannot be written ({reason}); make room and go on with --resume") from None
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder for this training alone: two in one would mix their files. A lock ends with its process, however that
    ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise DataError(f"{folder}: cannot be written into ({error.strerror}); name another folder") from None
    with file:
        if not _lock(file.fileno()):
            raise DataError(f"{folder}: another training is at work here; let it end, or name another folder")
        yield


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows, where nothing else holds a folder so simply
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
